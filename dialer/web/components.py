"""The JSON schemas of an OpenAPI document: of every type that its endpoints and webhooks name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from dialer.web.endpoint import Endpoint
from dialer.web.leniency import either_spelling
from dialer.web.schema import ContactList, Posted
from dialer.web.shown import Error
from dialer.web.webhooks import Webhook

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
"""How a schema is referred to."""


class Schemas:
    """`components` are the schemas that have a name, the others refer to them. A list that is stored whole or not at
    all may have `list_length` contacts."""

    def __init__(self, endpoints: Sequence[Endpoint], webhooks: Sequence[Webhook], *, list_length: int) -> None:
        self._list_length = list_length
        # By their ids, for not all types have a hash. They outlive this: the endpoints name them.
        types: list[tuple[int, JsonSchemaMode, TypeAdapter[Any]]] = [
            (id(kind), mode, TypeAdapter(kind)) for kind, mode in _types(endpoints, webhooks)
        ]
        made, definitions = TypeAdapter.json_schemas(
            types, ref_template=SCHEMAS + "{model}", schema_generator=_Generator
        )
        self._made: dict[tuple[int, JsonSchemaMode], Any] = {key: _renamed(schema) for key, schema in made.items()}
        found = {_public(name): _renamed(schema) for name, schema in definitions.get("$defs", {}).items()}
        for schema in found.values():
            schema.pop("title", None)
        self._parameters = {each.query: found.pop(each.query.__name__) for each in endpoints if each.query is not None}
        self._spellings: dict[str, list[Json]] = {}
        for model in Posted.__subclasses__():
            name = _public(model.__name__)
            spellings = {to_camel(field): field for field in model.model_fields if to_camel(field) != field}
            if spellings and name in found:
                found[f"{name}InEitherSpelling"] = _in_either_spelling(name, found[name], spellings)
                self._spellings[SCHEMAS + name] = [
                    {"$ref": SCHEMAS + name},
                    {"$ref": f"{SCHEMAS}{name}InEitherSpelling"},
                ]
        self.components = dict(sorted(found.items()))

    def taken(self, kind: Any) -> Json:
        """The schema of what may be posted."""
        schema: Json = self._spelled({"type": "string"} if kind is None else self._made[id(kind), "validation"])
        return schema | {"maxItems": self._list_length} if kind is ContactList else schema

    def answered(self, kind: Any) -> Json:
        """The schema of what is answered or sent."""
        schema: Json = {"type": "string"} if kind is None else self._made[id(kind), "serialization"]
        return schema

    def parameters(self, query: type) -> Json:
        """The schema of an object whose properties are the parameters."""
        schema: Json = self._parameters[query]
        return schema

    def _spelled(self, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return schema
        if (spellings := self._spellings.get(schema.get("$ref", ""))) is not None:
            return {"anyOf": spellings}
        return {name: self._spelled(value) for name, value in schema.items()}


class _Generator(GenerateJsonSchema):
    """A title would only say the name once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  none is
        return False


def _types(endpoints: Sequence[Endpoint], webhooks: Sequence[Webhook]) -> Iterator[tuple[Any, JsonSchemaMode]]:
    """Each type once for each mode, in an order that is always the same."""
    seen: set[tuple[int, str]] = set()
    for kind, mode in _named(endpoints, webhooks):
        if kind is not None and (id(kind), mode) not in seen:
            seen.add((id(kind), mode))
            yield kind, mode


def _named(endpoints: Sequence[Endpoint], webhooks: Sequence[Webhook]) -> Iterator[tuple[Any, JsonSchemaMode]]:
    yield Error, "serialization"
    for endpoint in endpoints:
        for kind in (*endpoint.takes.values(), endpoint.query):
            yield kind, "validation"
        for kind in (*endpoint.answers.values(), *endpoint.others.values()):
            yield kind, "serialization"
    for webhook in webhooks:
        yield webhook.body, "serialization"


def _public(name: str) -> str:
    """The name of a component: that of its class, without what tells a posted object from a stored one."""
    return name.removesuffix("In")


def _renamed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_renamed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: SCHEMAS + _public(value.removeprefix(SCHEMAS)) if name == "$ref" else _renamed(value)
        for name, value in schema.items()
    }


def _in_either_spelling(name: str, schema: Json, spellings: dict[str, str]) -> Json:
    about = f"The same as {name}, each name in camelCase or in snake_case; not both with different values."
    return {"description": about, **either_spelling(schema, spellings)}
