"""Every variable of the dialer's environment with its unit, default and bounds. `environment.py` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from dialer import rules
from dialer.addresses import database_conninfo, hosts_and_ports, password_of
from dialer.variable import (
    HOST,
    PORT,
    TEXT,
    WAIT,
    ApiTokens,
    BaseUrl,
    BaseUrls,
    Database,
    Flag,
    Host,
    Line,
    Networks,
    Number,
    Port,
    Simulators,
    Switches,
    Text,
    Wait,
    WebhookHosts,
    WebhookSecrets,
    WebhookUrl,
    Whole,
    above_zero,
    between,
    by_rule,
    one_of,
    variable,
)


def _nothing_configured(fields: Mapping[str, Any]) -> bool:
    return not any(fields[name] for name in ("db_url", "esl_ip", "voice_connector"))


class Settings(BaseSettings):
    """What the environment says, checked and frozen: `environment.load` is the only way in.

    A field is named after its variable in lower case. Waits are seconds, whatever unit the variable has. None: not
    set, and there is no default that a constant can tell.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    sandbox: Simulators = variable(
        "", "`efswitch`, `vc` or both: provide these on purpose", "efswitch, vc or both", shown="empty"
    )
    db_url: Database | None = variable(
        None,
        "PostgreSQL ≥ 13: a host, or a full `postgresql://` URL; what that says wins over the next four",
        "a host, whose port goes into DB_PORT, or a full URL: postgresql://user:password@host:port/name",
        shown="unset → embedded",
        secret=True,
    )
    db_port: Port = variable("5432", "port of PostgreSQL", PORT)
    db_name: Text = variable("dialer", "database in PostgreSQL", TEXT)
    db_username: Text = variable("dialer", "user of the database", TEXT)
    db_pass: Text = variable("", "password of that user", TEXT, shown="empty", secret=True)
    db_pass_file: Text | None = variable(None, "a file with that password, instead", TEXT, shown="unset")
    db_conn_timeout: Annotated[Number, above_zero(600_000, unit=0.001)] = variable(
        "3000",
        "longest wait for PostgreSQL: for a connection and the answer to a statement together",
        "milliseconds, above 0, at most 600000",
        shown="`3000` ms",
    )
    esl_port: Port = variable("8021", "port of every switch that `ESL_IP` names without one", PORT)
    esl_ip: Switches | None = variable(
        None,
        "EFSwitch, or several: `host[:port],host[:port]`; an IPv6 address in brackets",
        "host[:port], or several of them with commas between, each once, an IPv6 address in brackets",
        shown="required unless provided",
    )
    esl_password: Line = variable(
        "ClueCon", "password of the event socket", "UTF-8 without NUL and line breaks", secret=True
    )
    esl_password_file: Text | None = variable(None, "a file with that password, instead", TEXT, shown="unset")
    esl_connect_delay: Wait = variable(
        "60",
        "longest wait between two attempts to connect to EFSwitch; the first waits are short and grow with jitter",
        WAIT,
        shown="`60` s",
    )
    efswitch_ip: Host | None = variable(None, "EFSWITCH-IP in the originate string", HOST, shown="host of `ESL_IP`")
    originate_command: Annotated[
        Literal["auto", "JSoriginate", "originate"], one_of("auto", "JSoriginate", "originate")
    ] = variable(
        "auto",
        "`auto`: `JSoriginate` where the switch has it, else `originate`; or either name",
        "auto, JSoriginate or originate",
    )
    default_ivr: Annotated[str, by_rule(rules.EXTENSION)] = variable(
        "*9664", "IVR of a contact that names none", rules.EXTENSION.allowed
    )
    service_identifier: Annotated[str, by_rule(rules.SERVICE_IDENTIFIER)] = variable(
        "1218", "SERVICE-IDENTIFIER towards EFSwitch and the VC", rules.SERVICE_IDENTIFIER.allowed
    )
    voice_connector: BaseUrl | None = variable(
        None,
        "base URL of the VC",
        "a base URL, http:// or https://, without user, query and fragment",
        shown="required unless provided",
    )
    contact_retrieval_delay: Wait = variable(
        "20",
        "longest time between two dial cycles; a freed slot or a new contact may start one sooner",
        WAIT,
        shown="`20` s",
    )
    calls_per_second: Annotated[Number, above_zero(1000)] = variable(
        "10",
        "dialing speed of this process: originates in any sliding second; may be a fraction",
        "a number above 0, at most 1000",
    )
    max_concurrent_calls: Annotated[Whole, between(1, 100_000)] = variable(
        "10", "call slots of this process", "a whole number from 1 to 100000"
    )
    max_call_time: Annotated[Number, above_zero(10_080, unit=60)] = variable(
        "60",
        "how long after dialing a contact is given up when EFSwitch cannot be asked about its call",
        "minutes, above 0, at most 10080",
        shown="`60` min",
    )
    agent_reply_timeout: Wait = variable(
        "600",
        "how long an agent request may stay without a reply; must exceed the Agent TTL of the contact centre",
        WAIT,
        shown="`600` s",
    )
    reconcile_interval: Wait = variable(
        "30", "how often the active contacts are compared with EFSwitch's live calls", WAIT, shown="`30` s"
    )
    lease_time: Wait = variable(
        "30",
        "how long after its last sign of life a dialer's contacts may be taken over by another",
        WAIT,
        shown="`30` s",
    )
    retention_days: Annotated[Number, between(0, 36_500)] = variable(
        "90",
        "how long ended and failed contacts, delivered messages and histories are kept; may be a fraction; 0: for ever",
        "days, 0 or more, at most 36500",
        shown="`90` days",
    )
    efswitch_down_policy: Annotated[Literal["fail", "hold"], one_of("fail", "hold")] = variable(
        "fail",
        "while no EFSwitch is reachable: `fail` the contacts that are taken, or `hold`: nothing is taken",
        "fail or hold",
    )
    result_webhook_url: WebhookUrl | None = variable(
        None,
        "where each change of a contact is told by a signed webhook, beside the VC; any host, a private one too",
        "a URL, http:// or https://, without user and fragment",
        shown="unset",
        secret=True,
    )
    result_webhook_secret: WebhookSecrets = variable(
        "",
        "signs webhooks, and is required for any: `whsec_` and 24 to 64 bytes in base64; several, with spaces or "
        "commas between them, sign each",
        "whsec_ and 24 to 64 bytes in base64, or several of these with spaces or commas between them",
        shown="empty",
        secret=True,
    )
    result_webhook_secret_file: Text | None = variable(None, "a file with that secret, instead", TEXT, shown="unset")
    webhook_allowed_hosts: WebhookHosts = variable(
        "",
        "hosts that a contact's `schedulingMetadata.callEventsWebhookUrl` may name, by https: `host[:port]`, with "
        "commas between them; private addresses only if they are listed themselves",
        "host[:port], or up to 20 of them with commas between, each once, an IPv6 address in brackets",
        shown="empty",
    )
    http_interface: Host = variable(
        lambda fields: "127.0.0.1" if _nothing_configured(fields) else "0.0.0.0",  # noqa: S104  the table's default
        "address that the HTTP interface listens on",
        HOST,
        shown="`0.0.0.0` (`127.0.0.1` when nothing is configured)",
    )
    http_port: Annotated[Whole, between(0, 65535)] = variable(
        "8080", "port that the HTTP interface listens on; 0: any free one", "a port from 0 to 65535"
    )
    api_tokens: ApiTokens = variable(
        "",
        "who may call the HTTP interface, `name:scope+scope:token` each, with spaces or line breaks between them; "
        "scopes: `contacts` `control` `read` `agent`, or `all`",
        "name:scope+scope:token, or several with spaces or line breaks between them",
        shown="empty: everybody may do everything",
        secret=True,
    )
    api_tokens_file: Text | None = variable(None, "a file with those, instead", TEXT, shown="unset")
    trusted_networks: Networks = variable(
        "",
        "networks (CIDR) whose callers need no token, with commas between them",
        "networks such as 10.1.0.0/16 or fd00::/64, or single addresses, with commas between them",
        shown="empty",
    )
    public_url: BaseUrls = variable(
        "",
        "where browsers find the dialer, when that is behind a proxy or at a name with dots in it: a base URL, or "
        "several with commas between them",
        "base URLs, http:// or https://, without user, query and fragment, with commas between them",
        shown="empty",
    )
    session_lifetime: Annotated[Number, above_zero(720, unit=3600)] = variable(
        "12",
        "how long who signed in at the dashboard stays so",
        "hours, above 0, at most 720",
        shown="`12` h",
    )
    dialer_id: Annotated[str, by_rule(rules.DIALER_ID)] = variable(
        None,
        "names this process in the database; unique among those that share one",
        rules.DIALER_ID.allowed,
        shown="host name",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARN", "ERROR"], one_of("DEBUG", "INFO", "WARN", "ERROR")] = (
        variable("INFO", "`DEBUG` `INFO` `WARN` `ERROR`", "DEBUG, INFO, WARN or ERROR")
    )
    log_format: Annotated[Literal["text", "json"], one_of("text", "json")] = variable(
        "text", "`text` for people, or `json`: an object in each line", "text or json"
    )
    log_mask_numbers: Flag = variable(
        "0", "`1`: of customers' numbers the log shows the last three digits only", "0 or 1"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but what `environment.load` gives."""
        return (init_settings,)

    @property
    def nothing_configured(self) -> bool:
        """Whether nothing real is named: everything is provided, on loopback, with data of its own."""
        return _nothing_configured(vars(self))

    @property
    def demo(self) -> bool:
        """Whether sample campaigns are loaded and their progress shown: not for who names the simulators on purpose."""
        return self.nothing_configured and not self.sandbox

    @property
    def provide_efswitch(self) -> bool:
        """Whether the EFSwitch simulator stands in."""
        return self.nothing_configured or "efswitch" in self.sandbox

    @property
    def provide_vc(self) -> bool:
        """Whether the VC sandbox stands in."""
        return self.nothing_configured or "vc" in self.sandbox

    @property
    def provide_postgres(self) -> bool:
        """Whether the embedded PostgreSQL serves."""
        return self.db_url is None

    @property
    def switches(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each EFSwitch, in the order of ESL_IP; none when the simulator stands in."""
        return hosts_and_ports(self.esl_ip, self.esl_port) if self.esl_ip else ()

    def efswitch_ip_for(self, host: str) -> str:
        """Return EFSWITCH-IP for the switch at `host`, as `switches` has it."""
        return self.efswitch_ip or host

    @property
    def conninfo(self) -> str | None:
        """libpq's connection string, quoted as needed; None when the embedded PostgreSQL serves."""
        if self.db_url is None:
            return None
        return database_conninfo(
            self.db_url, port=self.db_port, name=self.db_name, username=self.db_username, password=self.db_pass
        )

    @property
    def secrets(self) -> frozenset[str]:
        """The passwords, wherever they were given: what no line of the log may hold."""
        return frozenset({self.esl_password, self.db_pass, password_of(self.conninfo or "")} - {""})

    @property
    def data_folder(self) -> Path:
        """Where the embedded PostgreSQL keeps its data, below the working directory; samples apart from any other."""
        return Path("var", "sandbox" if self.nothing_configured else "postgres")
