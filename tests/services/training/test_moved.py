"""Labelled clips at other instants."""

from memory.labels import Label
from models.layout import Pooling, StreamLayout
from services.training.truth import Truth
from services.training.views import MOST_VIEWS, PARTS, Moved, moved_clips
from streaming.messages import NS_PER_S
from tests.memory.notes import note, span
from tests.services.training.test_truth import AT, BIRD, BOAT

LAYOUT = StreamLayout(image_size_px=16, compression=Pooling(), lead_in_s=3, fps=1)
LABEL = Label(span=span(12, 16), text=BOAT, labelled_at=AT)
CLIPS = 3


def truth(*labels: Label, noted: tuple[tuple[float, float, str], ...] = ()) -> Truth:
    notes = [note(0, "calm", ()), note(1, "calm", ()), note(2, "calm", noted)]
    return Truth(notes, labels, LAYOUT)


def starts_s(views: list[Moved]) -> list[float]:
    return [view.span.start_ns / NS_PER_S for view in views]


def test_views_are_the_clip_moved_by_half_a_picture_at_most() -> None:
    told = truth(LABEL)
    views = list(moved_clips(told, 1))

    assert len(set(starts_s(views))) == len(views) == MOST_VIEWS
    assert all(9.5 <= start_s <= 10.5 for start_s in starts_s(views))
    assert all(start_s * PARTS % 1 == 0 for start_s in starts_s(views))
    for view in views:
        assert view.before is not None
        assert view.span.duration_s == 10
        assert view.before.start_ns == max(0, view.span.start_ns - 10 * NS_PER_S)
        assert view.before.end_ns == view.span.start_ns
    assert views == list(moved_clips(told, 1))


def test_a_view_tells_what_the_clip_does_from_its_own_start() -> None:
    for view in moved_clips(truth(LABEL), 1):
        (event,) = view.note.events
        late_s = view.span.start_ns / NS_PER_S - 10
        assert event.text == BOAT
        assert abs(event.start_s - (2 - late_s)) <= 0.25
        assert abs(event.end_s - (6 - late_s)) <= 0.25


def test_only_what_people_labelled_is_seen_so() -> None:
    assert list(moved_clips(truth(), 1)) == []
    assert list(moved_clips(truth(LABEL), 2)) == []


def test_where_a_model_saw_something_begin_that_labels_do_not_tell_there_is_no_view() -> None:
    late = truth(LABEL, noted=((-2.75, 2.0, BIRD),))  # from 17.25 s on, where labels end at 17

    assert 0 < len(list(moved_clips(late, 1))) < MOST_VIEWS
    assert all(start_s < 10.25 for start_s in starts_s(list(moved_clips(late, 1))))


def test_footage_that_is_not_there_is_not_shown() -> None:
    for place, wanted_s in ((0, (0.0, 0.5)), (CLIPS - 1, (19.5, 20.0))):
        first_s = 10.0 * place + 4
        label = Label(span=span(first_s, first_s + 1), text=BOAT, labelled_at=AT)
        views = list(moved_clips(truth(label), place))
        assert len(views) == MOST_VIEWS
        assert all(wanted_s[0] <= start_s <= wanted_s[1] for start_s in starts_s(views))
        assert all((view.before is None) == (place == 0) for view in views)
