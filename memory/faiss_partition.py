"""One partition of `FaissIndex`: the clips of one stream that start on one media day.

The newest day of a stream is its head and holds float32; when a newer day begins, it is sealed to
float16, which halves it and costs a cosine at most about 0.001. The row of a FAISS index is the
place in the partition's lists, and removing keeps the order of the rest.

FAISS is imported here, and nowhere else. Its threads cost far more than they bring at this size,
and OpenMP counts threads for each calling thread, hence `one_thread` at every entrance.
"""

from array import array
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory.errors import IndexEngineMissing
from memory.index import VectorKind
from memory.index_files import PartitionData, PartitionEntry
from memory.values import DAY_NS, Vector
from streaming.messages import Span

try:
    import faiss as _faiss_module
except ImportError as error:
    raise IndexEngineMissing from error

faiss: Any = _faiss_module  # it ships no types

_EQUAL = 1e-6


class Ranked(NamedTuple):
    """Sorts best first, and among equals by stream, time and id."""

    minus_score: float
    stream_id: str
    start_ns: int
    clip_id: str
    end_ns: int
    score: float


class Partition:
    """The clips of one stream that start on one media day."""

    def __init__(self, stream_id: str, day: int, *, width: int, sealed: bool) -> None:
        self.stream_id = stream_id
        self.day = day
        self.sealed = sealed
        self.clip_ids: list[str] = []
        self.first_ns = day * DAY_NS
        self.last_ns = self.first_ns
        self.saved: PartitionEntry | None = None
        self._start_ns = array("q")
        self._end_ns = array("q")
        self._vectors = {kind: _empty(width, sealed=sealed) for kind in VectorKind}

    def add(
        self,
        clip_ids: list[str],
        start_ns: list[int],
        end_ns: list[int],
        vectors: dict[VectorKind, NDArray[Any]],
    ) -> None:
        self.saved = None
        self.clip_ids += clip_ids
        self._start_ns.extend(start_ns)
        self._end_ns.extend(end_ns)
        self.last_ns = max(self.last_ns, *end_ns)
        for kind, rows in vectors.items():
            self._vectors[kind].add(np.ascontiguousarray(rows, dtype=np.float32))

    def remove(self, clip_ids: set[str]) -> None:
        gone = [row for row, clip_id in enumerate(self.clip_ids) if clip_id in clip_ids]
        selector = faiss.IDSelectorBatch(np.array(gone, dtype=np.int64))
        for vectors in self._vectors.values():
            vectors.remove_ids(selector)
        for row in reversed(gone):
            del self.clip_ids[row], self._start_ns[row], self._end_ns[row]
        self.saved = None

    def seal(self, width: int) -> None:
        """Keep half as much of each vector: nothing new is expected."""
        if self.sealed:
            return
        for kind, vectors in self._vectors.items():
            sealed = _empty(width, sealed=True)
            sealed.add(vectors.reconstruct_n(0, vectors.ntotal))
            self._vectors[kind] = sealed
        self.sealed = True
        self.saved = None

    def search(
        self, query: Vector, kind: VectorKind, limit: int, ranges: list[Span] | None
    ) -> list[Ranked]:
        wanted = len(self.clip_ids)
        parameters = None
        if ranges is not None:
            rows = np.flatnonzero(self._in_any(ranges))
            wanted = len(rows)
            selector = faiss.IDSelectorBatch(rows)
            parameters = faiss.SearchParameters(sel=selector)
        if not wanted or limit < 1:
            return []
        vectors = self._vectors[kind]
        scores, found = vectors.search(query[None], min(limit, wanted), params=parameters)
        scores, found = scores[0], found[0]
        if limit < wanted:  # the worst may have equals, and among them the earlier counts
            least = float(scores[-1]) - 2 * _EQUAL
            _, scores, found = vectors.range_search(query[None], least, params=parameters)
        ranked = [
            Ranked(
                -round(score, 6),
                self.stream_id,
                self._start_ns[row],
                self.clip_ids[row],
                self._end_ns[row],
                score,
            )
            for score, row in zip(scores.tolist(), found.tolist(), strict=True)
        ]
        return sorted(ranked)[:limit]

    def is_within(self, ranges: list[Span]) -> bool:
        """Whether one of the ranges holds all of it."""
        return any(
            span.start_ns <= self.first_ns and self.last_ns <= span.end_ns for span in ranges
        )

    def data(self) -> PartitionData:
        kept = np.float16 if self.sealed else np.float32
        vectors = self.vectors()
        return PartitionData(
            stream_id=self.stream_id,
            day=self.day,
            clip_ids=list(self.clip_ids),
            start_ns=np.array(self._start_ns, dtype=np.int64),
            end_ns=np.array(self._end_ns, dtype=np.int64),
            text=vectors[VectorKind.TEXT].astype(kept),
            visual=vectors[VectorKind.VISUAL].astype(kept),
        )

    def vectors(self) -> dict[VectorKind, NDArray[np.float32]]:
        count = len(self.clip_ids)
        return {kind: rows.reconstruct_n(0, count) for kind, rows in self._vectors.items()}

    def _in_any(self, ranges: list[Span]) -> NDArray[np.bool_]:
        start_ns, end_ns = np.array(self._start_ns), np.array(self._end_ns)
        inside = np.zeros(len(start_ns), dtype=np.bool_)
        for span in ranges:
            inside |= (start_ns < span.end_ns) & (end_ns > span.start_ns)
        return inside


def _empty(width: int, *, sealed: bool) -> Any:  # noqa: ANN401 - faiss ships no types
    if sealed:
        return faiss.IndexScalarQuantizer(
            width, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
    return faiss.IndexFlatIP(width)


def one_thread() -> None:
    """For the calling thread, from now on."""
    faiss.omp_set_num_threads(1)
