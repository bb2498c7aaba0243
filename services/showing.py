"""What the command line shows: pure, values in and rich renderables or plain data out."""

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from memory.forgetting import Forgotten
from services.doctor import Check, Health
from services.export import Exported
from services.moments import show_ns
from services.progress import StreamProgress
from services.streams import StreamRow
from services.summaries.reading import SpanSummary
from services.topics import TopicState
from streaming.messages import NS_PER_S, Answer, Citation, Coverage, Span, Verdict

MAX_SHOWN = 12  # moments under an answer; --json has them all
MAX_KINDS = 40  # in a summary: a page
MARK_OF_HEALTH = {Health.OK: "✓", Health.WARNING: "!", Health.MISSING: "✗", Health.OPTIONAL: "-"}


def streams_table(rows: Sequence[StreamRow]) -> Table:
    table = _table("stream", "state", "captured", "remembered", "clips", "gaps", "source")
    for row in rows:
        table.add_row(
            Text(row.spec.stream_id),
            Text(f"{row.state}: {row.detail}" if row.detail else row.state),
            show_ns(row.progress.captured_ns, decimals=0),
            show_ns(row.progress.remembered_ns, decimals=0),
            str(row.progress.clips),
            f"{row.gaps}{_skipped(row.skipped_ns)}",
            Text(row.spec.url, overflow="fold"),
        )
    return table


def progress_table(progress: Sequence[StreamProgress], *, elapsed_s: float) -> Table:
    """The live picture of a running service. Speed is media time remembered in wall time."""
    table = _table("stream", "state", "captured", "remembered", "clips")
    for one in progress:
        table.add_row(
            Text(one.stream_id),
            Text(f"{one.state}: {one.detail}" if one.detail else one.state),
            show_ns(one.captured_ns, decimals=0),
            show_ns(one.remembered_ns, decimals=0),
            str(one.clips),
        )
    if not progress:
        table.add_row(Text("none yet: longwatch add NAME URL", style="dim"))
    table.caption = f"running for {show_ns(round(elapsed_s * NS_PER_S), decimals=0)}"
    return table


@contextmanager
def progress_display(
    console: Console, *, as_json: bool
) -> Generator[Callable[[list[StreamProgress]], None]]:
    """Show progress as a table that changes in place; without a terminal, as lines of changes."""
    began_ns = time.monotonic_ns()
    if console.is_terminal and not as_json:
        with Live(console=console, refresh_per_second=4) as live:
            yield lambda progress: live.update(
                progress_table(progress, elapsed_s=(time.monotonic_ns() - began_ns) / NS_PER_S)
            )
        return
    shown: dict[str, StreamProgress] = {}
    latest: dict[str, StreamProgress] = {}

    def show(progress: list[StreamProgress]) -> None:
        for one in progress:
            latest[one.stream_id] = one
            before = shown.get(one.stream_id)
            if before is None or (before.state, before.detail) != (one.state, one.detail):
                shown[one.stream_id] = one
                _print_change(console, one, as_json=as_json)

    try:
        yield show
    finally:
        for name, one in latest.items():
            if shown[name] != one:
                _print_change(console, one, as_json=as_json)


def _print_change(console: Console, one: StreamProgress, *, as_json: bool) -> None:
    if as_json:
        line = json.dumps(asdict(one), ensure_ascii=False)
    else:
        detail = f": {one.detail}" if one.detail else ""
        captured, remembered = (
            show_ns(ns, decimals=0) for ns in (one.captured_ns, one.remembered_ns)
        )
        line = f"{one.stream_id} {one.state}{detail} (captured {captured}, remembered {remembered})"
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def evidence_lines(answer: Answer) -> list[str]:
    """The moments that an answer rests on, and what was watched."""
    several = (
        len({one.span.stream_id for one in answer.evidence}) > 1 or len(answer.coverage.asked) > 1
    )
    lines = [
        f"  [{number}] {_moment(one, several=several)}  {one.text}{_looked(one)}"
        for number, one in enumerate(answer.evidence[:MAX_SHOWN], start=1)
    ]
    if len(answer.evidence) > MAX_SHOWN:
        lines.append(f"  … and {len(answer.evidence) - MAX_SHOWN} more (--json has them all)")
    if answer.verdict is not Verdict.NOT_WATCHED:
        lines.append(f"  {coverage_line(answer.coverage)}")
    return lines


def summary_lines(summary: SpanSummary) -> list[str]:
    """What happened in a span, the most frequent first."""
    at = summary.start_at.astimezone().replace(tzinfo=None).isoformat(" ", "milliseconds")
    lines = [f"{summary.span.stream_id} {_stretch(summary.span)} ({at})"]
    frequent = sorted(summary.events, key=lambda one: -one.count)
    for one in frequent[:MAX_KINDS]:
        times = f"{show_ns(one.first_ns)}–{show_ns(one.last_ns)}"
        went_on = ", going on from before" if one.carried else ""
        lines.append(f"  {one.count:>5} ×  {one.text}  {times}{went_on}")
    if len(frequent) > MAX_KINDS:
        lines.append(f"  … and {len(frequent) - MAX_KINDS} more kinds (--json has them all)")
    if not frequent:
        lines.append("  nothing was noted")
    if summary.busiest is not None:
        began = summary.busiest.begun
        lines.append(f"  busiest: {_stretch(summary.busiest.span)}, when {began} began")
    if summary.calmest is not None:
        lines.append(f"  calm for longest: {_stretch(summary.calmest)}")
    return [*lines, f"  {coverage_line(summary.coverage)}"]


def coverage_line(coverage: Coverage) -> str:
    asked = show_ns(coverage.asked_ns, decimals=0)
    if coverage.watched_ns >= coverage.asked_ns:
        return f"watched: all of the {asked} asked about"
    gaps = ", ".join(
        f"{show_ns(gap.span.start_ns, decimals=0)}–{show_ns(gap.span.end_ns, decimals=0)} "
        f"{gap.reason.value}"
        for gap in coverage.gaps[:3]
    )
    more = f" and {len(coverage.gaps) - 3} more" if len(coverage.gaps) > 3 else ""
    watched = show_ns(coverage.watched_ns, decimals=0)
    return f"watched: {watched} of the {asked} asked about; not: {gaps}{more}"


def checks_table(checks: Sequence[Check]) -> Table:
    table = _table("", "what", "found", "to do")
    for check in checks:
        table.add_row(
            MARK_OF_HEALTH[check.health], Text(check.name), Text(check.found), Text(check.remedy)
        )
    return table


def checks_json(checks: Sequence[Check]) -> list[Mapping[str, str]]:
    return [
        {
            "name": check.name,
            "health": check.health.value,
            "found": check.found,
            "remedy": check.remedy,
        }
        for check in checks
    ]


def exported_json(exported: Exported) -> dict[str, Any]:
    return {
        "path": str(exported.path),
        "span": exported.span.model_dump(mode="json"),
        "frame_count": exported.frame_count,
        "size_bytes": exported.size_bytes,
        "gaps": [gap.model_dump(mode="json") for gap in exported.gaps],
    }


def exported_lines(exported: Exported) -> list[str]:
    span = exported.span
    lines = [
        f"{exported.path}: {show_ns(span.start_ns)} to {show_ns(span.end_ns)} of "
        f"{span.stream_id}, {exported.frame_count} frames, {exported.size_bytes:,} bytes"
    ]
    lines += [
        f"  nothing was captured {show_ns(gap.span.start_ns)} to {show_ns(gap.span.end_ns)}: "
        f"{gap.reason.value}"
        for gap in exported.gaps
    ]
    return lines


def forgotten_json(forgotten: Forgotten) -> dict[str, Any]:
    return {
        "stream": forgotten.span.stream_id,
        "clips": len(forgotten.record.clip_ids),
        "events": forgotten.record.events,
        "segments": forgotten.record.segments,
        "gaps": forgotten.record.gaps,
        "footage_files": forgotten.footage.files,
        "token_files": forgotten.tokens.files,
        "vectors": forgotten.vectors,
        "labels": forgotten.labels,
        "examples": forgotten.examples,
        "size_bytes": forgotten.size_bytes,
    }


def forgotten_line(forgotten: Forgotten) -> str:
    clips = _counted(len(forgotten.record.clip_ids), "clip")
    events = _counted(forgotten.record.events, "event")
    files = _counted(forgotten.footage.files, "file")
    return (
        f"forgotten of {forgotten.span.stream_id}: {clips} with {events}, {files} of footage, "
        f"{forgotten.size_bytes:,} bytes in all"
    )


def topics_table(states: Sequence[TopicState]) -> Table:
    table = _table("topic", "partitions", "records", "kept", "group", "lag")
    for state in states:
        cells = [state.name, str(len(state.bounds)), str(state.records), state.keeps]
        for group in state.groups:
            table.add_row(*cells, group.name, str(group.lag))
            cells = ["", "", "", ""]
        if not state.groups:
            table.add_row(*cells, "–", "")
    return table


def _moment(one: Citation, *, several: bool) -> str:
    where = f"{one.span.stream_id} " if several else ""
    at = one.start_at.astimezone().replace(tzinfo=None).isoformat(" ", "milliseconds")
    return f"{where}{show_ns(one.span.start_ns)}–{show_ns(one.span.end_ns)} ({at})"


def _stretch(span: Span) -> str:
    return f"{show_ns(span.start_ns, decimals=0)}–{show_ns(span.end_ns, decimals=0)}"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _skipped(skipped_ns: int) -> str:
    return f", {show_ns(skipped_ns, decimals=0)} skipped" if skipped_ns else ""


def _looked(one: Citation) -> str:
    if one.verified is None:
        return ""
    return ", seen again" if one.verified else ", unsure when looked at again"


def _table(*columns: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.show_header, table.header_style = True, "bold"
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
