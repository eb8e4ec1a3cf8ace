"""The environment, read once into `Settings`.

`load` is the only way in. It names the first wrong variable in one line; a password gets neither into that line nor
into the repr of what it returns.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from dialer import secret_file
from dialer.addresses import without_password, without_user
from dialer.errors import DialerError
from dialer.settings import Settings, secret_fields
from dialer.settings.contradictions import tls_contradiction
from dialer.variable import told

_LONGEST_FILES = {"api_tokens": 1_000_000}
"""Bytes of files that are longer than a password's."""

_LONGEST_SHOWN = 200


class SettingsError(DialerError):
    """The environment is wrong: one line that names the variable, the value and what is allowed."""


class _Environment(PydanticBaseSettingsSource):
    """The variables as fields. Space around a value is not part of it, but where it says so; an empty value is none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(Settings)
        self.environ = environ

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str, str, bool]:  # noqa: ARG002
        text = self.environ.get(field_name.upper(), "")
        return text if _told(field_name, "spaces") else text.strip(), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in Settings.model_fields.items()}
        return {name: text for name, text in found.items() if text}


def load(environ: Mapping[str, str], host_name: str | None = None) -> Settings:
    """Read the settings from `environ`, which is os.environ but in tests; `host_name` is this machine's unless given.

    Raises SettingsError for the first variable, in the order of the fields, that is wrong.
    """
    given = _Environment(environ)()
    _read_files(given)
    given.setdefault("dialer_id", host_name or socket.gethostname())
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        wrong = str(first["loc"][0])
        why = str(first.get("ctx", {}).get("error", "")) or _told(wrong, "allowed")
    else:
        _check_together(settings)
        return settings
    # Raised outside of the handler: the ValidationError holds the passwords, and goes where this one's context goes.
    raise SettingsError(f"{_shown(wrong, given[wrong])} is not allowed: {why}")


def _read_files(given: dict[str, Any]) -> None:
    """Put in the secrets that are in files."""
    for field in secret_fields():
        if (path := given.get(f"{field}_file")) is None:
            continue
        if field in given:
            raise SettingsError(f"{field.upper()} and {field.upper()}_FILE are both set: unset one of them")
        try:
            text = secret_file.read(path, _LONGEST_FILES.get(field, secret_file.LONGEST))
        except ValueError as error:
            raise SettingsError(f"{_shown(f'{field}_file', path)} is not allowed: {error}") from None
        given[field] = text if _told(field, "spaces") else text.strip()


def _check_together(settings: Settings) -> None:
    """Refuse a simulator that nobody asked for, one asked for together with what it stands in for, networks that look
    as if nobody else was let in, webhooks that nobody signs, and half of TLS."""
    if settings.trusted_networks and not settings.api_tokens:
        raise SettingsError(
            "TRUSTED_NETWORKS is set and API_TOKENS is not: without tokens everybody may do everything; "
            "set both or neither"
        )
    for field in ("result_webhook_url", "webhook_allowed_hosts"):
        if getattr(settings, field) and not settings.result_webhook_secret:
            raise SettingsError(
                f"RESULT_WEBHOOK_SECRET is not set, but {field.upper()} is: "
                f"set it to {_told('result_webhook_secret', 'allowed')}"
            )
    for field, simulator in (("esl_ip", "efswitch"), ("voice_connector", "vc")):
        value = getattr(settings, field)
        asked = simulator in settings.sandbox
        if value and asked:
            sandbox = _shown("sandbox", ",".join(sorted(settings.sandbox)))
            raise SettingsError(
                f"{sandbox} is not allowed together with {_shown(field, value)}: "
                f"either unset {field.upper()}, or take {simulator} out of SANDBOX"
            )
        if not value and not asked and not settings.nothing_configured:
            raise SettingsError(
                f"{field.upper()} is not set: set it to {_told(field, 'allowed')}; "
                f"or name {simulator} in SANDBOX to have the simulator stand in"
            )
    if line := tls_contradiction(settings):
        raise SettingsError(line)


def _shown(field: str, text: str) -> str:
    """Return `NAME='value'` in one line, without any password."""
    if field == "db_url":
        text = without_password(text)
    elif _told(field, "secret"):  # the path of a receiver's URL is often all that keeps others from posting there
        return f"{field.upper()} (its value is not shown)"
    elif field == "voice_connector":
        text = without_user(text)
    shown = ascii(text)
    return f"{field.upper()}={shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + '...'}"


def _told(field: str, key: str) -> Any:
    return told(Settings.model_fields[field], key)


def describe() -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every variable, as the README's table shows them."""
    return [
        (name.upper(), _told(name, "shown"), str(field.description)) for name, field in Settings.model_fields.items()
    ]
