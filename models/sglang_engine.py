"""Our model in SGLang servers: the decoder runs there, the vision tower here.

Clips are encoded in this process, and their tokens stored, before anything is asked. A request
then names a clip, and the server reads its tokens from the token store: no tensor crosses HTTP.
Vectors are made here, too, so that what they find does not depend on servers.

An engine is of one set of weights: those loaded here. A reply says which weights wrote it; that of
others, which the servers serve since, is nobody's answer (`WeightsSwapped`).

Shape letters: see `models.engine`.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from models.clip_reference import ClipReference, LeadInReference
from models.engine import ClipTokens, EncodedClip, LeadIn, refuse_foreign
from models.errors import ModelServerAway, RequestRefused, UnparsableReply, WeightsSwapped
from models.grammar import schema_text
from models.layout import StreamLayout
from models.model_servers import Json, ModelServers
from models.prompts import answer_prompt, describe_prompt, judge_prompt, plan_prompt
from models.replies import (
    MAX_ANSWER_CLIPS,
    MAX_ANSWER_TOKENS,
    MAX_NOTE_TOKENS,
    MAX_PLAN_TOKENS,
    parse_note,
    parse_reply,
)
from models.schemas import Note, Plan
from models.transformers_engine import TransformersEngine
from models.usage import count, count_unknown

GENERATE, INFO = "/generate", "/model_info"


class SGLangEngine:
    """Implements `models.engine.Engine`. `local` is the same checkpoint, loaded here."""

    def __init__(self, servers: ModelServers, local: TransformersEngine) -> None:
        self._servers, self._local = servers, local
        words = (local.processor.text_ids(word)[0] for word in ("yes", "no"))
        self._yes_id, self._no_id = words

    @property
    def layout(self) -> StreamLayout:
        return self._local.layout

    @property
    def layout_id(self) -> str:
        return self._local.layout_id

    @property
    def model_id(self) -> str:
        return self._local.model_id

    @property
    def encoder_id(self) -> str:
        return self._local.encoder_id

    @property
    def vector_width(self) -> int:
        return self._local.vector_width

    @property
    def lead_in_s(self) -> float:
        return self._local.lead_in_s

    def encode(
        self,
        frames_THWC: NDArray[np.uint8],
        times_s_T: Sequence[float],
        *,
        before: EncodedClip | None = None,
    ) -> EncodedClip:
        return self._local.encode(frames_THWC, times_s_T, before=before)

    def clip_vector(self, clip: ClipTokens) -> NDArray[np.float32] | None:
        return self._local.clip_vector(clip)

    def describe(
        self, clip: ClipTokens, *, previous: Sequence[str], lead_in: LeadIn | None = None
    ) -> Note:
        named = self._named(clip, lead_in)
        body = self._body(describe_prompt(previous), [named], MAX_NOTE_TOKENS, schema=Note)
        return parse_note(self._text(body, clip.clip_id or ""))

    def plan(self, question: str) -> Plan:
        body = self._body(plan_prompt(question), [], MAX_PLAN_TOKENS, schema=Plan)
        return parse_reply("plan", Plan, self._text(body, question))

    def judge(self, clip: ClipTokens, claim: str) -> float:
        body = self._body(judge_prompt(claim), [self._named(clip)], 1)
        asked = {"return_logprob": True, "token_ids_logprob": [self._yes_id, self._no_id]}
        reply = self._reply(body | asked, clip.clip_id or "")
        try:
            first = reply["meta_info"]["output_token_ids_logprobs"][0]
            logprob_of = {int(token_id): float(logprob) for logprob, token_id, *_ in first}
            yes, no = logprob_of[self._yes_id], logprob_of[self._no_id]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UnparsableReply("judgement", str(reply)) from error
        return 1 / (1 + math.exp(min(no - yes, 700.0)))

    def judge_all(self, asked: Sequence[tuple[ClipTokens, str]]) -> list[float]:
        return [self.judge(clip, claim) for clip, claim in asked]

    def answer(
        self, question: str, *, findings: Sequence[str], clips: Sequence[ClipTokens]
    ) -> Iterator[str]:
        read = clips[:MAX_ANSWER_CLIPS]
        prompt = answer_prompt(question, findings=findings, num_clips=len(read))
        named = [self._named(clip) for clip in read]
        body = self._body(prompt, named, MAX_ANSWER_TOKENS) | {"stream": True}
        key = (read[0].clip_id if read else None) or question
        sent, is_over, event = "", False, Json()
        for event in self._events(body, key):
            is_over = is_over or event["meta_info"].get("finish_reason") is not None
            text = event["text"]
            if not text.endswith("\ufffd") and len(text) > len(sent):
                yield text[len(sent) :]
                sent = text
        _count(event)
        if not is_over:
            raise ModelServerAway(self._servers.urls[0], reason="its answer broke off")

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._local.embed(texts)

    def _named(self, clip: ClipTokens, lead_in: LeadIn | None = None) -> str:
        """The reference of a clip whose tokens are stored."""
        refuse_foreign(self, clip)
        assert clip.clip_id is not None, "tokens are stored before a server reads them"
        if lead_in is None:
            return str(ClipReference(clip.clip_id))
        refuse_foreign(self, lead_in.clip)
        assert lead_in.clip.clip_id is not None
        return str(
            ClipReference(clip.clip_id, LeadInReference(lead_in.clip.clip_id, lead_in.ends_s))
        )

    def _body(
        self,
        prompt: str,
        clips: Sequence[str],
        max_tokens: int,
        *,
        schema: type[BaseModel] | None = None,
    ) -> Json:
        """A request for the most likely text, which keeps to the schema."""
        sampling: Json = {"temperature": 0, "max_new_tokens": max_tokens}
        if schema is not None:
            sampling["json_schema"] = schema_text(schema)
        body: Json = {"text": self._local.processor.turn(prompt), "sampling_params": sampling}
        return body | {"video_data": list(clips)} if clips else body

    def _text(self, body: Json, key: str) -> str:
        return str(self._reply(body, key).get("text", ""))

    def _reply(self, body: Json, key: str) -> Json:
        with self._noticing_swaps():
            reply = self._servers.post(GENERATE, body, key=key, check=self._refuse_swapped)
        _count(reply)
        return reply

    def _events(self, body: Json, key: str) -> Iterator[Json]:
        with self._noticing_swaps():
            yield from self._servers.stream(GENERATE, body, key=key, check=self._refuse_swapped)

    @contextmanager
    def _noticing_swaps(self) -> Generator[None]:
        """Another encoder's tokens are refused; it may be the server that has another now."""
        try:
            yield
        except RequestRefused as error:
            if error.status == HTTPStatus.CONFLICT:
                self._refuse_swapped(error.url, {"meta_info": self._servers.get(INFO, error.url)})
            raise

    def _refuse_swapped(self, url: str, said: Json) -> None:
        got = said.get("meta_info", {}).get("weight_version")
        if got != self.model_id:
            raise WeightsSwapped(url, expected=self.model_id, got=str(got))


def _count(reply: Json) -> None:
    """Count what a reply, or the last event of one, says that it took."""
    match reply.get("meta_info"):
        case {"prompt_tokens": int(read), "completion_tokens": int(written), **more}:
            cached = more.get("cached_tokens")
            count(
                prompt_tokens=read,
                completion_tokens=written,
                cached_tokens=cached if isinstance(cached, int) else 0,
            )
        case _:
            count_unknown()
