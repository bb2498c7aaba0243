"""Clips whose notes wait until the model's server is back, in order within each stream.

Only their notes wait: what the model sees of them is stored, so that nothing is decoded or encoded
again while this process lives. Another one that takes the work over finds in the record how far
each stream is remembered, as after a kill, since offsets are held back up to here (`needs_offset`).

A note is written from those before it, so a stream's clips wait for their first one. A clip that
the server fails at again and again while it does what it did before is set aside: remembered by its
picture alone, and tried again ever more seldom, also by another process.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from memory.unwritten import UnwrittenNote
from memory.values import StreamSpec
from models.errors import ModelServerAway, ModelServerFailed
from services.glimpses import Glimpser
from services.remember import Rememberer
from services.seen_clips import SeenClip
from services.windows import CollectedClip
from streaming.messages import NS_PER_S, Span

FIRST_WAIT_NS, LONGEST_WAIT_NS = NS_PER_S // 2, 30 * NS_PER_S
MOST_AT_ONCE = 16  # notes that are made up for before there is a look at what is new
MOST_WAITING = 20_000  # some 50 MB
MOST_FAILURES = 5  # of a server at a clip, before it is looked whether it is the clip
ASIDE_FIRST_WAIT_NS, ASIDE_LONGEST_WAIT_NS = 60 * NS_PER_S, 3600 * NS_PER_S

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Waiting:
    """A clip that waits.

    needs_offset   that of the first segment that it shows
    failures       how often a server failed at it
    """

    seen: SeenClip
    needs_offset: int
    failures: int = 0


class PatientRememberer:
    """Remembers clips, of which some wait for their notes. Not for several threads."""

    def __init__(
        self,
        rememberer: Callable[[], Rememberer],
        glimpser: Glimpser,
        *,
        monotonic_ns: Callable[[], int],
    ) -> None:
        """`rememberer` is asked for before each clip, since it belongs to the model that serves."""
        self._rememberer = rememberer
        self._glimpser = glimpser
        self._monotonic_ns = monotonic_ns
        self._waiting: dict[str, deque[Waiting]] = {}
        self._wait_ns = 0
        self._again_at_ns = 0
        self._aside: deque[UnwrittenNote] | None = None  # what the record says, once it was read
        self._aside_wait_ns = 0
        self._aside_again_at_ns = 0

    def __len__(self) -> int:
        """How many clips wait for their notes."""
        return sum(map(len, self._waiting.values()))

    def announce(self, clip_id: str, span: Span) -> None:
        self._rememberer().announce(clip_id, span)

    def glimpse(self, spec: StreamSpec, clip: CollectedClip, *, epoch_at: datetime) -> None:
        """Look at a clip that is not complete yet."""
        self._glimpser.look(spec, clip, epoch_at)

    def remember(self, clip: CollectedClip, *, epoch_at: datetime) -> None:
        """Remember a clip now, or have it wait after those of its stream.

        Raises:
            ModelServerAway: as many wait as may.
        """
        stream_id = clip.span.stream_id
        if len(self) >= MOST_WAITING:
            self._write_first()
        later = stream_id in self._waiting or not self._may_ask()
        seen = self._rememberer().remember(
            self._glimpser.complete(clip), epoch_at=epoch_at, later=later
        )
        if seen is None:
            return
        self._waiting.setdefault(stream_id, deque()).append(Waiting(seen, clip.needs_offset))
        if not later:
            self._went_away()

    def make_up(self) -> None:
        """Write notes that wait, if the model may be asked again: a few, the oldest first."""
        for _ in range(MOST_AT_ONCE):
            if not self._may_ask():
                return
            if not self._waiting:
                self._try_aside()
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
        self._glimpser.forget(stream_ids)
        for stream_id in stream_ids:
            self._waiting.pop(stream_id, None)

    def _write_first(self) -> None:
        clips = min(self._waiting.values(), key=lambda clips: clips[0].seen.ends_at)
        first = clips[0]
        try:
            self._write_or_set_aside(first)
        except ModelServerAway:
            self._went_away()
            raise
        self._wait_ns = 0
        clips.popleft()
        if not clips:
            del self._waiting[first.seen.span.stream_id]

    def _write_or_set_aside(self, waiting: Waiting) -> None:
        others_work = waiting.failures >= MOST_FAILURES and self._rememberer().works_before(
            waiting.seen
        )
        try:
            self._rememberer().write(waiting.seen)
        except ModelServerFailed as error:
            waiting.failures += 1
            if not others_work:
                raise
            self._rememberer().set_aside(waiting.seen, error)
            self._aside = None
            self._wait_aside()

    def _wait_aside(self) -> None:
        self._aside_wait_ns = min(
            max(2 * self._aside_wait_ns, ASIDE_FIRST_WAIT_NS), ASIDE_LONGEST_WAIT_NS
        )
        self._aside_again_at_ns = self._monotonic_ns() + self._aside_wait_ns

    def _try_aside(self) -> None:
        """Try one of the clips that were set aside, here or elsewhere, if it is time."""
        if self._monotonic_ns() < self._aside_again_at_ns:
            return
        if self._aside is None:
            self._aside = deque(self._rememberer().unwritten())
        if not self._aside:
            return
        try:
            self._rememberer().write_unwritten(self._aside[0])
        except ModelServerAway as error:
            log.warning("%d clips stay aside: %s", len(self._aside), error)
            self._aside.rotate(-1)
            self._wait_aside()
        else:
            self._aside.popleft()
            self._aside_wait_ns = 0

    def _may_ask(self) -> bool:
        return not self._wait_ns or self._monotonic_ns() >= self._again_at_ns

    def _went_away(self) -> None:
        self._wait_ns = min(max(2 * self._wait_ns, FIRST_WAIT_NS), LONGEST_WAIT_NS)
        self._again_at_ns = self._monotonic_ns() + self._wait_ns
