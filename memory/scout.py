"""What is near to a query, found out on a GPU; what comes first of it, the CPU decides.

FAISS on a GPU takes no ranges, removes nothing, and rounds differently. So the GPU holds a copy of
all vectors and says how near the best clip of a partition can be at most. `FaissIndex` searches
the most promising partitions, as it searches all without a GPU, until no other can hold better;
the result is the same. Copies of what was removed meanwhile cost a little and change nothing.
"""

from array import array
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from memory.errors import GpuSearchUnavailable
from memory.faiss_partition import faiss
from memory.index import VectorKind
from memory.values import Vector

BATCH_ROWS = 4096  # a GPU copies all it has when rows are added
MOST_NEIGHBOURS = 2048  # that FAISS finds on a GPU
ROUNDING = 2e-3  # at most, of a cosine: by the GPU, and by sealing what it got unsealed

P = TypeVar("P")


class Scout(Generic[P]):
    """Copies of the vectors of partitions `P`. For one thread at a time."""

    def __init__(self, make_matrix: Callable[[], Any]) -> None:
        """
        Args:
            make_matrix: an empty FAISS index over inner products that holds one row after another.
        """
        self._make_matrix = make_matrix
        self.clear()

    def clear(self) -> None:
        self._matrices = {kind: self._make_matrix() for kind in VectorKind}
        self._partitions: list[P] = []
        self._partition_of_row = array("q")
        self._waiting: list[tuple[P, Mapping[VectorKind, NDArray[np.float32]]]] = []
        self._num_waiting = 0

    @property
    def num_rows(self) -> int:
        return len(self._partition_of_row) + self._num_waiting

    def add(self, partition: P, vectors: Mapping[VectorKind, NDArray[np.float32]]) -> None:
        """Copy rows of a partition, when there are enough to be worth it."""
        self._waiting.append((partition, vectors))
        self._num_waiting += len(vectors[VectorKind.TEXT])
        if self._num_waiting >= BATCH_ROWS:
            self._copy_waiting()

    def nearest(self, query: Vector, kind: VectorKind, count: int) -> tuple[dict[P, float], float]:
        """Partitions of the `count` nearest rows, the best first, and what their clips score at
        most; and what those of all others do.
        """
        at_most = {partition: float("inf") for partition, _ in self._waiting}
        matrix = self._matrices[kind]
        count = min(count, MOST_NEIGHBOURS, matrix.ntotal)
        if not count:
            return at_most, float("-inf")
        scores, rows = matrix.search(query[None], count)
        for score, row in zip(scores[0].tolist(), rows[0].tolist(), strict=True):
            partition = self._partitions[self._partition_of_row[row]]
            at_most.setdefault(partition, score + ROUNDING)
        is_all = count == matrix.ntotal
        return at_most, float("-inf") if is_all else float(scores[0][-1]) + ROUNDING

    def _copy_waiting(self) -> None:
        for kind, matrix in self._matrices.items():
            matrix.add(np.concatenate([vectors[kind] for _, vectors in self._waiting]))
        for partition, vectors in self._waiting:
            if not self._partitions or self._partitions[-1] is not partition:
                self._partitions.append(partition)
            number = len(self._partitions) - 1
            self._partition_of_row.extend([number] * len(vectors[VectorKind.TEXT]))
        self._waiting, self._num_waiting = [], 0


def gpu_scout(device: str, *, width: int) -> Scout[Any]:
    """A scout on a GPU, named as torch names it: cuda, or cuda:1 for the second.

    Raises:
        GpuSearchUnavailable
    """
    number = int(device.partition(":")[2] or 0)
    if number >= (count := faiss.get_num_gpus()):
        raise GpuSearchUnavailable(device, reason=f"FAISS finds {count} GPUs")
    config = faiss.GpuIndexFlatConfig()
    config.device = number
    try:
        resources = faiss.StandardGpuResources()
        return Scout(lambda: faiss.GpuIndexFlatIP(resources, width, config))
    except RuntimeError as error:  # it has no room, mostly
        raise GpuSearchUnavailable(device, reason=str(error)) from error
