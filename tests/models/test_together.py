"""Calls of several threads, done as one: in order, each with its own result or error."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import pytest
import torch

from models.layout import Compression, SlowFast, WeightedSampler
from models.together import Together
from tests.models.test_engine import frames, tiny_engine

PATIENCE_S = 30.0


class Doubling:
    """Doubles numbers, and notes which it was given together. The first waits to be let go."""

    def __init__(self, *, refused: Callable[[Sequence[int]], bool] = lambda given: False) -> None:
        self.given: list[list[int]] = []
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()
        self._refused = refused

    def __call__(self, given: Sequence[int]) -> list[int]:
        self.given.append(list(given))
        self.has_begun.set()
        self.may_go_on.wait(PATIENCE_S)
        if self._refused(given):
            raise ValueError(f"not {given}")
        return [2 * number for number in given]


def until_waiting(together: Together[Any, Any], count: int) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while len(together) < count:
        assert time.monotonic() < give_up_s
        time.sleep(0.001)


def called(doubling: Doubling, *, at_most: int, numbers: Sequence[int]) -> list[Future[int]]:
    """Call with the first number, and with the others, in order, while that is worked at."""
    together = Together(doubling, threading.RLock(), at_most=at_most, what="numbers")
    with ThreadPoolExecutor(len(numbers)) as pool:
        futures: list[Future[int]] = []
        for count, number in enumerate(numbers):
            futures.append(pool.submit(together, number))
            assert doubling.has_begun.wait(PATIENCE_S)
            until_waiting(together, count)
        doubling.may_go_on.set()
        wait(futures, PATIENCE_S)
    return futures


def test_those_that_come_meanwhile_are_done_together():
    doubling = Doubling()

    futures = called(doubling, at_most=8, numbers=[1, 2, 3, 4])

    assert [future.result() for future in futures] == [2, 4, 6, 8]
    assert doubling.given == [[1], [2, 3, 4]]


def test_no_more_than_may_be():
    doubling = Doubling()

    futures = called(doubling, at_most=2, numbers=[1, 2, 3, 4])

    assert [future.result() for future in futures] == [2, 4, 6, 8]
    assert doubling.given == [[1], [2, 3], [4]]


def test_an_error_meets_nobody_but_whom_it_belongs_to(caplog: pytest.LogCaptureFixture):
    doubling = Doubling(refused=lambda given: 3 in given)

    futures = called(doubling, at_most=8, numbers=[1, 2, 3, 4])

    with pytest.raises(ValueError, match=r"not \[3\]"):
        futures.pop(2).result()
    assert [future.result() for future in futures] == [2, 4, 8]
    assert caplog.text == ""


def test_where_it_is_the_number_there_are_fewer_from_then_on(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    doubling = Doubling(refused=lambda given: len(given) > 2)

    futures = called(doubling, at_most=8, numbers=[1, 2, 3, 4, 5])

    assert [future.result() for future in futures] == [2, 4, 6, 8, 10]
    assert doubling.given == [[1], [2, 3, 4, 5], [2], [3], [4], [5]]
    assert [one.getMessage() for one in caplog.records] == [
        "4 numbers failed together, and not one by one; at most 2 together from now on: "
        "not [2, 3, 4, 5]"
    ]


@pytest.mark.parametrize(
    "compression",
    [SlowFast(slow_stride=2, pool=1), WeightedSampler(tokens_per_frame=5, cells=2)],
    ids=lambda compression: compression.kind,
)
def test_clips_of_several_streams_pass_the_tower_together(
    compression: Compression, monkeypatch: pytest.MonkeyPatch
):
    clips = [frames(count, seed=seed) for seed, count in enumerate((4, 2, 3, 4))]
    alone, engine = tiny_engine(compression), tiny_engine(compression, clips_at_once=8)
    batches: list[int] = []
    tower = engine.model.features
    has_begun, may_go_on = threading.Event(), threading.Event()

    def watched(pixels_TCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        batches.append(len(pixels_TCHW))
        has_begun.set()
        may_go_on.wait(PATIENCE_S)
        return tower(pixels_TCHW)

    monkeypatch.setattr(engine.model, "features", watched)
    with ThreadPoolExecutor(len(clips)) as pool:
        futures = [pool.submit(engine.encode, clip, range(len(clip))) for clip in clips[:1]]
        assert has_begun.wait(PATIENCE_S)
        futures += [pool.submit(engine.encode, clip, range(len(clip))) for clip in clips[1:]]
        until_waiting(engine.tower, 3)
        may_go_on.set()

    assert batches == [4, 9]
    for clip, future in zip(clips, futures, strict=True):
        expected, got = alone.encode(clip, range(len(clip))), future.result()
        assert np.array_equal(got.tokens.frame_K, expected.tokens.frame_K)
        assert np.allclose(got.tokens.tokens_KD, expected.tokens.tokens_KD, atol=2e-3)
        assert got.vector_V is not None and expected.vector_V is not None
        assert got.vector_V @ expected.vector_V > 0.999
