"""Every error of the lower packages has an entry in the one table, and what has none crashes."""

from collections.abc import Iterator

import pytest

from memory.errors import StoreError
from models.errors import ModelError
from services.actions import ACTIONS, Action, action_for
from streaming.errors import StreamingError


def leaves(error: type[Exception]) -> Iterator[type[Exception]]:
    below = error.__subclasses__()
    if not below:
        yield error
    for one in below:
        yield from leaves(one)


LEAVES = [leaf for base in (StreamingError, StoreError, ModelError) for leaf in leaves(base)]


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_every_error_has_an_action(error: type[Exception]) -> None:
    assert error in ACTIONS


def test_what_was_not_foreseen_crashes() -> None:
    assert action_for(ZeroDivisionError()) is Action.CRASH
