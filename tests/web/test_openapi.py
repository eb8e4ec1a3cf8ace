"""The OpenAPI document: valid, complete, and true to what is checked and answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hamcrest import (
    all_of,
    assert_that,
    calling,
    contains_exactly,
    contains_inanyorder,
    contains_string,
    empty,
    equal_to,
    greater_than,
    has_entries,
    has_item,
    has_items,
    has_key,
    has_length,
    is_,
    is_in,
    matches_regexp,
    not_,
    raises,
)
from openapi_spec_validator import OpenAPIV31SpecValidator

from dialer.web.api import ENDPOINTS
from dialer.web.bounds import Bounds
from dialer.web.endpoint import Endpoint, Scope, endpoint, endpoints_of
from dialer.web.openapi import FAILURES, PARTS, describe
from dialer.web.schema import parse_contact, parse_reply
from tests.web.contract import Contract, Example, contract
from tests.web.posted import IVR, in_seed_names

DOCUMENT = contract().document
DESCRIBED = [each for each in ENDPOINTS if not each.for_browsers]
EXAMPLES = list(contract().examples())


def operation(each: Endpoint) -> dict[str, Any]:
    path = each.path.replace("<", "{").replace(">", "}")
    return DOCUMENT["paths"][path][each.method.lower()]


def name_of(each: Endpoint) -> str:
    return each.name


# the document


def test_the_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert_that(DOCUMENT["openapi"], is_("3.1.0"))


def test_the_document_is_the_same_whenever_it_is_made() -> None:
    assert_that(json.dumps(describe(ENDPOINTS)), equal_to(json.dumps(DOCUMENT)))


def test_the_document_names_no_host_and_the_version_of_the_package() -> None:
    assert_that(DOCUMENT["servers"], equal_to([{"url": "/"}]))
    assert_that(DOCUMENT["info"]["version"], matches_regexp(r"\A\d+\.\d+"))


def test_the_document_says_that_nobody_is_asked_who_they_are() -> None:
    assert_that(DOCUMENT["security"], is_(empty()))
    assert_that(DOCUMENT["info"]["description"], contains_string("asks nobody who they are"))
    assert_that(DOCUMENT["components"]["securitySchemes"]["bearer"]["description"], contains_string("Not asked for"))


def test_with_tokens_the_document_says_of_each_call_which_scope_it_needs_and_how_it_is_refused() -> None:
    asking = contract(asks_for_tokens=True).document
    OpenAPIV31SpecValidator(asking).validate()
    assert_that(asking["info"]["description"], not_(contains_string("asks nobody who they are")))
    told = asking["components"]["securitySchemes"]["bearer"]["description"]
    assert_that(told, not_(contains_string("Not asked for")))
    assert_that(asking["security"], is_(empty()))
    for each in DESCRIBED:
        described = asking["paths"][each.path.replace("<", "{").replace(">", "}")][each.method.lower()]
        asked = [] if each.scope is None else [{"bearer": [each.scope.value]}]
        assert_that(described.get("security", []), equal_to(asked))
        refused = {"401", "403"} & set(described["responses"])
        assert_that(refused, equal_to(set() if each.scope is None else {"401", "403"}))


def test_every_name_is_told_apart_and_every_schema_has_a_plain_name_and_a_description() -> None:
    operations = [each for path in DOCUMENT["paths"].values() for each in path.values()]
    ids = [each["operationId"] for each in operations]
    assert_that(ids, has_length(len(set(ids))))
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert_that(name, matches_regexp(r"\A[A-Z][A-Za-z]+\Z"))
        assert_that(schema, all_of(has_key("description"), not_(has_key("title"))), name)


# every endpoint


@pytest.mark.parametrize("each", DESCRIBED, ids=name_of)
def test_an_endpoint_declares_what_it_answers_says_what_it_does_and_is_in_the_document(each: Endpoint) -> None:
    assert_that(each.answers, not_(empty()), f"@endpoint(..., answers=) of {each.name}")
    assert_that(each.summary, matches_regexp(r"(?s)\A[A-Z].*\.\Z"), f"the docstring of {each.name}")
    described = operation(each)
    assert_that(described["responses"], has_items("200", "default", *map(str, [*each.errors, *each.others])))
    assert_that(described["responses"]["200"]["content"].keys(), contains_inanyorder(*each.answers))
    assert_that(described.get("x-scope"), equal_to(each.scope and each.scope.value))
    taken = described.get("requestBody", {"content": {}})["content"]
    assert_that(taken.keys(), contains_inanyorder(*each.takes))


def test_an_endpoint_that_is_known_by_another_name_is_described_under_both() -> None:
    one, other = DOCUMENT["paths"]["/agent"]["post"], DOCUMENT["paths"]["/agent;"]["post"]
    assert_that(other["requestBody"], equal_to(one["requestBody"]))


def test_what_the_dialers_own_pages_need_is_not_described() -> None:
    pages = [each.path for each in ENDPOINTS if each.for_browsers]
    assert_that(pages, has_items("/docs"))
    assert_that(set(pages) & DOCUMENT["paths"].keys(), is_(empty()))


def test_each_503_says_when_to_try_again() -> None:
    found = [DOCUMENT["components"]["responses"]["NotNow"]]
    found += [
        each["responses"]["503"]
        for path in DOCUMENT["paths"].values()
        for each in path.values()
        if "$ref" not in each["responses"].get("503", {"$ref": ""})
    ]
    assert_that(found, has_length(greater_than(2)))
    for response in found:
        assert_that(response["headers"], has_key("Retry-After"))


def test_a_part_of_a_path_that_is_not_described_is_noticed() -> None:
    class Group:
        @endpoint("GET", "/thing/<thing_id>", scope=Scope.READ, answers=dict[str, str])
        async def get_thing(self, request: Any, thing_id: str) -> object:
            """A thing."""

    assert_that(PARTS, not_(has_key("thing_id")))
    assert_that(calling(describe).with_args(list(endpoints_of(Group))), raises(KeyError, "thing_id"))


def test_a_status_without_a_description_is_noticed() -> None:
    strange = evolve(DESCRIBED[0], errors=[418])
    assert_that(418, not_(is_in(FAILURES)))
    assert_that(calling(describe).with_args([strange]), raises(KeyError, "418"))


def test_the_parameters_of_a_query_are_those_of_its_model() -> None:
    parameters = {each["name"]: each for each in DOCUMENT["paths"]["/notifications"]["get"]["parameters"]}
    assert_that({each["in"] for each in parameters.values()}, equal_to({"query"}))
    assert_that(
        {name: each["schema"] for name, each in parameters.items()},
        has_entries(
            state={"type": "string", "enum": ["waiting", "parked"]},
            limit={"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
            after={"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "default": 0},
        ),
    )


# examples


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.place)
def test_an_example_is_one(example: Example) -> None:
    contract().check(example.schema, example.value, strict=True)


def test_there_are_examples_of_what_is_posted_and_they_are_accepted() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert_that(schemas["Contact"]["examples"], has_length(2))
    for contact in schemas["Contact"]["examples"]:
        assert_that(parse_contact(contact).id, equal_to(contact["id"]))
    for reply in schemas["AgentReply"]["examples"]:
        assert_that(parse_reply(reply).contact_id, equal_to(reply["uuid"]))


# the webhooks


def test_what_the_voice_connector_and_the_receivers_of_webhooks_get_is_described_exactly() -> None:
    bodies = {
        name: DOCUMENT["components"]["schemas"][
            each["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        ]
        for name, each in DOCUMENT["webhooks"].items()
    }
    fields = {
        "request-agent": [
            "callingNumber",
            "callUid",
            "eslHost",
            "serviceIdentifier",
            "direction",
            "callSipId",
            "priority",
            "queue",
            "queueType",
        ],
        "send-delivery-notification": ["id", "serviceId", "customerNum", "callResult"],
        "end-chat": ["customerId", "serviceId"],
        "contact-event": ["type", "timestamp", "data"],
    }
    assert_that({name: list(body["properties"]) for name, body in bodies.items()}, equal_to(fields))
    assert_that({name: body["required"] for name, body in bodies.items()}, equal_to(fields))
    for body in bodies.values():
        assert_that(body["additionalProperties"], is_(False))


def test_a_message_that_is_repeated_is_known_by_its_key_and_each_request_by_its_tenant() -> None:
    headers = {
        name: [(header["name"], header["required"]) for header in each["post"]["parameters"]]
        for name, each in DOCUMENT["webhooks"].items()
    }
    keyed = contains_exactly(("tenantid", False), ("Idempotency-Key", True))
    assert_that(headers["request-agent"], contains_exactly(("tenantid", False)))
    assert_that(headers["send-delivery-notification"], keyed)
    assert_that(headers["end-chat"], keyed)


# what holds answers against the document


class Headers:
    """What an answer comes with."""

    def __init__(self, **headers: str) -> None:
        self._headers = {"content-type": "application/json", **headers}

    def hasHeader(self, name: str) -> bool:
        return name.lower() in self._headers

    def getRawHeaders(self, name: str) -> list[str] | None:
        return [self._headers[name.lower()]] if self.hasHeader(name) else None


ERROR = {"error": {"code": "database_down", "message": "try again", "field": None}}


def test_an_answer_that_is_described_passes() -> None:
    contract().answered("POST", "/contact", 200, Headers(), {"accepted": 1, "duplicates": 0})
    contract().answered("POST", "/contact", 503, Headers(**{"retry-after": "5"}), ERROR)
    contract().answered("GET", "/nowhere", 404, Headers(), ERROR)
    contract().accepted("POST", "/contacts", [IVR, in_seed_names(IVR)])


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("POST", "/contact", 200, {"accepted": 1, "duplicates": 0, "more": 1}),
        ("POST", "/contact", 200, {"accepted": 1}),
        ("POST", "/contact", 200, {"accepted": "1", "duplicates": 0}),
        ("POST", "/contact", 404, ERROR),
        ("POST", "/contact", 503, ERROR),
        ("POST", "/contact", 400, {"error": "bad"}),
        ("GET", "/nowhere", 200, {}),
        ("GET", "/nowhere", 404, {}),
        ("GET", "/healthz", 200, {"status": "well"}),
    ],
)
def test_an_answer_that_is_not_described_is_noticed(method: str, path: str, status: int, body: Any) -> None:
    with pytest.raises(AssertionError):
        contract().answered(method, path, status, Headers(), body)


def test_a_list_is_described_by_its_longest_length() -> None:
    schema = DOCUMENT["paths"]["/contacts"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert_that(schema["maxItems"], is_(10_000))
    assert_that(list(Contract(DOCUMENT).validator(schema).iter_errors([IVR] * 10_001)), has_length(1))


def test_the_limits_are_described_as_they_are_configured() -> None:
    document = describe(ENDPOINTS, bounds=Bounds(list_length=3, body_size=2**18))
    schema = document["paths"]["/contacts"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert_that(schema["maxItems"], is_(3))
    assert_that(document["info"]["description"], contains_string("A body may have\n256 KiB, a list in CSV"))


def test_the_scopes_are_told() -> None:
    told = DOCUMENT["components"]["securitySchemes"]["bearer"]["description"]
    assert_that([f"`{scope.value}`" in told for scope in Scope], not_(has_item(False)))
