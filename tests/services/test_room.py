"""On a full disk the oldest footage goes that is remembered, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from memory.dump import dump
from services.export import export
from services.metrics import Metrics
from services.parts import Parts, footage_of
from services.progress import note_remembered
from services.registry import NewStream
from services.room import SelfClearingFootage
from services.settings import Settings, load_settings
from services.wiring import Stores, opened, opened_bus, wall_clock
from streaming.errors import FootageFull, FootageMissing
from streaming.messages import NS_PER_S, Span
from tests.services.conftest import EPOCH, serve
from tests.services.processes import measured

NEW = Span(stream_id="cam", start_ns=100 * NS_PER_S, end_ns=104 * NS_PER_S)
DATA = b"new" * 1000


class Usage(NamedTuple):
    free: int


FillUp = Callable[[Stores], SelfClearingFootage]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, metrics: Metrics) -> FillUp:
    """The footage on a disk that it fills, but for less than the next segment needs."""

    def fill_up(stores: Stores, room_bytes: int = 1) -> SelfClearingFootage:
        footage = SelfClearingFootage(
            stores.settings.footage,
            record=stores.record,
            metrics=metrics,
            room_bytes=room_bytes,
            reserve_bytes=0,
        )
        disk_bytes = footage.usage_bytes() + len(DATA) - 1

        def usage(path: Path) -> Usage:
            return Usage(disk_bytes - footage.usage_bytes())

        monkeypatch.setattr("streaming.footage.shutil.disk_usage", usage)
        return footage

    return fill_up


def uris(footage: SelfClearingFootage, stream_id: str = "cam") -> list[str]:
    return [one.uri for one in footage.segments(stream_id)]


def test_the_oldest_footage_of_all_makes_room(
    settings: Settings, light_film: Path, full: FillUp, metrics: Metrics, tmp_path: Path
) -> None:
    with opened(settings) as stores:
        stores.registry.add(NewStream("earlier", str(light_film), starts_at=EPOCH))
    serve(settings)
    with opened(settings) as stores:
        footage = full(stores)
        before, (oldest, *later) = uris(footage), footage.segments("earlier")
        memory = dump(stores.record)

        footage.put(DATA, span=NEW)

        assert uris(footage, "earlier") == [one.uri for one in later]
        assert uris(footage)[:-1] == before
        assert dump(stores.record) == memory
        told = metrics.exposition().decode()
        name = "longwatch_footage_deleted_bytes_total"
        assert measured(told, name, stream="earlier") == oldest.size_bytes
        with pytest.raises(FootageMissing):
            export(stores.record, stores.footage, oldest.span, tmp_path / "a.mp4")


def test_footage_that_is_not_analysed_stays(captured: Settings, full: FillUp) -> None:
    with opened(captured) as stores:
        footage = full(stores)
        before = uris(footage)

        with pytest.raises(FootageFull):
            footage.put(DATA, span=NEW)
        assert uris(footage) == before

        first, second, *rest = footage.segments("cam")
        note_remembered(stores.record, stores.record.stream("cam"), second.span.end_ns - 1)
        footage.put(DATA, span=NEW)
        assert uris(footage)[:-1] == [one.uri for one in (second, *rest)]
        assert not (Path(captured.footage) / first.uri).exists()


@pytest.mark.parametrize("when_full", ["wait", "delete-oldest"])
def test_nothing_is_deleted_unless_that_was_set(empty: Settings, when_full: str) -> None:
    settings = load_settings(data=empty.data, when_full=when_full)
    with opened(settings, make=True) as stores, opened_bus(settings) as bus:
        footage = footage_of(Parts(stores, bus, wall_clock(), Metrics()))

    assert isinstance(footage, SelfClearingFootage) is (when_full == "delete-oldest")
