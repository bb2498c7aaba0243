"""What a note is written from, and what of it is remembered."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.events import occurrences
from models.engine import ClipTokens, EncodedClip
from models.errors import UnparsableReply
from models.schemas import Note, NoteEvent
from services.describing import clip_tokens, stored_tokens
from services.seen_clips import noted_event
from services.settings import Settings
from services.wiring import opened
from streaming.messages import NS_PER_S
from tests.services.analysing import analyse, span
from tests.services.scripted_engine import ScriptedEngine


def test_a_note_tells_whole_what_began_in_the_clip_before(captured: Settings) -> None:
    analyse(captured, engine=ScriptedEngine(lead_in_s=3))

    with opened(captured) as stores:
        (note,) = stores.record.clips([span(20, 21)])
        first = note.events[0]
        assert (first.text, first.span) == ("a dim light shines", span(19, 24))
        assert note.told == span(19, 30)
        assert [one.span for one in occurrences(stores.record.events([span(19, 21)]))] == [
            span(19, 24)
        ]


@pytest.mark.parametrize("lost", ["tokens", "clip"])
def test_a_note_is_written_without_the_clip_before_where_that_is_lost(
    captured: Settings, lost: str
) -> None:
    shown: list[bool] = []

    class Losing(ScriptedEngine):
        def encode(
            self,
            frames_THWC: NDArray[np.uint8],
            times_s_T: Sequence[float],
            *,
            before: EncodedClip | None = None,
        ) -> EncodedClip:
            for clip in stores.record.clips():
                if lost == "tokens":
                    stores.tokens.delete(clip.clip_id)
                else:
                    stores.record.delete_span(clip.span)
            return super().encode(frames_THWC, times_s_T, before=before)

        def describe(self, clip: ClipTokens, **known: Any) -> Note:
            shown.append(known["lead_in"] is not None)
            return super().describe(clip, **known)

    with opened(captured) as stores:
        analyse(captured, engine=Losing(lead_in_s=3))

    assert shown == [False] * 5


def test_what_began_in_a_clip_that_is_being_forgotten_is_told_from_its_rest(
    captured: Settings,
) -> None:
    class Forgetting(ScriptedEngine):
        def describe(self, clip: ClipTokens, **known: Any) -> Note:
            if len(stores.record.clips()) == 2:
                stores.record.begin_forgetting(span(10, 20))
            return super().describe(clip, **known)

    with opened(captured) as stores:
        analyse(captured, engine=Forgetting(lead_in_s=3))
        (note,) = stores.record.clips([span(20, 21)])
        assert note.events[0].span == span(20, 24)


def test_a_clip_whose_note_does_not_parse_is_remembered_by_its_picture(
    captured: Settings,
) -> None:
    class Mumbling(ScriptedEngine):
        def describe(self, clip: ClipTokens, **known: Any) -> Note:
            raise UnparsableReply("note", "{")

    analyse(captured, engine=Mumbling())

    with opened(captured) as stores:
        assert [note.text for note in stores.record.clips()] == [""] * 5
        assert all((one.text_vector == one.visual_vector).all() for one in stores.record.vectors())


def test_the_model_is_told_the_notes_before_a_clip(captured: Settings) -> None:
    told: list[list[str]] = []

    class Listening(ScriptedEngine):
        def describe(self, clip: ClipTokens, **known: Any) -> Note:
            told.append(list(known["previous"]))
            return super().describe(clip, **known)

    analyse(captured, engine=Listening())

    with opened(captured) as stores:
        texts = [note.text for note in stores.record.clips()]
    assert told == [texts[max(0, at - 2) : at] for at in range(5)]


@pytest.mark.parametrize(
    ("seconds", "expected_s"),
    [
        ((2, 4.5), (12, 14.5)),
        ((0, 99), (10, 20)),
        ((3, 3), (13, 13.001)),
        ((5, 2), (15, 15.001)),
        ((99, 99), (19.999, 20)),
    ],
)
def test_a_noted_event_lies_within_its_clip(
    seconds: tuple[float, float], expected_s: tuple[float, float]
) -> None:
    event = NoteEvent(start_s=seconds[0], end_s=seconds[1], text="x")

    assert noted_event(event, span(10, 20)).span == span(*expected_s)


@pytest.mark.parametrize(("starts_s", "expected_s"), [(-2.5, 7.5), (-4, 7), (1, 11)])
def test_a_noted_event_reaches_back_no_further_than_was_shown(
    starts_s: float, expected_s: float
) -> None:
    event = NoteEvent(start_s=starts_s, end_s=2, text="x")

    noted = noted_event(event, span(10, 20), reach_ns=3 * NS_PER_S)

    assert noted.span == span(expected_s, 12)


def test_tokens_come_back_as_they_were_stored() -> None:
    engine = ScriptedEngine()
    tokens = engine.encode(np.full((3, 4, 4, 3), 99, dtype=np.uint8), [0, 1, 2]).tokens

    back = clip_tokens(stored_tokens("cam:0-1:x", tokens))

    assert np.array_equal(back.tokens_KD, tokens.tokens_KD)
    assert np.array_equal(back.times_s_T, tokens.times_s_T)
    assert back.layout_id == tokens.layout_id
