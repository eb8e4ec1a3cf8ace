"""`dialer load`: a list of contacts from a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from dialer.cli.common import asks_the_dialer
from dialer.cli.exits import Exit, Failure, Interrupted
from dialer.cli.loading import Loading
from dialer.cli.output import console, give_json, note, say
from dialer.cli.rejected import Rejected
from dialer.cli.service import Service
from dialer.cli.source import Source
from dialer.lists.columns import FIELDS, field_named, value_of
from dialer.web.schema import Invalid, check_field


def _assignments(values: tuple[str, ...], of_field: int) -> dict[str, str]:
    """`left=right` pairs, in which the part `of_field` names a field."""
    found: dict[str, str] = {}
    for value in values:
        parts = value.partition("=")
        pair = [parts[0].strip(), parts[2].strip()]
        field = field_named(pair[of_field])
        if not all(pair) or field is None:
            what = "COLUMN=FIELD" if of_field else "FIELD=VALUE"
            raise click.BadParameter(f"{value!r} is no {what}; the fields are {', '.join(FIELDS)}")
        pair[of_field] = field
        if pair[0] in found or (of_field and field in found.values()):
            raise click.BadParameter(f"{pair[of_field]} is given twice")
        found[pair[0]] = pair[1]
    return found


def _mapping(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    return _assignments(values, 1)


def _defaults(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    given = {field: value_of(field, text) for field, text in _assignments(values, 0).items()}
    for field, value in given.items():
        try:
            check_field(field, value)
        except Invalid as error:
            raise click.BadParameter(str(error)) from None
    return given


@click.command(short_help="Load contacts from a file.")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "ndjson"]),
    help="What FILE is.  [default: by its name and its first character]",
)
@click.option(
    "--map",
    "mapping",
    multiple=True,
    callback=_mapping,
    metavar="COLUMN=FIELD",
    help="Which field a column holds, if its name does not say so. May be given several times.",
)
@click.option(
    "--set",
    "defaults",
    multiple=True,
    callback=_defaults,
    metavar="FIELD=VALUE",
    help="What a field is in rows that lack it. May be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Check every row by the dialer's rules, and post none.")
@click.option(
    "--rejected",
    "rejected_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where rejected rows are written.  [default: FILE.rejected.csv]",
)
@click.option(
    "--retry-for",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to try again while the dialer cannot be reached or cannot serve.",
)
@asks_the_dialer
def load(
    file: Path,
    kind: str | None,
    mapping: dict[str, str],
    defaults: dict[str, Any],
    dry_run: bool,
    rejected_file: Path | None,
    retry_for: float,
    service: Service,
    as_json: bool,
) -> None:
    """Load contacts from FILE, CSV or JSON lines of any size, packed by gzip or not; - is stdin.

    Columns are found by their header: by the name of a field, whatever its case, spaces and underscores. Rows that are
    wrong are written to FILE.rejected.csv with the reason, to be mended and loaded again; the others are loaded.

    Loading a file again adds nothing twice, so whatever ended it, run the same command again. A row without an id is
    given one that is made of its campaignId, customerNumber and campaignContactId.
    """
    path = None if str(file) == "-" else file
    where = rejected_file or Path(f"{file}.rejected.csv" if path else "stdin.rejected.csv")
    if path is not None and where.resolve() == path.resolve():
        raise click.BadParameter("is the file that is loaded", param_hint="--rejected")
    source = Source(path, kind)
    rejected = Rejected(where)
    failure: Failure | None = None
    with _progress(source, as_json) as bar:
        loading = Loading(
            source,
            None if dry_run else service,
            rejected,
            mapping=mapping,
            defaults=defaults,
            retry_for=retry_for,
            on_progress=lambda: bar.advance_to(loading),
            on_wait=lambda reason, seconds: bar.say(f"{reason}; again in {seconds:.1f} s"),
        )
        try:
            loading.run()
        except Failure as error:
            failure = error
        except KeyboardInterrupt:
            failure = Interrupted("interrupted", code="interrupted")
        finally:
            source.close()
            if failure is None or rejected.count:
                rejected.close()
    _tell(loading, rejected, failure, dry_run, as_json, source.name)
    if failure is not None:
        sys.exit(failure.exit_code)
    sys.exit(Exit.REJECTED if rejected.count else Exit.OK)


def _tell(
    loading: Loading, rejected: Rejected, failure: Failure | None, dry_run: bool, as_json: bool, name: str
) -> None:
    outcome = loading.outcome
    if as_json:
        answer: dict[str, Any] = {
            "file": name,
            "complete": failure is None,
            "dryRun": dry_run,
            "rows": outcome.rows,
            "valid": outcome.valid,
            "accepted": outcome.accepted,
            "duplicates": outcome.duplicates,
            "rejected": rejected.count,
            "rejectedFile": str(rejected.path) if rejected.count else None,
        }
        if failure is not None:
            answer["error"] = {"code": failure.code, "message": failure.message, "field": failure.field}
        give_json(answer)
        return
    if dry_run:
        done = f"{outcome.valid:,} would be posted"
    else:
        done = f"{outcome.accepted:,} added, {outcome.duplicates:,} there before"
    why = f" (see {rejected.path})" if rejected.count else ""
    say(f"{name}: {outcome.rows:,} rows read, {done}, {rejected.count:,} rejected{why}")
    if failure is not None:
        note(f"dialer: {failure.message}")
        if not dry_run and outcome.rows:
            note("What was added stays. Run the same command again: nothing is added twice.")


class _Bar:
    """How far it is, on stderr of a terminal."""

    def __init__(self, progress: Progress, task: Any, source: Source) -> None:
        self._progress = progress
        self._task = task
        self._source = source

    def advance_to(self, loading: Loading) -> None:
        """Show what is done."""
        task = self._progress.tasks[0]
        rows = loading.outcome.rows
        rate = rows / task.elapsed if task.elapsed else 0.0
        self._progress.update(self._task, completed=self._source.done, rows=f"{rows:,}", rate=f"{rate:,.0f}")

    def say(self, text: str) -> None:
        """A line above it."""
        note(f"dialer: {text}")


@contextmanager
def _progress(source: Source, as_json: bool) -> Iterator[_Bar]:
    out = console(stderr=True)
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]} rows, {task.fields[rate]}/s", markup=False),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=out, disable=as_json or not out.is_terminal, transient=True)
    with progress:
        yield _Bar(progress, progress.add_task("", total=source.size, rows="0", rate="0"), source)
