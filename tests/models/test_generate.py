"""Decoding ends where nothing new will come, and nowhere else."""

from itertools import cycle

import pytest
from torch import Tensor

from models.generate import LOOP_TIMES, LOOP_TOKENS, OF_TOKENS, greedy
from tests.models.builders import tiny_engine


def written(ids: list[int], *, at_most: int = 400) -> list[int]:
    """What is decoded of a model that would say these, over and over."""
    engine, saying = tiny_engine(), cycle(ids)

    def choose(logits_V: Tensor) -> int:
        return next(saying)

    prompt = engine.processor.prompt_ids("what happens")
    end_id = engine.processor.end_token_id
    return list(
        greedy(engine.model, prompt, None, end_id=end_id, max_new_tokens=at_most, choose=choose)
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7, 32])
def test_a_piece_said_over_and_over_ends_it(size: int) -> None:
    piece = list(range(10, 10 + size))
    length = max(LOOP_TIMES * size, LOOP_TOKENS)

    assert written(piece) == (piece * length)[:length]


def test_pieces_that_take_turns_end_it() -> None:
    pieces = [10, 11, 12], [10, 13, 12]
    ids = [token for number in range(40) for token in pieces[number.bit_count() % 2]]

    assert written(ids, at_most=len(ids)) == ids[:OF_TOKENS]


def test_what_is_not_the_same_each_time_does_not() -> None:
    ids = [token for number in range(40) for token in (10, 11, 12, 13, 20 + number)]

    assert written(ids, at_most=len(ids)) == ids


def test_a_few_times_are_no_loop() -> None:
    often = [10, 11, 12, 13] * (LOOP_TIMES - 1)
    ids = [*often, 14, 15, *often, 16]

    assert written(ids, at_most=len(ids)) == ids
