"""An OpenAPI document as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader
from markdown_it import MarkdownIt
from markupsafe import Markup

Json = dict[str, Any]

_METHODS = ("get", "put", "post", "delete", "patch")
_COMMONMARK = MarkdownIt("commonmark", {"html": False})
"""Descriptions are CommonMark, without the HTML that it allows."""


def render(document: Json) -> str:
    """The page. All of its text is escaped, and it holds no script and no style."""
    environment = Environment(loader=PackageLoader("dialer.web", "documentation"), autoescape=True)
    environment.filters |= {"commonmark": _commonmark, "tojson_text": _json}

    def resolve(given: Json) -> Json:
        """What a reference to a component stands for."""
        found: Any = given
        if "$ref" in given:
            found = document
            for part in given["$ref"].removeprefix("#/").split("/"):
                found = found[part]
        return dict(found)

    template = environment.get_template("page.html")
    return template.render(document=document, operations=list(_operations(document)), resolve=resolve)


def _operations(document: Json) -> Iterator[Json]:
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                operation = methods[method]
                yield {"method": method.upper(), "path": path, "operation": operation, "tag": operation["tags"][0]}


def _commonmark(text: str) -> Markup:
    return Markup(_COMMONMARK.render(text))  # noqa: S704  markdown-it escapes what it was given


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
