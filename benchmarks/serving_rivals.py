"""Who answers questions in the benchmark of serving, and what is noted of an answer."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from models.engine import ClipTokens, Engine
from models.model_servers import Json, ModelServers
from models.processor import Frames
from models.prompts import answer_prompt
from models.replies import MAX_ANSWER_TOKENS
from models.sglang_engine import GENERATE
from models.transformers_engine import TransformersEngine
from models.usage import Usage, counted


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about stored clips; and the frames of the only one as PNG, where they are sent."""

    text: str
    findings: tuple[str, ...]
    clips: tuple[ClipTokens, ...]
    frames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, when its first word and its last came, and what the model says it took."""

    text: str
    first_s: float
    whole_s: float
    usage: Usage


class Rival(Protocol):
    def answers(self, questions: Sequence[Asked], *, clients: int) -> list[Told]: ...


class Streaming:
    """An engine, asked by several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def answers(self, questions: Sequence[Asked], *, clients: int) -> list[Told]:
        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(self._answer, questions))

    def _answer(self, asked: Asked) -> Told:
        begun_s, came_s, pieces = time.perf_counter(), list[float](), list[str]()
        with counted() as usage:
            for piece in self._engine.answer(
                asked.text, findings=asked.findings, clips=asked.clips
            ):
                came_s.append(time.perf_counter() - begun_s)
                pieces.append(piece)
        return Told("".join(pieces), came_s[0], time.perf_counter() - begun_s, usage)


class SendingFrames:
    """The server, sent the frames of each clip, which it decodes and encodes anew."""

    def __init__(self, servers: ModelServers, engine: TransformersEngine) -> None:
        self._servers, self._processor = servers, engine.processor

    def answers(self, questions: Sequence[Asked], *, clients: int) -> list[Told]:
        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(self._answer, questions))

    def _answer(self, asked: Asked) -> Told:
        prompt = answer_prompt(asked.text, findings=asked.findings, num_clips=1)
        body = {
            "text": self._processor.turn(prompt),
            "image_data": list(asked.frames),
            "sampling_params": {"temperature": 0, "max_new_tokens": MAX_ANSWER_TOKENS},
            "stream": True,
        }
        begun_s, came = time.perf_counter(), list[tuple[float, Json]]()
        for event in self._servers.stream(GENERATE, body, key=asked.text):
            came.append((time.perf_counter() - begun_s, event))
        whole_s, (first_s, _), (_, last) = time.perf_counter() - begun_s, came[0], came[-1]
        took = last["meta_info"]
        usage = Usage(took["prompt_tokens"], took["cached_tokens"], took["completion_tokens"])
        return Told(last["text"], first_s, whole_s, usage)


class Generating:
    """`generate` of the decoder, on left-padded batches of as many questions as clients."""

    def __init__(self, engine: TransformersEngine) -> None:
        self._model, self._processor = engine.model, engine.processor

    def answers(self, questions: Sequence[Asked], *, clients: int) -> list[Told]:
        firsts = range(0, len(questions), clients)
        return [told for at in firsts for told in self._batch(questions[at : at + clients])]

    @torch.inference_mode()
    def _batch(self, questions: Sequence[Asked]) -> list[Told]:
        begun_s, first = time.perf_counter(), FirstToken()
        prompts = [self._ids(asked) for asked in questions]
        end_id, length = self._processor.end_token_id, max(map(len, prompts))
        ids = torch.tensor([[end_id] * (length - len(one)) + one for one in prompts])
        mask = torch.tensor([[0] * (length - len(one)) + [1] * len(one) for one in prompts])
        visual = torch.from_numpy(
            np.concatenate([clip.tokens_KD for asked in questions for clip in asked.clips])
        )
        generate: Callable[..., torch.Tensor] = self._model.language_model.generate  # type: ignore[assignment]
        written = generate(
            inputs_embeds=self._model.inputs_embeds(ids, visual.float()),
            attention_mask=mask,
            max_new_tokens=MAX_ANSWER_TOKENS,
            do_sample=False,
            eos_token_id=end_id,
            pad_token_id=end_id,
            stopping_criteria=StoppingCriteriaList([first]),
        ).tolist()
        whole_s = time.perf_counter() - begun_s
        return [
            Told(
                self._processor.text(row),
                first.at_s - begun_s,
                whole_s,
                Usage(len(prompt), 0, sum(token != end_id for token in row)),
            )
            for prompt, row in zip(prompts, written, strict=True)
        ]

    def _ids(self, asked: Asked) -> list[int]:
        prompt = answer_prompt(asked.text, findings=asked.findings, num_clips=len(asked.clips))
        return self._processor.prompt_ids(
            prompt, [Frames(clip.frame_K, clip.times_s_T) for clip in asked.clips]
        )


class FirstToken(StoppingCriteria):
    """Notes when a batch has its first tokens; stops nothing."""

    at_s = 0.0

    def __call__(
        self, input_ids: torch.LongTensor, scores: object, **_: object
    ) -> torch.BoolTensor:
        self.at_s = self.at_s or time.perf_counter()
        return torch.BoolTensor([False] * len(input_ids))
