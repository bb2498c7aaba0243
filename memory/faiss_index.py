"""The fast `ClipIndex`: FAISS, one partition for each stream and media day.

Every search is exact, over the partitions that the question's ranges touch. With a scout, a search
of most of them looks only where that says, and finds the same.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from memory.errors import DamagedIndex
from memory.faiss_partition import Partition, Ranked, one_thread
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
from memory.scout import BATCH_ROWS, Scout
from memory.shards import ALL, Shard
from memory.values import DAY_NS, Hit, Mark, Vector
from streaming.messages import Span

T = TypeVar("T")
Touched = dict[Partition, list[Span] | None]
log = logging.getLogger(__name__)

NEIGHBOURS = 64  # that a scout finds beyond twice those wanted, so that the rest is further away
_LOADS = 2  # another process may save, and so take files away, while it is read


class FaissIndex:
    """Inner product over unit vectors, held in process memory, saved to a directory."""

    def __init__(self, *, width: int, embedder_id: str) -> None:
        self.width = width
        self.embedder_id = embedder_id
        self.mark: Mark | None = None
        self._scout: Scout[Partition] | None = None
        self._lock = threading.RLock()
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._home: dict[str, Partition] = {}

    def put(self, clip_id: str, span: Span, text_vector: Vector, visual_vector: Vector) -> None:
        vectors = {
            VectorKind.TEXT: check_width(text_vector, self.width)[None],
            VectorKind.VISUAL: check_width(visual_vector, self.width)[None],
        }
        with self._lock:
            one_thread()
            self.remove([clip_id])
            partition = self._partition(span)
            partition.add([clip_id], [span.start_ns], [span.end_ns], vectors)
            self._home[clip_id] = partition
            self._ask_scout(lambda scout: scout.add(partition, vectors))

    def remove(self, clip_ids: Iterable[str]) -> int:
        with self._lock:
            one_thread()
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
            self._ask_scout(lambda scout: scout.clear())
            self.mark = None

    def search(
        self, query: Vector, *, kind: VectorKind, limit: int, within: Within = None
    ) -> list[Hit]:
        query = check_width(query, self.width)
        with self._lock:
            one_thread()
            touched = dict(self._touched(within))
            ranked = self._scouted(query, kind, limit, touched)
            if ranked is None:
                ranked = [
                    one
                    for partition, ranges in touched.items()
                    for one in partition.search(query, kind, limit, ranges)
                ]
        return [
            Hit(
                one.clip_id,
                Span(stream_id=one.stream_id, start_ns=one.start_ns, end_ns=one.end_ns),
                one.score,
            )
            for one in sorted(ranked)[:limit]
        ]

    def use(self, scout: Scout[Partition]) -> None:
        """Have it asked first from now on; it is told of all that is held."""
        with self._lock:
            self._scout = scout
            self._ask_scout(self._tell_all)

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
            one_thread()
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
    def load(
        cls, directory: Path, *, width: int, embedder_id: str, shard: Shard = ALL
    ) -> "FaissIndex":
        """Read back what `save` wrote, or a shard of it, or `DamagedIndex`."""
        manifest = read_manifest(directory, embedder_id=embedder_id, width=width)
        index = cls(width=width, embedder_id=embedder_id)
        one_thread()
        entries = [entry for entry in manifest.partitions if shard.holds(entry.stream_id)]
        for entry in entries:
            index._adopt(read_partition(directory, entry, width=width), entry)
        if len(index) != sum(entry.clips for entry in entries):
            raise DamagedIndex(str(directory), detail="a clip is in it twice")
        index.mark = manifest.mark
        return index

    def _adopt(self, data: PartitionData, entry: PartitionEntry) -> None:
        sealed = data.text.dtype == np.float16
        partition = Partition(data.stream_id, data.day, width=self.width, sealed=sealed)
        partition.add(
            data.clip_ids,
            data.start_ns.tolist(),
            data.end_ns.tolist(),
            {VectorKind.TEXT: data.text, VectorKind.VISUAL: data.visual},
        )
        partition.saved = entry
        self._partitions[data.stream_id, data.day] = partition
        self._home.update(dict.fromkeys(data.clip_ids, partition))

    def _partition(self, span: Span) -> Partition:
        key = (span.stream_id, span.start_ns // DAY_NS)
        if key not in self._partitions:
            others = [p for p in self._partitions.values() if p.stream_id == span.stream_id]
            for older in others:
                if older.day < key[1]:
                    older.seal(self.width)
            sealed = any(newer.day > key[1] for newer in others)
            self._partitions[key] = Partition(*key, width=self.width, sealed=sealed)
        return self._partitions[key]

    def _scouted(
        self, query: Vector, kind: VectorKind, limit: int, touched: Touched
    ) -> list[Ranked] | None:
        """The best of the partitions that the scout names; None if others might hold better."""
        if 2 * len(touched) < len(self._partitions):
            return None

        def is_enough(at_most: float) -> bool:
            return len(ranked) == limit and all(one.score > at_most for one in ranked)

        named = self._ask_scout(lambda scout: scout.nearest(query, kind, 2 * limit + NEIGHBOURS))
        if named is None:
            return None
        partitions, others_at_most = named
        ranked: list[Ranked] = []
        for partition, at_most in partitions.items():
            if is_enough(at_most):
                return ranked
            if partition in touched:
                found = partition.search(query, kind, limit, touched[partition])
                ranked = sorted(ranked + found)[:limit]
        return ranked if is_enough(others_at_most) or others_at_most == float("-inf") else None

    def _ask_scout(self, ask: Callable[[Scout[Partition]], T]) -> T | None:
        """What the scout says; None if there is none. One whose GPU fails is asked no more."""
        if self._scout is None:
            return None
        try:
            if self._scout.num_rows > 2 * len(self._home) + BATCH_ROWS:
                self._tell_all(self._scout)
            return ask(self._scout)
        except RuntimeError as error:
            log.warning("searching on the CPU from now on: %s", error)
            self._scout = None
            return None

    def _tell_all(self, scout: Scout[Partition]) -> None:
        scout.clear()
        for partition in self._partitions.values():
            scout.add(partition, partition.vectors())

    def _touched(self, within: Within) -> Iterator[tuple[Partition, list[Span] | None]]:
        """Partitions that may hold clips in range, each with the ranges that it is partly in."""
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
                yield partition, None if partition.is_within(touching) else touching


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


def open_index(
    directory: Path, record: Record, *, width: int, embedder_id: str, shard: Shard = ALL
) -> OpenedIndex:
    """The saved index brought up to date; built from the record where that is of no use.

    Nothing is written until `save`, which is for an index of all shards.
    """
    index, why = FaissIndex(width=width, embedder_id=embedder_id), None
    for _ in range(_LOADS):
        try:
            index = FaissIndex.load(directory, width=width, embedder_id=embedder_id, shard=shard)
            why = None
            break
        except DamagedIndex as error:
            why = error.detail
    return OpenedIndex(index, directory, why, catch_up(index, record, shard))
