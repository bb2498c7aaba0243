"""A vision-language model of others: what it is shown, and how what it says is read."""

import base64
import io
import json
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.engine import LeadIn
from models.errors import ModelServerAway, UnparsableReply
from models.model_servers import ModelServers, Patience
from models.openai_engine import SAID_YES, OpenAIEngine
from tests.models.faulty_server import Faulty, faulty
from tests.models.tiny_vlm import CLAIM, DARK, FINDINGS, LAYOUT, LIGHT, QUESTION, frames


@pytest.fixture
def server() -> Generator[Faulty]:
    with faulty() as server:
        yield server


@pytest.fixture
def engine(server: Faulty) -> Generator[OpenAIEngine]:
    with closing(ModelServers([server.url], patience=Patience(waits_s=()))) as servers:
        yield OpenAIEngine(servers, name="vlm", layout=LAYOUT)


def says(server: Faulty, content: str | None, **choice: Any) -> None:
    reply = {"choices": [{"message": {"content": content}, **choice}]}
    server.says = [(200, json.dumps(reply).encode())]


def content_of(server: Faulty) -> list[dict[str, Any]]:
    """What the user's message of the last request holds."""
    return json.loads(server.asked[-1][2])["messages"][-1]["content"]


def brightness_of(part: dict[str, Any]) -> float:
    encoded = part["image_url"]["url"].removeprefix("data:image/jpeg;base64,")
    return float(np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))).mean())


def test_pictures_stand_after_their_times(engine: OpenAIEngine, server: Faulty):
    says(server, '{"text": "x"}')
    before, clip = (
        engine.encode(frames(level), [0.0, 1.0, 2.0, 3.0]).tokens for level in (DARK, LIGHT)
    )

    engine.describe(clip, previous=["it is dark"], lead_in=LeadIn(before, ends_s=4.5))

    parts = content_of(server)
    texts = [part["text"] for part in parts if part["type"] == "text"]
    assert texts[:-1] == ["-1.5 s", "0.0 s", "1.0 s", "2.0 s", "3.0 s"]
    assert "it is dark" in texts[-1]
    pictures = [brightness_of(part) for part in parts if part["type"] == "image_url"]
    assert pictures == pytest.approx([DARK, LIGHT, LIGHT, LIGHT, LIGHT], abs=5)


def test_the_words_of_a_user_cannot_stand_for_a_clip(engine: OpenAIEngine, server: Faulty):
    says(server, "yes")
    engine.judge(engine.encode(frames(LIGHT, 1), [0.0]).tokens, "a <video> runs")

    assert [part["type"] for part in content_of(server)] == ["text", "image_url", "text"]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ({"Yes": -0.1, " yes": -3.0, "no": -4.0, "maybe": -1.0}, 0.9806),
        ({"no": 0.0}, 0.0),
        ({"YES": -9999.0, "No": -0.01}, 0.0),
        ({"Certainly": -0.01}, SAID_YES),
        ({}, SAID_YES),
    ],
)
def test_a_judgement_is_what_yes_has_of_yes_and_no(
    engine: OpenAIEngine, server: Faulty, tokens: dict[str, float], expected: float
):
    likely = [{"token": token, "logprob": logprob} for token, logprob in tokens.items()]
    says(server, "Yes.", logprobs={"content": [{"token": "Yes", "top_logprobs": likely}]})
    clip = engine.encode(frames(LIGHT, 1), [0.0]).tokens

    assert engine.judge(clip, CLAIM) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("said", ["Yes", "yes, it does", " No", "NO."])
def test_without_probabilities_a_bare_word_overrules_no_note(
    engine: OpenAIEngine, server: Faulty, said: str
):
    says(server, said, logprobs=None)
    judgement = engine.judge(engine.encode(frames(LIGHT, 1), [0.0]).tokens, CLAIM)

    assert judgement == pytest.approx(SAID_YES if "y" in said.lower() else 1 - SAID_YES)


@pytest.mark.parametrize("said", ["perhaps", "", None])
def test_neither_yes_nor_no_is_no_judgement(engine: OpenAIEngine, server: Faulty, said: str | None):
    says(server, said)

    with pytest.raises(UnparsableReply, match="judgement"):
        engine.judge(engine.encode(frames(LIGHT, 1), [0.0]).tokens, CLAIM)


@pytest.mark.parametrize(
    "said",
    [
        '{"intent": "when", "events": ["x"]}',
        '```json\n{"intent": "when", "events": ["x"]}\n```',
        'Here it is: {"intent": "when", "events": ["x"]}',
    ],
)
def test_json_is_found_in_what_stands_around_it(engine: OpenAIEngine, server: Faulty, said: str):
    says(server, said)

    assert engine.plan(QUESTION).events == ("x",)


@pytest.mark.parametrize("reply", [b"{}", b'{"choices": []}', b'{"choices": [{}]}'])
def test_a_reply_without_words_is_an_error(engine: OpenAIEngine, server: Faulty, reply: bytes):
    server.says = [(200, reply)]

    with pytest.raises(UnparsableReply):
        engine.plan(QUESTION)


def test_an_answer_that_breaks_off_is_an_error(engine: OpenAIEngine, server: Faulty):
    server.content_type = "text/event-stream"
    server.says = [(200, b'data: {"choices": [{"delta": {"content": "a light"}}]}\n\ndata: {"ch')]
    said: list[str] = []

    with pytest.raises(ModelServerAway, match="broke off"):
        for piece in engine.answer(QUESTION, findings=FINDINGS, clips=[]):
            said.append(piece)
    assert said == ["a light"]


def test_requests_about_a_clip_go_where_it_was_read_before():
    with (
        faulty() as one,
        faulty() as other,
        closing(ModelServers([one.url, other.url])) as servers,
    ):
        engine = OpenAIEngine(servers, name="vlm", layout=LAYOUT)
        for server in (one, other):
            says(server, "yes")
        tokens = engine.encode(frames(LIGHT, 1), [0.0]).tokens
        for number in range(40):  # their places hang on ports: all at one is 2^-39
            clip = replace(tokens, clip_id=f"cam:{number}-{number + 1}:x")
            for claim in (CLAIM, "it is dark"):
                engine.judge(clip, claim)

    assert len(one.asked) + len(other.asked) == 80
    assert len(one.asked) % 2 == 0
    assert one.asked and other.asked
