"""docs/cli.md and the commands' own help say the same."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner
from hamcrest import assert_that, equal_to, has_length

from dialer.cli.exits import Exit
from dialer.cli.main import cli

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"^```\n\$ dialer ?([a-z]*) --help\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL))


def helped(name: str) -> str:
    """What a command says of itself, 100 columns wide."""
    arguments = [name, "--help"] if name else ["--help"]
    return CliRunner().invoke(cli, arguments, prog_name="dialer", terminal_width=100).stdout


def test_the_help_of_every_command_is_shown_as_it_is() -> None:
    assert_that(set(SHOWN), equal_to({"", *cli.commands}))
    for name, text in SHOWN.items():
        assert_that(text, equal_to(helped(name)), f"dialer {name} --help")


def test_the_exit_codes_are_those_of_the_program() -> None:
    shown = re.findall(r"^\| ([0-9]+) \|", DOCS, re.MULTILINE)
    assert_that([int(code) for code in shown], equal_to([int(code) for code in Exit]))
    assert_that(shown, has_length(len(Exit)))
