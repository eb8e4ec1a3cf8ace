"""A report as people read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.chaos.run import Report
from tests.chaos.verdict import Evidence, Violation

SHOWN = 3
"""Violations of each kind that are shown with the history of their contact; the rest is counted."""
AROUND = 3.0
"""Seconds before the first and after the last thing that happened to a contact in which faults are shown."""


def text(report: Report) -> str:
    """The whole report."""
    return "\n".join([*_figures(report), *_violations(report)]) + "\n"


def _figures(report: Report) -> Iterator[str]:
    seen, plan = report.evidence, report.plan
    calls = len(seen.originates)
    yield f"seed {plan.seed}: {len(seen.posted):,} contacts, {calls:,} calls, {len(report.faults):,} faults"
    yield f"{plan.dialers} dialers, EFSWITCH_DOWN_POLICY={plan.policy}, fsync {'on' if plan.fsync else 'off'}"
    yield f"{report.seconds:.0f} s of faults, {calls / max(report.seconds, 1):.1f} calls a second"
    yield f"all was over {report.settling:.0f} s after the last fault"
    yield ""
    counts = Counter(fault.kind for fault in report.faults)
    yield from (f"  {kind:<42}{number:>8,}" for kind, number in sorted(counts.items()))
    yield ""
    violated = Counter(violation.kind for violation in report.violations)
    posting = report.posting
    figures = {
        "dialed twice": violated["dialed twice"] + violated["dialed twice for a taking"],
        "lost, or never terminal": violated["lost"] + violated["not terminal"],
        "never notified": violated["not notified"],
        "wrong result": violated["wrong result"],
        "other violations": len(report.violations)
        - sum(violated[k] for k in ("dialed twice", "dialed twice for a taking", "lost", "not terminal"))
        - violated["not notified"]
        - violated["wrong result"],
        **report.unknown,
        "takings": sum(row.taking for row in seen.rows.values()),
        "notifications repeated": report.repeated,
        "posts": posting.get("requests", 0),
        "... answered 503": posting.get("refused", 0),
        "... not answered": posting.get("unanswered", 0),
        "contacts recognized when posted again": posting.get("duplicates", 0),
    }
    yield from (f"  {name:<42}{number:>8,}" for name, number in figures.items())
    results = Counter(row.call_result for row in seen.rows.values())
    yield ""
    yield "  " + ", ".join(f"{result} {number:,}" for result, number in results.most_common())


def _violations(report: Report) -> Iterator[str]:
    if not report.violations:
        return
    yield ""
    yield f"VIOLATED, seed {report.plan.seed}:"
    by_kind: dict[str, list[Violation]] = {}
    for violation in report.violations:
        by_kind.setdefault(violation.kind, []).append(violation)
    for kind, all_of_it in by_kind.items():
        yield f"  {kind}: {len(all_of_it)}"
        for violation in all_of_it[:SHOWN]:
            yield f"    {violation.contact_id or ''} {violation.text}"
            if violation.contact_id is not None:
                yield from (f"      {line}" for line in history(report.evidence, violation.contact_id))
                if (told := report.histories.get(violation.contact_id)) is not None:
                    yield f"      the dialer says: {told}"


def history(seen: Evidence, contact_id: str) -> list[str]:
    """All that is known of a contact, in the order in which it happened, faults included."""
    posted, row = seen.posted.get(contact_id), seen.rows.get(contact_id)
    moments: list[tuple[float, str]] = []
    if row is not None and row.dialed_at is not None:
        moments.append((row.dialed_at, "stored as dialed"))
    for each in seen.originates:
        if each.contact_id == contact_id:
            moments.append((each.at, f"originate {each.serial}: {_shown(each)}"))
            if each.ended_at is not None:
                moments.append((each.ended_at, f"its end: {each.cause}{', lost' if each.vanished else ''}"))
    for told in seen.told:
        if told.who == contact_id or (posted is not None and told.who == posted.customer_number):
            moments.append((told.at, f"{told.path} {told.what}: {told.status} {told.behaviour or ''} {told.response}"))
    moments += [
        (each.created_at, f"stored for the VC: {each.kind} {each.call_result or ''}, now {each.state}")
        for each in seen.outbox
        if each.contact_id == contact_id
    ]
    lines = [f"{_clock(at)} {what}" for at, what in sorted(moments)]
    if moments:
        first, last = min(moments)[0], max(moments)[0]
        for fault in seen.weather.around(first - AROUND, last + AROUND):
            whom = f" {fault.dialer}" if fault.dialer else ""
            lines.append(f"{_clock(fault.start)} - {_clock(fault.end)} {fault.kind}{whom}: {fault.detail}")
    return [f"{posted}", f"{row}, sent by {seen.senders.get(contact_id)}", *lines]


def _shown(originate: Any) -> str:
    answered = "answered" if originate.answered else "never answered"
    return f"refused {originate.refused}" if originate.refused is not None else answered


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
