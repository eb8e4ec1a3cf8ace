"""Connections to what the dialer works with, made as the dialer makes them, and told of in words."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol

from dialer.cli.findings import PATIENCE, Finding, State, reason_of
from dialer.cli.vc import probe_vc
from dialer.errors import DialerError
from dialer.esl.errors import AccessDenied, AuthenticationFailed, EslError
from dialer.esl.gateways import GatewayStatus
from dialer.esl.session import Session
from dialer.settings import Settings
from dialer.store.check import CheckStore
from dialer.store.database import Database

GATEWAYS = 50
"""Gateways that each switch is asked for, at most."""

OLDEST = 130_000
"""PostgreSQL 13."""


async def probe_all(reactor: Any, settings: Settings) -> list[Finding]:
    """Look at everything, one after the other."""
    found, gateways = await probe_database(reactor, settings)
    if settings.provide_efswitch:
        found.append(Finding("EFSwitch", State.NOTE, "the simulator stands in when the dialer starts"))
    for host, port in settings.switches:
        found += await probe_switch(reactor, settings, host, port, gateways)
    found.append(await probe_vc(reactor, settings))
    return found


async def probe_database(reactor: Any, settings: Settings) -> tuple[list[Finding], Mapping[str, int]]:
    """The database, and the gateways that its pending contacts name."""
    conninfo = settings.conninfo
    if conninfo is None:
        where = settings.data_folder
        message = f"an embedded PostgreSQL serves when the dialer starts, with its data in {where}"
        return [Finding("database", State.NOTE, message)], {}
    database = Database(
        reactor,
        conninfo,
        timeout=settings.db_conn_timeout,
        application_name="dialer check",
        random=Random(),  # noqa: S311  jitter needs no secrecy
        size=1,
    )
    database.startService()
    try:
        try:
            await database.when_up().addTimeout(settings.db_conn_timeout + 1, reactor)
        except DeferredTimeout:
            advice = "see that PostgreSQL runs, and DB_URL, DB_PORT, DB_NAME, DB_USERNAME and DB_PASS"
            return [Finding("database", State.FAILED, database.reason, advice)], {}
        store = CheckStore(database)
        try:
            return await _look(store)
        except DialerError as error:
            return [Finding("database", State.FAILED, str(error), "see the log of PostgreSQL")], {}
    finally:
        await database.stopService()


async def _look(store: CheckStore) -> tuple[list[Finding], Mapping[str, int]]:
    server = await store.server()
    what = f"PostgreSQL {server.version_name}, database {server.name}"
    if server.version < OLDEST:
        return [Finding("database", State.FAILED, what, "update PostgreSQL to 13 or newer")], {}
    if server.standby:
        return [Finding("database", State.FAILED, f"{what}, is a standby", "name the primary in DB_URL")], {}
    if not server.may_create:
        advice = "GRANT CREATE ON SCHEMA public to the user in DB_USERNAME: the dialer keeps its tables up to date"
        return [Finding("database", State.FAILED, f"{what}, no right to create tables", advice)], {}
    if not server.has_tally:
        there = "the contacts of another product" if server.has_contacts else "no contacts yet"
        return [Finding("database", State.OK, f"{what}: {there}; the tables are made when the dialer starts")], {}
    waiting = await store.waiting(GATEWAYS)
    found = [Finding("database", State.OK, f"{what}: {waiting.contacts} contacts wait")]
    if waiting.left_out:
        message = f"the {GATEWAYS} that most contacts wait for are looked at, and {waiting.left_out} more are not"
        found.append(Finding("gateways", State.NOTE, message))
    return found, waiting.gateways


async def probe_switch(
    reactor: Any, settings: Settings, host: str, port: int, gateways: Mapping[str, int]
) -> list[Finding]:
    """One EFSwitch, and the gateways there that contacts wait for."""
    name = f"EFSwitch {host}:{port}"
    session = Session(
        reactor,
        on_event=lambda _: None,
        on_lost=lambda: None,
        on_dropped=lambda: None,
        command_timeout=PATIENCE,
    )
    endpoint = HostnameEndpoint(reactor, host, port, timeout=PATIENCE)
    try:
        await connectProtocol(endpoint, session.protocol).addTimeout(PATIENCE, reactor)
    except Exception as error:
        advice = "see that it runs with mod_event_socket, that listen-ip is not only its loopback, and ESL_IP, ESL_PORT"
        return [Finding(name, State.FAILED, reason_of(error), advice)]
    try:
        await session.log_in(settings.esl_password, settings.originate_command)
        status = (await session.protocol.api("status")).strip().splitlines()
        found = [Finding(name, State.OK, status[0].strip() if status else "logged in")]
        for gateway, waiting in gateways.items():
            found.append(await _gateway(session, name, gateway, waiting))
    except EslError as error:
        return [Finding(name, State.FAILED, reason_of(session.ended or error), _advice(session.ended or error))]
    else:
        return found
    finally:
        session.protocol.abort()
        await session.lost


async def _gateway(session: Session, switch: str, gateway: str, waiting: int) -> Finding:
    name = f"gateway {gateway} at {switch}"
    contacts = f"{waiting} contacts wait for it"
    match await session.gateway(gateway):
        case GatewayStatus.UP:
            return Finding(name, State.OK, f"up; {contacts}")
        case GatewayStatus.DOWN:
            return Finding(name, State.FAILED, f"down; {contacts}", f"see `sofia status gateway {gateway}` in fs_cli")
        case _:
            advice = f"define it in sip_profiles and rescan, or purge its campaign: contacts of {gateway} would fail"
            return Finding(name, State.FAILED, f"EFSwitch has no gateway of that name; {contacts}", advice)


def _advice(error: EslError) -> str:
    match error:
        case AuthenticationFailed():
            return "set ESL_PASSWORD to the password in event_socket.conf.xml"
        case AccessDenied():
            return "allow this machine in the list that apply-inbound-acl of event_socket.conf.xml names"
    return "see that what listens there is the event socket of a FreeSWITCH"
