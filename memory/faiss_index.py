"""The fast `ClipIndex`: FAISS, one partition for each stream and media day.

The newest day of a stream is its head and holds float32; when a newer day begins, it is
sealed to float16, which halves it and costs a cosine at most about 0.001. Every search is
exact, over the partitions that the question's ranges touch. Within a partition, the row of a
FAISS index is the place in its lists, and removing keeps the order of the rest.

The only module that imports faiss. Its threads cost far more than they bring at this size,
and OpenMP counts threads for each calling thread, hence `_one_thread` at every entrance.
"""

import threading
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory.errors import DamagedIndex, IndexEngineMissing
from memory.follow import CaughtUp, catch_up
from memory.index import VectorKind, check_width
from memory.index_files import (
    Manifest,
    PartitionData,
    PartitionEntry,
    read_manifest,
    read_partition,
    write_manifest,
    write_partition,
)
from memory.record import Record, Within
from memory.values import DAY_NS, Hit, Mark, Vector
from streaming.messages import Span

try:
    import faiss as _faiss_module
except ImportError as error:
    raise IndexEngineMissing from error

_faiss: Any = _faiss_module  # faiss ships no types

_EQUAL = 1e-6
_LOADS = 2  # another process may save, and so take files away, while it is read


class _Ranked(NamedTuple):
    """Sorts best first, and among equals by stream, time and id."""

    minus_score: float
    stream_id: str
    start_ns: int
    clip_id: str
    end_ns: int
    score: float


class FaissIndex:
    """Inner product over unit vectors, held in process memory, saved to a directory."""

    def __init__(self, *, width: int, embedder_id: str) -> None:
        self.width = width
        self.embedder_id = embedder_id
        self.mark: Mark | None = None
        self._lock = threading.RLock()
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._home: dict[str, _Partition] = {}

    def put(self, clip_id: str, span: Span, text_vector: Vector, visual_vector: Vector) -> None:
        vectors = {
            VectorKind.TEXT: check_width(text_vector, self.width)[None],
            VectorKind.VISUAL: check_width(visual_vector, self.width)[None],
        }
        with self._lock:
            _one_thread()
            self.remove([clip_id])
            partition = self._partition(span)
            partition.add([clip_id], [span.start_ns], [span.end_ns], vectors)
            self._home[clip_id] = partition

    def remove(self, clip_ids: Iterable[str]) -> int:
        with self._lock:
            _one_thread()
            held = {clip_id for clip_id in clip_ids if clip_id in self._home}
            for partition in {id(self._home[c]): self._home[c] for c in held}.values():
                partition.remove(held)
                if not partition.clip_ids:
                    del self._partitions[partition.stream_id, partition.day]
            for clip_id in held:
                del self._home[clip_id]
            return len(held)

    def clear(self) -> None:
        with self._lock:
            self._partitions.clear()
            self._home.clear()
            self.mark = None

    def search(
        self, query: Vector, *, kind: VectorKind, limit: int, within: Within = None
    ) -> list[Hit]:
        query = check_width(query, self.width)
        with self._lock:
            _one_thread()
            ranked = [
                found
                for partition, ranges in self._touched(within)
                for found in partition.search(query, kind, limit, ranges)
            ]
        return [
            Hit(
                one.clip_id,
                Span(stream_id=one.stream_id, start_ns=one.start_ns, end_ns=one.end_ns),
                one.score,
            )
            for one in sorted(ranked)[:limit]
        ]

    def clip_ids(self) -> set[str]:
        with self._lock:
            return set(self._home)

    def __len__(self) -> int:
        return len(self._home)

    def save(self, directory: Path) -> None:
        """Write what changed since it was saved there, so that a crash leaves old or new.

        An index that does not know how far of a record it holds is not worth saving:
        `ValueError`. One process saves to a directory at a time.
        """
        with self._lock:
            if self.mark is None:
                raise ValueError("catch up with a record before saving")
            _one_thread()
            for partition in self._partitions.values():
                if partition.saved is None or not (directory / partition.saved.file).is_file():
                    partition.saved = write_partition(directory, partition.data())
            entries = [p.saved for p in self._partitions.values() if p.saved is not None]
            write_manifest(
                directory,
                Manifest(
                    embedder_id=self.embedder_id,
                    width=self.width,
                    clips=len(self._home),
                    mark=self.mark,
                    partitions=tuple(entries),
                ),
            )

    @classmethod
    def load(cls, directory: Path, *, width: int, embedder_id: str) -> "FaissIndex":
        """Read back what `save` wrote, or `DamagedIndex`."""
        manifest = read_manifest(directory, embedder_id=embedder_id, width=width)
        index = cls(width=width, embedder_id=embedder_id)
        _one_thread()
        for entry in manifest.partitions:
            index._adopt(read_partition(directory, entry, width=width), entry)
        if len(index) != manifest.clips:
            raise DamagedIndex(str(directory), detail="a clip is in it twice")
        index.mark = manifest.mark
        return index

    def _adopt(self, data: PartitionData, entry: PartitionEntry) -> None:
        sealed = data.text.dtype == np.float16
        partition = _Partition(data.stream_id, data.day, width=self.width, sealed=sealed)
        partition.add(
            data.clip_ids,
            data.start_ns.tolist(),
            data.end_ns.tolist(),
            {VectorKind.TEXT: data.text, VectorKind.VISUAL: data.visual},
        )
        partition.saved = entry
        self._partitions[data.stream_id, data.day] = partition
        self._home.update(dict.fromkeys(data.clip_ids, partition))

    def _partition(self, span: Span) -> "_Partition":
        key = (span.stream_id, span.start_ns // DAY_NS)
        if key not in self._partitions:
            others = [p for p in self._partitions.values() if p.stream_id == span.stream_id]
            for older in others:
                if older.day < key[1]:
                    older.seal(self.width)
            sealed = any(newer.day > key[1] for newer in others)
            self._partitions[key] = _Partition(*key, width=self.width, sealed=sealed)
        return self._partitions[key]

    def _touched(self, within: Within) -> "Iterator[tuple[_Partition, list[Span] | None]]":
        """Partitions that may hold clips in range, each with the ranges of its stream."""
        if within is None:
            yield from ((partition, None) for partition in self._partitions.values())
            return
        ranges_of: dict[str, list[Span]] = {}
        for span in within:
            ranges_of.setdefault(span.stream_id, []).append(span)
        for partition in self._partitions.values():
            touching = [
                span
                for span in ranges_of.get(partition.stream_id, ())
                if span.overlaps(partition.first_ns, partition.last_ns)
            ]
            if touching:
                yield partition, touching


class _Partition:
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
        selector = _faiss.IDSelectorBatch(np.array(gone, dtype=np.int64))
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
    ) -> list[_Ranked]:
        wanted = len(self.clip_ids)
        parameters = None
        if ranges is not None:
            rows = np.flatnonzero(self._in_any(ranges))
            wanted = len(rows)
            selector = _faiss.IDSelectorBatch(rows)
            parameters = _faiss.SearchParameters(sel=selector)
        if not wanted or limit < 1:
            return []
        vectors = self._vectors[kind]
        scores, found = vectors.search(query[None], min(limit, wanted), params=parameters)
        scores, found = scores[0], found[0]
        if limit < wanted:  # the worst may have equals, and among them the earlier counts
            least = float(scores[-1]) - 2 * _EQUAL
            _, scores, found = vectors.range_search(query[None], least, params=parameters)
        ranked = [
            _Ranked(
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

    def data(self) -> PartitionData:
        kept = np.float16 if self.sealed else np.float32
        text, visual = (
            self._vectors[kind].reconstruct_n(0, len(self.clip_ids)).astype(kept)
            for kind in (VectorKind.TEXT, VectorKind.VISUAL)
        )
        return PartitionData(
            stream_id=self.stream_id,
            day=self.day,
            clip_ids=list(self.clip_ids),
            start_ns=np.array(self._start_ns, dtype=np.int64),
            end_ns=np.array(self._end_ns, dtype=np.int64),
            text=text,
            visual=visual,
        )

    def _in_any(self, ranges: list[Span]) -> NDArray[np.bool_]:
        start_ns, end_ns = np.array(self._start_ns), np.array(self._end_ns)
        inside = np.zeros(len(start_ns), dtype=np.bool_)
        for span in ranges:
            inside |= (start_ns < span.end_ns) & (end_ns > span.start_ns)
        return inside


@dataclass(frozen=True, slots=True)
class OpenedIndex:
    """An index that is up to date, where it is saved, and why it was rebuilt, if it was."""

    index: FaissIndex
    directory: Path
    rebuilt_because: str | None
    caught_up: CaughtUp

    def save(self) -> None:
        self.index.save(self.directory)

    def delete_clips(self, clip_ids: Iterable[str]) -> int:
        """Delete clips from the index and from what is saved of it."""
        removed = self.index.remove(clip_ids)
        self.save()
        return removed


def open_index(directory: Path, record: Record, *, width: int, embedder_id: str) -> OpenedIndex:
    """The saved index brought up to date; built from the record where that is of no use.

    Nothing is written until `save`.
    """
    index, why = FaissIndex(width=width, embedder_id=embedder_id), None
    for _ in range(_LOADS):
        try:
            index, why = FaissIndex.load(directory, width=width, embedder_id=embedder_id), None
            break
        except DamagedIndex as error:
            why = error.detail
    return OpenedIndex(index, directory, why, catch_up(index, record))


def _empty(width: int, *, sealed: bool) -> Any:  # noqa: ANN401 - faiss ships no types
    if sealed:
        return _faiss.IndexScalarQuantizer(
            width, _faiss.ScalarQuantizer.QT_fp16, _faiss.METRIC_INNER_PRODUCT
        )
    return _faiss.IndexFlatIP(width)


def _one_thread() -> None:
    _faiss.omp_set_num_threads(1)
