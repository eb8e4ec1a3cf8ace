"""Contacts as they are posted, to be shown as examples."""

from __future__ import annotations

from typing import Any

FOR_AN_IVR: dict[str, Any] = {
    "id": "2f0b6a52-6f0e-4b8e-9d55-0d3f6b7f2a10",
    "customerNumber": "+447700900123",
    "campaignType": "IVR",
    "gatewayId": "gw-london",
    "campaignId": "reminders",
    "startTime": "2031-01-01T09:00:00Z",
    "priority": 5,
    "ivr": "1218",
}
FOR_AN_AGENT: dict[str, Any] = {
    "id": "8c1f2d70-3b5a-4a57-8f0e-5a9b6c7d8e9f",
    "customerNumber": "+447700900124",
    "campaignType": "AGENT",
    "gatewayId": "gw-london",
    "campaignId": "renewals",
    "dialingMode": "PROGRESSIVE",
    "routingMode": "QUEUE",
    "queueName": "Sales",
}
