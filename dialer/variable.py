"""The kinds of variables in the environment, and how one is declared. A value that is wrong raises a ValueError, an
empty one where the variable's own `allowed` says all that there is to say.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic.fields import FieldInfo

from dialer import rules
from dialer.access.networks import Network, parse_networks
from dialer.access.tokens import Token, parse_tokens
from dialer.addresses import base_url, check_database, hosts_and_ports, webhook_hosts, webhook_url
from dialer.tls.pem import check_private, matched, read_certificates, read_key

_DECIMAL = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]{1,15})?|\.[0-9]{1,15})")


def _number(text: object) -> float:
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):  # float() would take nan, inf, 1_0 and Arabic digits
        raise ValueError
    return float(text)


def _whole(text: object) -> int:
    if not _number(text).is_integer():
        raise ValueError
    return int(_number(text))


def _passing(accepts: Callable[[str], bool]) -> AfterValidator:
    def check(text: str) -> str:
        if not accepts(text):
            raise ValueError
        return text

    return AfterValidator(check)


def above_zero(at_most: float, unit: float = 1) -> AfterValidator:
    """Accept a number above 0, at most `at_most`, and multiply it by `unit`."""

    def check(number: float) -> float:
        if not 0 < number <= at_most:
            raise ValueError
        return number * unit

    return AfterValidator(check)


def in_units(unit: float) -> AfterValidator:
    """Multiply a number by `unit`."""
    return AfterValidator(lambda number: number * unit)


def between(low: float, high: float) -> AfterValidator:
    """Accept a number from `low` to `high`, both included."""

    def check(number: float) -> float:
        if not low <= number <= high:
            raise ValueError
        return number

    return AfterValidator(check)


def by_rule(rule: rules.Rule) -> AfterValidator:
    """Accept a text that `rule` accepts."""
    return _passing(rule.accepts)


def one_of(*names: str) -> BeforeValidator:
    """Accept each name in any case, and give it back as it is spelled here."""
    spelled = {name.lower(): name for name in names}
    return BeforeValidator(lambda text: spelled.get(str(text).lower(), text))


def _simulators(text: object) -> frozenset[str]:
    named = frozenset(re.split(r"[,\s]+", str(text).lower())) - {""}
    if not named <= {"efswitch", "vc"}:
        raise ValueError
    return named


def _flag(text: object) -> bool:
    if text not in ("0", "1"):
        raise ValueError
    return text == "1"


def _switches(text: str, info: ValidationInfo) -> str:
    hosts_and_ports(text, info.data.get("esl_port", 8021))
    return text


def _base_urls(text: object) -> tuple[str, ...]:
    return tuple(map(base_url, filter(None, re.split(r"[,\s]+", str(text)))))


def _secrets(text: object) -> tuple[str, ...]:
    """Read what Standard Webhooks calls symmetric secrets: `whsec_` and 24 to 64 bytes in base64."""
    secrets = tuple(secret for secret in re.split(r"[,\s]+", str(text)) if secret)
    for secret in secrets:
        if not secret.startswith("whsec_"):
            raise ValueError
        encoded = secret.removeprefix("whsec_")
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        if not 24 <= len(key) <= 64:
            raise ValueError
    return secrets


def _certificates(path: str) -> str:
    read_certificates(path)
    return path


def key_of(certificate: str) -> AfterValidator:
    """Accept the path of a private key, that of the certificate that the field `certificate`, before it, names."""

    def check(path: str, info: ValidationInfo) -> str:
        key = read_key(path)
        if (of := info.data.get(certificate)) is not None:
            matched(read_certificates(of), key)
        return path

    return AfterValidator(check)


def _as_libpq_wants(path: str) -> str:
    check_private(path)
    return path


def _carried(text: str) -> bool:
    """Whether a socket and PostgreSQL can carry `text` at all."""
    return rules.encodable(text) and "\0" not in text


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_whole)]
Port = Annotated[Whole, between(1, 65535)]
Wait = Annotated[Number, above_zero(86_400)]
"""Seconds. One that is longer than a day was written in the wrong unit."""

Flag = Annotated[bool, BeforeValidator(_flag)]
Text = Annotated[str, _passing(_carried)]
Line = Annotated[str, _passing(lambda text: _carried(text) and not re.search(r"[\r\n]", text))]
Host = Annotated[str, _passing(rules.is_host)]
BaseUrl = Annotated[str, AfterValidator(base_url)]
BaseUrls = Annotated[tuple[str, ...], BeforeValidator(_base_urls)]
Database = Annotated[str, AfterValidator(check_database)]
Switches = Annotated[str, AfterValidator(_switches)]
"""Needs the field `esl_port` before it: the same switch twice may be told by it."""

ApiTokens = Annotated[tuple[Token, ...], BeforeValidator(parse_tokens)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(parse_networks)]
WebhookUrl = Annotated[str, AfterValidator(webhook_url)]
WebhookSecrets = Annotated[tuple[str, ...], BeforeValidator(_secrets)]
WebhookHosts = Annotated[tuple[tuple[str, int], ...], BeforeValidator(lambda text: webhook_hosts(str(text)))]
"""Hosts with their ports."""

CertificateFile = Annotated[Text, AfterValidator(_certificates)]
"""The path of a file that holds what it is to hold."""

PrivateFile = Annotated[Text, AfterValidator(_as_libpq_wants)]
"""The path of a file that others cannot read."""

Simulators = Annotated[frozenset[str], BeforeValidator(_simulators)]

PORT = "a port from 1 to 65535"
WAIT = "seconds, above 0, at most 86400"
HOST = "a host name or an IP address"
TEXT = "UTF-8 without NUL"
PEM = "the path of a file in PEM"


def variable(
    default: str | Callable[[dict[str, Any]], str | None] | None,
    meaning: str,
    allowed: str,
    *,
    shown: str = "",
    secret: bool = False,
    spaces: bool = False,
) -> Any:
    """Declare a variable whose default is written as the environment would write it, or found from the fields before.

    `shown` is the default as the README shows it, where that is not the same. A `secret` is shown nowhere, and may be
    in a file instead, which the variable with `_FILE` behind its name tells (`in_file`). `spaces` around a value are
    part of it.
    """
    options: dict[str, Any] = {
        "default": default,
        "validate_default": True,
        "repr": not secret,
        "description": meaning,
        "json_schema_extra": {
            "allowed": allowed,
            "shown": shown or f"`{default}`",
            "secret": secret,
            "spaces": spaces,
        },
    }
    if callable(default):
        options["default_factory"] = options.pop("default")
    return Field(**options)


def in_file(what: str) -> Any:
    """Declare the variable with `_FILE` behind the name of a secret one."""
    return variable(None, f"a file with {what}, instead", TEXT, shown="unset")


def told(field: FieldInfo, key: str) -> Any:
    """What was declared of a variable besides its kind: `allowed`, `shown`, `secret`, `spaces`."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    return extra[key]
