"""Questions in the shape of OpenAI's chat completions, so that its clients can ask them.

The last message of the user is the question; what it leaves open is taken from what was said before
(`services.follow_up`). Which streams it is about, and when, stands in members of ours, or in parts
of messages of type `video_url` with a URL such as `stream:door`. Beside `choices` and `usage`, the
reply has `question`, `verdict`, `value`, `evidence` and `coverage`; a reply in pieces has them in
the piece that ends it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from services.api.access import Caller, Viewer
from services.api.asking import Heard, heard, result_of, while_there
from services.api.clips import places_of
from services.api.errors import UnknownModel, UnknownVideo
from services.api.given import Given, GivenHere
from services.api.problems import detail_of
from services.api.text import Text
from services.console import OURS
from services.follow_up import MOST_EXCHANGES, Exchange
from services.requests import Answered, AskRequest, Usage
from streaming.messages import Answer, Citation, Coverage, Verdict
from streaming.sources import redact

MODEL = "longwatch"
SCHEME = "stream:"
EVENTS = "text/event-stream"
EVENT_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

routes = APIRouter(tags=["questions"])


class TextPart(BaseModel):
    type: Literal["text"]
    text: Text


class VideoUrl(BaseModel):
    """`stream:NAME`, or the URL that a stream was added with."""

    url: Text


class VideoPart(BaseModel):
    type: Literal["video_url"]
    video_url: VideoUrl


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[Annotated[TextPart | VideoPart, Field(discriminator="type")]] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            texts = [part.text for part in self.content if isinstance(part, TextPart)]
            return "\n".join(texts)
        return self.content or ""

    @property
    def videos(self) -> list[str]:
        parts = self.content if isinstance(self.content, list) else []
        return [part.video_url.url for part in parts if isinstance(part, VideoPart)]


class StreamOptions(BaseModel):
    include_usage: bool = False


class Completion(BaseModel):
    """A question. What else OpenAI's clients send, such as `temperature`, changes nothing."""

    model: Text = MODEL
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] = 1
    streams: tuple[Text, ...] = ()
    """Which streams it is about; all, where none is named here or in the message."""
    since: Text | None = None
    until: Text | None = None

    @property
    def asked(self) -> ChatMessage:
        """The last message of the user; an empty one where there is none."""
        users = [message for message in self.messages if message.role == "user"]
        return users[-1] if users else ChatMessage(role="user")

    @property
    def earlier(self) -> list[Exchange]:
        """What was asked and answered before that, in order."""
        exchanges: list[Exchange] = []
        for message in self.messages:
            if message.role == "user":
                exchanges.append(Exchange(question=message.text, answer=""))
            elif message.role == "assistant" and exchanges:
                exchanges[-1] = Exchange(question=exchanges[-1].question, answer=message.text)
        return exchanges[:-1][-MOST_EXCHANGES:]

    @property
    def videos(self) -> list[str]:
        """Those of the last message of the user that shows any."""
        shown = [message.videos for message in self.messages if message.role == "user"]
        return next((videos for videos in reversed(shown) if videos), [])


class Moment(Citation):
    """A moment that an answer rests on, and where it can be seen."""

    thumbnail: str
    video: str


class Grounds(BaseModel):
    """What an answer is, beside its words. `question`: as it was understood."""

    question: str
    verdict: Verdict
    value: int | bool | str | tuple[str, ...] | None
    evidence: list[Moment]
    coverage: Coverage


class Said(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    index: int = 0
    message: Said
    finish_reason: Literal["stop"] = "stop"


class PromptDetails(BaseModel):
    cached_tokens: int


class Tokens(BaseModel):
    """What the model read and wrote for an answer, in all of its calls."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails

    @classmethod
    def of(cls, usage: Usage) -> Self:
        return cls(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
            prompt_tokens_details=PromptDetails(cached_tokens=usage.cached_tokens),
        )


class Completed(Grounds):
    """An answer. `id`: by which it can be marked; `model`: the one that wrote it.

    `usage`: null where the model's server does not tell.
    """

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Tokens | None


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = MODEL


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


@routes.get("/v1/models", summary="The model: whichever the answering service has loaded")
def list_models(caller: Viewer) -> Models:
    return Models(data=[Model(id=MODEL)])


@routes.get("/v1/models/{name}", summary="That model")
def get_model(name: str, caller: Viewer) -> Model:
    if name != MODEL:
        raise UnknownModel(name, known=MODEL)
    return Model(id=MODEL)


@routes.post(
    "/v1/chat/completions",
    summary="A question, answered with evidence",
    response_model=Completed,
    responses={200: {"content": {EVENTS: {}}}},
)
async def complete(
    asked: Completion, given: GivenHere, caller: Viewer, client: Request
) -> Response | Completed:
    if asked.model != MODEL:
        raise UnknownModel(asked.model, known=MODEL)
    request = AskRequest(
        text=asked.asked.text,
        streams=await asyncio.to_thread(_streams, asked, given, caller),
        since=asked.since,
        until=asked.until,
        asked_at=given.now_at(),
        earlier=tuple(asked.earlier),
    )
    with_usage = asked.stream_options is not None and asked.stream_options.include_usage
    about = _About(request.answer_id, int(request.asked_at.timestamp()), with_usage=with_usage)
    settings = given.stores.settings
    if not asked.stream:
        answered = await result_of(settings, request, client)
        assert isinstance(answered, Answered)
        return about.completed(answered)
    pieces = heard(settings, request)
    first = await while_there(
        client, anext(pieces)
    )  # so that what goes wrong before it has a status of its own
    events = _events(first, pieces, about)
    return StreamingResponse(events, media_type=EVENTS, headers=EVENT_HEADERS)


class _About:
    """What all pieces of a reply say of it."""

    def __init__(self, completion_id: str, created_s: int, *, with_usage: bool) -> None:
        self._id = completion_id
        self._created_s = created_s
        self._with_usage = with_usage

    def completed(self, answered: Answered) -> Completed:
        answer = answered.answer
        return Completed(
            id=self._id,
            created=self._created_s,
            model=answer.model_id,
            choices=[Choice(message=Said(content=answer.text))],
            usage=answered.usage and Tokens.of(answered.usage),
            **dict(_grounds(answer)),
        )

    def chunk(self, delta: dict[str, str], *, finish_reason: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return self._chunk({"model": MODEL, "choices": [choice], **more})

    def last_chunks(self, answered: Answered) -> Iterator[str]:
        """The one that ends the answer; and what it took, where that was asked for."""
        model = {"model": answered.answer.model_id}
        grounds = _grounds(answered.answer).model_dump(mode="json")
        yield self.chunk({}, finish_reason="stop", **grounds | model)
        if self._with_usage:
            tokens = answered.usage and Tokens.of(answered.usage).model_dump()
            yield self._chunk({"choices": [], "usage": tokens, **model})

    def _chunk(self, body: dict[str, Any]) -> str:
        made = {"id": self._id, "object": "chat.completion.chunk", "created": self._created_s}
        return _event(json.dumps(made | body, ensure_ascii=False))


async def _events(first: Heard, rest: AsyncIterator[Heard], about: _About) -> AsyncIterator[str]:
    yield about.chunk({"role": "assistant", "content": ""})
    what = first
    try:
        while isinstance(what, str):
            yield about.chunk({"content": what})
            what = await anext(rest)
    except OURS as error:
        told = {"message": detail_of(error), "type": type(error).__name__, "code": None}
        yield _event(json.dumps({"error": told}, ensure_ascii=False))
    else:
        assert isinstance(what, Answered)
        for chunk in about.last_chunks(what):
            yield chunk
    yield _event("[DONE]")


def _event(data: str) -> str:
    return f"data: {data}\n\n"


def _grounds(answer: Answer) -> Grounds:
    return Grounds(
        question=answer.question,
        verdict=answer.verdict,
        value=answer.value,
        evidence=[
            Moment.model_validate(dict(one) | places_of(one.clip_id)) for one in answer.evidence
        ],
        coverage=answer.coverage,
    )


def _streams(asked: Completion, given: Given, caller: Caller) -> tuple[str, ...]:
    """The streams that the question is about.

    Raises:
        NoSuchStream, UnknownVideo
    """
    registry = given.stores.registry
    shown = [_stream_of(url, given, caller) for url in asked.videos]
    names = tuple(dict.fromkeys([*asked.streams, *shown]))
    return caller.within(names, registry.names)


def _stream_of(url: str, given: Given, caller: Caller) -> str:
    if url.startswith(SCHEME):
        return url.removeprefix(SCHEME)
    for spec in given.stores.record.streams():
        if spec.url == redact(url) and caller.may_see(spec.stream_id):
            return spec.stream_id
    raise UnknownVideo(redact(url))
