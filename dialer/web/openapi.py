"""The OpenAPI 3.1 document of the HTTP interface, made from the declarations of its endpoints.

The schemas are those of the models that check requests, of the models of answers, and of those that build what the
voice connector gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic.alias_generators import to_camel

from dialer import rules
from dialer.web.answers import RETRY_AFTER
from dialer.web.bounds import Bounds
from dialer.web.components import Schemas
from dialer.web.endpoint import JSON, PART, Endpoint, Scope, template_of
from dialer.web.query import LARGEST_ID
from dialer.web.shown import Error
from dialer.web.site import in_words
from dialer.web.webhooks import WEBHOOKS, Webhook

Json = dict[str, Any]

ABOUT = """\
Contacts come in, are called through EFSwitch, and their outcomes are told. What the dialer itself asks of a voice
connector (VC), and tells other receivers, is described as webhooks.

JSON in UTF-8, names in camelCase. In what is posted, unknown and null fields are ignored, an empty text is none where a
text is optional, and each name may be spelled in snake_case instead (`customer_number` for `customerNumber`); both
spellings with different values are refused. A whole number is written without a decimal point. A body may have
{body_size}, a list in CSV or JSON lines any length. Answers may get further fields.

Every refusal and failure is answered with an error object. Whatever is called may be answered 404 for an unknown path,
405 for another method, 413 for a body that is too large, 408, 414 and 431 for a request that comes too slowly or whose
head is too large, 429 for too many requests, 503 when there is too much to do, and 500 for what nobody expected. A 429
and a 503 say in `Retry-After` when to try again.

"""

NOBODY_IS_ASKED = """\
The dialer asks nobody who they are: who reaches it may do everything. `x-scope` says what each call lets its caller do.
"""

TOKENS_ARE_ASKED_FOR = """\
Each call needs a token that has its scope, which `security` and `x-scope` name: `Authorization: Bearer` and the token.
Without one, or with one that is not known, the answer is 401; 403 when it has not the scope. Who calls from a network
that is trusted needs none. What `security` leaves out is open to everybody.
"""

SCOPES = {
    Scope.CONTACTS: "post contacts",
    Scope.CONTROL: "start, stop and purge campaigns, and have messages sent again",
    Scope.READ: "see contacts, campaigns and what the dialer is doing",
    Scope.AGENT: "reply to agent requests, as the VC does",
}

PARTS: dict[str, Json] = {
    "contact_id": {
        "description": f"the contact's `id`: {rules.ID.allowed}",
        "schema": {"type": "string", "minLength": 1},
        "example": "2f0b6a52-6f0e-4b8e-9d55-0d3f6b7f2a10",
    },
    "campaign_id": {
        "description": f"the `campaignId` of its contacts: {rules.NAME.allowed}",
        "schema": {"type": "string", "minLength": 1},
        "example": "reminders",
    },
    "message_id": {
        "description": "the `id` of a message for the VC",
        "schema": {"type": "integer", "minimum": 0, "maximum": LARGEST_ID},
        "example": 1,
    },
}
"""The parts of paths, by their names in `Endpoint.path`. No pattern: a table that was taken over may hold other ids."""

FAILURES = {
    400: ("Malformed", "Malformed: the error names the field, and in a list the entry."),
    401: ("NoToken", "No token was sent, or one that is not known."),
    403: ("Forbidden", "The caller may not do this, or a page of somebody else had a browser send it."),
    404: ("Unknown", "There is no such thing."),
    406: ("NotAcceptable", "`Accept` names nothing that can be given."),
    409: ("Conflict", "It is in conflict with what is stored."),
    413: ("TooLarge", "The body is larger than it may be."),
    415: ("OtherContentType", "The body is of a type that is not taken here."),
    500: ("Unexpected", "An unexpected error, such as no EFSwitch that can be reached."),
    503: ("NotNow", "Not now: the database is down, or the dialer is stopping."),
}
"""By status: the name and the description of its response."""

ANY_FAILURE = ("Failure", "Any other refusal or failure.")

_CHALLENGE = {
    "WWW-Authenticate": {
        "description": "what is asked for, as RFC 6750 says",
        "required": True,
        "schema": {"type": "string"},
        "example": 'Bearer realm="dialer"',
    }
}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "seconds to wait before trying again",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
        "example": RETRY_AFTER,
    }
}


def describe(
    endpoints: Sequence[Endpoint],
    webhooks: Sequence[Webhook] = WEBHOOKS,
    *,
    asks_for_tokens: bool = False,
    bounds: Bounds = Bounds(),  # noqa: B008  frozen
) -> Json:
    """The document, a JSON value. It leaves out what is there for the dialer's own pages."""
    endpoints = [each for each in endpoints if not each.for_browsers]
    schemas = Schemas(endpoints, webhooks, list_length=bounds.list_length)
    paths: Json = {}
    for each in endpoints:
        for path in each.paths:
            paths.setdefault(template_of(path), {})[each.method.lower()] = _operation(
                each, path, schemas, asks_for_tokens
            )
    about = ABOUT.format(body_size=in_words(bounds.body_size)) + (
        TOKENS_ARE_ASKED_FOR if asks_for_tokens else NOBODY_IS_ASKED
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "dialer", "version": version("dialer"), "description": about},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(each.group for each in endpoints)],
        "security": [],
        "paths": paths,
        "webhooks": {each.name: {"post": _webhook(each, schemas)} for each in webhooks},
        "components": {
            "schemas": schemas.components,
            "responses": {
                name: _response(description, schemas.answered(Error), status)
                for status, (name, description) in [*FAILURES.items(), (0, ANY_FAILURE)]
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": ("" if asks_for_tokens else "Not asked for by any call. ")
                    + "The scopes: "
                    + "; ".join(f"`{scope}`: {meaning}" for scope, meaning in SCOPES.items()),
                }
            },
        },
    }


def _operation(endpoint: Endpoint, path: str, schemas: Schemas, asks_for_tokens: bool) -> Json:
    summary, _, more = endpoint.summary.partition("\n\n")
    aliased = path != endpoint.path
    operation: Json = {
        "operationId": to_camel(endpoint.name) + ("Alias" if aliased else ""),
        "tags": [endpoint.group],
        "summary": " ".join(summary.split()),
        "description": f"The same as `{endpoint.path}`." if aliased else more,
        "parameters": [*_path_parameters(path), *_query_parameters(endpoint, schemas)],
        "responses": _responses(endpoint, schemas, asks_for_tokens),
    }
    if endpoint.scope is not None:
        operation["x-scope"] = endpoint.scope.value
        if asks_for_tokens:
            operation["security"] = [{"bearer": [endpoint.scope.value]}]
    if endpoint.takes:
        content = {kind: {"schema": schemas.taken(each)} for kind, each in endpoint.takes.items()}
        operation["requestBody"] = {"required": True, "content": content}
    return {name: value for name, value in operation.items() if value not in ("", [])}


def _path_parameters(path: str) -> list[Json]:
    return [{"name": name, "in": "path", "required": True} | PARTS[name] for name in PART.findall(path)]


def _query_parameters(endpoint: Endpoint, schemas: Schemas) -> list[Json]:
    if endpoint.query is None:
        return []
    asked = schemas.parameters(endpoint.query)
    parameters = []
    for name, schema in asked["properties"].items():
        required = name in asked.get("required", ())
        kind = {key: value for key, value in schema.items() if key != "description"}
        # That it is not there is said by `required`; there is no null in a query.
        kinds = [each for each in kind.pop("anyOf", ()) if each != {"type": "null"}]
        if kind.get("default", ...) is None:
            del kind["default"]
        kind |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}
        parameter = {"name": name, "in": "query", "required": required, "schema": kind}
        parameters.append(parameter | {key: schema[key] for key in ("description",) if key in schema})
    return parameters


def _responses(endpoint: Endpoint, schemas: Schemas, asks_for_tokens: bool) -> Json:
    content = {kind: {"schema": schemas.answered(each)} for kind, each in endpoint.answers.items()}
    responses: Json = {"200": {"description": "Done.", "content": content}}
    refused = (401, 403) if asks_for_tokens and endpoint.scope is not None else ()
    for status in {*endpoint.errors, *refused}:
        responses[str(status)] = {"$ref": f"#/components/responses/{FAILURES[status][0]}"}
    for status, kind in endpoint.others.items():
        responses[str(status)] = _response(FAILURES[status][1], schemas.answered(kind), status)
    responses["default"] = {"$ref": f"#/components/responses/{ANY_FAILURE[0]}"}
    return dict(sorted(responses.items()))


def _response(description: str, schema: Json, status: int) -> Json:
    response: Json = {"description": description, "content": {JSON: {"schema": schema}}}
    headers = {401: _CHALLENGE, 503: _RETRY_AFTER}.get(status)
    return response if headers is None else response | {"headers": headers}


def _webhook(webhook: Webhook, schemas: Schemas) -> Json:
    headers = [{"name": name, "in": "header", **said} for name, said in webhook.headers.items()]
    return {
        "operationId": to_camel(webhook.name.replace("-", "_")),
        "summary": webhook.summary,
        "description": webhook.description,
        "parameters": headers,
        "requestBody": {"required": True, "content": {JSON: {"schema": schemas.answered(webhook.body)}}},
        "responses": {status: {"description": meaning} for status, meaning in webhook.responses.items()},
    }
