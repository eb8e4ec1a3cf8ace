"""Dockerfile and compose.yaml, as far as they can be judged where no container engine is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from compose_spec import PyOptions
from hamcrest import (
    assert_that,
    contains_inanyorder,
    empty,
    has_entries,
    has_entry,
    has_item,
    has_key,
    is_,
    not_,
    only_contains,
)

from dialer import environment
from dialer.sandbox.efswitch.__main__ import options as switch_options
from dialer.sandbox.vc.__main__ import options
from tests.process.twistd import EXIT_WITHIN

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
GIVEN = {"ESL_IP": "switch1.example:8021", "VOICE_CONNECTOR": "http://vc.example:7575"}
_VARIABLE = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")


def parsed(**given: str) -> dict[str, Any]:
    """The file as Compose reads it, once it is held against its specification."""

    def filled(found: re.Match[str]) -> str:
        name, kind, default = found.groups()
        assert kind == "-" or given.get(name), f"{name} is not given: {default}"
        return given.get(name) or default

    file = PyOptions(apply_merge=True).from_yaml(_VARIABLE.sub(filled, COMPOSE))
    file.validate()
    found: dict[str, Any] = file.to_dict()
    return found


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services by name."""
    found: dict[str, Any] = parsed(**GIVEN)["services"]
    return found


def seconds(text: str) -> float:
    """A duration of Compose in seconds."""
    return float(re.fullmatch(r"(\d+)s", text)[1])  # type: ignore[index]


def test_compose_has_the_dialer_and_its_database_and_the_simulators_only_as_a_profile(services: dict[str, Any]) -> None:
    always = [name for name, service in services.items() if not service.get("profiles")]
    assert_that(always, contains_inanyorder("dialer", "postgres"))
    assert_that([name for name in services if name not in always], contains_inanyorder("efswitch", "vc"))
    assert_that([services[name]["profiles"] for name in ("efswitch", "vc")], only_contains(["sandbox"]))


def test_every_service_runs_without_privileges_on_a_root_that_is_read_only(services: dict[str, Any]) -> None:
    for service in services.values():
        assert_that(service, has_entries(read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges:true"]))
        assert_that(service, not_(has_key("privileged")))
        assert_that(service, not_(has_key("cap_add")))
        assert_that(str(service.get("user", "10001")), not_(is_("root")))


def test_every_service_has_a_health_check(services: dict[str, Any]) -> None:
    own = [name for name, service in services.items() if "healthcheck" in service]
    assert_that(own, contains_inanyorder("postgres", "efswitch", "vc"))
    assert_that(DOCKERFILE, not_(is_(re.sub(r"^HEALTHCHECK .*", "", DOCKERFILE, flags=re.MULTILINE))))


def test_a_stop_leaves_the_dialer_the_time_that_it_may_take(services: dict[str, Any]) -> None:
    assert_that(seconds(services["dialer"]["stop_grace_period"]) > EXIT_WITHIN)


def test_the_dialer_in_compose_is_told_only_variables_that_it_has(services: dict[str, Any]) -> None:
    known = {name for name, _, _ in environment.describe()}
    told = services["dialer"]["environment"]
    assert_that(set(told) - known, is_(empty()))
    assert_that(told, has_entries(DB_URL="postgres", **GIVEN))


def test_what_is_not_set_is_left_to_the_dialers_own_defaults(services: dict[str, Any], tmp_path: Path) -> None:
    told = {name: str(value or "") for name, value in services["dialer"]["environment"].items()}
    for name in ("DB_PASS_FILE", "ESL_PASSWORD_FILE"):
        (tmp_path / name).write_text("sesame\n", encoding="utf-8")
        told[name] = str(tmp_path / name)
    loaded = environment.load(told)
    plain = environment.load({**GIVEN, "DIALER_ID": "dialer-1"})
    changed = {name for name, value in vars(loaded).items() if value != getattr(plain, name)}
    assert_that(changed, contains_inanyorder("db_url", "db_pass", "db_pass_file", "esl_password", "esl_password_file"))


@pytest.mark.parametrize("missing", sorted(GIVEN))
def test_without_a_switch_or_a_voice_connector_compose_refuses_to_start(missing: str) -> None:
    with pytest.raises(AssertionError, match=f"{missing} is not given"):
        parsed(**{name: value for name, value in GIVEN.items() if name != missing})


def test_no_password_is_in_the_file_and_each_secret_is_a_file_that_git_and_the_image_leave_out(
    services: dict[str, Any],
) -> None:
    secrets = parsed(**GIVEN)["secrets"]
    assert_that(secrets, has_entries(db_password={"file": "./secrets/db_password"}))
    assert_that(secrets, has_entry("esl_password", {"file": "./secrets/esl_password"}))
    assert_that((ROOT / ".gitignore").read_text(encoding="utf-8").splitlines(), has_item("secrets/"))
    assert_that((ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines(), has_item("*"))
    for service in services.values():
        for name, value in (service.get("environment") or {}).items():
            if "PASS" in name:
                assert_that(str(value).startswith("/run/secrets/"), name)


def test_the_dialers_port_is_open_to_this_machine_alone_unless_asked_otherwise(services: dict[str, Any]) -> None:
    assert_that(COMPOSE, not_(is_(COMPOSE.replace('ports: ["${HTTP_PUBLISH:-127.0.0.1:8080}:8080"]', ""))))
    assert_that([name for name, service in services.items() if service.get("ports")], is_(["dialer"]))


def test_the_simulators_are_started_with_options_that_they_have(services: dict[str, Any]) -> None:
    vc = services["vc"]["command"]
    assert_that(vc[:3], is_(["python", "-m", "dialer.sandbox.vc"]))
    assert_that(vars(options(vc[3:])), has_entries(host="0.0.0.0", port=7575, dialer="http://dialer:8080"))
    shell = services["efswitch"]["command"][-1].replace("$$(cat /run/secrets/esl_password)", "sesame")
    program = shlex.split(shell)
    assert_that(program[:4], is_(["exec", "python", "-m", "dialer.sandbox.efswitch"]))
    assert_that(
        vars(switch_options().parse_args(program[4:])), has_entries(host="0.0.0.0", port=8021, password="sesame")
    )


def test_the_image_runs_as_a_user_with_a_number_that_is_not_root() -> None:
    last = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    assert_that(re.findall(r"^USER (.+)$", last, re.MULTILINE), is_(["10001:10001"]))


def test_the_image_gets_only_what_is_locked_with_hashes_or_was_built_of_it() -> None:
    joined = DOCKERFILE.replace("\\\n", " ")
    runs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&\n]*", joined)
    assert_that(runs, not_(empty()))
    assert_that([run for run in runs if "--require-hashes" not in run and "--no-index" not in run], is_(empty()))
    assert_that(re.findall(r"\b(?:curl|wget|apt-get|ADD)\b", DOCKERFILE), is_(empty()))


def test_whatever_the_image_is_built_of_is_let_through_to_the_build() -> None:
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()
    ]
    assert_that(copied, contains_inanyorder(*let_through))
    assert_that([name for name in copied if not (ROOT / name).exists()], is_(empty()))
