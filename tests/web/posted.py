"""What may be posted and what may not: for each field values within its rule, the boundary among them, and beyond."""

from __future__ import annotations

from typing import Any

from dialer.web.metadata import MAX_DEPTH, MAX_TEXT

IVR = {"id": "c-1", "customerNumber": "+4912", "campaignType": "IVR", "gatewayId": "gw-1", "campaignId": "camp:1"}
AGENT = {**IVR, "campaignType": "AGENT", "dialingMode": "PREVIEW", "routingMode": "QUEUE", "queueName": "Sales"}
REPLY = {"uuid": "c-1", "agent": "1005", "queue": "Sales"}

SEED_NAMES = {
    "customerNumber": "customer_number",
    "campaignType": "campaign_type",
    "gatewayId": "gateway_id",
    "campaignId": "campaign_id",
    "campaignContactId": "campaign_contact_id",
    "startTime": "start_time",
    "endTime": "end_time",
    "dialingMode": "dialing_mode",
    "routingMode": "routing_mode",
    "resourceId": "resource_id",
    "queueName": "queue_name",
    "tenantId": "tenant_id",
    "schedulingMetadata": "scheduling_metadata",
}


def in_seed_names(contact: dict[str, Any]) -> dict[str, Any]:
    return {SEED_NAMES.get(name, name): value for name, value in contact.items()}


def attribute(field: str) -> str:
    return SEED_NAMES.get(field, field)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


NOT_TEXT: list[Any] = [1, 1.5, True, False, [], ["1"], {}, {"a": 1}]
HOSTILE = ["a\n", "\na", "a\nb", "a\r\n\r\nb", "a\0", "a,b=c", "a'b", 'a"b', "a\\b", "a{b", "a}b", "${a}", "a%0ab",
           "a b", "a;b", "a|b",
           "a@b", "a/b", "a&b", "ä", "a\u00a0", "٣", "\uff11", "²", "\u2028", "\x7f", "\x85", "\ud800",
           "a\u200b"]  # fmt: skip
HOSTILE_TO_A_QUEUE = ["a\n", "\na", "a\r", "a\tb", "a\0b", "a'b", "a\\b", "a{b", "a}b", "a$b", "${a}", "\x1b",
                      "a\x7fb", "a\x85b",
                      "a\u2028b", "a\u2029b", "a:_:b", ":_:", " a", "a ", " ", "\ud800", "a\udfffb",
                      "x" * 21, "ARRAY::", "ARRAY::a|:b"]  # fmt: skip
GOOD_QUEUES = ["x", "x" * 20, "é" * 20, "😀" * 20, "Sales, north", 'a"b=c;d|e%20@/&', "a  b", "Prüfung", "a:_b", "٣",
               "xARRAY::"]  # fmt: skip
WRONG_TIMES: list[Any] = ["", "2026-11-23", "2026-11-23T08:00:00", "2026-11-23T08:00", "1700000000", 1700000000, 1.5,
                          True, [], {},
                          "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-23T25:00:00Z",
                          "2026-11-23T08:00:00+25:00",
                          "2026-11-23T08:00:00Z\n", " 2026-11-23T08:00:00Z",
                          "\uff12\uff10\uff12\uff16-11-23T08:00:00Z", "2026-11-23 08:00:00Z",
                          "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
                          "10000-01-01T00:00:00Z",
                          "+12026-11-23T08:00:00Z", "-0001-11-23T08:00:00Z", "2026-11-23T08:00:00Europe/Berlin",
                          "2026-11-23T08:00:00Z[UTC]", "2026-11-23T08:00:60Z", "2026-11-23T08:00,5Z", "2026-11-23T08Z",
                          "tomorrow", "2026-11-23\0T08:00:00Z",
                          "\ud800"]  # fmt: skip
GOOD_TIMES = ["2026-11-23T08:00:00Z", "2026-11-23T08:00Z", "2026-11-23T08:00:00.123456789+05:30",
              "2026-11-23T08:00:00.000+0000",
              "20261123T080000Z", "2026-W48-1T08:00:00-03", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
              "2028-02-29T00:00:00Z"]  # fmt: skip

RULES: dict[str, tuple[list[Any], list[Any]]] = {
    "id": (["a", "A" * 40, "1", "-", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"],
           ["", "a" * 41, "a.b", "a_b", "a:b", "a*", *HOSTILE, *NOT_TEXT]),
    "customerNumber": (["1", "+1", "*", "#", "*31#", "+" + "1" * 19, "1" * 20],
                       ["", "+", "1" * 21, "+" + "1" * 20, "++1", "1+", "0049-1", "a", "1a", "1,2", "1|2", "1@b",
                        "1;2", "1 2", " 1",
                        "1\n", *HOSTILE, *NOT_TEXT]),
    "campaignType": (["IVR"], ["", "ivr", "Agent", "BOTH", "IVR ", "IVR\n", *HOSTILE, *NOT_TEXT]),
    "gatewayId": (["a", "A" * 40, "1.2_3-4"], ["", "a" * 41, "a:b", "a*", *HOSTILE, *NOT_TEXT]),
    "campaignId": (["a", "A" * 40, "1.2_3:4-5", "a:_:b"], ["", "a" * 41, "a*", *HOSTILE, *NOT_TEXT]),
    "campaignContactId": (["a", "x" * 40, "é" * 40, "😀" * 40, "a 'b' {c} ${d}, \\ \"", " "],
                          ["a" * 41, "a\n", "a\0b", "a\tb", "\x7f", "\x85", "\u2028", "\ud800", *NOT_TEXT]),
    "startTime": (GOOD_TIMES, WRONG_TIMES),
    "endTime": (GOOD_TIMES, WRONG_TIMES),
    "priority": ([1, 10], [0, 11, -1, 3.0, 3.5, "3", "", True, False, 2**70, [], {}]),
    "ivr": (["1", "9" * 20, "*9664", "+aZ_-#"], ["x" * 21, "a.b", "a:b", *HOSTILE, *NOT_TEXT]),
    "dialingMode": (["PREDICTIVE", "PREVIEW", "PROGRESSIVE"], ["predictive", "POWER", "PREVIEW ", *HOSTILE,
                     *NOT_TEXT]),
    "routingMode": (["AGENT", "QUEUE"], ["agent", "ID", "QUEUE\n", *HOSTILE, *NOT_TEXT]),
    "resourceId": (["a", "A" * 40, "1.2_3:4-5", "a::_b"], ["a" * 41, "a*", "a:_:b", "ARRAY::a", *HOSTILE, *NOT_TEXT]),
    "queueName": (GOOD_QUEUES, [*HOSTILE_TO_A_QUEUE, *NOT_TEXT]),
    "tenantId": (["a", "A" * 40, "1.2_3:4-5"], ["a" * 41, "a*", *HOSTILE, *NOT_TEXT]),
    "schedulingMetadata": (
        [{}, {"a": [1, 2.5, None, True, {"b": "c"}]}, {"a": "\\u0000"}, {"ä": "\u2028'\\"}, nested(MAX_DEPTH),
         {"a": "x" * (MAX_TEXT - 8)},
         {"a": [[]] * 100}],
        ["", "{}", "a", 1, 1.5, True, [], [{}], {"a": "b\0"}, {"\0": 1}, {"a": ["\0"]}, {"a": "\ud800"},
         {"\udfff": 1}, nested(MAX_DEPTH + 1),
         nested(300), {"a": "x" * (MAX_TEXT - 7)}]),
}  # fmt: skip
"""For each field what is accepted, the boundary among it, and what is refused."""

REPLY_RULES: dict[str, tuple[list[Any], list[Any]]] = {
    "uuid": RULES["id"],
    "agent": RULES["ivr"],
    "queue": RULES["queueName"],
}
