"""A campaign's results as a file."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from dialer.cli.common import asks_the_dialer
from dialer.cli.exits import Failure
from dialer.cli.output import give_json, note, plain
from dialer.cli.service import Service
from dialer.contact import Status

STATUSES = [str(status) for status in Status if status is not Status.REMOVED]


@click.command(short_help="A campaign's results as a file.")
@click.argument("campaign_id", metavar="CAMPAIGN")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write; it is there once it is complete.  [default: stdout]",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "json", "ndjson"]),
    help="What to write.  [default: csv; with --json and no FILE: ndjson]",
)
@click.option("--status", type=click.Choice(STATUSES), help="Only contacts with this status.")
@asks_the_dialer
def export(
    campaign_id: str, output: Path | None, kind: str | None, status: str | None, service: Service, as_json: bool
) -> None:
    """Write all contacts of a campaign with what became of them.

    In CSV nothing is a formula: a cell that would be one has a ' before it, which `dialer load` takes away again.
    """
    params = {"format": kind or ("ndjson" if as_json and output is None else "csv")}
    if status:
        params["status"] = status
    with service.stream("campaign", campaign_id, "results", params=params) as pieces:
        if output is None:
            _write(pieces, sys.stdout.buffer, sys.stdout.isatty())
            return
        # Beside the file, so that it can take its place at once.
        part = output.with_name(output.name + ".part")
        try:
            with part.open("wb") as file:
                written = _write(pieces, file, False)
            os.replace(part, output)
        except OSError as error:
            raise Failure(f"{output} cannot be written: {error.strerror}", code="not_written") from None
        finally:
            part.unlink(missing_ok=True)
    if as_json:
        give_json({"campaignId": campaign_id, "file": str(output), "bytes": written})
    else:
        note(f"{output}: {written} bytes")


def _write(pieces: Iterator[bytes], file: BinaryIO, terminal: bool) -> int:
    """Write everything; how many bytes it was. A terminal is not to be steered by what is in it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    written = 0
    for piece in pieces:
        if terminal:
            text = decoder.decode(piece).replace("\r\n", "\n")
            file.write("\n".join(map(plain, text.split("\n"))).encode())
        else:
            file.write(piece)
        written += len(piece)
    file.flush()
    return written
