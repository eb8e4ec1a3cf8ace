"""How lenient the interface is towards what is posted, said in JSON Schema: absent values, and both spellings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Schema = dict[str, Any]

_NULL = {"type": "null"}
_EMPTY = {"const": ""}
_SAID_OF_THE_FIELD = ("title", "description", "default", "not", "examples")


def allow_absent(schema: Schema, blank: Collection[str]) -> None:
    """Let every property of an object's schema that is not required be null, and those in `blank` an empty string."""
    properties = schema["properties"]
    for name in properties.keys() - set(schema["required"]):
        properties[name] = _or(properties[name], *([_EMPTY] if name in blank else []), _NULL)


def either_spelling(schema: Schema, spellings: Mapping[str, str]) -> Schema:
    """The schema of the same object with each property under its first name or under its second one.

    `spellings` has the second names, by the first, of the properties that have one.
    """
    properties: Schema = {}
    either = []
    for name, given in schema["properties"].items():
        second = spellings.get(name)
        if second is None:
            properties[name] = given
            continue
        properties[name] = properties[second] = _or(given, _NULL)
        if name in schema["required"]:
            there = [{"required": [each], "properties": {each: {"not": _NULL}}} for each in (name, second)]
            either.append({"anyOf": there})
    required = [name for name in schema["required"] if name not in spellings]
    return {"type": "object", "properties": properties, "required": required, "allOf": either}


def _or(schema: Schema, *more: Schema) -> Schema:
    """A property that may also be one of these. What is said of the property as a whole stays where it is."""
    whole = {name: schema[name] for name in _SAID_OF_THE_FIELD if name in schema}
    if whole.get("default", ...) is None:
        del whole["default"]
    kind = {name: value for name, value in schema.items() if name not in _SAID_OF_THE_FIELD}
    kinds = list(kind["anyOf"]) if kind.keys() == {"anyOf"} else [kind]
    kinds = [each for each in kinds if each not in more]
    return whole | {"anyOf": [*kinds, *more]}
