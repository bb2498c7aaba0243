"""Questions by HTTP, asked with OpenAI's own client, and what is searched for."""

import json
from collections.abc import Iterator
from typing import Any, Never

import httpx2
import openai
import pytest

from models.errors import ModelServerAway
from services.api.chat import MODEL, Completion
from services.follow_up import Exchange
from services.settings import Settings
from tests.services.api.serving import api
from tests.services.scripted_engine import ScriptedEngine
from tests.services.test_cli import as_json, run

QUESTION = "when: a bright light"
BRIGHT_NS = [12_000_000_000, 34_000_000_000]


@pytest.fixture
def asking(client: httpx2.Client) -> Iterator[openai.OpenAI]:
    with openai_of(client) as asking:
        yield asking


def openai_of(client: httpx2.Client) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0)


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


def starts_of(told: Any) -> list[int]:
    return [one["span"]["start_ns"] for one in told.model_extra["evidence"]]


def test_openais_client_gets_an_answer_with_its_grounds(asking: openai.OpenAI) -> None:
    answered = asking.chat.completions.create(model=MODEL, messages=user(QUESTION))

    assert answered.choices[0].message.content
    assert answered.choices[0].finish_reason == "stop"
    assert answered.model == "scripted@1"
    assert answered.model_extra is not None
    assert answered.model_extra["verdict"] == "found"
    assert starts_of(answered) == BRIGHT_NS
    coverage = answered.model_extra["coverage"]
    assert coverage["watched_ns"] == coverage["asked_ns"] == 45_000_000_000


def test_openais_client_gets_the_same_answer_in_pieces(asking: openai.OpenAI) -> None:
    whole = asking.chat.completions.create(model=MODEL, messages=user(QUESTION))
    chunks = list(asking.chat.completions.create(model=MODEL, messages=user(QUESTION), stream=True))

    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert sum(bool(piece) for piece in pieces) > 1
    assert "".join(pieces).strip() == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert starts_of(chunks[-1]) == BRIGHT_NS
    assert len({chunk.id for chunk in chunks}) == 1


def test_what_the_model_read_and_wrote_is_told(asking: openai.OpenAI) -> None:
    whole = asking.chat.completions.create(model=MODEL, messages=user(QUESTION))
    *_, ended, last = asking.chat.completions.create(
        model=MODEL, messages=user(QUESTION), stream=True, stream_options={"include_usage": True}
    )

    words = 2 * len(QUESTION.split())  # read for the plan, and for the answer
    for told in (whole, last):
        assert told.usage is not None
        assert told.usage.prompt_tokens == words
        assert told.usage.completion_tokens > 1
        assert told.usage.total_tokens == words + told.usage.completion_tokens
    assert (ended.choices[0].finish_reason, ended.usage) == ("stop", None)
    assert last.choices == []


def test_a_question_goes_on_from_the_answer_before_it(asking: openai.OpenAI) -> None:
    first = asking.chat.completions.create(
        model=MODEL, messages=user(QUESTION), extra_body={"until": "0:20"}
    )
    assert starts_of(first) == BRIGHT_NS[:1]

    asked = f"{QUESTION},"  # so that the scripted engine reads what follows as another event
    replied = {"role": "assistant", "content": first.choices[0].message.content}
    said: list[Any] = [*user(asked), replied]
    after = "count: a bright light, after that?"
    told = asking.chat.completions.create(model=MODEL, messages=[*said, *user(after)])
    how_often = asking.chat.completions.create(model=MODEL, messages=[*said, *user("count:")])

    assert starts_of(told) == BRIGHT_NS[1:]
    assert how_often.model_extra is not None
    assert how_often.model_extra["value"] == len(BRIGHT_NS)
    assert how_often.model_extra["question"] == f"{asked} count:"


def test_what_was_shown_before_is_still_meant() -> None:
    def shown(*names: str) -> dict[str, Any]:
        parts = [{"type": "video_url", "video_url": {"url": f"stream:{name}"}} for name in names]
        return {"role": "user", "content": [{"type": "text", "text": "what?"}, *parts]}

    answered = {"role": "assistant", "content": "nothing"}
    asked = Completion.model_validate(
        {"messages": [shown("door"), answered, shown("yard", "gate"), answered, shown()]}
    )

    assert asked.videos == ["stream:yard", "stream:gate"]
    assert asked.earlier == [Exchange(question="what?", answer="nothing")] * 2


def test_a_reply_in_pieces_ends_as_openai_ends_it(client: httpx2.Client) -> None:
    asked = {"messages": user(QUESTION), "stream": True}
    reply = client.post("/v1/chat/completions", json=asked)

    assert reply.headers["content-type"].startswith("text/event-stream")
    events = reply.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(json.loads(event.removeprefix("data: ")) for event in events[:-2])


def test_the_model_is_listed(asking: openai.OpenAI) -> None:
    assert [model.id for model in asking.models.list()] == [MODEL]
    assert asking.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        asking.models.retrieve("gpt-7")


def test_a_question_may_name_streams_and_times(asking: openai.OpenAI, shared: Settings) -> None:
    film = {"type": "video_url", "video_url": {"url": "stream:cam"}}
    told = asking.chat.completions.create(
        model=MODEL,
        messages=user([{"type": "text", "text": QUESTION}, film]),
        extra_body={"since": "0:30", "until": "0:40"},
    )

    assert starts_of(told) == BRIGHT_NS[1:]


@pytest.mark.parametrize(
    ("changes", "kind", "status"),
    [
        ({"streams": ["nowhere"]}, "NoSuchStream", 404),
        ({"model": "gpt-7"}, "UnknownModel", 404),
        ({"since": "soon"}, "BadTime", 422),
        ({"since": "2:00:00"}, "RangeInFuture", 422),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, "EmptyQuestion", 422),
        ({"messages": user("why? " * 1000)}, "QuestionTooLong", 422),
        ({"messages": []}, "BadRequest", 422),
        ({"n": 2}, "BadRequest", 422),
        (
            {"messages": user([{"type": "video_url", "video_url": {"url": "http://a:b@c/d"}}])},
            "UnknownVideo",
            422,
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_answered_is_a_problem_before_the_first_word(
    client: httpx2.Client, changes: dict[str, Any], kind: str, status: int, stream: bool
) -> None:
    asked = {"messages": user(QUESTION), "stream": stream} | changes
    reply = client.post("/v1/chat/completions", json=asked)

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert (problem["kind"], problem["status"]) == (kind, status)
    assert problem["detail"]
    assert "a:b" not in reply.text


def test_a_search_finds_clips_that_can_be_looked_at(client: httpx2.Client) -> None:
    found = client.get("/v1/search", params={"q": "a bright light", "limit": 2}).json()["clips"]

    assert len(found) == 2
    assert any("bright" in clip["text"] for clip in found)
    assert client.get(found[0]["thumbnail"]).status_code == 200


def test_a_summary_says_what_the_command_says(client: httpx2.Client, shared: Settings) -> None:
    asked = {"since": "0:10", "until": "0:20"}
    (told,) = client.get("/v1/summarize", params=asked).json()["summaries"]
    said = run(shared, "summarize", "--since", "0:10", "--until", "0:20", "--json")

    assert [one["text"] for one in told["events"]] == [
        "a bright light shines",
        "a dim light shines",
    ]
    assert as_json(said) == [told]
    refused = client.get("/v1/summarize", params={"since": "soon"})
    assert (refused.status_code, refused.json()["kind"]) == (422, "BadTime")


def test_without_a_service_that_answers_one_is_told_to_come_back(settings: Settings) -> None:
    with api(settings, answers=False) as client:
        asked = client.post("/v1/chat/completions", json={"messages": user(QUESTION)})
        searched = client.get("/v1/search", params={"q": "light"})
        with openai_of(client) as asking, pytest.raises(openai.APIStatusError) as caught:
            asking.chat.completions.create(model=MODEL, messages=user(QUESTION), stream=True)
        assert client.get("/v1/streams").status_code == 200, "the rest works on"

    for reply in (asked, searched, caught.value.response):
        assert reply.status_code == 503
        assert int(reply.headers["retry-after"]) > 0
        assert reply.json()["kind"] == "AnswersAway"


@pytest.mark.parametrize("call", ["plan", "answer"])
def test_while_the_model_is_away_one_is_told_to_come_back(settings: Settings, call: str) -> None:
    def away(*asked: object, **known: object) -> Never:
        raise ModelServerAway("http://gpu-7:30000", reason="nobody is there")

    engine = ScriptedEngine()
    setattr(engine, call, away)
    with api(settings, engine=engine) as client:
        asked = client.post("/v1/chat/completions", json={"messages": user(QUESTION)})
        assert client.get("/v1/search", params={"q": "light"}).status_code == 200

    assert asked.status_code == 503
    assert int(asked.headers["retry-after"]) > 0
    assert asked.json()["kind"] == "ModelServerAway"
    assert "gpu-7" not in asked.text
