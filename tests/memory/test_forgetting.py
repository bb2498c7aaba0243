"""Forgetting reaches every store, and a crash at any step is made good by repeating it."""

from collections.abc import Callable, Iterator, Sized
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory.errors import SpanForgotten, UnknownStream
from memory.faiss_index import FaissIndex, open_index
from memory.forgetting import Stores, finish_forgetting, forget, forget_stream
from memory.index import VectorKind
from memory.record import Record
from memory.redis_record import RedisRecord
from memory.sqlite_record import SqliteRecord
from memory.tokens import StoredTokens, TokenStore
from memory.values import Removed
from streaming.footage import FootageStore
from tests.memory.notes import (
    LAYOUT,
    MODEL,
    WIDTH,
    gap,
    note,
    put,
    segment,
    span,
    spec,
    unit_vectors,
)

Opener = Callable[[Path], Record]


class Crash(Exception):
    """Stands for a kill: nothing after it runs."""


@dataclass
class Crashing:
    """A store with which the process dies: before its first deletion, or right after it."""

    store: Any
    before: bool

    def __getattr__(self, name: str) -> Any:
        def act(*arguments: object) -> object:
            if not self.before:
                getattr(self.store, name)(*arguments)
            raise Crash

        return act if name.startswith(("delete", "remove_")) else getattr(self.store, name)


@pytest.fixture(params=["sqlite", "redis"])
def open_record(request: pytest.FixtureRequest) -> Iterator[Opener]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    with ExitStack() as stack:

        def opener(directory: Path) -> Record:
            if url is not None:
                return stack.enter_context(closing(RedisRecord(f"{url}{directory.name}:")))
            return stack.enter_context(closing(SqliteRecord(directory / "record.sqlite")))

        yield opener


def fill(directory: Path, open_record: Opener) -> Stores:
    """Ten clips of two streams, with everything that belongs to them."""
    record = open_record(directory)
    tokens = TokenStore(str(directory / "tokens"))
    footage = FootageStore(str(directory / "footage"), reserve_bytes=0)
    for stream in ("pond", "hill"):
        record.add_stream(spec(stream))
        for number in range(5):
            clip = note(number, "a heron lands", ((1, 2, "a heron lands"),), stream=stream)
            tokens.put(StoredTokens(clip.clip_id, LAYOUT, "encoder-1", {"t": np.ones(9)}))
            put(record, clip)
        for start_s in range(0, 48, 8):
            one = segment(start_s, start_s + 8, stream=stream)
            uri = footage.put(b"x" * 1000, span=one.span)
            record.put_segment(one.model_copy(update={"uri": uri}))
        record.put_gap(gap(50, 90, stream=stream))
    return open_stores(directory, record)


def open_stores(directory: Path, record: Record) -> Stores:
    footage = FootageStore(str(directory / "footage"), reserve_bytes=0)
    vectors = open_index(directory / "index", record, width=WIDTH, embedder_id=MODEL)
    vectors.save()
    return Stores(record, footage, TokenStore(str(directory / "tokens")), vectors)


def files_below(directory: Path, name: str) -> set[str]:
    found = (directory / name).rglob("*")
    return {str(path.relative_to(directory)) for path in found if path.is_file()}


def what_is_left(directory: Path, stores: Stores) -> dict[str, Sized]:
    """Everything that the stores hold, read from the files where there are files."""
    index = FaissIndex.load(directory / "index", width=WIDTH, embedder_id=MODEL)
    (query,) = unit_vectors(1, seed=77)
    return {
        "clips": stores.record.clips(),
        "events": stores.record.events(),
        "words": {hit.clip_id for hit in stores.record.search_words("heron", limit=99)},
        "gaps": stores.record.gaps(),
        "segments": stores.record.segments(),
        "footage": files_below(directory, "footage"),
        "tokens": files_below(directory, "tokens"),
        "vectors": {h.clip_id for h in index.search(query, kind=VectorKind.TEXT, limit=99)},
        "unfinished": stores.record.unfinished_forgetting(),
    }


def test_forgetting_a_span_reaches_every_store(tmp_path: Path, open_record: Opener) -> None:
    stores = fill(tmp_path, open_record)

    went = forget(span(15, 31), stores)

    assert went.footage == Removed(3, 3000)
    assert went.tokens.files == went.vectors == len(went.record.clip_ids) == went.record.events == 3
    assert went.record.segments == 3
    assert went.size_bytes > 3000 + 3 * 9 * 8 + 3 * 2 * WIDTH * 4
    left = what_is_left(tmp_path, stores)
    kept = {note(n).clip_id for n in (0, 4)}
    kept |= {note(n, stream="hill").clip_id for n in range(5)}
    assert left["words"] == left["vectors"] == kept
    assert len(left["tokens"]) == len(left["clips"]) == len(left["events"]) == 7
    assert len(left["footage"]) == len(left["segments"]) == 9
    assert left["unfinished"] == []


def test_a_note_that_tells_of_the_span_goes_with_it(tmp_path: Path, open_record: Opener) -> None:
    stores = fill(tmp_path, open_record)
    put(stores.record, note(2, "a heron lands", ((-1, 2, "a heron lands"),)))

    went = forget(span(11, 19.5), stores)

    assert went.span == span(11, 30)
    kept = [clip.span for clip in stores.record.clips([span(0, 50)])]
    assert kept == [span(0, 10), span(30, 40), span(40, 50)]
    assert stores.record.unfinished_forgetting() == []


def test_nobody_may_tell_of_a_forgotten_span_later(tmp_path: Path, open_record: Opener) -> None:
    stores = fill(tmp_path, open_record)
    forget(span(11, 19.5), stores)

    with pytest.raises(SpanForgotten):
        put(stores.record, note(2, "a heron lands", ((-1, 2, "a heron lands"),)))


def test_forgetting_a_stream_leaves_the_others_alone(tmp_path: Path, open_record: Opener) -> None:
    stores = fill(tmp_path, open_record)

    went = forget_stream("pond", stores)

    assert went.footage.files == 6
    assert went.record.gaps == 1
    left = what_is_left(tmp_path, stores)
    assert left["words"] == {note(n, stream="hill").clip_id for n in range(5)}
    assert left["gaps"] == [gap(50, 90, stream="hill")]
    assert len(left["footage"]) == 6
    with pytest.raises(UnknownStream):
        put(stores.record, note(0))


def test_forgetting_twice_is_harmless(tmp_path: Path, open_record: Opener) -> None:
    stores = fill(tmp_path, open_record)
    for act in (lambda: forget(span(0, 20), stores), lambda: forget_stream("hill", stores)):
        act()
        again = act()
        assert (again.footage, again.tokens, again.vectors) == (Removed(), Removed(), 0)
        assert again.size_bytes == 0


def test_forgetting_what_was_never_seen_is_harmless(tmp_path: Path, open_record: Opener) -> None:
    stores = fill(tmp_path, open_record)

    assert forget(span(1000, 2000), stores).size_bytes == 0
    assert forget(span(0, 5, stream="sea"), stores).size_bytes == 0
    put(stores.record, note(100))


def test_work_under_way_cannot_bring_it_back(tmp_path: Path, open_record: Opener) -> None:
    stores = fill(tmp_path, open_record)
    forget(span(15, 31), stores)

    with pytest.raises(SpanForgotten):
        put(stores.record, note(2))
    with pytest.raises(SpanForgotten):
        stores.record.put_segment(segment(16, 20))


def forget_part(stores: Stores) -> None:
    forget(span(15, 31), stores)


def forget_all(stores: Stores) -> None:
    forget_stream("pond", stores)


@pytest.mark.parametrize("act", [forget_part, forget_all])
def test_a_crash_anywhere_is_made_good_by_repeating(
    tmp_path: Path, open_record: Opener, act: Callable[[Stores], None]
) -> None:
    undisturbed = fill(tmp_path / "undisturbed", open_record)
    act(undisturbed)
    expected = what_is_left(tmp_path / "undisturbed", undisturbed)

    for place, before in product(("footage", "tokens", "vectors", "record"), (True, False)):
        directory = tmp_path / f"{place}-{before}"
        stores = fill(directory, open_record)
        crashing: Any = Crashing(getattr(stores, place), before=before)
        with pytest.raises(Crash):
            act(replace(stores, **{place: crashing}))

        again = open_stores(directory, open_record(directory))
        act(again)
        assert what_is_left(directory, again) == expected


def test_the_next_start_finishes_what_a_crash_cut_short(
    tmp_path: Path, open_record: Opener
) -> None:
    stores = fill(tmp_path, open_record)
    crashing: Any = Crashing(stores.tokens, before=True)
    with pytest.raises(Crash):
        forget(span(15, 31), replace(stores, tokens=crashing))

    (went,) = finish_forgetting(stores)

    assert went.span == span(15, 31)
    assert (went.footage.files, went.tokens.files) == (0, 3)
    assert finish_forgetting(stores) == []
    assert len(stores.record.clips()) == 7
