"""The program `dialer`: its commands, and how it ends."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

import click

from dialer.cli.campaigns import campaigns, purge, start, stop
from dialer.cli.check import check
from dialer.cli.contact import contact
from dialer.cli.exits import Exit
from dialer.cli.explain import explain
from dialer.cli.export import export
from dialer.cli.load import load
from dialer.cli.watch import watch


@click.group("dialer", context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100})
@click.version_option(version("dialer"), message="%(version)s")
def cli() -> None:
    """Load contacts into a dialer, see what it does, and control it.

    \b
    Exit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 some rows were rejected,
    4 the dialer cannot be reached or cannot serve just now, 130 Ctrl-C.
    """


for command in (load, campaigns, watch, start, stop, purge, contact, explain, export, check):
    cli.add_command(command)


def main() -> None:
    """The entry point."""
    try:
        code = cli.main(prog_name="dialer", standalone_mode=False)
        sys.exit(code or 0)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain when it flushes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.FAILED)
