"""Hangup causes and their numbers."""

from __future__ import annotations

from typing import Final

CAUSES: Final = {
    "UNALLOCATED_NUMBER": 1,
    "NO_ROUTE_DESTINATION": 3,
    "NORMAL_CLEARING": 16,
    "USER_BUSY": 17,
    "NO_USER_RESPONSE": 18,
    "NO_ANSWER": 19,
    "SUBSCRIBER_ABSENT": 20,
    "CALL_REJECTED": 21,
    "NUMBER_CHANGED": 22,
    "DESTINATION_OUT_OF_ORDER": 27,
    "INVALID_NUMBER_FORMAT": 28,
    "NORMAL_UNSPECIFIED": 31,
    "NORMAL_CIRCUIT_CONGESTION": 34,
    "NETWORK_OUT_OF_ORDER": 38,
    "NORMAL_TEMPORARY_FAILURE": 41,
    "SWITCH_CONGESTION": 42,
    "FACILITY_REJECTED": 29,
    "SERVICE_UNAVAILABLE": 63,
    "RECOVERY_ON_TIMER_EXPIRE": 102,
    "INTERWORKING": 127,
}
"""The hangup causes that have a Q.850 number of their own; all others count as 16."""

DIALSTATUS: Final = {
    "USER_BUSY": "BUSY",
    "NO_ANSWER": "NOANSWER",
    "ORIGINATOR_CANCEL": "CANCEL",
    "DESTINATION_OUT_OF_ORDER": "CONGESTION",
}
"""What `DIALSTATUS` says of the cause of a failed bridge."""


def q850(cause: str) -> str:
    """The Q.850 number of a cause."""
    return str(CAUSES.get(cause, 16))
