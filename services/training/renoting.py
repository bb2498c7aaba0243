"""Have the weights that serve write the notes of older clips anew, from their stored tokens.

Where these are gone, or another encoder made them, the footage is decoded and encoded again. Each
clip's note, events and vectors change in one act, in order of time, since a note is told the ones
before it. What a note was written by stands in it, so a run that was stopped goes on by itself, and
one that is repeated changes nothing.

What cannot be written anew stays as it was, and is counted: nobody's words get lost.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from memory.errors import (
    DamagedTokens,
    ForeignTokens,
    SpanForgotten,
    TokensMissing,
    UnknownStream,
)
from memory.record import Record
from models.errors import (
    BudgetTooLarge,
    ModelServerFailed,
    PromptTooLong,
    RequestRefused,
    UnparsableReply,
    UnusableFrames,
)
from services.actions import Action, action_for
from services.analyse import policy_of
from services.console import OURS
from services.locks import Service
from services.patient import MOST_FAILURES
from services.remember import Rememberer
from services.told_weights import WeightsBook
from services.training.errors import ClipUnusable
from services.training.media import Sampler
from services.weights import Weights
from services.wiring import Stores, WatchingEngine
from services.worker import FIRST_WAIT_S, LONGEST_WAIT_S
from streaming.bus import Bus, lag
from streaming.messages import NS_PER_S, TOPIC_CLIPS, TOPIC_SEGMENTS, ClipNote, Span
from streaming.unit_decoder import Frame

READ_NS = 600 * NS_PER_S  # of notes at a time
WAIT_S = 0.2  # for live work
LIVE = ((TOPIC_SEGMENTS, Service.ANALYSE), (TOPIC_CLIPS, Service.ALERTS))
"""Whose work goes first, and the topic that it comes from."""

LEFT: dict[type[Exception], str] = {
    ClipUnusable: "its tokens cannot be read, and its footage is gone",
    UnusableFrames: "its pictures cannot be encoded",
    BudgetTooLarge: "its pictures cannot be encoded",
    UnparsableReply: "its new note cannot be read",
    PromptTooLong: "its new note takes too long a prompt",
    RequestRefused: "the model's server refuses it",
    SpanForgotten: "it was forgotten meanwhile",
    UnknownStream: "it was forgotten meanwhile",
}
"""Why a clip stays as it was."""
OTHER_LAYOUT, FAILED = "another layout cut it", "the model's server fails at it"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Renoted:
    """What came of it: clips that were written anew, were so already, or stay as they were."""

    model_id: str
    rewritten: int = 0
    known: int = 0
    left: dict[str, int] = field(default_factory=dict[str, int])

    def leave(self, why: str) -> None:
        self.left[why] = self.left.get(why, 0) + 1


@dataclass(frozen=True, slots=True)
class Renoting:
    """What is written anew, by what serves, and what goes before it."""

    stores: Stores
    bus: Bus
    weights: Weights[None]
    spans: Sequence[Span]
    book: WeightsBook

    def run(
        self, stop: threading.Event, *, on_progress: Callable[[float], None] = lambda share: None
    ) -> Renoted:
        """Go through all of it, or until `stop` is set; from the start where others take over.

        Raises:
            StoreError, BusError, ModelError
        """
        while True:
            engine = self.weights.engine()
            done = Renoted(engine.model_id)
            for note in notes_of(self.stores.record, self.spans, on_progress):
                if stop.is_set() or not self._renote(note, engine, done, stop):
                    break
            if stop.is_set() or self.weights.engine() is engine:
                return done

    def _renote(
        self, note: ClipNote, engine: WatchingEngine, done: Renoted, stop: threading.Event
    ) -> bool:
        """Write one note anew; waits for what is away. False where other weights took over."""
        wait_s, failures = FIRST_WAIT_S, 0
        while not stop.is_set():
            try:
                self.weights.look()
                if self.weights.engine() is not engine:
                    return False
                self._try(note, engine, done, stop)
            except OURS as error:
                if action_for(error) is not Action.RETRY:
                    raise
                failures += isinstance(error, ModelServerFailed)
                if failures >= MOST_FAILURES:
                    done.leave(FAILED)
                    return True
                log.warning("%s: %s; again in %.1f s", note.clip_id, error, wait_s)
                stop.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                return True
        return True

    def _try(
        self, note: ClipNote, engine: WatchingEngine, done: Renoted, stop: threading.Event
    ) -> None:
        if note.model_id == engine.model_id:
            done.known += 1
            return
        if note.layout_id != engine.layout_id:
            done.leave(OTHER_LAYOUT)
            return
        self._wait_for_live_work(stop)
        if stop.is_set():
            return
        rememberer = Rememberer(
            engine=engine, record=self.stores.record, tokens=self.stores.tokens, bus=self.bus
        )
        try:
            try:
                rememberer.rewrite(note)
            except (TokensMissing, DamagedTokens, ForeignTokens):
                rememberer.see_again(note, self._frames_of(note, engine))
        except tuple(LEFT) as error:
            done.leave(LEFT[type(error)])
        else:
            done.rewritten += 1

    def _frames_of(self, note: ClipNote, engine: WatchingEngine) -> Sequence[Frame]:
        """
        Raises:
            ClipUnusable
        """
        frames = Sampler(self.stores, policy_of(engine.layout)).frames_of(note.span)
        if not frames:
            raise ClipUnusable(note.clip_id, reason="none of its footage is stored any more")
        return frames

    def _wait_for_live_work(self, stop: threading.Event) -> None:
        while not stop.is_set() and any(self._is_behind(*work) for work in LIVE):
            stop.wait(WAIT_S)

    def _is_behind(self, topic: str, service: Service) -> bool:
        """Whether a service has something of a topic to do, and runs."""
        if not lag(self.bus.bounds(topic), self.bus.committed(topic, group=service)):
            return False
        return any(one.service in ("up", service) for one in self.book.all())


def notes_of(
    record: Record, spans: Sequence[Span], on_progress: Callable[[float], None]
) -> Iterator[ClipNote]:
    """The notes that overlap spans, each once, in order, and not all of them in memory."""
    length_ns = sum(span.end_ns - span.start_ns for span in spans)
    done_ns = 0
    for span in spans:
        for start_ns in range(span.start_ns, span.end_ns, READ_NS):
            end_ns = min(span.end_ns, start_ns + READ_NS)
            read = span.model_copy(update={"start_ns": start_ns, "end_ns": end_ns})
            for note in record.clips([read]):
                if note.span.start_ns >= start_ns or start_ns == span.start_ns:
                    yield note
            done_ns += end_ns - start_ns
            on_progress(done_ns / length_ns)
