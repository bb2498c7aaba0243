"""A teacher behind an OpenAI-compatible API writes what a set is made of: notes, and pairs.

It is shown the pictures of each clip, from its footage, as a model of others is in service. What it
fails at is counted and passed over: one clip costs no other. One that does not answer at all is
soon asked no more.
"""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import numpy as np

from models.engine import ClipTokens, LeadIn
from models.errors import (
    ModelServerAway,
    ModelServerDenied,
    ModelServerError,
    PromptTooLong,
    UnparsableReply,
    UnusableFrames,
)
from models.layout import StreamLayout
from models.model_servers import ModelServers
from models.openai_engine import DENIED, PICTURES, OpenAIEngine
from models.question_kinds import KINDS, Pair
from services.analyse import policy_of
from services.describing import PREVIOUS_NOTES
from services.logs import about
from services.seen_clips import noted_event
from services.training.errors import ClipUnusable
from services.training.media import Sampler
from services.training.truth import Truth
from services.wiring import Stores
from streaming.messages import NS_PER_S, ClipNote, Span
from streaming.unit_decoder import Frame

MOST_AWAY = 3  # clips in a row; then nobody is asked any more
EVASIVE = (
    *("does not specify", "does not specifically", "does not mention", "does not depict"),
    *("does not show", "is not specified", "is not mentioned", "is not shown", "is not visible"),
)
NONE = ("unknown", "unclear", "n/a", "none", "not specified", "not mentioned")
"""What an answer says that is none: within its first words, and as a whole."""
EVADED_WITHIN_CHARS = 60
MOST_ANSWER_CHARS = 400
FAILED = "the teacher failed at it"
AWAY = "the teacher did not answer"
GONE = "its footage is gone"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Taught:
    """What a teacher wrote, by clip; and why there is nothing of others, or less."""

    notes: dict[str, ClipNote] = field(default_factory=dict[str, ClipNote])
    pairs: dict[str, tuple[Pair, ...]] = field(default_factory=dict[str, tuple[Pair, ...]])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    dropped: Counter[str] = field(default_factory=Counter[str])


class Teacher:
    """`frames_of` gives the pictures of a span, sampled as the engine wants them."""

    def __init__(self, engine: OpenAIEngine, frames_of: Callable[[Span], Sequence[Frame]]) -> None:
        self._engine = engine
        self._frames_of = frames_of
        self._away = 0

    @property
    def model_id(self) -> str:
        return self._engine.model_id

    def teach(self, truth: Truth, *, on_progress: Callable[[], None] = lambda: None) -> Taught:
        """Have all clips of a stream written about that nobody labelled, in their order.

        Raises:
            ModelServerDenied: it lets us not in, or has no such model.
        """
        taught = Taught()
        before: ClipTokens | None = None
        for place in range(len(truth.notes)):
            seen = None
            if truth.origin(place) != "label":
                led = before if truth.is_led_into(place) else None
                seen = self._write(place, truth, taught, led)
            before = seen
            on_progress()
        return taught

    def _write(
        self, place: int, truth: Truth, taught: Taught, before: ClipTokens | None
    ) -> ClipTokens | None:
        """Write about one clip; gives its pictures for the next one's lead-in, if it has any."""
        clip = truth.notes[place]
        if self._away >= MOST_AWAY:
            taught.failed[clip.clip_id] = AWAY
            return None
        try:
            seen = self._pictures(clip)
            lead_in = None
            if before is not None:
                lead_in = LeadIn(before, truth.notes[place - 1].span.duration_s)
            note = self._note(clip, seen, lead_in, self._previous(place, truth, taught))
            pairs = self._engine.teach(note.text, seen).pairs
        except ModelServerDenied:
            raise
        except (ModelServerError, UnparsableReply, PromptTooLong, UnusableFrames) as error:
            is_away = isinstance(error, ModelServerAway)
            self._away = self._away + 1 if is_away else 0
            taught.failed[clip.clip_id] = AWAY if is_away else FAILED
            log.warning("%s: %s", clip.clip_id, error, extra=about(clip_id=clip.clip_id))
            return None
        except ClipUnusable as error:
            taught.failed[clip.clip_id] = GONE
            log.warning("%s", error, extra=about(clip_id=clip.clip_id))
            return None
        self._away = 0
        taught.notes[clip.clip_id] = note
        taught.pairs[clip.clip_id] = kept(pairs, taught.dropped)
        return seen

    def _pictures(self, clip: ClipNote) -> ClipTokens:
        frames = self._frames_of(clip.span)
        if not frames:
            raise ClipUnusable(clip.clip_id, reason="none of its footage is stored any more")
        times_s = [(frame.media_ns - clip.span.start_ns) / NS_PER_S for frame in frames]
        return self._engine.encode(np.stack([one.pixels_HWC for one in frames]), times_s).tokens

    def _note(
        self, clip: ClipNote, seen: ClipTokens, lead_in: LeadIn | None, previous: Sequence[str]
    ) -> ClipNote:
        note = self._engine.describe(seen, previous=previous, lead_in=lead_in)
        reach_ns = round(self._engine.lead_in_s * NS_PER_S) if lead_in else 0
        events = tuple(noted_event(one, clip.span, reach_ns=reach_ns) for one in note.events)
        return clip.model_copy(
            update={"text": note.text, "events": events, "model_id": self.model_id}
        )

    def _previous(self, place: int, truth: Truth, taught: Taught) -> list[str]:
        """What is known of the time before: its own notes, and what people said."""
        texts: list[str] = []
        for one in range(max(0, place - PREVIOUS_NOTES), place):
            clip_id = truth.notes[one].clip_id
            if truth.origin(one) == "label":
                texts.append(truth.note(one).text)
            elif clip_id in taught.notes:
                texts.append(taught.notes[clip_id].text)
        return texts


def taught_by(
    teacher: Teacher,
    truths: Sequence[Truth],
    layout: StreamLayout,
    on_progress: Callable[[float], None],
) -> list[tuple[Truth, Taught | None]]:
    """Streams as a teacher tells of them, where people did not."""
    count, done = sum(len(truth.notes) for truth in truths), 0
    told: list[tuple[Truth, Taught | None]] = []

    def advance() -> None:
        nonlocal done
        done += 1
        on_progress(done / count)

    for truth in truths:
        taught = teacher.teach(truth, on_progress=advance)
        notes = [taught.notes.get(note.clip_id, note) for note in truth.notes]
        told.append((Truth(notes, truth.labels, layout, taught=taught.notes), taught))
    return told


@contextmanager
def teacher_at(
    url: str, name: str, key: str | None, stores: Stores, layout: StreamLayout
) -> Generator[Teacher]:
    """A teacher, which is shown as much of the clip before as the model whose set it is."""
    looked = PICTURES.model_copy(update={"lead_in_s": layout.lead_in_s})
    with closing(ModelServers([url.rstrip("/")], key=key, denied=DENIED)) as servers:
        engine = OpenAIEngine(servers, name=name, layout=looked)
        yield Teacher(engine, Sampler(stores, policy_of(looked)).frames_of)


def kept(pairs: Sequence[Pair], dropped: Counter[str]) -> tuple[Pair, ...]:
    """One of each kind, of those that answer something; others are counted."""
    good: dict[str, Pair] = {}
    for pair in pairs:
        if pair.kind not in KINDS:
            dropped["a pair of no known kind"] += 1
        elif pair.kind in good:
            dropped["a second pair of one kind"] += 1
        elif says_nothing(pair.answer):
            dropped["an answer that is none"] += 1
        else:
            good[pair.kind] = pair
    return tuple(good.values())


def says_nothing(answer: str) -> bool:
    said = " ".join(answer.lower().split()).rstrip(".")
    is_evasive = any(words in said[:EVADED_WITHIN_CHARS] for words in EVASIVE)
    return not said or len(answer) > MOST_ANSWER_CHARS or is_evasive or said in NONE
