"""Any vision-language model behind an OpenAI-compatible API: Qwen3-VL, and others.

Such a model knows no visual tokens of ours. What is stored of a clip are its frames, as images
(`models.pictures`), which is what it is shown whenever it is asked. It gives no vectors either:
texts are compared by their words (`models.word_vectors`), and pictures not at all.

Servers differ in what they know. One that does not know JSON schemas is told the form in the
prompt, too; one that gives no log-probabilities says yes or no, which is taken as less than sure.

Shape letters: see `models.engine`.
"""

import base64
import math
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from models import model_servers
from models.engine import ClipTokens, EncodedClip, LeadIn, refuse_foreign
from models.errors import ModelServerAway, UnparsableReply
from models.layout import Pooling, StreamLayout
from models.model_servers import Json, ModelServers
from models.pictures import PICTURES_ID, images_of, joined, led_in, pictures
from models.prompts import (
    VIDEO,
    answer_prompt,
    describe_prompt,
    judge_prompt,
    plan_prompt,
    system_prompt,
    teach_prompt,
)
from models.question_kinds import Pairs
from models.replies import MAX_ANSWER_CLIPS, parse_note, parse_reply
from models.schemas import Note, Plan
from models.usage import count, count_unknown
from models.word_vectors import WIDTH, word_vectors

PICTURES = StreamLayout(
    image_size_px=448,
    compression=Pooling(pool=1),
    newline="none",
    frame_token=False,
    lead_in_s=2.0,
)
"""How streams are looked at: a size that common models cut into whole patches."""
MAX_REPLY_TOKENS = 512  # other models use more words than ours
MAX_LESSON_TOKENS = 1536  # sixteen questions with their answers
TOP_LOGPROBS = 20
SAID_YES = 0.9  # what a bare yes is worth: less than what overrules a note
COMPLETIONS = "/chat/completions"
WITH_USAGE = {"include_usage": True}
DENIED = (*model_servers.DENIED, HTTPStatus.NOT_FOUND)  # there it means the model, or the path


class OpenAIEngine:
    """Implements `models.engine.Engine`. `name` is what the servers call the model."""

    def __init__(
        self, servers: ModelServers, *, name: str, layout: StreamLayout = PICTURES
    ) -> None:
        self._servers, self._name = servers, name
        self.layout = layout

    @property
    def model_id(self) -> str:
        return f"{self._name}@openai"

    @property
    def encoder_id(self) -> str:
        return PICTURES_ID

    @property
    def layout_id(self) -> str:
        return self.layout.layout_id

    @property
    def vector_width(self) -> int:
        return WIDTH

    @property
    def lead_in_s(self) -> float:
        return self.layout.lead_in_s

    def encode(
        self,
        frames_THWC: NDArray[np.uint8],
        times_s_T: Sequence[float],
        *,
        before: EncodedClip | None = None,
    ) -> EncodedClip:
        clip = pictures(frames_THWC, times_s_T, layout_id=self.layout_id)
        return EncodedClip(clip if before is None else joined(before.tokens, clip), None)

    def clip_vector(self, clip: ClipTokens) -> NDArray[np.float32] | None:
        refuse_foreign(self, clip)
        return None

    def describe(
        self, clip: ClipTokens, *, previous: Sequence[str], lead_in: LeadIn | None = None
    ) -> Note:
        if lead_in is not None:
            refuse_foreign(self, lead_in.clip)
            clip = led_in(clip, lead_in, lead_in_s=self.lead_in_s)
        body = self.request(describe_prompt(previous), [clip]) | _json_of("note", Note)
        return parse_note(_json_in(_text_of(self._choice(body, [clip]))))

    def teach(self, note: str, clip: ClipTokens) -> Pairs:
        """Write questions about a clip, and their answers. `note` is what is known of it."""
        more = {"max_tokens": MAX_LESSON_TOKENS} | _json_of("pairs", Pairs)
        body = self.request(teach_prompt(note), [clip]) | more
        return parse_reply("pairs", Pairs, _json_in(_text_of(self._choice(body, [clip]))))

    def plan(self, question: str) -> Plan:
        body = self.request(plan_prompt(question), []) | _json_of("plan", Plan)
        return parse_reply("plan", Plan, _json_in(_text_of(self._choice(body, [], question))))

    def judge(self, clip: ClipTokens, claim: str) -> float:
        more = {"max_tokens": 1, "logprobs": True, "top_logprobs": TOP_LOGPROBS}
        body = self.request(judge_prompt(claim), [clip]) | more
        choice = self._choice(body, [clip])
        probability = _probability_of_yes((choice.get("logprobs") or {}).get("content") or [])
        return _said_yes(_text_of(choice)) if probability is None else probability

    def judge_all(self, asked: Sequence[tuple[ClipTokens, str]]) -> list[float]:
        return [self.judge(clip, claim) for clip, claim in asked]

    def answer(
        self, question: str, *, findings: Sequence[str], clips: Sequence[ClipTokens]
    ) -> Iterator[str]:
        read = clips[:MAX_ANSWER_CLIPS]
        prompt = answer_prompt(question, findings=findings, num_clips=len(read))
        body = self.request(prompt, read) | {"stream": True, "stream_options": WITH_USAGE}
        is_over, usage = False, None
        for event in self._servers.stream(COMPLETIONS, body, key=_key_of(read, question)):
            usage = event.get("usage") or usage
            choice = (event.get("choices") or [{}])[0]
            is_over = is_over or choice.get("finish_reason") is not None
            if text := (choice.get("delta") or {}).get("content"):
                yield text
        _count(usage)
        if not is_over:
            raise ModelServerAway(self._servers.urls[0], reason="its answer broke off")

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return word_vectors(texts)

    def request(self, prompt: str, clips: Sequence[ClipTokens]) -> Json:
        """What a server is sent, before what a task adds."""
        for clip in clips:
            refuse_foreign(self, clip)
        return {
            "model": self._name,
            "messages": [
                {"role": "system", "content": system_prompt()},
                {"role": "user", "content": self._content(prompt, clips)},
            ],
            "max_tokens": MAX_REPLY_TOKENS,
            "temperature": 0,
        }

    def _content(self, prompt: str, clips: Sequence[ClipTokens]) -> list[Json]:
        """The prompt, with the pictures of a clip and their times in each place for one."""
        first, *others = prompt.split(VIDEO)
        content = [_text(first)] if first else []
        for clip, text in zip(clips, others, strict=True):
            for time_s, image in images_of(clip):
                encoded = base64.b64encode(image).decode()
                url = {"url": f"data:image/jpeg;base64,{encoded}"}
                content += [
                    _text(f"{self.layout.time_marker(time_s)} s"),
                    {"type": "image_url", "image_url": url},
                ]
            content += [_text(text)] if text else []
        return content

    def _choice(self, body: Json, clips: Sequence[ClipTokens], otherwise: str = "") -> Json:
        reply = self._servers.post(COMPLETIONS, body, key=_key_of(clips, otherwise))
        _count(reply.get("usage"))
        choices = reply.get("choices")
        if not choices:
            raise UnparsableReply("reply", str(reply))
        return choices[0]


def _count(usage: Any) -> None:  # noqa: ANN401 - any JSON
    """Count what a server says that a reply took, if it does."""
    match usage:
        case {"prompt_tokens": int(read), "completion_tokens": int(written), **more}:
            cached = (more.get("prompt_tokens_details") or {}).get("cached_tokens")
            count(prompt_tokens=read, completion_tokens=written, cached_tokens=cached or 0)
        case _:
            count_unknown()


def _text_of(choice: Json) -> str:
    return (choice.get("message") or {}).get("content") or ""


def _key_of(clips: Sequence[ClipTokens], otherwise: str = "") -> str:
    """What leads a request to its server: the clip that its prompt begins with."""
    return (clips[0].clip_id if clips else None) or otherwise


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _json_of(name: str, schema: type[BaseModel]) -> Json:
    form = {"name": name, "schema": schema.model_json_schema()}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _json_in(reply: str) -> str:
    """The object in a reply, without what some models put around it."""
    start = reply.find("{")
    return reply[start:].rstrip().removesuffix("```").rstrip() if start >= 0 else reply


def _probability_of_yes(tokens: Sequence[Any]) -> float | None:
    """What yes has of what yes and no have together; None if neither was likely."""
    mass_of = {"yes": 0.0, "no": 0.0}
    for token in cast(list[Json], tokens[0].get("top_logprobs") or []) if tokens else []:
        word = str(token["token"]).strip().lower()
        if word in mass_of:
            mass_of[word] += math.exp(min(0.0, float(token["logprob"])))
    total = sum(mass_of.values())
    return mass_of["yes"] / total if total else None


def _said_yes(reply: str) -> float:
    words = reply.strip().lower()
    if words.startswith("yes"):
        return SAID_YES
    if words.startswith("no"):
        return 1 - SAID_YES
    raise UnparsableReply("judgement", reply)
