"""Shows the progress of campaigns: redrawn in place on a terminal, now and then a block of lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dialer.sandbox.progress import Campaign, Progress

PLAIN_INTERVAL = 5.0
"""Seconds between two blocks, at least."""
_BAR = 14
"""Columns of a progress bar."""


class Display(Protocol):
    """Where the progress is shown."""

    def show(self, progress: Progress) -> None:
        """Show how far it is."""

    def say(self, line: str) -> None:
        """Show one line that stays."""

    def finish(self) -> None:
        """Show the last progress if it was not yet, and change it no more."""

    def summarize(self, campaigns: Sequence[Campaign]) -> None:
        """Show what became of the contacts, by campaign and call result."""


def display_for(output: TextIO, seconds: Callable[[], float]) -> Display:
    """A display that fits the output: in place if it is a terminal that can, lines if not. `seconds` is the clock."""
    if output.isatty():
        console = Console(file=output, force_terminal=True, highlight=False)
        if not console.is_dumb_terminal:
            return TerminalDisplay(console)
    return PlainDisplay(output, seconds)


def rate_line(progress: Progress) -> str:
    """Calls per second and slots in use, with their limits where known."""
    limit = "" if progress.speed_limit is None else f" (limit {progress.speed_limit:g})"
    used = "?" if progress.slots_used is None else progress.slots_used
    slots = "?" if progress.slots is None else progress.slots
    return f"{progress.calls_per_second:.1f} calls per second{limit}, {used} of {slots} slots in use"


class TerminalDisplay:
    """Redraws in place. It keeps no thread and takes over no other stream."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def show(self, progress: Progress) -> None:
        """Redraw."""
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._live.start()
        self._live.update(_drawn(progress), refresh=True)

    def say(self, line: str) -> None:
        """Print above what is redrawn."""
        self._console.print(line, markup=False, soft_wrap=True)

    def finish(self) -> None:
        """Leave the last drawing where it is and give the cursor back."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def summarize(self, campaigns: Sequence[Campaign]) -> None:
        """Print a table."""
        table = Table(title="Call results", title_justify="left")
        table.add_column("campaign")
        table.add_column("call result")
        table.add_column("contacts", justify="right")
        for campaign in campaigns:
            for n, (result, count) in enumerate(_results(campaign)):
                table.add_row("" if n else Text(campaign.campaign_id), Text(result), str(count))
            table.add_section()
        self._console.print(table)


class PlainDisplay:
    """Prints a block when something changed, at most every PLAIN_INTERVAL seconds."""

    def __init__(self, output: TextIO, seconds: Callable[[], float]) -> None:
        self._output = output
        self._seconds = seconds
        self._printed: tuple[object, ...] | None = None
        self._printed_at = float("-inf")
        self._waiting: Progress | None = None

    def show(self, progress: Progress) -> None:
        """Print, or keep it for later."""
        self._waiting = progress if progress.without_rate != self._printed else None
        if self._seconds() - self._printed_at >= PLAIN_INTERVAL:
            self._flush()

    def say(self, line: str) -> None:
        """Print the line."""
        self._output.write(line + "\n")
        self._output.flush()

    def finish(self) -> None:
        """Print what was kept for later."""
        self._flush()

    def summarize(self, campaigns: Sequence[Campaign]) -> None:
        """Print a line per campaign."""
        for campaign in campaigns:
            self.say(
                f"{campaign.campaign_id}: " + ", ".join(f"{result} {count}" for result, count in _results(campaign))
            )

    def _flush(self) -> None:
        if self._waiting is None:
            return
        progress, self._waiting = self._waiting, None
        self._printed, self._printed_at = progress.without_rate, self._seconds()
        lines = [_line(campaign) for campaign in progress.campaigns]
        if progress.campaigns:
            lines.append(rate_line(progress))
        if progress.trouble is not None:
            lines.append(progress.trouble)
        self.say("\n".join(lines))


def _results(campaign: Campaign) -> list[tuple[str, int]]:
    return sorted(campaign.results.items(), key=lambda item: (-item[1], item[0])) or [("none", 0)]


def _line(campaign: Campaign) -> str:
    stopped = f"{campaign.stopped} stopped, " if campaign.stopped else ""
    return (
        f"{campaign.campaign_id}: {campaign.waiting} waiting, {stopped}{campaign.active} active, "
        f"{campaign.ended} ended, {campaign.failed} failed"
    )


def _drawn(progress: Progress) -> RenderableType:
    parts: list[RenderableType] = []
    if progress.campaigns:
        # Fits 80 columns with the longest campaign id of the samples; stopped ones are rare and take room only then.
        columns = ["waiting", "active", "ended", "failed"]
        if any(campaign.stopped for campaign in progress.campaigns):
            columns.insert(1, "stopped")
        table = Table(box=None, pad_edge=False)
        table.add_column("campaign", no_wrap=True)
        table.add_column("", width=_BAR)
        for name in columns:
            table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
        for campaign in progress.campaigns:
            bar = ProgressBar(total=max(1, campaign.done + campaign.open), completed=campaign.done, width=_BAR)
            table.add_row(Text(campaign.campaign_id), bar, *(str(getattr(campaign, name)) for name in columns))
        parts += [table, Text(rate_line(progress))]
    if progress.trouble is not None:
        parts.append(Text(progress.trouble, style="yellow"))
    return Group(*parts)
