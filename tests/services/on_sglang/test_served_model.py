"""The model that SGLang serves says what it says in this process, from tokens named in requests."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.clip_reference import ClipReference, LeadInReference
from models.engine import ClipTokens, LeadIn
from models.grammar import schema_text
from models.layout import Compression, Pooling, RandomTokens, SlowFast, WeightedSampler
from models.nano.clips import sampled_pictures
from models.nano.world import write_script
from models.prompts import answer_prompt, describe_prompt, judge_prompt, plan_prompt
from models.replies import parse_reply
from models.schemas import Note, Plan
from models.transformers_engine import TransformersEngine
from services.settings import SHIPPED_MODEL
from tests.services.on_sglang.model_server import CLIP_S, ModelServer
from tests.services.processes import until

pytestmark = pytest.mark.timeout(700)  # the first test waits for the server to start

NUM_CLIPS = 3
NOTE = schema_text(Note)
FINDINGS = ("[1] a person opens the gate",)
CLAIMS = ("a person enters", "the lamp goes out", "a bird flies by")
COMPRESSIONS = (
    SlowFast(slow_stride=2, pool=2),
    WeightedSampler(tokens_per_frame=5, cells=2),
    Pooling(pool=3),
    RandomTokens(tokens_per_frame=7),
)
"""The first is the checkpoint's own."""


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine.load(SHIPPED_MODEL)


@cache
def pictures() -> NDArray[np.uint8]:
    return sampled_pictures(
        write_script(8, duration_s=NUM_CLIPS * CLIP_S, pace=5), fps=1, size_px=96
    )


def encoded(engine: TransformersEngine, number: int, by: Compression) -> ClipTokens:
    """Tokens of another compressor under the checkpoint's label: the decoder reads any alike."""
    layout = engine.model.layout
    engine.model.layout = layout.model_copy(update={"compression": by})
    try:
        seen = pictures()[number * CLIP_S : (number + 1) * CLIP_S]
        made = engine.encode(seen, range(CLIP_S)).tokens
    finally:
        engine.model.layout = layout
    return replace(made, layout_id=layout.layout_id)


def yes_of(server: ModelServer, clip: object, claim: str) -> float:
    """Probability of a yes from log-probabilities."""
    words = [server.processor.text_ids(word)[0] for word in ("yes", "no")]
    request = server.request(judge_prompt(claim), [clip], max_new_tokens=1)
    request |= {"return_logprob": True, "token_ids_logprob": words}
    told = server.generate(request).json()["meta_info"]["output_token_ids_logprobs"][0]
    assert [entry[1] for entry in told] == words
    return float(torch.tensor([entry[0] for entry in told]).softmax(0)[0])


@pytest.mark.parametrize("number", range(len(COMPRESSIONS)), ids=[c.kind for c in COMPRESSIONS])
def test_tokens_of_every_compressor_are_read_as_in_this_process(
    model_server: ModelServer, engine: TransformersEngine, number: int
) -> None:
    tokens = [encoded(engine, clip, COMPRESSIONS[number]) for clip in range(2)]
    names = [model_server.remember(10 * number + n, clip) for n, clip in enumerate(tokens)]
    clips = [ClipReference(name) for name in names]

    told = model_server.write(describe_prompt(["a dog walks"]), clips[:1], json_schema=NOTE)
    expected = engine.describe(tokens[0], previous=["a dog walks"])
    assert parse_reply("note", Note, told["text"]) == expected

    asked = answer_prompt("What happened?", findings=FINDINGS, num_clips=2)
    answer = "".join(engine.answer("What happened?", findings=FINDINGS, clips=tokens))
    assert model_server.write(asked, clips)["text"] == answer

    for claim in CLAIMS:
        probability = yes_of(model_server, clips[0], claim)
        assert probability == pytest.approx(engine.judge(tokens[0], claim), abs=1e-4)


def test_a_lead_in_is_read_as_in_this_process(
    model_server: ModelServer, engine: TransformersEngine
) -> None:
    before, tokens = (encoded(engine, number, COMPRESSIONS[0]) for number in (1, 2))
    names = [model_server.remember(50 + n, clip) for n, clip in enumerate((before, tokens))]
    named = ClipReference(names[1], LeadInReference(names[0], ends_s=CLIP_S))

    told = model_server.write(describe_prompt([]), [named], json_schema=NOTE)["text"]

    lead_in = LeadIn(before, ends_s=CLIP_S)
    assert parse_reply("note", Note, told) == engine.describe(tokens, previous=[], lead_in=lead_in)
    alone = model_server.write(describe_prompt([]), [ClipReference(names[1])], json_schema=NOTE)
    assert told != alone["text"]


def test_another_question_about_a_clip_reads_it_from_the_cache(
    model_server: ModelServer, engine: TransformersEngine
) -> None:
    tokens, others = (  # of pictures that no other test asks about
        engine.encode(pictures()[first : first + CLIP_S], range(CLIP_S)).tokens for first in (5, 15)
    )
    clip, same = (ClipReference(model_server.remember(number, tokens)) for number in (60, 61))
    other = ClipReference(model_server.remember(62, others))

    first, second, elsewhere, different = (
        model_server.write(judge_prompt(claim), [named], max_new_tokens=1)["meta_info"]
        for claim, named in zip([*CLAIMS, CLAIMS[0]], (clip, clip, same, other), strict=True)
    )

    num_tokens = len(tokens.tokens_KD)
    assert first["cached_tokens"] < num_tokens < second["cached_tokens"]
    assert elsewhere["cached_tokens"] > num_tokens, "the same tokens under another name"
    assert different["cached_tokens"] < num_tokens


def test_footage_captured_anew_is_not_answered_from_what_is_forgotten(
    model_server: ModelServer, engine: TransformersEngine
) -> None:
    forgotten, anew = (encoded(engine, number, COMPRESSIONS[0]) for number in (0, 2))
    clip = ClipReference(model_server.remember(65, forgotten))
    model_server.write(judge_prompt(CLAIMS[0]), [clip], max_new_tokens=1)

    model_server.remember(65, anew)

    probability = yes_of(model_server, clip, CLAIMS[0])
    assert probability == pytest.approx(engine.judge(anew, CLAIMS[0]), abs=1e-4)


def test_many_ask_at_once_and_each_is_answered_as_if_alone(
    model_server: ModelServer, engine: TransformersEngine
) -> None:
    tokens = [encoded(engine, number, COMPRESSIONS[0]) for number in range(NUM_CLIPS)]
    clips = [ClipReference(model_server.remember(70 + n, clip)) for n, clip in enumerate(tokens)]
    asked = [(number % NUM_CLIPS, f"What happened at {number}?") for number in range(32)]

    def answer(number: int, question: str) -> str:
        prompt = answer_prompt(question, findings=FINDINGS, num_clips=1)
        return model_server.write(prompt, clips[number : number + 1])["text"]

    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda one: answer(*one), asked))

    for (number, question), told in zip(asked, answers, strict=True):
        expected = engine.answer(question, findings=FINDINGS, clips=tokens[number : number + 1])
        assert told == "".join(expected)


@pytest.mark.parametrize(
    ("wrong", "status", "says"),
    [
        (
            {"video_data": ["clip:door:0-1:a"]},
            404,
            "tokens are stored for clip 'door:0-1:a'",
        ),
        ({"video_data": ["clip:../../etc"]}, 400, "not a clip id"),
        ({"video_data": ["http://camera/film.mp4"]}, 400, "is no clip; write clip:"),
        ({"video_data": ["{clip}", "{clip}"]}, 400, "1 places for 2 clips"),
        ({"image_data": ["picture.png"]}, 400, "image_data beside video_data"),
        ({"text": "<video>" + "why " * 5000}, 400, "context length"),
        ({"sampling_params": {"max_new_tokens": 10**6}}, 400, "context length"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_request_that_cannot_be_answered_is_refused_and_harms_no_other(
    model_server: ModelServer,
    engine: TransformersEngine,
    wrong: dict[str, Any],
    status: int,
    says: str,
) -> None:
    clip = ClipReference(model_server.remember(80, encoded(engine, 0, COMPRESSIONS[0])))
    right = model_server.request(judge_prompt(CLAIMS[0]), [clip], max_new_tokens=1)
    if "video_data" in wrong:
        names = [clip if name == "{clip}" else name for name in wrong["video_data"]]
        wrong = {"video_data": [str(name) for name in names]}

    refused = model_server.generate(right | wrong)

    assert refused.status_code == status, refused.text
    assert says in refused.json()["error"]["message"]
    assert model_server.generate(right).status_code == 200


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"layout_id": "0" * 12}, "layout '0000"), ({"encoder_id": "0" * 12}, "encoder '0000")],
)
def test_tokens_of_another_layout_or_of_other_weights_are_refused(
    model_server: ModelServer, engine: TransformersEngine, changed: dict[str, str], says: str
) -> None:
    tokens = replace(encoded(engine, 0, COMPRESSIONS[0]), **changed)
    clip = ClipReference(model_server.remember(81, tokens))

    refused = model_server.generate(model_server.request(judge_prompt(CLAIMS[0]), [clip]))

    assert refused.status_code == 409
    assert says in refused.json()["error"]["message"]


def test_damaged_tokens_are_refused(model_server: ModelServer, engine: TransformersEngine) -> None:
    clip_id = model_server.remember(82, encoded(engine, 0, COMPRESSIONS[0]))
    (file,) = (model_server.log.parent / "tokens").rglob(f"*{820 * 10**9:020}-*")
    file.write_bytes(file.read_bytes()[:-1])

    refused = model_server.generate(
        model_server.request(judge_prompt(CLAIMS[0]), [ClipReference(clip_id)])
    )

    assert refused.status_code == 422
    assert "checksum" in refused.json()["error"]["message"]


def test_an_answer_is_streamed_as_it_is_written(
    model_server: ModelServer, engine: TransformersEngine
) -> None:
    tokens = encoded(engine, 1, COMPRESSIONS[0])
    clip = ClipReference(model_server.remember(83, tokens))

    told = [
        piece["text"]
        for piece in model_server.stream(
            model_server.request(describe_prompt([]), [clip], json_schema=NOTE)
        )
    ]

    assert len(told) > 2
    assert all(later.startswith(earlier) for earlier, later in pairwise(told))
    assert parse_reply("note", Note, told[-1]) == engine.describe(tokens, previous=[])


def test_a_schema_is_kept_to_as_in_this_process(
    model_server: ModelServer, engine: TransformersEngine
) -> None:
    question = "tell me of the weather, in a poem"

    told = model_server.write(plan_prompt(question), json_schema=schema_text(Plan))["text"]

    assert Plan.model_validate_json(told) == engine.plan(question)


def test_what_is_refused_in_a_stream_is_told_there(model_server: ModelServer) -> None:
    request = model_server.request(judge_prompt(CLAIMS[0]), ["clip:door:0-1:a"])

    (told,) = model_server.stream(request)

    assert told["error"]["code"] == 404


def test_whoever_goes_away_is_not_written_for(
    model_server: ModelServer, engine: TransformersEngine
) -> None:
    clip = ClipReference(model_server.remember(84, encoded(engine, 1, COMPRESSIONS[0])))
    endless = model_server.request(
        describe_prompt([]), [clip], max_new_tokens=3000, ignore_eos=True
    )

    pieces = model_server.stream(endless)
    next(pieces)
    assert model_server.num_running() == 1
    pieces.close()

    until(lambda: model_server.num_running() == 0)


def test_whoever_gives_up_waiting_is_not_written_for_either(model_server: ModelServer) -> None:
    endless = model_server.request(
        plan_prompt("what happens?"), max_new_tokens=3900, ignore_eos=True
    )

    said_before = len(model_server.log.read_text())

    with pytest.raises(httpx2.ReadTimeout):
        model_server.client.post("/generate", json=endless, timeout=2)

    until(lambda: model_server.num_running() == 0)
    said = model_server.log.read_text()[said_before:]
    assert all(int(written) < 3900 for written in re.findall(r"#token: (\d+)", said))
