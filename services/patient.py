"""Clips whose notes wait until the model's server is back, in order within each stream.

Only their notes wait: what the model sees of them is stored, so that nothing is decoded or encoded
again while this process lives. Another one that takes the work over finds in the record how far
each stream is remembered, as after a kill, since offsets are held back up to here (`needs_offset`).

A note is written from those before it, so a stream's clips wait for their first one.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from models.errors import ModelServerAway
from services.remember import Rememberer, SeenClip
from services.windows import CollectedClip
from streaming.messages import NS_PER_S, Span

FIRST_WAIT_NS, LONGEST_WAIT_NS = NS_PER_S // 2, 30 * NS_PER_S
MOST_AT_ONCE = 16  # notes that are made up for before there is a look at what is new
MOST_WAITING = 20_000  # some 50 MB

log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A clip, and the offset of the first segment that it shows."""

    seen: SeenClip
    needs_offset: int


class PatientRememberer:
    """Remembers clips, of which some wait for their notes. Not for several threads."""

    def __init__(self, rememberer: Rememberer, *, monotonic_ns: Callable[[], int]) -> None:
        self._rememberer = rememberer
        self._monotonic_ns = monotonic_ns
        self._waiting: dict[str, deque[Waiting]] = {}
        self._wait_ns = 0
        self._again_at_ns = 0

    def __len__(self) -> int:
        """How many clips wait for their notes."""
        return sum(map(len, self._waiting.values()))

    def announce(self, clip_id: str, span: Span) -> None:
        self._rememberer.announce(clip_id, span)

    def remember(self, clip: CollectedClip, *, epoch_at: datetime) -> None:
        """Remember a clip now, or have it wait after those of its stream.

        Raises:
            ModelServerAway: as many wait as may.
        """
        stream_id = clip.span.stream_id
        if len(self) >= MOST_WAITING:
            self._write_first()
        later = stream_id in self._waiting or not self._may_ask()
        seen = self._rememberer.remember(clip, epoch_at=epoch_at, later=later)
        if seen is None:
            return
        self._waiting.setdefault(stream_id, deque()).append(Waiting(seen, clip.needs_offset))
        if not later:
            self._went_away()

    def make_up(self) -> None:
        """Write notes that wait, if the model may be asked again: a few, the oldest first."""
        for _ in range(MOST_AT_ONCE):
            if not self._waiting or not self._may_ask():
                return
            try:
                self._write_first()
            except ModelServerAway as error:
                log.warning("%d notes wait: %s", len(self), error)
                return

    def waits_from_ns(self, stream_id: str) -> int | None:
        """Where the first clip of a stream begins that waits; None if none does."""
        clips = self._waiting.get(stream_id)
        return clips[0].seen.span.start_ns if clips else None

    def needs_offset(self, stream_ids: Collection[str]) -> Iterator[int]:
        """From which offset on there are segments that clips show which wait, by stream."""
        for stream_id in stream_ids:
            if clips := self._waiting.get(stream_id):
                yield clips[0].needs_offset

    def forget(self, stream_ids: Collection[str]) -> None:
        """Others go on with these streams, or nobody does."""
        for stream_id in stream_ids:
            self._waiting.pop(stream_id, None)

    def _write_first(self) -> None:
        clips = min(self._waiting.values(), key=lambda clips: clips[0].seen.ends_at)
        seen = clips[0].seen
        try:
            self._rememberer.write(seen)
        except ModelServerAway:
            self._went_away()
            raise
        self._wait_ns = 0
        clips.popleft()
        if not clips:
            del self._waiting[seen.span.stream_id]

    def _may_ask(self) -> bool:
        return not self._wait_ns or self._monotonic_ns() >= self._again_at_ns

    def _went_away(self) -> None:
        self._wait_ns = min(max(2 * self._wait_ns, FIRST_WAIT_NS), LONGEST_WAIT_NS)
        self._again_at_ns = self._monotonic_ns() + self._wait_ns
