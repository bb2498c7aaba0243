"""FAISS on a GPU beside FAISS on the CPU: all vectors in one matrix, and the index with a scout."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import faiss as faiss_module
import numpy as np

from memory.errors import GpuSearchUnavailable
from memory.faiss_index import FaissIndex
from memory.index import VectorKind
from memory.scout import MOST_NEIGHBOURS, gpu_scout
from memory.spans import whole_stream
from memory.values import DAY_NS, Hit, Vector
from streaming.messages import NS_PER_S, Span

faiss: Any = faiss_module  # it ships no types

WIDTH = 384
CLIP_NS = 10 * NS_PER_S
CLIPS_A_DAY = DAY_NS // CLIP_NS
EVERYTHING = [whole_stream("cam")]  # as a question that names no time
WANTED = 400  # what a question asks the index for
CHUNK_ROWS = 100_000
SPARE = 1.5  # of the memory that the vectors take
INDEXED_ROWS = 1_000_000  # at most, clip by clip
MEMORY_INFO = Path("/proc/meminfo")


def measure(sizes: list[int], *, turns: int) -> dict[str, object]:
    """Seconds of a search, by the number of vectors; what does not fit is left out, saying so."""
    result: dict[str, object] = {"width": WIDTH, "wanted": WANTED}
    for rows in sizes:
        result[str(rows)] = {"matrix": matrices(rows, turns), "index": indexes(rows, turns)}
    return result


def matrices(rows: int, turns: int) -> dict[str, object]:
    """A search of one matrix: float16 on the CPU, by one thread and all, and float32 on a GPU."""
    if (needed := rows * WIDTH * 2 * SPARE) > (free := free_bytes()):
        return left_out(rows, f"{needed:.3g} bytes are needed, and {free:.3g} free")
    kind = faiss.ScalarQuantizer.QT_fp16
    on_cpu = filled(faiss.IndexScalarQuantizer(WIDTH, kind, faiss.METRIC_INNER_PRODUCT), rows)
    result: dict[str, object] = {}
    for threads in sorted({1, os.cpu_count() or 1}):
        faiss.omp_set_num_threads(threads)
        result[f"cpu_{threads}_threads_s"] = seconds(
            lambda query: on_cpu.search(query[None], WANTED), turns
        )
    if not faiss.get_num_gpus():
        return result
    try:
        on_gpu = filled(faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), WIDTH), rows)
        count = min(MOST_NEIGHBOURS, 2 * WANTED)
        result["gpu_s"] = seconds(lambda query: on_gpu.search(query[None], count), turns)
    except RuntimeError as error:
        result["gpu"] = left_out(rows, str(error).splitlines()[0])
    return result


def indexes(rows: int, turns: int) -> dict[str, object]:
    """A search of the index, without a scout and with one; hits have to be the same."""
    if rows > INDEXED_ROWS:
        return left_out(rows, "the index is filled clip by clip, which would take too long")
    index = FaissIndex(width=WIDTH, embedder_id="random")
    number = 0
    for vectors in chunks(rows):
        for vector in vectors:
            day, place = divmod(number, CLIPS_A_DAY)
            start_ns = day * DAY_NS + place * CLIP_NS
            span = Span(stream_id="cam", start_ns=start_ns, end_ns=start_ns + CLIP_NS)
            index.put(f"clip-{number}", span, vector, vector)
            number += 1

    def search(query: Vector) -> list[Hit]:
        return index.search(query, kind=VectorKind.TEXT, limit=WANTED, within=EVERYTHING)

    result: dict[str, object] = {"cpu_s": seconds(search, turns)}
    before = [search(query) for query in queries(turns)]
    try:
        index.use(gpu_scout("cuda", width=WIDTH))
    except GpuSearchUnavailable as error:
        return result | {"gpu": left_out(rows, error.reason)}
    result["with_scout_s"] = seconds(search, turns)
    result["same_hits"] = before == [search(query) for query in queries(turns)]
    return result


def seconds(search: Callable[[Vector], object], turns: int) -> float:
    """Median of a search, after one that does not count."""
    took_s: list[float] = []
    for query in queries(turns + 1):
        begun = time.perf_counter()
        search(query)
        took_s.append(time.perf_counter() - begun)
    return median(took_s[1:])


def filled(matrix: Any, rows: int) -> Any:  # noqa: ANN401 - faiss ships no types
    for vectors in chunks(rows):
        matrix.add(vectors)
    return matrix


def chunks(rows: int) -> Iterator[Vector]:
    """Unit vectors at random; after the first chunk the same ones, turned."""
    first = unit(np.random.default_rng(1), min(rows, CHUNK_ROWS))
    for turn, begin in enumerate(range(0, rows, CHUNK_ROWS)):
        yield np.roll(first, turn, axis=1)[: rows - begin]


def queries(count: int) -> Vector:
    return unit(np.random.default_rng(2), count)


def unit(dice: np.random.Generator, rows: int) -> Vector:
    vectors = dice.standard_normal((rows, WIDTH), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def free_bytes() -> int:
    fields = dict(line.split(":") for line in MEMORY_INFO.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def left_out(rows: int, why: str) -> dict[str, object]:
    print(f"search among {rows} vectors: left out, {why}", file=sys.stderr)
    return {"left_out": why}
