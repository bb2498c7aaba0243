"""Every `ClipIndex` keeps the same promises; the fast one agrees with the exact one."""

import logging
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from memory import faiss_index, scout
from memory.dict_record import DictRecord
from memory.errors import BadVector, GpuSearchUnavailable, WrongWidth
from memory.faiss_index import FaissIndex
from memory.faiss_partition import Partition
from memory.follow import CaughtUp, catch_up
from memory.index import ClipIndex, ExactIndex, VectorKind
from memory.record import Within
from memory.scout import Scout, gpu_scout
from memory.spans import whole_stream
from memory.values import DAY_NS, Vector
from streaming.messages import NS_PER_S
from tests.memory.notes import MODEL, WIDTH, note, put, span, spec, unit_vectors

DAY_S = DAY_NS // NS_PER_S


def scouted(*, width: int, embedder_id: str) -> FaissIndex:
    """With a scout on a GPU, where FAISS finds one; else its matrix is on the CPU."""
    index = FaissIndex(width=width, embedder_id=embedder_id)
    if faiss.get_num_gpus():
        index.use(gpu_scout("cuda", width=width))
    else:
        index.use(Scout(lambda: faiss.IndexFlatIP(width)))
    return index


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is put is copied to the scout's matrix at once."""
    monkeypatch.setattr(scout, "BATCH_ROWS", 1)


@pytest.fixture(params=[ExactIndex, FaissIndex, scouted], ids=lambda made: made.__name__)
def index(request: pytest.FixtureRequest, small_batches: None) -> ClipIndex:
    return request.param(width=WIDTH, embedder_id=MODEL)


def ids(
    index: ClipIndex,
    query: Vector,
    *,
    kind: VectorKind = VectorKind.TEXT,
    limit: int = 10,
    within: Within = None,
) -> list[str]:
    hits = index.search(query, kind=kind, limit=limit, within=within)
    return [hit.clip_id for hit in hits]


def test_the_nearest_clip_comes_first(index: ClipIndex) -> None:
    here, there = unit_vectors(2, seed=0)
    index.put("there", span(0, 10), there, here)
    index.put("here", span(10, 20), here, there)

    assert ids(index, here) == ["here", "there"]
    assert ids(index, here, kind=VectorKind.VISUAL) == ["there", "here"]
    assert ids(index, here, limit=1) == ["here"]
    assert ids(index, here, limit=0) == []


def test_a_hit_says_where_and_how_near(index: ClipIndex) -> None:
    here, there = unit_vectors(2, seed=0)
    index.put("here", span(10, 20), here, there)

    (hit,) = index.search(here, kind=VectorKind.TEXT, limit=3)
    assert (hit.clip_id, hit.span) == ("here", span(10, 20))
    assert hit.score == pytest.approx(1.0)


def test_the_same_id_replaces(index: ClipIndex) -> None:
    old, new = unit_vectors(2, seed=1)
    index.put("clip", span(0, 10), old, old)
    index.put("clip", span(0, 10), new, new)

    (hit,) = index.search(new, kind=VectorKind.TEXT, limit=5)
    assert hit.score == pytest.approx(1.0)
    assert len(index) == 1


def test_among_equals_the_earlier_comes_first(index: ClipIndex) -> None:
    (same,) = unit_vectors(1, seed=2)
    for number in (3, 1, 2, 0):
        index.put(f"clip-{number}", span(number * 10, number * 10 + 10), same, same)

    assert ids(index, same) == ["clip-0", "clip-1", "clip-2", "clip-3"]


def test_an_empty_index_finds_nothing(index: ClipIndex) -> None:
    (query,) = unit_vectors(1, seed=2)
    assert ids(index, query) == []
    assert ids(index, query, within=[span(0, 1)]) == []
    assert len(index) == 0


def test_a_vector_of_another_width_is_refused(index: ClipIndex) -> None:
    (good,) = unit_vectors(1, seed=2)
    with pytest.raises(WrongWidth, match="3 wide, the index holds 8"):
        index.put("clip", span(0, 1), good, np.ones(3, dtype=np.float32))
    with pytest.raises(WrongWidth):
        index.search(np.ones(9, dtype=np.float32), kind=VectorKind.TEXT, limit=1)
    with pytest.raises(BadVector):
        index.put("clip", span(0, 1), good * np.float32("inf"), good)
    assert len(index) == 0


def test_only_what_overlaps_the_range_is_found(index: ClipIndex) -> None:
    (same,) = unit_vectors(1, seed=3)
    for stream in ("pond", "hill"):
        for number in range(4):
            where = span(number * 10, number * 10 + 10, stream=stream)
            index.put(f"{stream}-{number}", where, same, same)

    assert ids(index, same, within=[span(10, 20)]) == ["pond-1"]
    assert ids(index, same, within=[span(5, 10.5)]) == ["pond-0", "pond-1"]
    assert ids(index, same, within=[span(25, 99, stream="hill"), span(0, 1)]) == [
        "hill-2",
        "hill-3",
        "pond-0",
    ]
    assert ids(index, same, within=[span(0, 99, stream="sea")]) == []
    assert ids(index, same, within=[]) == []
    assert ids(index, same, within=[span(10, 20)], limit=99) == ["pond-1"]


def test_a_clip_across_midnight_is_found_from_both_sides(index: ClipIndex) -> None:
    (same,) = unit_vectors(1, seed=3)
    index.put("late", span(DAY_S - 5, DAY_S + 5), same, same)

    assert ids(index, same, within=[span(DAY_S - 6, DAY_S - 4)]) == ["late"]
    assert ids(index, same, within=[span(DAY_S, DAY_S + 1)]) == ["late"]
    assert ids(index, same, within=[span(DAY_S + 5, DAY_S + 6)]) == []


def test_removed_clips_are_not_found(index: ClipIndex) -> None:
    (same,) = unit_vectors(1, seed=4)
    for number in range(5):
        index.put(f"clip-{number}", span(number * 10, number * 10 + 10), same, same)

    assert index.remove(["clip-1", "clip-3", "never", "clip-1"]) == 2
    assert index.remove(["clip-1"]) == 0
    assert ids(index, same) == ["clip-0", "clip-2", "clip-4"]
    assert index.clip_ids() == {"clip-0", "clip-2", "clip-4"}
    index.remove(["clip-0", "clip-2", "clip-4"])
    assert ids(index, same) == []


@pytest.mark.parametrize("made", [FaissIndex, scouted])
def test_faiss_agrees_with_brute_force(
    made: Callable[..., FaissIndex], small_batches: None
) -> None:
    exact = ExactIndex(width=WIDTH, embedder_id=MODEL)
    fast = made(width=WIDTH, embedder_id=MODEL)
    random = np.random.default_rng(6)
    vectors = unit_vectors(1500, seed=6)
    for number in random.integers(0, 400, size=600).tolist():
        stream = ("pond", "hill", "sea")[number % 3]
        where = span(number * 10, number * 10 + 10, stream=stream)
        text, visual = vectors[random.integers(1400)], vectors[random.integers(1400)]
        for index in (exact, fast):
            index.put(f"clip-{number}", where, text, visual)
        if number % 7 == 0:
            assert exact.remove([f"clip-{number}"]) == fast.remove([f"clip-{number}"])

    ranges = [None, [span(500, 2500)], [span(0, 900, stream="sea"), span(3000, 3500)]]
    for query in vectors[1400:1430]:
        for kind in VectorKind:
            for within in ranges:
                expected = exact.search(query, kind=kind, limit=20, within=within)
                found = fast.search(query, kind=kind, limit=20, within=within)
                assert [hit[:2] for hit in found] == [hit[:2] for hit in expected]
                assert [h.score for h in found] == pytest.approx(
                    [h.score for h in expected], abs=1e-6
                )
    assert exact.clip_ids() == fast.clip_ids()


class Watched:
    """A scout's matrix, and how often it was asked."""

    asked = 0

    def __init__(self) -> None:
        self._matrix = faiss.IndexFlatIP(WIDTH)
        self.add = self._matrix.add

    @property
    def ntotal(self) -> int:
        return self._matrix.ntotal

    def search(self, queries: Vector, count: int) -> Any:
        type(self).asked += 1
        return self._matrix.search(queries, count)


@pytest.mark.parametrize("within", [None, [whole_stream("pond")]])
def test_a_scout_names_the_days_that_are_worth_a_look(
    within: Within, small_batches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watched, "asked", 0)
    monkeypatch.setattr(faiss_index, "NEIGHBOURS", 0)
    plain = FaissIndex(width=WIDTH, embedder_id=MODEL)
    fast = FaissIndex(width=WIDTH, embedder_id=MODEL)
    vectors = unit_vectors(600, seed=8)
    for number, vector in enumerate(vectors[:500]):
        start_s = (number % 50) * DAY_S + number * 10
        for index in (plain, fast):
            index.put(f"clip-{number}", span(start_s, start_s + 10), vector, vector)
    told = Scout[Any](Watched)
    fast.use(told)

    looked_at: list[Partition] = []
    search = Partition.search

    def noted(partition: Partition, *args: Any) -> Any:
        looked_at.append(partition)
        return search(partition, *args)

    for query in vectors[500:]:
        days, _ = told.nearest(query, VectorKind.TEXT, 6)
        assert 1 <= len(days) <= 6
        expected = plain.search(query, kind=VectorKind.TEXT, limit=3)
        with monkeypatch.context() as patch:
            patch.setattr(Partition, "search", noted)
            assert fast.search(query, kind=VectorKind.TEXT, limit=3, within=within) == expected
    assert Watched.asked == 200
    assert len(looked_at) < 100 * 10, "of 50 days, a question seldom needs more than a few"


def untrained() -> faiss.IndexScalarQuantizer:
    """A matrix whose `add` fails with what a full GPU fails with."""
    quantizer = faiss.ScalarQuantizer.QT_8bit
    return faiss.IndexScalarQuantizer(WIDTH, quantizer, faiss.METRIC_INNER_PRODUCT)


def test_a_scout_that_fails_is_asked_no_more(
    small_batches: None, caplog: pytest.LogCaptureFixture
) -> None:
    (here,) = unit_vectors(1, seed=0)
    index = FaissIndex(width=WIDTH, embedder_id=MODEL)
    index.use(Scout(untrained))
    caplog.set_level(logging.WARNING, logger="memory")
    index.put("here", span(0, 10), here, here)
    index.put("there", span(10, 20), here, here)

    assert ids(index, here) == ["here", "there"]
    assert [one.getMessage()[:30] for one in caplog.records] == ["searching on the CPU from now "]


def test_a_gpu_that_faiss_does_not_have_is_named_with_a_remedy() -> None:
    with pytest.raises(GpuSearchUnavailable, match=r"cuda:99.*install longwatch\[gpu\]"):
        gpu_scout("cuda:99", width=WIDTH)


def test_sealed_days_keep_cosines_to_a_thousandth() -> None:
    exact = ExactIndex(width=WIDTH, embedder_id=MODEL)
    fast = FaissIndex(width=WIDTH, embedder_id=MODEL)
    vectors = unit_vectors(430, seed=7)
    for number, vector in enumerate(vectors[:400]):
        start_s = (number % 4) * DAY_S + number * 10
        for index in (exact, fast):
            index.put(f"clip-{number}", span(start_s, start_s + 10), vector, vector)
    fast.put("clip-0", span(0, 10), vectors[0], vectors[0])  # into a sealed day

    for query in vectors[400:]:
        expected = exact.search(query, kind=VectorKind.TEXT, limit=400)
        found = fast.search(query, kind=VectorKind.TEXT, limit=400)
        score_of = {hit.clip_id: hit.score for hit in found}
        assert len(found) == 400
        for hit in expected:
            assert score_of[hit.clip_id] == pytest.approx(hit.score, abs=1e-3)


def test_catching_up_follows_the_record(index: ClipIndex) -> None:
    record = DictRecord()
    record.add_stream(spec())
    put(record, note(0), note(1), note(2))

    assert catch_up(index, record) == CaughtUp(put=3)
    assert catch_up(index, record) == CaughtUp()
    put(record, note(3), note(1))
    record.delete_span(span(0, 5))
    assert catch_up(index, record) == CaughtUp(put=2, removed=1)
    assert index.clip_ids() == record.clip_ids()


def test_vectors_of_another_model_are_passed_over(index: ClipIndex) -> None:
    record = DictRecord()
    record.add_stream(spec())
    put(record, note(0), note(1))
    catch_up(index, record)
    put(record, note(1, model_id="another@2"), note(2, model_id="another@2"))

    assert catch_up(index, record) == CaughtUp(removed=1, foreign=2)
    assert index.clip_ids() == {note(0).clip_id}


def test_the_index_of_another_record_is_emptied_first(index: ClipIndex) -> None:
    old, new = DictRecord(record_id="old"), DictRecord(record_id="new")
    for record, number in ((old, 0), (new, 7)):
        record.add_stream(spec())
        put(record, note(number))
    catch_up(index, old)
    catch_up(index, new)

    assert index.clip_ids() == {note(7).clip_id}


def test_an_index_ahead_of_its_record_is_emptied_first(index: ClipIndex) -> None:
    record, restored = DictRecord(), DictRecord()  # such as from a backup
    for one in (record, restored):
        one.add_stream(spec())
    put(record, note(0), note(1))
    put(restored, note(5))
    catch_up(index, record)
    catch_up(index, restored)

    assert index.clip_ids() == {note(5).clip_id}


def test_several_threads_may_put_search_and_remove(index: ClipIndex) -> None:
    vectors = unit_vectors(400, seed=8)

    def work(thread: int) -> None:
        for number in range(thread * 100, thread * 100 + 100):
            where = span(number * 10, number * 10 + 10)
            index.put(f"clip-{number}", where, vectors[number], vectors[number])
            assert ids(index, vectors[number], limit=1) == [f"clip-{number}"]
            if number % 2:
                index.remove([f"clip-{number}"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(index) == 200


def test_faiss_keeps_to_one_thread_whoever_calls() -> None:
    index = FaissIndex(width=WIDTH, embedder_id=MODEL)
    (same,) = unit_vectors(1, seed=9)
    index.put("clip", span(0, 10), same, same)

    def threads() -> int:
        ids(index, same)
        return faiss.omp_get_max_threads()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads).result() == 1


def test_without_faiss_one_is_told_what_to_install() -> None:
    command = "import sys; sys.modules['faiss'] = None; import memory.faiss_index"
    told = subprocess.run(
        [sys.executable, "-c", command],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "IndexEngineMissing: faiss is not installed; install longwatch[cpu]" in told.stderr
