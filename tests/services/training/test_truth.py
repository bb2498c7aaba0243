"""Notes as labels correct them, from the view of each clip."""

from datetime import UTC, datetime

from memory.labels import Label
from models.layout import Pooling, StreamLayout
from services.training.truth import CALM, Truth
from streaming.messages import ClipNote
from tests.memory.notes import note, span

AT = datetime(2025, 3, 1, tzinfo=UTC)
LAYOUT = StreamLayout(image_size_px=16, compression=Pooling(), lead_in_s=3)
BOAT, BIRD = "a boat leaves", "a bird sings"


def noted(*counts: tuple[float, float, str]) -> list[ClipNote]:
    return [
        note(0, "a boat leaves", ((1.0, 4.0, BOAT),)),
        note(1, "calm", ()),
        note(2, "a bird sings", ((-2.0, 3.0, BIRD),)),
    ]


def label(start_s: float, end_s: float, text: str) -> Label:
    return Label(span=span(start_s, end_s), text=text, labelled_at=AT)


def told(truth: Truth, place: int) -> list[tuple[float, float, str]]:
    return [(one.start_s, one.end_s, one.text) for one in truth.note(place).events]


def test_without_labels_notes_stand_as_they_are() -> None:
    truth = Truth(noted(), [], LAYOUT)

    assert [truth.origin(place) for place in range(3)] == ["model"] * 3
    assert told(truth, 0) == [(1.0, 4.0, BOAT)]
    assert told(truth, 2) == [(-2.0, 3.0, BIRD)]
    assert truth.note(1).text == "calm"


def test_a_labelled_clip_shows_what_its_labels_say_and_nothing_else() -> None:
    truth = Truth(noted(), [label(2, 5, BIRD)], LAYOUT)

    assert truth.origin(0) == "label"
    assert told(truth, 0) == [(2.0, 5.0, BIRD)]
    assert truth.note(0).text == BIRD
    assert truth.origin(1) == "model"
    assert [one.text for one in truth.occurrences] == [BIRD, BIRD]


def test_what_a_model_saw_begin_earlier_is_not_believed_of_a_labelled_clip() -> None:
    long_boat = note(0, BOAT, ((6.0, 13.0, BOAT),))
    truth = Truth([long_boat, *noted()[1:]], [label(12, 14, BIRD)], LAYOUT)

    assert told(truth, 1) == [(2.0, 4.0, BIRD)]
    assert told(truth, 0) == [(6.0, 13.0, BOAT)]
    assert [one.text for one in truth.shown_in(span(10, 20), by_people=True)] == [BIRD]
    assert [one.text for one in truth.shown_in(span(10, 20), by_people=False)] == [BOAT, BIRD, BIRD]
    seen_too = Truth([long_boat, *noted()[1:]], [label(12, 14, BIRD), label(7, 13, BOAT)], LAYOUT)
    assert told(seen_too, 1) == [(-3.0, 3.0, BOAT), (2.0, 4.0, BIRD)]


def test_a_label_without_words_says_that_a_clip_is_calm() -> None:
    truth = Truth(noted(), [label(0, 2, "")], LAYOUT)

    assert truth.note(0).events == ()
    assert truth.note(0).text == "calm"
    assert Truth(noted()[:1], [label(0, 2, "")], LAYOUT).note(0).text == CALM


def test_what_begins_late_is_told_by_the_next_clip_with_its_lead_in() -> None:
    truth = Truth(noted(), [label(8, 13, BOAT)], LAYOUT)

    assert truth.origin(0) == "model"
    assert truth.origin(1) == "label"
    assert told(truth, 1) == [(-2.0, 3.0, BOAT)]


def test_the_last_clip_tells_of_what_begins_late_itself() -> None:
    truth = Truth(noted(), [label(28, 30, BOAT)], LAYOUT)

    assert told(truth, 2) == [(8.0, 10.0, BOAT)]


def test_what_goes_on_through_a_clip_is_told_by_it_too() -> None:
    truth = Truth(noted(), [label(2, 18, BOAT)], LAYOUT)

    assert [truth.origin(place) for place in range(3)] == ["label", "label", "model"]
    assert told(truth, 0) == [(2.0, 10.0, BOAT)]
    assert told(truth, 1) == [(-3.0, 8.0, BOAT)]


def test_several_clips_are_told_of_at_once() -> None:
    truth = Truth(noted(), [label(12, 14, BOAT)], LAYOUT)

    merged = truth.merged(0, 2)
    assert [(one.start_s, one.end_s, one.text) for one in merged.events] == [
        (1.0, 4.0, BOAT),
        (12.0, 14.0, BOAT),
        (18.0, 23.0, BIRD),
    ]
    assert merged.text == f"{BOAT}, {BOAT}, {BIRD}"


def test_a_question_with_its_answer_is_no_event() -> None:
    asked = label(2, 5, "red").model_copy(update={"question": "what colour is the boat?"})
    truth = Truth(noted(), [asked], LAYOUT)

    assert truth.origin(0) == "model"
    assert [one.text for one in truth.occurrences] == [BOAT, BIRD]
