"""Make a data set of what is remembered: notes, claims, questions, and notes folded.

    note     the prompt of `describe`, and the true note of the clip
    judge    claims about a clip, as often true as false; false ones are true of other clips. And
             those of alerts and answers that people marked
    answer   short questions about a clip, of the kinds that events answer (`questions.py`), what
             people asked, and what a teacher asked
    merge    one note of three clips that follow one another
    fold     what the notes of a run of clips come to

Everything is derived from the record alone, so the same record gives the same set. Where a teacher
is asked, its notes take the place of the model's, and what it failed at is left out.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from random import Random

from memory.datasets import (
    Card,
    DataSets,
    Example,
    ExampleTask,
    Origin,
    card_of,
    is_apart,
    keep_examples,
    turns_of,
    write_set,
)
from memory.events import Occurrence, matches
from memory.feedback import Feedback, Mark
from memory.labels import LabelBook
from memory.record import Record
from memory.words import content_words
from models.layout import StreamLayout
from models.prompts import (
    VIDEO,
    answer_prompt,
    describe_prompt,
    fold_prompt,
    judge_prompt,
    merge_prompt,
    plan_prompt,
)
from models.question_kinds import KINDS, Pair
from models.schemas import Note
from services.describing import PREVIOUS_NOTES
from services.training.claims import claims_of
from services.training.examples import replaced, seen_in, told_by_words
from services.training.filtering import Seen, why_useless
from services.training.inflecting import told_of_any
from services.training.plans import plans_of
from services.training.questions import questions_of
from services.training.splitting import Side, side_of
from services.training.teaching import Taught, Teacher, taught_by
from services.training.truth import Truth
from services.training.views import moved_clips, views_of
from services.wiring import Stores
from streaming.messages import Span

MERGED_CLIPS = 3
MOST_FOLDED = 24  # clips of one fold
CLAIMS = 2  # true ones about a clip, and as many false ones
PLANS = 2  # about an event; one of them of any of its kind
CALM_CLAIMS = 0.25  # how often one is asked about a clip that shows nothing


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a set is to be made of, and by whose clips; and by which teacher, if by one.

    `people_only`: of the clips that people labelled, and of no other.
    """

    spans: Sequence[Span]
    hold_out: float
    layout: StreamLayout
    model_id: str
    made_at: datetime
    teacher: Teacher | None = None
    people_only: bool = False

    @property
    def written_by(self) -> dict[str, str]:
        taught = {} if self.teacher is None else {"teacher": self.teacher.model_id}
        return {"label": "people", "model": self.model_id, **taught}


@dataclass(slots=True)
class Made:
    """Examples by their side, and why others were left out."""

    train: list[Example] = field(default_factory=list[Example])
    held_out: list[Example] = field(default_factory=list[Example])
    dropped: Counter[str] = field(default_factory=Counter[str])


def make_set(
    stores: Stores,
    folder: Path,
    wanted: Wanted,
    *,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Card:
    """Write a set to a folder, and register it, so that what is forgotten is deleted from it.

    Raises:
        StoreError, ModelServerDenied
    """
    sets = DataSets(stores.record.documents)
    sets.register(folder)
    made = examples_of(stores.record, wanted, on_progress=on_progress)
    card = Card(
        made_at=wanted.made_at,
        model_id=wanted.model_id,
        layout_id=wanted.layout.layout_id,
        hold_out=wanted.hold_out,
        written_by=wanted.written_by,
        kinds=KINDS,
        streams=tuple(wanted.spans),
        dropped=dict(made.dropped),
    )
    write_set(folder, train=made.train, held_out=made.held_out, card=card)
    forget_what_went(stores.record, folder)
    return card_of(folder) or card


def forget_what_went(record: Record, folder: Path) -> None:
    """Delete what was forgotten while the set was made."""
    going, clips = record.unfinished_forgetting(), record.clip_ids()
    keep_examples(folder, lambda one: is_apart(one, going) and clips.issuperset(one.told_of))


def examples_of(
    record: Record, wanted: Wanted, *, on_progress: Callable[[float], None] = lambda share: None
) -> Made:
    """All examples that the record gives, in order of stream and time."""
    told = [truth_of(record, span, wanted.layout) for span in wanted.spans]
    made, seen = Made(), Seen(record)
    truths: list[tuple[Truth, Taught | None]] = [(truth, None) for truth in told]
    if wanted.teacher is not None:
        truths = taught_by(wanted.teacher, told, wanted.layout, on_progress)
    marks = list(Feedback(record.documents).marks())
    texts = sorted({one.text for truth, _ in truths for one in truth.occurrences})
    for truth, taught in truths:
        if taught is not None:
            made.dropped.update(taught.dropped)
        told_of = StreamExamples(truth, marks, texts, made.dropped, wanted, taught)
        for example in told_of.all():
            if example.origin in ("model", "teacher") and seen.before(example):
                made.dropped["the same as another"] += 1
                continue
            assert example.span is not None
            match side_of(example.span, wanted.hold_out):
                case Side.TRAIN:
                    made.train.append(example)
                case Side.HELD_OUT if example.view is None:
                    made.held_out.append(example)
                case Side.HELD_OUT:
                    pass
                case Side.NEITHER:
                    made.dropped["too near to what is held out"] += 1
    return made


def truth_of(record: Record, span: Span, layout: StreamLayout) -> Truth:
    notes = [note for note in record.clips([span]) if note.layout_id == layout.layout_id]
    return Truth(notes, LabelBook(record.documents).of(span.stream_id), layout)


@dataclass(frozen=True, slots=True)
class StreamExamples:
    """The examples of one stream. `texts` are all events of the set, for claims that are false."""

    truth: Truth
    marks: Sequence[Mark]
    texts: Sequence[str]
    dropped: Counter[str]
    wanted: Wanted
    taught: Taught | None = None

    def all(self) -> Iterator[Example]:
        notes = self.truth.notes
        good = [self._is_good(place) for place in range(len(notes))]
        for place in range(len(notes)):
            if good[place]:
                yield self._note(place, self.truth.note(place))
                yield from self._claims(place)
                yield from self._questions(place)
                yield from self._plans(place)
                yield from self._views(place)
                yield from self._taught_pairs(place)
        yield from self._asked()
        yield from self._marked()
        for first in range(0, len(notes) - MERGED_CLIPS + 1, MERGED_CLIPS):
            last = first + MERGED_CLIPS - 1
            if all(good[first : last + 1]) and self._follow(first, last):
                yield self._merged(first, last)
        for first, last in self._runs(good):
            yield self._folded(first, last)

    def _is_good(self, place: int) -> bool:
        note = self.truth.notes[place]
        if self.truth.origin(place) == "label":
            return True
        failed = None if self.taught is None else self.taught.failed.get(note.clip_id)
        why = "nobody labelled it" if self.wanted.people_only else failed or why_useless(note)
        if why is not None:
            self.dropped[why] += 1
        return why is None

    def _note(self, place: int, note: Note) -> Example:
        before = self.truth.notes[max(0, place - PREVIOUS_NOTES) : place]
        led = self.truth.is_led_into(place)
        clip = self.truth.notes[place]
        texts = [self.truth.note(one).text for one in range(place - len(before), place)]
        example = self._example("note", place, place, (describe_prompt(texts), note.as_reply()))
        start_ns = min(note.span.start_ns for note in (*before, clip))
        return replaced(
            example,
            lead_in=before[-1].clip_id if led else None,
            context=tuple(note.clip_id for note in before),
            span=clip.span.model_copy(update={"start_ns": start_ns}),
        )

    def _claims(self, place: int) -> Iterator[Example]:
        rng = Random(self.truth.notes[place].clip_id)
        if turns := self._judged(place, self.truth.notes[place].span, rng):
            yield self._example("judge", place, place, *turns)

    def _judged(self, place: int, span: Span, rng: Random) -> list[tuple[str, str]]:
        """Claims about footage, and whether they are true; of what is calm, seldom one."""
        shown, false = self._shown_and_not(place, span, rng)
        true = rng.sample(shown, min(CLAIMS, len(shown)))
        count = len(true) or int(rng.random() < CALM_CLAIMS)
        claims = [(text, "yes") for text in true] + [(text, "no") for text in false[:count]]
        rng.shuffle(claims)
        turns = [(judge_prompt(text), said) for text, said in claims]
        return turns[:1] + [(asked.removeprefix(f"{VIDEO}\n"), said) for asked, said in turns[1:]]

    def _shown_and_not(self, place: int, span: Span, rng: Random) -> tuple[list[str], list[str]]:
        """What footage of a clip shows, and what it does not, what sounds like it first."""
        shown = list(dict.fromkeys(one.text for one in self._shown(place, span)))
        around = [
            one.text
            for one in self.truth.occurrences
            if one.span.overlaps(span.start_ns, span.end_ns)
        ]
        false = [text for text in self.texts if not any(alike(text, other) for other in around)]
        words = {word for text in shown for word in content_words(text)}
        false.sort(key=lambda text: (words.isdisjoint(content_words(text)), rng.random()))
        return shown, false

    def _questions(self, place: int) -> Iterator[Example]:
        """What events answer."""
        rng = Random(f"{self.truth.notes[place].clip_id} questions")
        span = self.truth.notes[place].span
        _, false = self._shown_and_not(place, span, rng)
        for pair in questions_of(self._shown(place, span), false, rng):
            yield self._answer(place, pair)

    def _shown(self, place: int, span: Span) -> list[Occurrence]:
        return self.truth.shown_in(span, by_people=self.truth.origin(place) == "label")

    def _plans(self, place: int) -> Iterator[Example]:
        """What people name, as it is asked about: a planner may not know such words yet."""
        if self.truth.origin(place) != "label":
            return
        rng = Random(f"{self.truth.notes[place].clip_id} plans")
        shown = self._shown(place, self.truth.notes[place].span)
        for text in dict.fromkeys(one.text for one in shown):
            plans = rng.sample(list(plans_of(text)), PLANS)
            if (of_any := told_of_any(text)) is not None:
                plans[-1] = rng.choice(list(plans_of(of_any)))
            for question, plan in plans:
                turn = (plan_prompt(question), plan.model_dump_json())
                yield told_by_words(self._example("plan", place, place, turn))

    def _views(self, place: int) -> Iterator[Example]:
        """The same of labelled footage cut elsewhere, so that no clip is known by heart."""
        for view in views_of(self.truth, place):
            last = place + int(view.end_ns > self.truth.notes[place].span.end_ns)
            note = (describe_prompt(()), self.truth.within(view).as_reply())
            yield seen_in(view, self._example("note", place, last, note))
            rng = Random(f"{view.stream_id} {view.start_ns} {view.end_ns}")
            if claims := self._judged(place, view, rng):
                yield seen_in(view, self._example("judge", place, last, *claims))
        for one in moved_clips(self.truth, place):
            yield seen_in(one.span, self._note(place, one.note), before=one.before)

    def _taught_pairs(self, place: int) -> Iterator[Example]:
        if self.taught is not None and self.truth.origin(place) == "teacher":
            for pair in self.taught.pairs[self.truth.notes[place].clip_id]:
                yield self._answer(place, pair)

    def _answer(self, place: int, pair: Pair) -> Example:
        prompt = answer_prompt(pair.question, findings=(), num_clips=1)
        return replaced(
            self._example("answer", place, place, (prompt, pair.answer)), kind=pair.kind
        )

    def _asked(self) -> Iterator[Example]:
        """What people asked, and answered."""
        for label in self.truth.labels:
            places = [
                place
                for place, note in enumerate(self.truth.notes)
                if note.span.overlaps(label.span.start_ns, label.span.end_ns)
            ]
            if label.question and 0 < len(places) <= MERGED_CLIPS:
                prompt = answer_prompt(label.question, findings=(), num_clips=len(places))
                example = self._example("answer", places[0], places[-1], (prompt, label.text))
                yield replaced(example, origin="label")

    def _marked(self) -> Iterator[Example]:
        """Claims that alerts and answers made, and people marked."""
        place_of = {note.clip_id: place for place, note in enumerate(self.truth.notes)}
        for mark in self.marks:
            for clip_id, claim in claims_of(mark):
                if clip_id in place_of:
                    place, said = place_of[clip_id], "yes" if mark.is_right else "no"
                    example = self._example("judge", place, place, (judge_prompt(claim), said))
                    yield replaced(example, origin="label")

    def _merged(self, first: int, last: int) -> Example:
        note = self.truth.merged(first, last)
        return self._example("merge", first, last, (merge_prompt(MERGED_CLIPS), note.as_reply()))

    def _folded(self, first: int, last: int) -> Example:
        places = range(first, last + 1)
        texts = [self.truth.note(place).text for place in places]
        told = Counter(event.text for event in self.truth.merged(first, last).events)
        said = [text if count == 1 else f"{text}, {count} times" for text, count in told.items()]
        reply = "; ".join(said) or self.truth.merged(first, last).text
        return told_by_words(self._example("fold", first, last, (fold_prompt(texts), reply)))

    def _runs(self, good: Sequence[bool]) -> Iterator[tuple[int, int]]:
        """Stretches of clips that follow one another on one side."""
        keys: list[tuple[Side, int]] = []
        run = 0
        for place, note in enumerate(self.truth.notes):
            side = side_of(note.span, self.wanted.hold_out) if good[place] else Side.NEITHER
            goes_on = keys and self.truth.is_led_into(place) and keys[-1][0] is side
            run += not goes_on
            keys.append((side, run))
        for (side, _), group in groupby(range(len(keys)), key=lambda place: keys[place]):
            places = list(group)
            if side is Side.NEITHER:
                continue
            for first in range(0, len(places), MOST_FOLDED):
                part = places[first : first + MOST_FOLDED]
                if len(part) >= MERGED_CLIPS:
                    yield part[0], part[-1]

    def _follow(self, first: int, last: int) -> bool:
        return all(self.truth.is_led_into(place) for place in range(first + 1, last + 1))

    def _example(
        self, task: ExampleTask, first: int, last: int, *turns: tuple[str, str]
    ) -> Example:
        notes = self.truth.notes[first : last + 1]
        places = range(first, last + 1)
        origins = {self.truth.origin(place) for place in places}
        origin: Origin = "teacher"
        if "label" in origins:
            origin = "label"
        elif "model" in origins:
            origin = "model"
        span = notes[0].span.model_copy(update={"end_ns": notes[-1].span.end_ns})
        clips = tuple(note.clip_id for note in notes)
        made_of = repr((task, clips, [prompt for prompt, _ in turns]))
        return Example(
            id=f"{task}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}",
            task=task,
            origin=origin,
            span=span,
            clips=clips,
            conversations=turns_of(*turns),
        )


def alike(one: str, other: str) -> bool:
    """Whether one says what the other says, or more."""
    return matches(one, other) or matches(other, one)
