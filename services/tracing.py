"""Traces: which pieces of work, in whatever process, came of one segment or one question.

A span is one piece of work; a trace is all spans that came of a first one. Between processes a
span is named by a `traceparent` header, as W3C's Trace Context says, which begins where capture
publishes a segment and is carried on by analysis to the index:

    capture.segment ─► analyse.decode
                    └► analyse.remember ─► analyse.encode, analyse.describe, analyse.store
                                        └► index.add

A clip belongs to the trace of the first segment that it shows, and links to the others. A question
is a trace of its own: answer, and within it answer.plan, .recall, .look and .write. The contexts
are carried, and stand in the log, whether or not somebody records spans (`services.otel`).
"""

import re
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from streaming.bus import NO_HEADERS

TRACEPARENT = "traceparent"
_PATTERN = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_VERSION, _NO_VERSION = "00", "ff"
_SAMPLED = 0x01
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class TraceContext:
    """What names a span between processes. Ids are hexadecimal, and not all zeros.

    is_sampled   whether spans of this trace are recorded
    """

    trace_id: str
    span_id: str
    is_sampled: bool

    @property
    def traceparent(self) -> str:
        return f"{_VERSION}-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"


def parsed(traceparent: str) -> TraceContext | None:
    """The context that a header holds; None if it holds none that may be used."""
    found = _PATTERN.fullmatch(traceparent.strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _NO_VERSION or (version == _VERSION and more):
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def context_of(headers: Mapping[str, str]) -> TraceContext | None:
    """The span that published a record with these headers, if it says so."""
    return parsed(headers.get(TRACEPARENT, ""))


@dataclass(frozen=True, slots=True)
class Scope:
    """The span that this thread works for, and what that is about; spans within it inherit both."""

    context: TraceContext | None = None
    about: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    is_remote: bool = False


_scope: ContextVar[Scope] = ContextVar("scope", default=Scope())  # noqa: B039 - it is frozen


def scope() -> Scope:
    return _scope.get()


@contextmanager
def within(scope: Scope) -> Generator[None]:
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)


def continuing(context: TraceContext | None) -> AbstractContextManager[None]:
    """Work for a span of another process, or for none."""
    return within(Scope(context, is_remote=True))


def headers() -> Mapping[str, str]:
    """What a record carries so that whoever reads it goes on with this thread's trace."""
    context = scope().context
    return NO_HEADERS if context is None else {TRACEPARENT: context.traceparent}


class Tracer(Protocol):
    """Begins spans. May be used from any thread."""

    def span(
        self,
        name: str,
        about: Mapping[str, str] = NOTHING,
        *,
        links: Sequence[TraceContext] = (),
    ) -> AbstractContextManager[None]:
        """A span for as long as the context lasts, in the trace that this thread works for.

        Without one it begins a trace. `links` are other spans that the work came of.
        """
        ...


class CarryingTracer:
    """Carries contexts on, and begins traces that nobody records."""

    def __init__(self, *, random_hex: Callable[[int], str] = secrets.token_hex) -> None:
        self._random_hex = random_hex

    @contextmanager
    def span(
        self,
        name: str,
        about: Mapping[str, str] = NOTHING,
        *,
        links: Sequence[TraceContext] = (),
    ) -> Generator[None]:
        outer = scope()
        trace_id, is_sampled = self._random_hex(16), False
        if outer.context is not None:
            trace_id, is_sampled = outer.context.trace_id, outer.context.is_sampled
        context = TraceContext(trace_id, self._random_hex(8), is_sampled)
        with within(Scope(context, {**outer.about, **about})):
            yield
