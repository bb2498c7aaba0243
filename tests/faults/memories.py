"""What there is to watch, and whether all of it is remembered, once and as it should be."""

from dataclasses import dataclass
from pathlib import Path

from memory.dump import dump_lines
from services.registry import NewStream
from services.settings import load_settings
from services.wiring import Stores, opened
from streaming.messages import Span
from tests.services.conftest import EPOCH, serve
from tests.services.films import film, story

FAST = story(("dark", 13), ("bright", 9), ("dim", 6), ("dark", 17), ("bright", 12), ("dark", 8))
SLOW = story(("dim", 3), ("dark", 4), ("bright", 5), ("dark", 2))
"""Watched at the pace of a clock, so that there is something to do all through a fault."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A stream to be watched."""

    name: str
    path: Path
    is_realtime: bool


def films(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return film(folder / "fast.mp4", FAST, fps=2), film(folder / "slow.mp4", SLOW, fps=2)


def plans_of(number: int, fast: Path, slow: Path) -> list[Plan]:
    """What is watched in one round."""
    return [
        Plan(f"fast-{number}", fast, is_realtime=False),
        Plan(f"slow-{number}", slow, is_realtime=True),
        Plan(f"steady-{number}", slow, is_realtime=True),
    ]


def undisturbed(plans: list[Plan], folder: Path) -> list[str]:
    """What a service in one process remembers of all that, on SQLite, when nothing happens."""
    settings = load_settings(data=folder)
    with opened(settings, make=True) as stores:
        for plan in plans:
            stores.registry.add(
                NewStream(plan.name, str(plan.path), realtime=plan.is_realtime, starts_at=EPOCH)
            )
    serve(settings)
    with opened(settings) as stores:
        return list(dump_lines(stores.record))


def check_memory(stores: Stores, plans: list[Plan]) -> None:
    """Every captured second is remembered exactly once, or named as a gap."""
    record = stores.record
    for plan in plans:
        name, end_ns = plan.name, record.ended_ns(plan.name)
        assert end_ns, f"{name} has not ended"
        within = [Span(stream_id=name, start_ns=0, end_ns=end_ns)]
        segments = record.segments(within)
        gaps = [gap.span for gap in record.gaps(within)]
        clips = [note.span for note in record.clips(within)]
        stored = {(one.uri, one.span, one.size_bytes) for one in stores.footage.segments(name)}

        assert stored == {(one.uri, one.span, one.size_bytes) for one in segments}, name
        tile(sorted([*(one.span for one in segments), *gaps], key=start_of), end_ns)
        tile(sorted([*clips, *gaps], key=start_of), end_ns)


def tile(spans: list[Span], end_ns: int) -> None:
    """Nothing twice, nothing missing."""
    position_ns = 0
    for span in spans:
        assert span.start_ns == position_ns, f"{span} follows {position_ns}"
        position_ns = span.end_ns
    assert position_ns == end_ns


def start_of(span: Span) -> int:
    return span.start_ns
