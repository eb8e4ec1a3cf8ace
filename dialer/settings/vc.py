"""The variables that say where the voice connector is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from dialer import rules
from dialer.variable import PEM, BaseUrl, CertificateFile, Text, by_rule, key_of, variable


class VCSettings(BaseModel):
    """The voice connector."""

    service_identifier: Annotated[str, by_rule(rules.SERVICE_IDENTIFIER)] = variable(
        "1218", "SERVICE-IDENTIFIER towards EFSwitch and the VC", rules.SERVICE_IDENTIFIER.allowed
    )
    voice_connector: BaseUrl | None = variable(
        None,
        "base URL of the VC",
        "a base URL, http:// or https://, without user, query and fragment",
        shown="required unless provided",
    )
    vc_tls_ca: CertificateFile | None = variable(
        None, "a file with the CAs of the VC's certificate, in PEM", PEM, shown="unset: those of the system"
    )
    vc_tls_cert: CertificateFile | None = variable(
        None, "a file with the certificate that the dialer shows the VC, in PEM", PEM, shown="unset: none"
    )
    vc_tls_key: Annotated[Text, key_of("vc_tls_cert")] | None = variable(
        None, "a file with the private key of that certificate, in PEM", PEM, shown="unset"
    )
