"""Collect the sampled frames of one stream into clips, whatever pieces they come in.

A clip is a window of media time, [k * length, (k + 1) * length), cut to what was captured: a gap
ends the clip before it and begins another after it. So the clips of a stream depend on its media
time alone, neither on how segments were cut nor on where a restart took up the work again.

Work taken up again begins at a segment that an unfinished clip still needs (`needs_offset`).
What comes again although it is done already, up to `done_until_ns`, is recognised and dropped.

Pure: no clock, no I/O, no threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from models.engine import EncodedClip
from services.tracing import TraceContext
from streaming.messages import Span
from streaming.unit_decoder import Frame


@dataclass(frozen=True, slots=True, eq=False)
class CollectedClip:
    """A complete clip: its span, and its frames in order of time, at least one.

    needs_offset   offset of the first segment that it shows
    begun          its first frames, as far as they were encoded before it was complete
    thinned        whether some of it was looked at more seldom than it should be
    traces         the spans that published the segments that it shows, as far as they said so
    """

    span: Span
    frames: tuple[Frame, ...]
    needs_offset: int
    begun: EncodedClip | None = None
    thinned: bool = False
    traces: tuple[TraceContext, ...] = ()


@dataclass(slots=True)
class ClipCollector:
    """The clip of one stream that is being collected.

    done_until_ns   what lies before this is remembered already
    needs_offset    offset of the first segment that the unfinished clip needs, None if none
    """

    stream_id: str
    length_ns: int
    done_until_ns: int = 0
    needs_offset: int | None = None
    _position_ns: int | None = None
    _clip_start_ns: int = 0
    _frames: list[Frame] = field(default_factory=list[Frame])

    def has_seen(self, span: Span) -> bool:
        """Whether a segment or gap comes for the second time."""
        return self._position_ns is not None and span.end_ns <= self._position_ns

    @property
    def done_ns(self) -> int:
        """Nothing before it waits to be collected."""
        return self._clip_start_ns

    @property
    def so_far(self) -> CollectedClip | None:
        """The unfinished clip as it would be if nothing more came; None while it has no frame."""
        if not self._frames or self._position_ns is None or self.needs_offset is None:
            return None
        span = Span(
            stream_id=self.stream_id, start_ns=self._clip_start_ns, end_ns=self._position_ns
        )
        return CollectedClip(span, tuple(self._frames), self.needs_offset)

    def feed(self, span: Span, frames: Sequence[Frame], *, offset: int) -> list[CollectedClip]:
        """Take the sampled frames of a segment and return the clips that it completes."""
        if self.has_seen(span):
            return []
        complete: list[CollectedClip] = []
        if self._position_ns is None or span.start_ns > self._position_ns:
            complete += self._close()
            self._clip_start_ns = max(span.start_ns, self.done_until_ns)
            self._position_ns = span.start_ns
        if self.needs_offset is None:
            self.needs_offset = offset
        for frame in frames:
            if frame.media_ns < max(self._position_ns, self._clip_start_ns):
                continue
            complete += self._cut_until(frame.media_ns, offset)
            self._frames.append(frame)
        self._position_ns = span.end_ns
        complete += self._cut_until(span.end_ns, offset)
        if self._clip_start_ns >= span.end_ns:
            self.needs_offset = None
        return complete

    def skip(self, span: Span) -> list[CollectedClip]:
        """Pass over a stretch without pictures: what comes after it is another clip."""
        if self.has_seen(span):
            return []
        complete = self._close()
        self._position_ns = self._clip_start_ns = span.end_ns
        return complete

    def end(self, end_ns: int) -> list[CollectedClip]:
        """Close the unfinished clip, because nothing more will come."""
        complete = self._close()
        self._position_ns = self._clip_start_ns = max(end_ns, self._position_ns or 0)
        return complete

    def _cut_until(self, media_ns: int, offset: int) -> list[CollectedClip]:
        """Complete the clip if its window ends at or before `media_ns`, and open that of it.

        Windows in between hold no frame, or they would have been opened before.
        """
        window_end_ns = (self._clip_start_ns // self.length_ns + 1) * self.length_ns
        if media_ns < window_end_ns:
            return []
        complete = self._take(window_end_ns)
        self._clip_start_ns = media_ns // self.length_ns * self.length_ns
        self.needs_offset = offset
        return complete

    def _close(self) -> list[CollectedClip]:
        complete = self._take(self._position_ns) if self._position_ns is not None else []
        self.needs_offset = None
        return complete

    def _take(self, end_ns: int) -> list[CollectedClip]:
        frames, self._frames = tuple(self._frames), []
        if not frames:
            return []
        span = Span(stream_id=self.stream_id, start_ns=self._clip_start_ns, end_ns=end_ns)
        assert self.needs_offset is not None, "frames come from a segment"
        return [CollectedClip(span, frames, self.needs_offset)]
