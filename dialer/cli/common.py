"""What all commands have in common: where the dialer is, who asks, and JSON for programs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from dialer.addresses import base_url
from dialer.cli.exits import Failure
from dialer.cli.service import Service

F = TypeVar("F", bound=Callable[..., Any])


def _url(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        return base_url(value)
    except ValueError:
        raise click.BadParameter(
            "must be a base URL, such as http://127.0.0.1:8080, without user, query and fragment"
        ) from None


def as_json_option(command: F) -> F:
    """`--json`, as the argument `as_json`."""
    text = "Give one JSON document, or JSON lines, instead of text."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def asks_the_dialer(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--url`, `--token` and `--json`; the command gets `service` and `as_json`."""

    @functools.wraps(command)
    def asking(*arguments: Any, url: str, token: str | None, as_json: bool, **options: Any) -> Any:
        service = Service(url, token)
        try:
            return command(*arguments, service=service, as_json=as_json, **options)
        except Failure as error:
            error.as_json = as_json
            raise
        finally:
            service.close()

    decorated: Callable[..., Any] = asking
    for decorate in (
        as_json_option,
        click.option(
            "--token",
            envvar="DIALER_TOKEN",
            show_envvar=True,
            metavar="TEXT",
            help="Sent as bearer token, if the dialer asks for one. Better set in the environment: others see a "
            "command line.",
        ),
        click.option(
            "--url",
            envvar="DIALER_URL",
            show_envvar=True,
            show_default=True,
            default="http://127.0.0.1:8080",
            callback=_url,
            metavar="URL",
            help="Where the dialer is.",
        ),
    ):
        decorated = decorate(decorated)
    return decorated
