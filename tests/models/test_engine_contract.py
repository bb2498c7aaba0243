"""What every engine promises, whatever runs behind it: one suite for all of them."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.tokens import TokenStore
from models.engine import ClipTokens, Engine, LeadIn, refuse_foreign
from models.errors import LayoutMismatch, UnusableFrames
from models.model_servers import ModelServers
from models.openai_engine import OpenAIEngine
from models.schemas import Note, Plan
from models.sglang_engine import SGLangEngine
from models.transformers_engine import TransformersEngine
from models.usage import Usage, counted
from services.describing import clip_tokens, stored_tokens
from services.settings import SHIPPED_MODEL
from streaming.messages import NS_PER_S, Span, clip_id_of
from tests.models.tiny_vlm import CHECKPOINT, CLAIM, DARK, FINDINGS, LAYOUT, LIGHT, QUESTION, frames
from tests.models.vlm_server import serving_vlm
from tests.services.on_sglang.model_server import ModelServer

pytestmark = pytest.mark.timeout(700)  # the first test of a server waits for it to start

TIMES_S = (0.0, 1.0, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine, and the store from which it reads clips."""

    engine: Engine
    store: TokenStore

    def clip(self, level: int, *, number: int = 0) -> ClipTokens:
        """The n-th clip of a stream, as it is read from the store."""
        encoded = self.engine.encode(frames(level, seed=number), TIMES_S)
        start_ns = number * 4 * NS_PER_S
        span = Span(stream_id="cam", start_ns=start_ns, end_ns=start_ns + 4 * NS_PER_S)
        clip_id = clip_id_of(span, self.engine.layout_id)
        self.store.put(stored_tokens(clip_id, encoded.tokens))
        made_by = {"layout_id": self.engine.layout_id, "encoder_id": self.engine.encoder_id}
        return clip_tokens(self.store.get(clip_id, **made_by))


Give = Callable[[str], Any]
"""Gives a fixture by its name."""


@contextmanager
def in_process(give: Give) -> Generator[Subject]:
    store = TokenStore(str(give("tmp_path_factory").mktemp("tokens")))
    yield Subject(TransformersEngine.load(SHIPPED_MODEL, num_threads=1), store)


@contextmanager
def openai(give: Give) -> Generator[Subject]:
    store = TokenStore(str(give("tmp_path_factory").mktemp("tokens")))
    with serving_vlm(CHECKPOINT) as url, closing(ModelServers([url])) as servers:
        yield Subject(OpenAIEngine(servers, name=str(CHECKPOINT), layout=LAYOUT), store)


@contextmanager
def sglang(give: Give) -> Generator[Subject]:
    served: ModelServer = give("model_server")
    local = TransformersEngine.load(SHIPPED_MODEL, num_threads=1)
    with closing(ModelServers([served.url])) as servers:
        yield Subject(SGLangEngine(servers, local), served.store)


@pytest.fixture(scope="module", params=[in_process, openai, sglang], ids=lambda make: make.__name__)
def subject(request: pytest.FixtureRequest) -> Generator[Subject]:
    with request.param(request.getfixturevalue) as subject:
        yield subject


def test_the_same_frames_give_the_same_tokens(subject: Subject):
    once, again = (subject.engine.encode(frames(LIGHT), TIMES_S) for _ in range(2))

    assert once.tokens.tokens_KD.tobytes() == again.tokens.tokens_KD.tobytes()
    assert len(once.tokens.frame_K) == len(once.tokens.tokens_KD)
    assert once.tokens.times_s_T.tolist() == list(TIMES_S)
    refuse_foreign(subject.engine, once.tokens)


def test_frames_that_come_by_and_by_are_encoded_as_if_at_once(subject: Subject):
    engine, whole = subject.engine, frames(LIGHT, seed=3)
    at_once = engine.encode(whole, TIMES_S)
    begun = engine.encode(whole[:1], TIMES_S[:1])
    begun = engine.encode(whole[1:3], TIMES_S[1:3], before=begun)
    by_and_by = engine.encode(whole[3:], TIMES_S[3:], before=begun)

    assert by_and_by.tokens.tokens_KD.tobytes() == at_once.tokens.tokens_KD.tobytes()
    assert by_and_by.tokens.frame_K.tolist() == at_once.tokens.frame_K.tolist()
    assert by_and_by.tokens.times_s_T.tolist() == list(TIMES_S)
    vectors = [
        one.vector_V if one.vector_V is None else one.vector_V.tolist()
        for one in (by_and_by, at_once)
    ]
    assert vectors[0] == vectors[1]


def test_vectors_are_of_unit_length_and_of_one_width(subject: Subject):
    engine = subject.engine
    texts_NV = engine.embed(["a light shines", "", "nothing happens"])
    vector_V = engine.encode(frames(LIGHT), TIMES_S).vector_V

    assert texts_NV.shape == (3, engine.vector_width)
    assert engine.embed([]).shape == (0, engine.vector_width)
    vectors = [*texts_NV, *([] if vector_V is None else [vector_V])]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_stored_tokens_give_the_vector_that_encoding_gave(subject: Subject):
    made = subject.engine.encode(frames(LIGHT), TIMES_S)
    again = subject.engine.clip_vector(made.tokens)

    assert (again is None) == (made.vector_V is None)
    if again is not None and made.vector_V is not None:
        assert again.tobytes() == made.vector_V.tobytes()


def test_a_text_is_nearest_to_itself(subject: Subject):
    texts_NV = subject.engine.embed(["a red car stops", "a red car stops", "a dog runs away"])

    assert texts_NV[0] @ texts_NV[1] > texts_NV[0] @ texts_NV[2]


def test_a_note_is_written_of_a_stored_clip(subject: Subject):
    note = subject.engine.describe(subject.clip(LIGHT), previous=["it is dark"])

    assert isinstance(note, Note)
    assert note.text


def test_a_note_may_look_at_the_end_of_the_clip_before(subject: Subject):
    before, clip = (subject.clip(LIGHT, number=number) for number in range(2))

    note = subject.engine.describe(clip, previous=[], lead_in=LeadIn(before, ends_s=4.0))

    assert isinstance(note, Note)


def test_a_claim_is_judged_with_a_probability(subject: Subject):
    clips = [subject.clip(level, number=number) for number, level in enumerate((LIGHT, DARK))]

    judgements = [subject.engine.judge(clip, CLAIM) for clip in clips]

    assert all(0 <= judgement <= 1 for judgement in judgements)
    assert judgements[0] != judgements[1]


def test_clips_judged_in_one_call_are_judged_as_each_alone(subject: Subject):
    clips = [subject.clip(level, number=number) for number, level in enumerate((LIGHT, DARK))]
    alone = [subject.engine.judge(clip, CLAIM) for clip in clips]

    together = subject.engine.judge_all([(clip, CLAIM) for clip in clips])

    assert together == pytest.approx(alone, abs=1e-4)
    assert together[0] != together[1]


def test_a_question_gets_a_plan(subject: Subject):
    assert isinstance(subject.engine.plan(QUESTION), Plan)


@pytest.mark.parametrize("num_clips", [0, 1, 3])
def test_an_answer_comes_in_pieces(subject: Subject, num_clips: int):
    clips = [subject.clip(LIGHT, number=number) for number in range(num_clips)]

    pieces = list(subject.engine.answer(QUESTION, findings=FINDINGS, clips=clips))

    assert len(pieces) > 1
    assert "".join(pieces).strip()


def test_an_answer_that_nobody_reads_to_its_end_is_no_harm(subject: Subject):
    clip = subject.clip(LIGHT)

    pieces = iter(subject.engine.answer(QUESTION, findings=FINDINGS, clips=[clip]))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]

    assert 0 <= subject.engine.judge(clip, CLAIM) <= 1


def test_what_it_reads_and_writes_is_counted(subject: Subject):
    engine, clip = subject.engine, subject.clip(LIGHT)
    calls: Sequence[Callable[[], object]] = (
        lambda: engine.plan(QUESTION),
        lambda: engine.judge(clip, CLAIM),
        lambda: engine.describe(clip, previous=[]),
        lambda: list(engine.answer(QUESTION, findings=FINDINGS, clips=[clip])),
        lambda: list(engine.answer(QUESTION, findings=FINDINGS, clips=[])),
    )
    each: list[Usage] = []
    with counted() as whole:
        for call in calls:
            with counted() as usage:
                call()
            each.append(usage)
        engine.plan(QUESTION)

    plan, judgement, _, seeing, blind = each
    assert all(usage.is_known and usage.completion_tokens for usage in each)
    assert 0 < blind.prompt_tokens < seeing.prompt_tokens, "a clip is read, too"
    assert judgement.completion_tokens == 1
    assert whole.prompt_tokens == plan.prompt_tokens, "what is counted within is not counted twice"


@pytest.mark.parametrize("made_by", ["layout_id", "encoder_id"])
def test_tokens_of_another_make_are_refused(subject: Subject, made_by: str):
    engine, foreign = subject.engine, replace(subject.clip(LIGHT), **{made_by: "another"})
    calls: Sequence[Callable[[], object]] = (
        lambda: engine.judge(foreign, CLAIM),
        lambda: engine.describe(foreign, previous=[]),
        lambda: engine.clip_vector(foreign),
        lambda: list(engine.answer(QUESTION, findings=FINDINGS, clips=[foreign])),
    )

    for call in calls:
        with pytest.raises(LayoutMismatch):
            call()


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (1, 0, 8, 3), (1, 8, 8, 4), (8, 8, 3)])
def test_frames_of_no_use_are_refused(subject: Subject, shape: tuple[int, ...]):
    nothing: NDArray[np.uint8] = np.zeros(shape, np.uint8)

    with pytest.raises(UnusableFrames, match="expected"):
        subject.engine.encode(nothing, [0.0])


def test_asked_by_several_at_once_it_says_the_same(subject: Subject):
    clips = [subject.clip(level, number=number) for number, level in enumerate((LIGHT, DARK) * 4)]
    alone = [subject.engine.judge(clip, CLAIM) for clip in clips]

    with ThreadPoolExecutor(len(clips)) as pool:
        together = list(pool.map(lambda clip: subject.engine.judge(clip, CLAIM), clips))

    assert together == pytest.approx(alone, abs=1e-4)
