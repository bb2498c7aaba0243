"""Questions about a film of light, which the real service watched with the scripted engine."""

from collections.abc import Callable

import numpy as np
import pytest

from models.engine import ClipTokens
from models.schemas import Plan
from services.answer import MAX_QUESTION_CHARS, Answerer, Question
from services.describing import stored_tokens
from services.errors import EmptyQuestion, NoSuchStream, QuestionTooLong, RangeInFuture
from services.moments import Bounds, MediaMoment
from services.requests import answerer_of
from services.wiring import Stores, open_index
from streaming.messages import NS_PER_S, Answer, Verdict
from tests.services.scripted_engine import ScriptedEngine

Ask = Callable[..., Answer]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def answerer(stores: Stores, engine: ScriptedEngine) -> Answerer:
    return answerer_of(stores, engine, open_index(stores, engine).index)


@pytest.fixture
def ask(answerer: Answerer) -> Ask:
    def ask(text: str, *streams: str, bounds: Bounds | None = None) -> Answer:
        return answerer.ask(Question(text, streams, bounds or Bounds()))

    return ask


def moments_s(answer: Answer) -> list[tuple[float, float]]:
    return [(one.span.start_ns / NS_PER_S, one.span.end_ns / NS_PER_S) for one in answer.evidence]


def test_when_names_exact_times(ask: Ask) -> None:
    answer = ask("when: a bright light")

    assert answer.verdict is Verdict.FOUND
    assert moments_s(answer) == [(12, 15), (34, 36)]
    assert answer.text == "2 at 0:00:12.000–0:00:15.000, 0:00:34.000–0:00:36.000."
    assert all(one.verified for one in answer.evidence)
    assert answer.coverage.fraction == 1


@pytest.mark.parametrize(
    ("question", "value", "moments"),
    [
        ("count: a bright light", 2, [(12, 15), (34, 36)]),
        ("first: light", None, [(12, 15)]),
        ("last: bright light", None, [(34, 36)]),
        ("order: dim light, bright light", "a bright light shines", [(12, 15), (19, 24)]),
        ("state: bright light | dim light", True, [(34, 36)]),
        ("state: dim light | bright light", False, [(34, 36)]),
        ("exists: a dim light", True, [(19, 24)]),
        (
            "between 0:00:10 and 0:00:20 between:",
            ("a bright light shines", "a dim light shines"),
            [(12, 15), (19, 24)],
        ),
    ],
)
def test_each_intent(
    ask: Ask, question: str, value: object, moments: list[tuple[float, float]]
) -> None:
    answer = ask(question)

    assert (answer.value, moments_s(answer)) == (value, moments)
    assert answer.verdict is Verdict.FOUND


def test_what_goes_on_across_clips_is_one_event(ask: Ask) -> None:
    assert moments_s(ask("when: dim light")) == [(19, 24)]


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("exists: a green light", False),
        ("count: a green light", 0),
        ("when: a green light", None),
        ("order: green light, blue light", None),
        ("state: green light | blue light", None),
        ("exists: bright light after 0:00:40", False),
        ("between 0:00:00 and 0:00:10 between:", ()),
    ],
)
def test_what_was_not_noted_is_denied_without_evidence(
    ask: Ask, engine: ScriptedEngine, question: str, value: object
) -> None:
    answer = ask(question)

    assert (answer.verdict, answer.value) == (Verdict.NOT_FOUND, value)
    assert answer.evidence == ()
    assert engine.asked == [], "a model is not asked to say what has no evidence"


def test_a_time_beside_the_question_limits_it(ask: Ask) -> None:
    bounds = Bounds(start=MediaMoment(20 * NS_PER_S))

    assert moments_s(ask("when: light", bounds=bounds)) == [(19, 24), (34, 36)]


def test_words_of_time_go_before_what_is_said_beside(ask: Ask) -> None:
    bounds = Bounds(start=MediaMoment(20 * NS_PER_S))

    assert moments_s(ask("when: light before 0:00:13", bounds=Bounds())) == [(12, 15)]
    assert moments_s(ask("when: light after 0:00:30", bounds=bounds)) == [(34, 36)]


def test_a_state_is_asked_about_as_of_the_end_of_the_range(ask: Ask) -> None:
    assert ask("state: bright light | dim light as of 0:00:30").value is False
    assert ask("state: bright light | dim light as of 0:00:40").value is True


def test_a_time_that_was_not_watched_is_said_to_be_so(stores: Stores, ask: Ask) -> None:
    stores.record.delete_span(stores.record.segments()[0].span)
    answer = ask("exists: bright light before 0:00:03")

    assert (answer.verdict, answer.value) == (Verdict.NOT_WATCHED, None)
    assert "not watched" in answer.text


def test_unnoted_events_are_found_by_looking(ask: Ask, stores: Stores) -> None:
    for note in stores.record.clips():
        silent = note.model_copy(update={"events": (), "text": "nothing shines"})
        vectors = next(held for held in stores.record.vectors() if held.clip_id == note.clip_id)
        stores.record.put_clip(
            silent, text_vector=vectors.text_vector, visual_vector=vectors.visual_vector
        )

    answer = ask("exists: dim light")

    assert (answer.verdict, answer.value) == (Verdict.FOUND, True)
    assert moments_s(answer) == [(10, 20), (20, 30)]
    assert all(one.verified for one in answer.evidence)


def test_what_a_look_denies_is_dropped(ask: Ask, stores: Stores, engine: ScriptedEngine) -> None:
    (clip_id,) = {one.clip_id for one in ask("last: bright light").evidence}
    dark = ClipTokens(
        tokens_KD=np.full((10, 1), 20, dtype=np.float16),
        frame_K=np.arange(10, dtype=np.int16),
        times_s_T=np.arange(10, dtype=np.float32),
        layout_id=engine.layout_id,
        encoder_id=engine.encoder_id,
    )
    stores.tokens.put(stored_tokens(clip_id, dark))

    assert moments_s(ask("when: bright light")) == [(12, 15)]


def test_an_undecided_look_is_not_visible(
    ask: Ask, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "judge", lambda clip, claim: 0.98)

    answer = ask("exists: a green light")

    assert (answer.verdict, answer.value, answer.evidence) == (Verdict.NOT_VISIBLE, None, ())


def test_without_tokens_the_notes_stand_alone(ask: Ask, stores: Stores) -> None:
    for note in stores.record.clips():
        stores.tokens.delete(note.clip_id)

    answer = ask("count: bright light")

    assert answer.value == 2
    assert [one.verified for one in answer.evidence] == [None, None]


def test_the_model_is_given_the_result_and_numbered_moments(
    ask: Ask, engine: ScriptedEngine
) -> None:
    ask("After 0:00:01, count: bright light")

    ((question, findings, clips),) = engine.asked
    assert question == "Count: bright light"
    assert findings == ("result: 2", "[1] a bright light shines", "[2] a bright light shines")
    assert clips == 2


def test_words_come_piece_by_piece(answerer: Answerer) -> None:
    pieces: list[str] = []
    answer = answerer.ask(Question("when: bright light"), on_text=pieces.append)

    assert len(pieces) > 1
    assert "".join(pieces).strip() == answer.text


def test_a_model_that_miscounts_is_not_heard(
    ask: Ask, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "answer", lambda *_, **__: iter(["22", " times, at [1]."]))

    answer = ask("count: bright light")

    assert answer.value == 2
    assert answer.text == (
        "2 times: a bright light shines: 0:00:12.000–0:00:15.000; "
        "a bright light shines: 0:00:34.000–0:00:36.000"
    )


def test_what_a_model_miscounts_and_was_once_is_said_to_be_so(
    ask: Ask, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "answer", lambda *_, **__: iter(["2 times, at [1]."]))

    assert ask("count: dim light").text == "once: a dim light shines: 0:00:19.000–0:00:24.000"


def test_a_question_without_a_plan_is_looked_for(ask: Ask) -> None:
    answer = ask("a bright light shines")

    assert (answer.intent, moments_s(answer)) == ("when", [(12, 15), (34, 36)])


def test_a_word_that_the_planner_garbles_is_the_one_that_was_asked_about(
    ask: Ask, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    garbled = Plan(intent="when", events=("a brght light",))
    monkeypatch.setattr(engine, "plan", lambda question: garbled)

    assert moments_s(ask("When was there a bright light?")) == [(12, 15), (34, 36)]
    assert ask("When was there a white light?").verdict is not Verdict.FOUND


def test_a_description_without_a_time_is_about_the_latest_minute(ask: Ask) -> None:
    (asked,) = ask("describe:").coverage.asked

    assert (asked.start_ns, asked.end_ns) == (0, 45 * NS_PER_S)


def test_a_time_without_events_is_described_by_its_notes(ask: Ask) -> None:
    answer = ask("between 0:00:00 and 0:00:10 describe:")

    assert answer.verdict is Verdict.FOUND
    assert moments_s(answer) == [(0, 10)]
    assert "nothing shines" in answer.evidence[0].text


@pytest.mark.parametrize("text", ["", "  \n "])
def test_an_empty_question_is_refused(ask: Ask, text: str) -> None:
    with pytest.raises(EmptyQuestion):
        ask(text)


def test_a_question_of_100_kb_is_refused(ask: Ask) -> None:
    with pytest.raises(QuestionTooLong, match=f"{MAX_QUESTION_CHARS:,}"):
        ask("why " * 25_000)


def test_an_unknown_stream_is_refused_by_name(ask: Ask) -> None:
    with pytest.raises(NoSuchStream, match=r"'door'; known are: cam"):
        ask("when: light", "door")


def test_the_future_is_refused(ask: Ask) -> None:
    with pytest.raises(RangeInFuture):
        ask("when: light after 1:00:00")
