"""The variables of the webhooks beside the VC."""

from __future__ import annotations

from pydantic import BaseModel

from dialer.variable import Text, WebhookHosts, WebhookSecrets, WebhookUrl, in_file, variable


class WebhookSettings(BaseModel):
    """Webhooks."""

    result_webhook_url: WebhookUrl | None = variable(
        None,
        "where each change of a contact is told by a signed webhook, beside the VC; any host, a private one too",
        "a URL, http:// or https://, without user and fragment",
        shown="unset",
        secret=True,
    )
    result_webhook_url_file: Text | None = in_file("that")
    result_webhook_secret: WebhookSecrets = variable(
        "",
        "signs webhooks, and is required for any: `whsec_` and 24 to 64 bytes in base64; several, with spaces or "
        "commas between them, sign each",
        "whsec_ and 24 to 64 bytes in base64, or several of these with spaces or commas between them",
        shown="empty",
        secret=True,
    )
    result_webhook_secret_file: Text | None = in_file("that secret")
    webhook_allowed_hosts: WebhookHosts = variable(
        "",
        "hosts that a contact's `schedulingMetadata.callEventsWebhookUrl` may name, by https: `host[:port]`, with "
        "commas between them; private addresses only if they are listed themselves",
        "host[:port], or up to 20 of them with commas between, each once, an IPv6 address in brackets",
        shown="empty",
    )
