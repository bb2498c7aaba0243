"""What is true of a stream, as far as anybody said: notes of a model, corrected by labels.

A clip that somebody labelled shows what the labels say, and nothing else; of others the model's
note stands. A label belongs to the clip that tells of its beginning, and to those that it covers by
half. So two labels are enough to say all of a clip, and one without words says that it is calm.

Pure, and nobody's vocabulary.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from memory.datasets import Origin
from memory.events import Occurrence, occurrences
from memory.labels import Label
from memory.values import ClipEvent
from models.layout import StreamLayout
from models.schemas import LISTED_BY, Note, NoteEvent
from streaming.messages import NS_PER_S, ClipNote, NotedEvent, Span

SHORTEST_NS = NS_PER_S
"""What is in view for less is told of by the clip that shows the rest of it."""
CALM = "nothing happens"


class Truth:
    """The clips of one stream in order, and what happened in them."""

    def __init__(
        self,
        notes: Sequence[ClipNote],
        labels: Sequence[Label],
        layout: StreamLayout,
        *,
        taught: Collection[str] = (),
    ) -> None:
        """`taught` are the clips whose notes a teacher wrote."""
        self.notes = list(notes)
        self._taught = taught
        self.labels = list(labels)
        self._lead_ns = round(layout.lead_in_s * NS_PER_S)
        self.picture_ns = round(NS_PER_S / layout.fps)
        self._step_s = 0.5 / layout.fps  # as finely as pictures at this rate can tell
        self._calm = calm_text(notes)
        self._labelled = {place for label in labels for place in self._places_of(label)}
        self._by_people = {self.notes[place].clip_id for place in self._labelled}
        self.occurrences = occurrences([*self._noted(), *self._said()])

    def origin(self, place: int) -> Origin:
        if place in self._labelled:
            return "label"
        return "teacher" if self.notes[place].clip_id in self._taught else "model"

    def note(self, place: int) -> Note:
        """The true note of a clip, with times from its start."""
        note = self.notes[place]
        if place in self._labelled:
            return self.merged(place, place)
        return Note(
            text=note.text,
            events=tuple(self._event(one.text, one.span, note.span) for one in note.events),
        )

    def merged(self, first: int, last: int) -> Note:
        """The true note of clips that follow one another, with times from the first one's start.

        Where people labelled the first, a model's note of what began earlier is not believed.
        """
        span = self._hull(first, last)
        believed_ns = self._window(first).start_ns if first in self._labelled else 0
        told = [
            one
            for one in self._told(span, first, last)
            if one.span.start_ns >= believed_ns or self._is_said(one)
        ]
        return self._note_of(told, span, first)

    def shown_in(self, span: Span, *, by_people: bool) -> list[Occurrence]:
        """What footage shows by itself, in order of its start; `by_people`: as labels say."""
        return [
            one
            for one in self.occurrences
            if is_told(one.span, span, 0, left_ns=0) and (self._is_said(one) or not by_people)
        ]

    def moved(self, place: int, by_ns: int) -> Note | None:
        """The true note of a labelled clip that begins a little earlier or later, from there on.

        None where it would tell of what only a model saw: labels do not reach as far.
        """
        span = moved(self.notes[place].span, by_ns)
        told = self._told(span, place, place)
        return self._note_of(told, span, place) if all(map(self._is_said, told)) else None

    def within(self, view: Span) -> Note:
        """The true note of a labelled stretch that cuts nothing in two, from its own start."""
        inside = self.shown_in(view, by_people=True)
        events = [self._event(one.text, cut_to(one.span, view), view) for one in inside]
        return note_of(events, calm=self._calm)

    def is_led_into(self, place: int) -> bool:
        """Whether there is a clip, and another that ends where it starts."""
        if not 0 < place < len(self.notes):
            return False
        return self.notes[place - 1].span.end_ns == self.notes[place].span.start_ns

    def _led_ns(self, place: int) -> int:
        """How much of what is before a clip is in view with it."""
        return self._lead_ns if self.is_led_into(place) else 0

    def _is_said(self, one: Occurrence) -> bool:
        return not self._by_people.isdisjoint(one.clip_ids)

    def _told(self, span: Span, first: int, last: int) -> list[Occurrence]:
        """What a note of the clips from first to last tells, that begins and ends as the span."""
        lead_ns, left_ns = self._led_ns(first), self._led_ns(last + 1)
        return [
            one for one in self.occurrences if is_told(one.span, span, lead_ns, left_ns=left_ns)
        ]

    def _note_of(self, told: Iterable[Occurrence], span: Span, first: int) -> Note:
        seen = span.model_copy(update={"start_ns": span.start_ns - self._led_ns(first)})
        events = [self._event(one.text, cut_to(one.span, seen), span) for one in told]
        return note_of(events, calm=self._calm)

    def _places_of(self, label: Label) -> list[int]:
        if label.question:
            return []
        return [
            place for place in range(len(self.notes)) if _belongs(label.span, self._window(place))
        ]

    def _window(self, place: int) -> Span:
        """The time whose beginnings the clip tells of."""
        span = self.notes[place].span
        lead_ns, left_ns = self._led_ns(place), self._led_ns(place + 1)
        return span.model_copy(
            update={"start_ns": span.start_ns - lead_ns, "end_ns": span.end_ns - left_ns}
        )

    def _noted(self) -> Iterable[ClipEvent]:
        for place, note in enumerate(self.notes):
            if place not in self._labelled:
                for event in note.events:
                    yield ClipEvent(event, note.clip_id, note.span, note.epoch_at)

    def _said(self) -> Iterable[ClipEvent]:
        for label in self.labels:
            if label.text and (places := self._places_of(label)):
                note = self.notes[places[0]]
                event = NotedEvent(span=label.span, text=label.text)
                yield ClipEvent(event, note.clip_id, note.span, note.epoch_at)

    def _event(self, text: str, span: Span, clip: Span) -> NoteEvent:
        return NoteEvent(
            start_s=self._seconds(span.start_ns - clip.start_ns),
            end_s=self._seconds(span.end_ns - clip.start_ns),
            text=text,
        )

    def _seconds(self, ns: int) -> float:
        return round(round(ns / NS_PER_S / self._step_s) * self._step_s, 3)

    def _hull(self, first: int, last: int) -> Span:
        span = self.notes[first].span
        return span.model_copy(update={"end_ns": self.notes[last].span.end_ns})


def is_told(one: Span, clip: Span, lead_ns: int, *, left_ns: int) -> bool:
    """Whether the note of a clip tells of something, or leaves it to the one before or after it."""
    from_ns = clip.start_ns - lead_ns
    in_view_ns = min(one.end_ns, clip.end_ns) - max(one.start_ns, from_ns)
    if in_view_ns < min(SHORTEST_NS, one.end_ns - one.start_ns):
        return False
    if lead_ns and one.start_ns <= from_ns and one.end_ns < clip.start_ns + SHORTEST_NS:
        return False
    return one.start_ns <= clip.end_ns - left_ns


def moved(span: Span, by_ns: int) -> Span:
    """The same length of a stream, so much later."""
    times = {"start_ns": span.start_ns + by_ns, "end_ns": span.end_ns + by_ns}
    return span.model_copy(update=times)


def cut_to(one: Span, whole: Span) -> Span:
    return one.model_copy(
        update={
            "start_ns": max(one.start_ns, whole.start_ns),
            "end_ns": min(one.end_ns, whole.end_ns),
        }
    )


def note_of(events: Iterable[NoteEvent], *, calm: str) -> Note:
    """The note of events, or of none: that says `calm`."""
    in_order = sorted(events, key=lambda event: (event.start_s, event.text))
    return Note(
        text=LISTED_BY.join(event.text for event in in_order) or calm, events=tuple(in_order)
    )


def calm_text(notes: Iterable[ClipNote]) -> str:
    """What the model says of a clip in which nothing happens."""
    said = Counter(note.text for note in notes if note.text and not note.events)
    return said.most_common(1)[0][0] if said else CALM


def _belongs(label: Span, window: Span) -> bool:
    if not label.overlaps(window.start_ns, window.end_ns):
        return False
    if window.start_ns <= label.start_ns < window.end_ns:
        return True
    inside = cut_to(label, window)
    return 2 * (inside.end_ns - inside.start_ns) >= window.end_ns - window.start_ns
