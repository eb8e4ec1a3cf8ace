"""Holds what goes over HTTP against the OpenAPI document, more strictly than a client would: no field may be there that
the document does not name."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from attrs import frozen
from jsonschema_rs import Draft202012Validator

from dialer.web.api import ENDPOINTS
from dialer.web.openapi import describe

Json = dict[str, Any]

ALWAYS = {"403", "413", "500"}
"""What whatever is called may be answered, besides 404 and 405 where nothing is served."""


class Contract:
    """The promises of a document."""

    def __init__(self, document: Json) -> None:
        self.document = document
        closed = copy.deepcopy(document["components"]["schemas"])
        for schema in closed.values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
        self._schemas = {False: document["components"]["schemas"], True: closed}
        # What has no part comes first: /campaign/x is not /campaign/{campaign_id} where both are there.
        self._paths = [
            (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path)
            for path in sorted(document["paths"], key=lambda path: path.count("{"))
        ]
        self._validators: dict[tuple[str, bool], Draft202012Validator] = {}

    def answered(self, method: str, target: str, status: int, headers: Any, body: Any) -> None:
        """Check an answer: `headers` is Twisted's, `body` the JSON value or the text."""
        operation = self._operation(method, target)
        if operation is None:
            assert status in (400, 404, 405, 413), f"{method} {target}: {status} from what is not described"
            content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
            response: Json = {"content": content}
        else:
            responses = operation["responses"]
            known = str(status) in responses or str(status) in ALWAYS
            assert known, f"{method} {target}: the status {status} is not described"
            response = self._resolved(responses.get(str(status), responses["default"]))
        for name in response.get("headers", ()):
            assert headers.hasHeader(name), f"{method} {target}: {status} without {name}"
        kind = (headers.getRawHeaders("content-type") or [""])[0].partition(";")[0]
        assert kind in response["content"], f"{method} {target}: {kind!r} is not described for {status}"
        if kind == "application/json":
            self.check(response["content"][kind]["schema"], body, strict=True)

    def accepted(self, method: str, target: str, body: Any) -> None:
        """Check the JSON of a request that was answered with success."""
        operation = self._operation(method, target)
        assert operation is not None, f"{method} {target} is not described"
        self.check(operation["requestBody"]["content"]["application/json"]["schema"], body)

    def sent(self, path: str, headers: Mapping[str, str], body: Any) -> None:
        """Check a request to the VC; the names of its headers are in lower case."""
        operation = self.document["webhooks"][path.removeprefix("/")]["post"]
        self.check(operation["requestBody"]["content"]["application/json"]["schema"], body, strict=True)
        for parameter in operation["parameters"]:
            value = headers.get(parameter["name"].lower())
            if value is None:
                assert not parameter["required"], f"{path} without {parameter['name']}"
            else:
                self.check(parameter["schema"], value)

    def check(self, schema: Json, value: Any, *, strict: bool = False) -> None:
        """Fail with all that is wrong with a value."""
        wrong = list(self.validator(schema, strict=strict).iter_errors(value))
        assert not wrong, "\n".join(f"{error.instance_path}: {error.message}" for error in wrong)

    def validator(self, schema: Json, *, strict: bool = False) -> Draft202012Validator:
        """A validator for a schema of the document."""
        key = (str(schema), strict)
        if key not in self._validators:
            whole = schema | {"components": {"schemas": self._schemas[strict]}}
            self._validators[key] = Draft202012Validator(whole, validate_formats=True)
        return self._validators[key]

    def examples(self) -> Iterator[Example]:
        """Every example of the document, with the schema that it is one of."""
        yield from self._examples("", self.document)

    def _examples(self, place: str, value: Any) -> Iterator[Example]:
        if isinstance(value, list):
            for index, each in enumerate(value):
                yield from self._examples(f"{place}/{index}", each)
        if not isinstance(value, dict):
            return
        if isinstance(value.get("examples"), list):
            schema = {name: each for name, each in value.items() if name != "examples"}
            yield from (Example(place, schema, each) for each in value["examples"])
        if "example" in value:
            yield Example(place, value["schema"], value["example"])
        for name, each in value.items():
            if name not in ("example", "examples"):
                yield from self._examples(f"{place}/{name}", each)

    def _operation(self, method: str, target: str) -> Json | None:
        path = target.partition("?")[0]
        for pattern, template in self._paths:
            if pattern.fullmatch(path) and (found := self.document["paths"][template].get(method.lower())) is not None:
                return dict(found)
        return None

    def _resolved(self, response: Json) -> Json:
        if "$ref" not in response:
            return response
        return dict(self.document["components"]["responses"][response["$ref"].rpartition("/")[2]])


@frozen
class Example:
    """An example, the schema that it is one of, and where in the document it stands."""

    place: str
    schema: Json
    value: Any


@cache
def contract(*, asks_for_tokens: bool = False) -> Contract:
    """That of the dialer."""
    return Contract(describe(ENDPOINTS, asks_for_tokens=asks_for_tokens))


PAGES = [re.compile(re.sub(r"<path:\w+>|<\w+>", ".+", each.path)) for each in ENDPOINTS if each.for_browsers]


def is_page(target: str) -> bool:
    """Whether a path belongs to the dialer's own pages, which the document leaves out."""
    return any(page.fullmatch(target.partition("?")[0]) for page in PAGES)
