"""Every place that footage may lie keeps the same promises."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from streaming.errors import BadFootageAddress, FootageFull, FootageMissing, FootageUnavailable
from streaming.footage import DAY_NS, FootageStore
from streaming.messages import Span


def span(start_ns: int, end_ns: int, stream_id: str = "yard") -> Span:
    return Span(stream_id=stream_id, start_ns=start_ns, end_ns=end_ns)


@pytest.fixture(params=["directory", "file url", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FootageStore]:
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        yield FootageStore("memory://footage")
    else:
        scheme = "file://" if request.param == "file url" else ""
        yield FootageStore(f"{scheme}{tmp_path}/footage")


def test_what_was_put_is_read_back(store: FootageStore) -> None:
    uri = store.put(b"video", span=span(0, 4))

    with store.open_local(uri) as path:
        assert path.read_bytes() == b"video"
        assert path.suffix == ".mp4"


def test_the_same_span_again_replaces(store: FootageStore) -> None:
    first = store.put(b"one", span=span(0, 4))
    second = store.put(b"other", span=span(0, 4))

    assert first == second
    assert [stored.size_bytes for stored in store.segments("yard")] == [5]


def test_segments_are_listed_in_order_of_time(store: FootageStore) -> None:
    spans = [span(DAY_NS, DAY_NS + 5), span(0, 4), span(4, DAY_NS), span(0, 9, "gate")]
    for each in spans:
        store.put(b"x", span=each, suffix=".mkv")

    assert [stored.span for stored in store.segments("yard")] == [spans[1], spans[2], spans[0]]
    assert [stored.span for stored in store.segments("yard", from_ns=4)] == [spans[2], spans[0]]
    assert store.segments("nobody") == []


def test_usage_is_the_sum_of_what_is_stored(store: FootageStore) -> None:
    assert store.usage_bytes() == 0
    store.put(b"123", span=span(0, 4))
    store.put(b"45", span=span(0, 4, "gate"))

    assert store.usage_bytes() == 5
    assert store.usage_bytes("gate") == 2


def test_what_was_deleted_is_missing(store: FootageStore) -> None:
    uri = store.put(b"video", span=span(0, 4))
    store.delete(uri)
    store.delete(uri)

    with pytest.raises(FootageMissing, match=uri), store.open_local(uri):
        pass
    assert store.segments("yard") == []


@pytest.mark.parametrize(
    "uri", ["../x/y", "yard/../z", "/etc/passwd", "yard/d00000", "a/b/c/d", ""]
)
def test_addresses_cannot_leave_the_store(store: FootageStore, uri: str) -> None:
    with pytest.raises(BadFootageAddress), store.open_local(uri):
        pass
    with pytest.raises(BadFootageAddress):
        store.delete(uri)


def test_a_store_may_be_moved(tmp_path: Path) -> None:
    uri = FootageStore(str(tmp_path / "here")).put(b"video", span=span(0, 4))
    (tmp_path / "here").rename(tmp_path / "there")

    with FootageStore(str(tmp_path / "there")).open_local(uri) as path:
        assert path.read_bytes() == b"video"


def test_empty_folders_go_with_their_last_segment(tmp_path: Path) -> None:
    store = FootageStore(str(tmp_path / "footage"))
    store.delete(store.put(b"video", span=span(0, 4)))

    assert list((tmp_path / "footage").rglob("*")) == []


def test_a_full_disk_is_told_apart_and_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FootageStore(str(tmp_path))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(FootageFull, match="no space left"):
            store.put(b"video", span=span(0, 4))

    assert [path.name for path in tmp_path.rglob("*.part")] == []


def test_room_is_left_for_the_databases(tmp_path: Path) -> None:
    store = FootageStore(str(tmp_path), reserve_bytes=2**60)

    with pytest.raises(FootageFull, match="free"):
        store.put(b"video", span=span(0, 4))


def test_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "footage").write_text("a file where a directory should be")

    with pytest.raises(FootageUnavailable):
        FootageStore(str(tmp_path / "footage")).put(b"video", span=span(0, 4))


def test_leftovers_of_a_killed_write_are_cleaned(tmp_path: Path) -> None:
    store = FootageStore(str(tmp_path))
    uri = store.put(b"video", span=span(0, 4))
    half = (tmp_path / uri).with_name("0-1.mp4.part")
    half.write_bytes(b"hal")

    assert store.clean("yard") == 1
    assert not half.exists()
    assert len(store.segments("yard")) == 1


def test_files_of_others_are_no_segments(tmp_path: Path) -> None:
    store = FootageStore(str(tmp_path))
    folder = (tmp_path / store.put(b"video", span=span(0, 4))).parent
    names: list[Any] = ["notes.txt", "5-3.mp4", "a-b.mp4", "7.mp4", ".mp4"]
    for name in names:
        (folder / name).write_text("x")

    assert len(store.segments("yard")) == 1
