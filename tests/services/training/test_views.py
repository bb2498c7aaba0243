"""Stretches of labelled footage, which cut nothing in two."""

from memory.labels import Label
from models.layout import Pooling, StreamLayout
from services.training.truth import Truth
from services.training.views import DARKEST, EDGE_NS, LIGHTEST, MOST_VIEWS, light_of, views_of
from streaming.messages import NS_PER_S
from tests.memory.notes import note, span
from tests.services.training.test_truth import AT, BIRD, BOAT

LAYOUT = StreamLayout(image_size_px=16, compression=Pooling(), lead_in_s=3, fps=1)
LABELS = [
    Label(span=span(2, 6), text=BOAT, labelled_at=AT),
    Label(span=span(13, 17), text=BIRD, labelled_at=AT),
]


def truth(*labels: Label) -> Truth:
    return Truth([note(place, "calm", ()) for place in range(3)], labels, LAYOUT)


def test_views_begin_anywhere_in_a_clip_and_cut_nothing() -> None:
    told = truth(*LABELS)
    views = list(views_of(told, 0))

    assert len(views) == 7 <= MOST_VIEWS  # from each second but three, in which the boat is seen
    assert len({view.start_ns for view in views}) == 7
    for view in views:
        assert view.start_ns < 10 * NS_PER_S
        assert 4 <= view.duration_s <= 10
        for label in LABELS:
            for at_ns in (view.start_ns, view.end_ns):
                assert not label.span.start_ns + EDGE_NS < at_ns < label.span.end_ns - EDGE_NS
    assert views == list(views_of(told, 0))


def test_a_view_tells_what_lies_in_it_from_its_own_start() -> None:
    told = truth(*LABELS)

    whole = told.within(span(1, 11))
    assert [(one.start_s, one.end_s, one.text) for one in whole.events] == [(1.0, 5.0, BOAT)]
    assert told.within(span(6, 13)).events == ()
    assert told.within(span(6, 13)).text == "calm"


def test_views_are_shown_in_other_light_each_in_its_own() -> None:
    views = list(views_of(truth(*LABELS), 0))
    lights = [light_of(view) for view in views]

    assert len(set(lights)) == len(views)
    assert all(DARKEST <= light <= LIGHTEST for light in lights)
    assert lights == [light_of(view) for view in views]


def test_views_lie_in_what_people_labelled() -> None:
    assert list(views_of(truth(), 0)) == []
    alone = truth(LABELS[0])
    assert alone.origin(1) == "model"
    assert all(view.end_ns <= 10 * NS_PER_S for view in views_of(alone, 0))
