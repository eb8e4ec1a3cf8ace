"""What the environment may say, and the one line that tells what is wrong with it."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hamcrest import (
    assert_that,
    calling,
    contains_string,
    equal_to,
    has_entries,
    has_properties,
    is_,
    is_not,
    none,
    raises,
    starts_with,
)
from hypothesis import assume, example, given
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn
from pydantic import ValidationError

from dialer.environment import SettingsError, describe, load
from dialer.settings import Settings

REAL = {"ESL_IP": "fs.example", "VOICE_CONNECTOR": "http://vc.example"}
"""The least that a configured dialer says."""


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + "QUJD" * 21


def settings(**environ: str) -> Settings:
    return load({**REAL, **environ}, host_name="dialer-1")


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ, host_name="dialer-1")
    return str(caught.value)


DEFAULTS = {
    "sandbox": frozenset(),
    "db_url": None,
    "db_port": 5432,
    "db_name": "dialer",
    "db_username": "dialer",
    "db_pass": "",
    "db_url_file": None,
    "db_conn_timeout": 3.0,
    "db_tls_ca": None,
    "db_tls_mode": None,
    "db_tls_cert": None,
    "db_tls_key": None,
    "esl_port": 8021,
    "db_pass_file": None,
    "esl_password": "ClueCon",
    "esl_password_file": None,
    "esl_connect_delay": 60.0,
    "efswitch_ip": None,
    "originate_command": "auto",
    "default_ivr": "*9664",
    "service_identifier": "1218",
    "contact_retrieval_delay": 20.0,
    "calls_per_second": 10.0,
    "max_concurrent_calls": 10,
    "max_call_time": 3600.0,
    "agent_reply_timeout": 600.0,
    "reconcile_interval": 30.0,
    "lease_time": 30.0,
    "retention_days": 90.0,
    "efswitch_down_policy": "fail",
    "result_webhook_url": None,
    "result_webhook_url_file": None,
    "result_webhook_secret": (),
    "result_webhook_secret_file": None,
    "webhook_allowed_hosts": (),
    "http_interface": "0.0.0.0",
    "http_port": 8080,
    "api_tokens": (),
    "api_tokens_file": None,
    "trusted_networks": (),
    "public_url": (),
    "session_lifetime": 43_200.0,
    "http_tls_cert": None,
    "http_tls_key": None,
    "http_tls_client_ca": None,
    "vc_tls_ca": None,
    "vc_tls_cert": None,
    "vc_tls_key": None,
    "http_body_size": 32 * 2**20,
    "http_bodies": 192 * 2**20,
    "http_head_size": 16 * 2**10,
    "http_headers": 100,
    "http_list_length": 10_000,
    "http_connections": 1000,
    "http_connections_per_address": 250,
    "http_connections_reserved": 32,
    "http_idle_time": 75.0,
    "http_head_time": 10.0,
    "http_stall_time": 30.0,
    "http_pace": 1024.0,
    "http_rate": 5000.0,
    "dialer_id": "dialer-1",
    "log_level": "INFO",
    "log_format": "text",
    "log_mask_numbers": False,
}

WAITS = [
    *("ESL_CONNECT_DELAY", "CONTACT_RETRIEVAL_DELAY", "AGENT_REPLY_TIMEOUT", "RECONCILE_INTERVAL", "LEASE_TIME"),
    *("HTTP_IDLE_TIME", "HTTP_HEAD_TIME", "HTTP_STALL_TIME"),
]

GOOD = [
    ("DB_URL", "db.example", "db.example"),
    ("DB_URL", "10.0.0.1", "10.0.0.1"),
    ("DB_URL", "fd00::5", "fd00::5"),
    ("DB_URL", "[fd00::5]", "[fd00::5]"),
    ("DB_URL", "/var/run/postgresql", "/var/run/postgresql"),
    ("DB_URL", "postgresql://u:p@h:1/d?sslmode=require", "postgresql://u:p@h:1/d?sslmode=require"),
    ("DB_PORT", "1", 1),
    ("DB_PORT", "65535", 65535),
    ("DB_NAME", "calls of today", "calls of today"),
    ("DB_USERNAME", "o'neill", "o'neill"),
    ("DB_PASS", " as it is ", " as it is "),
    ("DB_CONN_TIMEOUT", "1500", 1.5),
    ("DB_CONN_TIMEOUT", "600000", 600.0),
    ("ESL_PORT", "18021", 18021),
    ("ESL_PASSWORD", " pass word ", " pass word "),
    ("EFSWITCH_IP", "192.168.1.17", "192.168.1.17"),
    ("EFSWITCH_IP", "fs_1.example", "fs_1.example"),
    ("ORIGINATE_COMMAND", "originate", "originate"),
    ("ORIGINATE_COMMAND", "jsoriginate", "JSoriginate"),
    ("DEFAULT_IVR", "+49-1_a*#", "+49-1_a*#"),
    ("DEFAULT_IVR", "1" * 20, "1" * 20),
    ("SERVICE_IDENTIFIER", "a.B_c-9", "a.B_c-9"),
    ("VOICE_CONNECTOR", "https://vc.example:8443/base/", "https://vc.example:8443/base"),
    ("VOICE_CONNECTOR", "http://[::1]:9/", "http://[::1]:9"),
    *[(name, "0.25", 0.25) for name in WAITS],
    *[(name, "86400", 86400.0) for name in WAITS],
    ("CALLS_PER_SECOND", "0.5", 0.5),
    ("CALLS_PER_SECOND", "1000", 1000.0),
    ("CALLS_PER_SECOND", " 3 ", 3.0),
    ("MAX_CONCURRENT_CALLS", "1", 1),
    ("MAX_CONCURRENT_CALLS", "100000", 100_000),
    ("MAX_CALL_TIME", "1.5", 90.0),
    ("RETENTION_DAYS", "0", 0.0),
    ("RETENTION_DAYS", "0.5", 0.5),
    ("RETENTION_DAYS", "36500", 36_500.0),
    ("EFSWITCH_DOWN_POLICY", "hold", "hold"),
    ("RESULT_WEBHOOK_SECRET", f" {SECRET},\n{OTHER_SECRET} ", (SECRET, OTHER_SECRET)),
    ("RESULT_WEBHOOK_SECRET", "whsec_" + "A" * 32, ("whsec_" + "A" * 32,)),
    ("HTTP_INTERFACE", "::1", "::1"),
    ("HTTP_INTERFACE", "localhost", "localhost"),
    ("HTTP_PORT", "0", 0),
    ("PUBLIC_URL", "https://dialer.example/, http://10.0.0.5:8080", ("https://dialer.example", "http://10.0.0.5:8080")),
    ("SESSION_LIFETIME", "0.5", 1800.0),
    ("SESSION_LIFETIME", "720", 2_592_000.0),
    ("HTTP_BODY_SIZE", "0.5", 2.0**19),
    ("HTTP_BODIES", "0.5", 2.0**19),
    ("HTTP_HEAD_SIZE", "1", 1024.0),
    ("HTTP_CONNECTIONS_RESERVED", "0", 0),
    ("HTTP_PACE", "0.001", 1.024),
    ("HTTP_RATE", "0", 0.0),
    ("DIALER_ID", "d" * 64, "d" * 64),
    ("LOG_LEVEL", "debug", "DEBUG"),
    ("LOG_LEVEL", "WARN", "WARN"),
    ("LOG_FORMAT", "JSON", "json"),
    ("LOG_MASK_NUMBERS", "1", True),
    ("LOG_MASK_NUMBERS", "0", False),
]

NO_NUMBER = ["abc", "nan", "inf", "1e3", "1_0", "-1", "٣", "0x10", "1,5", "1" * 400]
ZERO_AND_NO_NUMBER = ["0", "0.0", *NO_NUMBER]
WRONG = {
    "SANDBOX": ["postgres", "vc;efswitch"],
    "DB_URL": ["db example", "db.example:5432", "mysql://h/d", "postgresql://h:0/d", "postgresql://h:x/d", "999.1.1.1",
               "postgresql://h/d?nonsense=1", "jdbc:postgresql://h/d", "postgresql://a b/d", "[db]"],
    "DB_PORT": ["0", "65536", "1.5", *NO_NUMBER],
    "DB_NAME": ["a\0b", "\udcff"],
    "DB_USERNAME": ["a\0b", "\udcff"],
    "DB_PASS": ["a\0b", "\udcff"],
    "DB_TLS_MODE": ["on", "verify"],
    **{name: ["/no/such/file", "/", "a\0b", "\udcff", __file__]
       for name in ("DB_TLS_CA", "DB_TLS_CERT", "DB_TLS_KEY", "HTTP_TLS_CERT", "HTTP_TLS_KEY", "HTTP_TLS_CLIENT_CA",
                    "VC_TLS_CA", "VC_TLS_CERT", "VC_TLS_KEY")},
    **{name: ["/no/such/file", "/", "a\0b", "\udcff"]
       for name in ("DB_URL_FILE", "DB_PASS_FILE", "ESL_PASSWORD_FILE", "RESULT_WEBHOOK_URL_FILE")},
    "DB_CONN_TIMEOUT": ["600001", *ZERO_AND_NO_NUMBER],
    "ESL_IP": ["fs:0", "fs:65536", "fs:x", "fs,", ",", "fs fs2", "::1", "[fs]", "fs,FS:8021",
               "[::1],[::1]:8021", "a;b", "fs:8021:1"],
    "ESL_PORT": ["0", "65536", "1.5", *NO_NUMBER],
    "ESL_PASSWORD": ["a\nb", "a\rb", "a\0b", "\udcff"],
    "EFSWITCH_IP": ["a,b", "a b", "a}b", "a=b", "[::1]", "1.2.3", "x" * 254, "-a", "é"],
    "ORIGINATE_COMMAND": ["bgapi", "originate;"],
    "DEFAULT_IVR": ["1" * 21, "1 2", "1,2", "${x}", "٣"],
    "SERVICE_IDENTIFIER": ["1" * 41, "1 2", "1,2", "a:b", "{"],
    "VOICE_CONNECTOR": ["vc.example", "ftp://vc", "http://", "http://vc?x=1", "http://vc/#a", "http://vc:0", "http://vc:x",
                        "http://v c", "http://vc/%zz", "http://vc/ä", "http://user:pw@vc"],
    **{name: ["86401", *ZERO_AND_NO_NUMBER] for name in WAITS},
    "CALLS_PER_SECOND": ["1000.1", *ZERO_AND_NO_NUMBER],
    "MAX_CONCURRENT_CALLS": ["0", "1.5", "100001", *NO_NUMBER],
    "MAX_CALL_TIME": ["10081", *ZERO_AND_NO_NUMBER],
    "RETENTION_DAYS": ["36501", *NO_NUMBER],
    "EFSWITCH_DOWN_POLICY": ["stop"],
    "RESULT_WEBHOOK_URL": ["hooks.example", "ftp://hooks.example", "https://user:pw@hooks.example/", "https://h/#a",
                           "https://h/a?b c", "https://h:0/"],
    "RESULT_WEBHOOK_SECRET": [SECRET.removeprefix("whsec_"), "whsec_", "whsec_" + "A" * 31, "whsec_" + "A" * 88,
                              "whsec_" + "!" * 32, f"{SECRET} other"],
    "RESULT_WEBHOOK_SECRET_FILE": ["/no/such/file", "/", "a\0b", "\udcff"],
    "WEBHOOK_ALLOWED_HOSTS": ["https://h", "h:0", "h,H:443", "::1", "h/x", "*.example", "10.0.0.0/8", "127.1",
                              ",".join(f"h{n}" for n in range(21))],
    "HTTP_INTERFACE": ["*", "0.0.0.0:80", "300.1.1.1"],
    "API_TOKENS": ["a", "#", f"a:read:{'x' * 31}"],
    "API_TOKENS_FILE": ["/no/such/file", "/", "a\0b", "\udcff"],
    "TRUSTED_NETWORKS": ["vc.example", "10.0.0.1/8", "0.0.0.0/0", "::ffff:10.0.0.0/104", "10.0.0.0/33", "é"],
    "PUBLIC_URL": ["dialer.example", "https://u:p@dialer", "https://dialer?x=1", "ftp://dialer", "https://dialer;"],
    "SESSION_LIFETIME": ["720.1", *ZERO_AND_NO_NUMBER],
    "HTTP_PORT": ["65536", "1.5", *NO_NUMBER],
    "HTTP_BODY_SIZE": ["1025", *ZERO_AND_NO_NUMBER],
    "HTTP_BODIES": ["1048577", *ZERO_AND_NO_NUMBER],
    "HTTP_HEAD_SIZE": ["0.9", "1025", *ZERO_AND_NO_NUMBER],
    "HTTP_HEADERS": ["9", "10.5", "10001", *NO_NUMBER],
    "HTTP_LIST_LENGTH": ["0", "1.5", "100001", *NO_NUMBER],
    "HTTP_CONNECTIONS": ["0", "1.5", "100001", *NO_NUMBER],
    "HTTP_CONNECTIONS_PER_ADDRESS": ["0", "1.5", "100001", *NO_NUMBER],
    "HTTP_CONNECTIONS_RESERVED": ["1.5", "10001", *NO_NUMBER],
    "HTTP_PACE": ["1000001", *ZERO_AND_NO_NUMBER],
    "HTTP_RATE": ["1000001", *NO_NUMBER],
    "DIALER_ID": ["d" * 65, "a b", "a/b", "é"],
    "LOG_LEVEL": ["WARNING", "TRACE"],
    "LOG_FORMAT": ["xml", "json,text"],
    "LOG_MASK_NUMBERS": ["yes", "2", "true"],
}  # fmt: skip


def test_every_variable_has_the_default_of_the_manual() -> None:
    assert_that(vars(settings()), has_entries(DEFAULTS))


def test_nothing_but_the_given_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PORT", "1")
    monkeypatch.setenv("db_port", "1")
    assert_that(settings().db_port, equal_to(5432))


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_good_value_is_taken_in_the_unit_of_the_field(name: str, text: str, value: object) -> None:
    assert_that(getattr(settings(**{name: text}), name.lower()), equal_to(value))


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_wrong_value_is_told_in_one_line_that_names_the_variable_and_what_is_allowed(name: str, text: str) -> None:
    line = refusal({**REAL, name: text})
    assert_that(line, contains_string(" is not allowed: "))
    assert_that(line.startswith((f"{name}=", f"{name} (")))
    assert_that(line.isprintable() and line.isascii() and len(line) < 600)


def test_every_variable_has_a_wrong_value_in_these_tests() -> None:
    assert_that({name for name, _, _ in describe()} - set(WRONG), is_(set()))


HIDDEN = {
    "DB_URL",
    "DB_PASS",
    "ESL_PASSWORD",
    "VOICE_CONNECTOR",
    "RESULT_WEBHOOK_URL",
    "RESULT_WEBHOOK_SECRET",
    "API_TOKENS",
}


@pytest.mark.parametrize("name", sorted(set(WRONG) - HIDDEN))
def test_a_wrong_value_is_shown(name: str) -> None:
    text = WRONG[name][0]
    assert_that(refusal({**REAL, name: text}), contains_string(f"{name}={text!a}"))


@pytest.mark.parametrize("name", [name for name, _, _ in describe()])
@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_string_counts_as_unset(name: str, text: str) -> None:
    if name in {"DB_PASS", "ESL_PASSWORD"} and text:
        return  # spaces are a password
    environ = {**REAL, "SANDBOX": "", name: text}
    if name in REAL:
        assert_that(refusal(environ), contains_string(f"{name} is not set"))
    else:
        assert_that(vars(load(environ, "dialer-1")), equal_to(vars(settings())))


def test_variables_of_others_are_ignored() -> None:
    assert_that(settings(PATH="/bin", DIALER="x", ESL_IP_="?"), equal_to(settings()))


def test_the_settings_are_frozen() -> None:
    assert_that(calling(setattr).with_args(settings(), "db_port", 1), raises(ValidationError))


def test_the_wrong_host_name_of_a_machine_is_told_as_the_dialer_id() -> None:
    with pytest.raises(SettingsError, match=r"\ADIALER_ID='my host' is not allowed: 1 to 64 letters"):
        load(REAL, host_name="my host")


@pytest.mark.parametrize(
    ("environ", "secrets"),
    [
        ({"DB_URL": "db.example", "DB_PASS": "of the database", "ESL_PASSWORD": "of the switch"},
         {"of the database", "of the switch"}),
        ({"DB_URL": "postgresql://u:of%20the%20URL@db/d"}, {"of the URL", "ClueCon"}),
        ({}, {"ClueCon"}),
    ],
)  # fmt: skip
def test_the_passwords_are_known_to_who_must_not_show_them(environ: dict[str, str], secrets: set[str]) -> None:
    assert_that(settings(**environ).secrets, equal_to(secrets))


@pytest.mark.parametrize(
    ("environ", "short"),
    [
        ({}, ()),
        ({"ESL_PASSWORD": "ClueCon"}, ()),
        ({"ESL_PASSWORD": "plover"}, ("ESL_PASSWORD",)),
        ({"ESL_PASSWORD": "plovers!"}, ()),
        ({"DB_URL": "db.example", "DB_PASS": "plover"}, ("DB_PASS",)),
        ({"DB_URL": "postgresql://u:plover@db/d", "ESL_PASSWORD": "dunlin"}, ("ESL_PASSWORD", "DB_URL")),
        ({"DB_URL": "postgresql://u@db/d"}, ()),
    ],
)
def test_the_passwords_that_are_short_are_known_by_the_names_of_their_variables(
    environ: dict[str, str], short: tuple[str, ...]
) -> None:
    assert_that(settings(**environ).shorter_secrets(8), equal_to(short))


# --- what is provided


def test_with_nothing_configured_everything_is_provided_on_loopback_with_data_of_its_own() -> None:
    assert_that(
        load({"CALLS_PER_SECOND": "5", "PATH": "/bin"}, "dialer-1"),
        has_properties(
            nothing_configured=True,
            demo=True,
            provide_efswitch=True,
            provide_vc=True,
            provide_postgres=True,
            http_interface="127.0.0.1",
            data_folder=Path("var/sandbox"),
            switches=(),
            conninfo=none(),
        ),
    )


def test_an_interface_that_is_named_is_listened_on_with_nothing_configured_too() -> None:
    assert_that(load({"HTTP_INTERFACE": "0.0.0.0"}, "dialer-1").http_interface, equal_to("0.0.0.0"))


def test_a_configured_dialer_provides_the_database_alone() -> None:
    assert_that(
        settings(),
        has_properties(
            nothing_configured=False,
            demo=False,
            provide_efswitch=False,
            provide_vc=False,
            provide_postgres=True,
            data_folder=Path("var/postgres"),
        ),
    )
    assert_that(settings(DB_URL="db.example").provide_postgres, is_(False))


@pytest.mark.parametrize("sandbox", ["vc", "efswitch,vc", "vc efswitch", " VC ,, EFSwitch,"])
def test_with_nothing_real_named_all_is_provided_but_no_samples_for_who_asked_for_simulators(sandbox: str) -> None:
    assert_that(
        load({"SANDBOX": sandbox}, "dialer-1"),
        has_properties(
            nothing_configured=True,
            demo=False,
            provide_efswitch=True,
            provide_vc=True,
            http_interface="127.0.0.1",
            data_folder=Path("var/sandbox"),
        ),
    )


@pytest.mark.parametrize(
    ("environ", "missing", "simulator"),
    [
        ({"DB_URL": "db.example"}, "ESL_IP", "efswitch"),
        ({"VOICE_CONNECTOR": "http://vc"}, "ESL_IP", "efswitch"),
        ({"ESL_IP": "fs"}, "VOICE_CONNECTOR", "vc"),
        ({"ESL_IP": "fs", "DB_URL": "db.example", "VOICE_CONNECTOR": ""}, "VOICE_CONNECTOR", "vc"),
        ({"DB_URL": "db.example", "SANDBOX": "efswitch"}, "VOICE_CONNECTOR", "vc"),
        ({"DB_URL": "db.example", "SANDBOX": "vc"}, "ESL_IP", "efswitch"),
    ],
)
def test_no_simulator_stands_in_silently(environ: dict[str, str], missing: str, simulator: str) -> None:
    line = refusal(environ)
    assert_that(line.startswith(f"{missing} is not set: "))
    assert_that(line, contains_string(f"name {simulator} in SANDBOX"))


def test_there_is_room_for_the_largest_body_whatever_all_together_may_have() -> None:
    environ = {"HTTP_BODY_SIZE": "300", "HTTP_BODIES": "100"}
    assert_that(load(environ, "dialer-1").bounds.bodies, equal_to(300 * 2**20))
    assert_that(load(environ | {"HTTP_BODIES": "1000"}, "dialer-1").bounds.bodies, equal_to(1000 * 2**20))


@pytest.mark.parametrize(
    ("environ", "field"),
    [
        ({"DB_URL": "db.example", "SANDBOX": "efswitch,vc"}, "provide_efswitch"),
        ({"ESL_IP": "fs", "SANDBOX": "vc"}, "provide_vc"),
    ],
)
def test_one_named_simulator_beside_real_ones_is_provided(environ: dict[str, str], field: str) -> None:
    assert_that(getattr(load(environ, "dialer-1"), field))


@pytest.mark.parametrize(("sandbox", "name"), [("efswitch", "ESL_IP"), ("vc", "VOICE_CONNECTOR")])
def test_a_simulator_beside_the_address_of_the_real_one_is_a_contradiction(sandbox: str, name: str) -> None:
    line = refusal({**REAL, "SANDBOX": sandbox})
    assert_that(line, contains_string(f"SANDBOX='{sandbox}' is not allowed together with {name}="))


# --- addresses


def test_switches_are_listed_in_their_order_with_the_common_port_where_none_is_named() -> None:
    assert_that(
        settings(ESL_IP="fs1, fs2:8022,[fd00::1]:9 ,[fd00::2]", ESL_PORT="7").switches,
        equal_to((("fs1", 7), ("fs2", 8022), ("fd00::1", 9), ("fd00::2", 7))),
    )


def test_the_same_host_on_two_ports_is_two_switches() -> None:
    assert_that(settings(ESL_IP="fs,fs:8022").switches, equal_to((("fs", 8021), ("fs", 8022))))


def test_the_originate_string_names_the_switch_unless_another_address_is_set() -> None:
    assert_that(settings().efswitch_ip_for("fs.example"), equal_to("fs.example"))
    assert_that(settings(EFSWITCH_IP="10.1.1.1").efswitch_ip_for("fs.example"), equal_to("10.1.1.1"))


@given(
    host=st.sampled_from(["db.example", "/run/postgresql", "fd00::5"]),
    name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    username=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    password=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
)
@example(host="db.example", name="a b", username="it's", password=" \\' =\n ")
def test_libpq_reads_back_exactly_what_was_configured(host: str, name: str, username: str, password: str) -> None:
    made = settings(DB_URL=host, DB_PORT="5433", DB_NAME=name, DB_USERNAME=username, DB_PASS=password)
    read = {"host": host, "port": "5433", "dbname": made.db_name, "user": made.db_username, "password": password}
    assert_that(parse_dsn(made.conninfo), equal_to(read))
    assert_that(made.db_name, equal_to(name.strip() or "dialer"))


def test_an_empty_password_is_left_to_libpq() -> None:
    assert_that(
        parse_dsn(settings(DB_URL="[fd00::5]").conninfo),
        equal_to({"host": "fd00::5", "port": "5432", "dbname": "dialer", "user": "dialer"}),
    )


def test_what_a_database_url_says_wins_and_the_rest_is_filled_in() -> None:
    made = settings(
        DB_URL="postgresql://me@h1:1,h2:2/d?sslmode=require", DB_PORT="9", DB_PASS="secret", DB_NAME="other"
    )
    assert_that(
        parse_dsn(made.conninfo),
        equal_to(
            {"host": "h1,h2", "port": "1,2", "dbname": "d", "user": "me", "password": "secret", "sslmode": "require"}
        ),
    )
    made = settings(DB_URL="postgres://h", DB_PORT="9")
    assert_that(parse_dsn(made.conninfo), has_entries(host="h", port="9", dbname="dialer", user="dialer"))


# --- passwords in files


@pytest.mark.parametrize(("variable", "field"), [("DB_PASS", "db_pass"), ("ESL_PASSWORD", "esl_password")])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_password_may_come_from_a_file_without_the_end_of_its_line(
    tmp_path: Path, variable: str, field: str, end: str
) -> None:
    (tmp_path / "password").write_bytes(" it's säcret ".encode() + end.encode())
    made = settings(**{f"{variable}_FILE": str(tmp_path / "password")})
    assert_that(getattr(made, field), is_(" it's säcret "))


@pytest.mark.parametrize("variable", ["DB_PASS", "ESL_PASSWORD"])
def test_a_password_given_twice_is_refused_and_the_line_names_both_variables(tmp_path: Path, variable: str) -> None:
    (tmp_path / "password").write_text("one", encoding="utf-8")
    line = refusal({**REAL, variable: "another", f"{variable}_FILE": str(tmp_path / "password")})
    assert_that(line, is_(f"{variable} and {variable}_FILE are both set: unset one of them"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it cannot be read: No such file or directory"),
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"sesame\xff", "it is not UTF-8"),
        (b"sesame" * 1000, "it is longer than 4096 bytes"),
    ],
)
def test_a_file_that_holds_no_password_is_refused_with_its_name_and_without_what_is_in_it(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    line = refusal({**REAL, "ESL_PASSWORD_FILE": str(file)})
    assert_that(line, is_(f"ESL_PASSWORD_FILE='{file}' is not allowed: {reason}"))


def test_a_wrong_password_in_a_file_is_refused_without_being_told(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("open\nsesame", encoding="utf-8")
    line = refusal({**REAL, "ESL_PASSWORD_FILE": str(tmp_path / "password")})
    assert_that(line, is_not(contains_string("sesame")))
    assert_that(line, contains_string("ESL_PASSWORD (its value is not shown) is not allowed"))


# --- passwords

PASSWORD = st.text(st.sampled_from("QZXJ@:/?#%&=![]{} '\"\\é\0\n\udcff"), min_size=6, max_size=20).map(
    lambda text: f"Q{text}Q"
)


def told(environ: dict[str, str]) -> str:
    """Everything that may get into a log: the refusal with its traceback, or the settings themselves."""
    try:
        return f"{(made := load(environ, 'dialer-1'))!r} {made}"
    except SettingsError as error:
        return "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)


@given(PASSWORD, st.sampled_from(["DB_PASS", "ESL_PASSWORD"]), st.sampled_from(["5432", "0"]))
def test_a_password_is_never_told(password: str, name: str, port: str) -> None:
    assert_that(told({**REAL, "DB_URL": "db", "DB_PORT": port, name: password}), is_not(contains_string(password)))


@given(
    PASSWORD,
    st.sampled_from(
        [
            "postgresql://user:{}@db.example/dialer",
            "postgresql://user:{}@db.example:0/dialer",
            "postgresql://db.example/dialer?password={}",
            "postgresql://db.example/dialer?password={}&nonsense=1",
            "mysql://user:{}@db.example/dialer",
            "postgresql://user:{}",
            "user:{}@db.example",
            "postgresql:/user:{}@db.example",
            "user:{}",
            "host=db.example password={}",
            "a b://user:{}@db.example",
        ]
    ),
)
def test_a_password_inside_a_database_url_is_never_told(password: str, form: str) -> None:
    assume("@" in form or "=" in form or "@" not in password)  # else what follows the @ is a host to everybody
    text = told({**REAL, "DB_URL": form.format(password)})
    for piece in {password, ascii(password)[1:-1], *(part for part in password.split("@") if len(part) > 3)}:
        assert_that(text, is_not(contains_string(piece)))


def test_a_wrong_database_url_is_shown_but_for_its_password() -> None:
    assert_that(
        refusal({**REAL, "DB_URL": "mysql://me:secret@db.example:5432/dialer"}),
        contains_string("DB_URL='mysql://***@db.example:5432/dialer'"),
    )
    assert_that(refusal({**REAL, "DB_URL": "db.example:5432"}), contains_string("DB_URL='db.example:5432'"))


# --- tokens

TOKEN = "T0ken" * 8


def test_tokens_are_read_with_their_names_and_scopes_and_never_shown() -> None:
    made = settings(API_TOKENS=f"crm:contacts+read:{TOKEN} ops:all:sha256${'0' * 64}")
    assert_that([token.name for token in made.api_tokens], equal_to(["crm", "ops"]))
    assert_that(repr(made), is_not(contains_string(TOKEN)))
    assert_that(repr(made), is_not(contains_string(made.api_tokens[0].digest.hex())))


def test_tokens_may_come_from_a_file_with_comments_that_is_longer_than_a_password(tmp_path: Path) -> None:
    lines = [f"# {number}\nname-{number}:read:{number:040}\n" for number in range(500)]
    (tmp_path / "tokens").write_text("".join(lines), encoding="utf-8")
    made = settings(API_TOKENS_FILE=str(tmp_path / "tokens"))
    assert_that([token.name for token in made.api_tokens], equal_to([f"name-{number}" for number in range(500)]))


def test_a_file_without_any_token_is_refused_rather_than_letting_in_everybody(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("# nobody yet\n\n", encoding="utf-8")
    line = refusal({**REAL, "API_TOKENS_FILE": str(tmp_path / "tokens")})
    assert_that(line, is_("API_TOKENS (its value is not shown) is not allowed: there is no entry"))


def test_tokens_given_twice_are_refused_and_the_line_names_both_variables(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"a:all:{TOKEN}", encoding="utf-8")
    line = refusal({**REAL, "API_TOKENS": f"b:all:{TOKEN}", "API_TOKENS_FILE": str(tmp_path / "tokens")})
    assert_that(line, is_("API_TOKENS and API_TOKENS_FILE are both set: unset one of them"))


def test_a_wrong_token_is_refused_with_the_number_of_its_entry_alone() -> None:
    line = refusal({**REAL, "API_TOKENS": f"a:all:{'x' * 40} b:everything:{TOKEN}"})
    assert_that(line, contains_string("API_TOKENS (its value is not shown) is not allowed: the scopes of entry 2 are"))
    assert_that(line, is_not(contains_string(TOKEN)))


def test_trusted_networks_are_read() -> None:
    made = settings(API_TOKENS=f"a:all:{TOKEN}", TRUSTED_NETWORKS="10.1.0.0/16, fd00::5")
    assert_that(list(map(str, made.trusted_networks)), equal_to(["10.1.0.0/16", "fd00::5/128"]))


def test_trusted_networks_without_tokens_are_refused_since_everybody_would_be_let_in() -> None:
    line = refusal({**REAL, "TRUSTED_NETWORKS": "10.1.0.0/16"})
    assert_that(line, contains_string("TRUSTED_NETWORKS is set and API_TOKENS is not"))


def test_a_password_inside_the_url_of_the_vc_is_not_told() -> None:
    line = refusal({**REAL, "VOICE_CONNECTOR": "http://me:secret@vc"})
    assert_that(line, contains_string("VOICE_CONNECTOR='***@vc'"))


# --- the manual


def test_the_description_has_every_variable_once_with_its_default_and_meaning() -> None:
    rows = {name: (default, meaning) for name, default, meaning in describe()}
    assert_that(len(rows), equal_to(len(describe())))
    assert_that(set(rows), equal_to({name.upper() for name in (*DEFAULTS, "esl_ip", "voice_connector")}))
    assert_that(rows["DB_CONN_TIMEOUT"][0], equal_to("`3000` ms"))
    assert_that(rows["DB_PASS"][0], equal_to("empty"))
    assert_that(all(default and meaning and "|" not in default + meaning for default, meaning in rows.values()))


SIGNED = {**REAL, "RESULT_WEBHOOK_SECRET": SECRET}


@pytest.mark.parametrize(
    "url", ["https://hooks.example/dialer?token=a-b", "http://10.0.0.1:8080", "http://[fd00::1]/x"]
)
def test_the_operators_receiver_of_webhooks_may_be_anywhere(url: str) -> None:
    assert_that(settings(**SIGNED, RESULT_WEBHOOK_URL=url).result_webhook_url, is_(url))


def test_the_hosts_that_contacts_may_name_are_read_with_their_ports() -> None:
    read = settings(**SIGNED, WEBHOOK_ALLOWED_HOSTS="Hooks.example, 10.0.0.1:8443 [fd00::1]").webhook_allowed_hosts
    assert_that(read, is_((("hooks.example", 443), ("10.0.0.1", 8443), ("fd00::1", 443))))


@pytest.mark.parametrize(("name", "text"), [("RESULT_WEBHOOK_URL", "https://h"), ("WEBHOOK_ALLOWED_HOSTS", "h")])
def test_webhooks_that_nobody_signs_are_refused(name: str, text: str) -> None:
    assert_that(refusal({**REAL, name: text}), starts_with(f"RESULT_WEBHOOK_SECRET is not set, but {name} is: "))


def test_neither_the_secret_nor_the_url_of_webhooks_is_told() -> None:
    for name in ("RESULT_WEBHOOK_URL", "RESULT_WEBHOOK_SECRET"):
        line = refusal({**SIGNED, name: "https://h/T0KEN#"})
        assert_that(line, starts_with(f"{name} (its value is not shown) is not allowed: "))
        assert_that(line, is_not(contains_string("T0KEN")))
    shown = repr(settings(**SIGNED, RESULT_WEBHOOK_URL="https://h/T0KEN"))
    assert_that(shown, is_not(contains_string("T0KEN")))
    assert_that(shown, is_not(contains_string(SECRET)))
