"""How many tokens a model reads and writes: each engine counts, whoever wants to know listens.

A question takes several calls of an engine, by several parts. What they come to is counted along
the way, as spans of a trace are, so that no part has to hand it on.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Usage:
    """What calls of an engine come to.

    prompt_tokens       read, visual tokens included
    cached_tokens       of these, those that a server had read before
    completion_tokens   written
    is_known            false once a server did not say
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    is_known: bool = True


_usage: ContextVar[Usage | None] = ContextVar("usage", default=None)


@contextmanager
def counted() -> Generator[Usage]:
    """Count what engines read and write in this thread meanwhile."""
    usage = Usage()
    before = _usage.set(usage)
    try:
        yield usage
    finally:
        _usage.reset(before)


def count(*, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> None:
    """Say what one call took."""
    if (usage := _usage.get()) is not None:
        usage.prompt_tokens += prompt_tokens
        usage.completion_tokens += completion_tokens
        usage.cached_tokens += cached_tokens


def count_unknown() -> None:
    """Say that nobody knows what one call took."""
    if (usage := _usage.get()) is not None:
        usage.is_known = False
