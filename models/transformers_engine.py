"""The engine in this process: our model through transformers, on the CPU or one GPU.

Shape letters: see `models.engine`.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor

from models.checkpoint import ENCODER_PARTS, weights_hash
from models.compress import compress
from models.engine import ClipTokens, EncodedClip, LeadIn, refuse_foreign
from models.errors import CheckpointUnreadable, PromptTooLong
from models.generate import greedy, next_logits
from models.grammar import Grammars, most_likely
from models.layout import StreamLayout
from models.lead_in import led_into
from models.preprocess import to_pixels
from models.processor import Frames, Processor
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
from models.together import Together
from models.train import ClipFeatures, pad_texts
from models.usage import count
from models.video_llm import LongwatchForConditionalGeneration

CLIPS_AT_ONCE = 8
"""Clips whose frames a GPU is given together. On the CPU one keeps its cores busy already."""


class _Seen(NamedTuple):
    """What the tower made of frames: all that the compressor reads."""

    features_TNC: Tensor
    response_TN: Tensor | None

    def followed_by(self, later: "_Seen") -> "_Seen":
        features_TNC = torch.cat([self.features_TNC, later.features_TNC])
        if self.response_TN is None or later.response_TN is None:
            return _Seen(features_TNC, None)
        return _Seen(features_TNC, torch.cat([self.response_TN, later.response_TN]))


class TransformersEngine:
    """Implements `models.engine.Engine`. One call at a time runs; others wait their turn.

    Where `clips_at_once` is more than one, clips that wait to be encoded pass the tower together.
    Only judgements run beside each other, each on the threads that torch was given: on rows so few,
    two that have a core each are sooner done than one that has both.
    """

    def __init__(
        self,
        model: LongwatchForConditionalGeneration,
        processor: Processor,
        *,
        name: str,
        clips_at_once: int = 1,
    ) -> None:
        self.model, self.processor, self._name = model.eval(), processor, name
        self._lock = threading.RLock()
        self.tower = Together(self._seen, self._lock, at_most=clips_at_once, what="clips")
        self._grammars = Grammars(
            processor.tokenizer,
            vocab_size=model.config.text_config.vocab_size,
            end_id=processor.end_token_id,
        )
        weights = sorted(model.state_dict().items())
        self._weights_hash = weights_hash(weights)
        self._encoder_hash = weights_hash(
            (name, weight) for name, weight in weights if name.startswith(ENCODER_PARTS)
        )

    @classmethod
    def load(
        cls, path: Path, *, num_threads: int | None = None, device: str = "cpu"
    ) -> "TransformersEngine":
        """Load a checkpoint folder; `device` as torch names it.

        Raises:
            CheckpointUnreadable: missing, damaged, or not a Longwatch checkpoint.
        """
        if num_threads:
            torch.set_num_threads(num_threads)
        if not (path / "config.json").is_file():
            raise CheckpointUnreadable(path, "there is no config.json in it")
        try:
            model, info = cast(
                tuple[LongwatchForConditionalGeneration, dict[str, Any]],
                LongwatchForConditionalGeneration.from_pretrained(path, output_loading_info=True),
            )
            processor = Processor.from_pretrained(path, model.layout)
        except CheckpointUnreadable:
            raise
        except Exception as error:  # safetensors, json and transformers each have their own
            raise CheckpointUnreadable(path, str(error).splitlines()[0]) from error
        if info["missing_keys"]:
            missing = sorted(info["missing_keys"])
            raise CheckpointUnreadable(
                path, f"{len(missing)} weights are missing, first {missing[0]}"
            )
        return cls(
            model.to(device),  # type: ignore[arg-type]
            processor,
            name=model.config.model_name,
            clips_at_once=1 if device == "cpu" else CLIPS_AT_ONCE,
        )

    @property
    def layout(self) -> StreamLayout:
        return self.model.layout

    @property
    def layout_id(self) -> str:
        return self.model.layout.layout_id

    @property
    def model_id(self) -> str:
        return f"{self._name}@{self._weights_hash}"

    @property
    def encoder_id(self) -> str:
        return self._encoder_hash

    @property
    def vector_width(self) -> int:
        return int(self.model.config.retrieval_width)

    @torch.inference_mode()
    def encode(
        self,
        frames_THWC: NDArray[np.uint8],
        times_s_T: Sequence[float],
        *,
        before: EncodedClip | None = None,
    ) -> EncodedClip:
        pixels = to_pixels(frames_THWC, size_px=self.layout.image_size_px).to(self.model.device)
        if before is not None:
            refuse_foreign(self, before.tokens)
            times_s_T = [*before.tokens.times_s_T.tolist(), *times_s_T]
        seen = self.tower(pixels)
        with self._lock, self._autocast():
            if before is not None:
                seen = before.seen.followed_by(seen)
            compressed = compress(seen.features_TNC, self.layout, response_TN=seen.response_TN)
            tokens_KD = self.model.project(compressed, times_s_T).to(torch.float16)
            vector_V = self.model.clip_vector(tokens_KD[None].float())[0]
        tokens = ClipTokens(
            tokens_KD=tokens_KD.cpu().numpy(),
            frame_K=compressed.frame_K.cpu().numpy().astype(np.int16),
            times_s_T=np.asarray(times_s_T, np.float32),
            layout_id=self.layout_id,
            encoder_id=self.encoder_id,
        )
        return EncodedClip(tokens, vector_V.float().cpu().numpy(), seen)

    def _seen(self, clips: Sequence[Tensor]) -> list[_Seen]:
        """What the tower makes of several clips' pixels, each (T, C, H, W), in one batch."""
        lengths = [len(pixels_TCHW) for pixels_TCHW in clips]
        with self._autocast():
            features_TNC, response_TN = self.model.features(torch.cat(list(clips)))
        features = [part.clone() for part in features_TNC.split(lengths)]  # they are kept apart
        if response_TN is None:
            return [_Seen(part, None) for part in features]
        return list(map(_Seen, features, response_TN.split(lengths)))

    @torch.inference_mode()
    def clip_vector(self, clip: ClipTokens) -> NDArray[np.float32] | None:
        refuse_foreign(self, clip)
        tokens_1KD = torch.tensor(clip.tokens_KD, device=self.model.device)[None].float()
        with self._lock, self._autocast():
            return self.model.clip_vector(tokens_1KD)[0].float().cpu().numpy()

    @torch.inference_mode()
    def features(self, frames_THWC: NDArray[np.uint8], times_s_T: Sequence[float]) -> ClipFeatures:
        """What a projector learns from: the tower's view of a clip, compressed."""
        pixels = to_pixels(frames_THWC, size_px=self.layout.image_size_px).to(self.model.device)
        with self._lock, self._autocast():
            compressed = self.model.compress(pixels)
        return ClipFeatures(
            compressed.features_KC.to(torch.float16).cpu().numpy(),
            compressed.slot_K.cpu().numpy(),
            compressed.place_K2.cpu().numpy(),
            Frames(
                compressed.frame_K.cpu().numpy().astype(np.int16),
                np.asarray(times_s_T, np.float32),
            ),
        )

    @property
    def lead_in_s(self) -> float:
        return self.layout.lead_in_s

    def describe(
        self, clip: ClipTokens, *, previous: Sequence[str], lead_in: LeadIn | None = None
    ) -> Note:
        seen = clip if lead_in is None else self.led_into(clip, lead_in)
        prompt = describe_prompt(previous)
        reply = "".join(self._write(prompt, [seen], MAX_NOTE_TOKENS, schema=Note))
        return parse_note(reply)

    def plan(self, question: str) -> Plan:
        reply = "".join(self._write(plan_prompt(question), [], MAX_PLAN_TOKENS, schema=Plan))
        return parse_reply("plan", Plan, reply)

    def judge(self, clip: ClipTokens, claim: str) -> float:
        return self.yes_or_no(judge_prompt(claim), [clip])

    def judge_all(self, asked: Sequence[tuple[ClipTokens, str]]) -> list[float]:
        return self._yes_or_no([(judge_prompt(claim), [clip]) for clip, claim in asked])

    def yes_or_no(self, prompt: str, clips: Sequence[ClipTokens]) -> float:
        """Probability that the reply to a prompt is yes, and not no."""
        return self._yes_or_no([(prompt, clips)])[0]

    def _yes_or_no(self, asked: Sequence[tuple[str, Sequence[ClipTokens]]]) -> list[float]:
        with self._lock:
            prompts = [self._read(prompt, clips) for prompt, clips in asked]
        with self._autocast():
            logits_BV = next_logits(self.model, prompts)
        count(prompt_tokens=sum(len(ids) for ids, _ in prompts), completion_tokens=len(prompts))
        yes, no = (self.processor.text_ids(word)[0] for word in ("yes", "no"))
        return logits_BV[:, [yes, no]].float().softmax(-1)[:, 0].tolist()

    def reply(self, prompt: str, clips: Sequence[ClipTokens]) -> str:
        """Reply to a prompt as it stands, with as many `<video>` in it as there are clips."""
        return "".join(self._write(prompt, clips, MAX_NOTE_TOKENS))

    def answer(
        self, question: str, *, findings: Sequence[str], clips: Sequence[ClipTokens]
    ) -> Iterator[str]:
        read = clips[:MAX_ANSWER_CLIPS]
        prompt = answer_prompt(question, findings=findings, num_clips=len(read))
        yield from self._write(prompt, read, MAX_ANSWER_TOKENS)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, self.vector_width), np.float32)
        ids, mask = pad_texts(self.processor, texts)
        with self._lock, self._autocast():
            device = self.model.device
            vectors_NV = self.model.text_vector(ids.to(device), mask.to(device))
            return vectors_NV.float().cpu().numpy()

    def _write(
        self,
        prompt: str,
        clips: Sequence[ClipTokens],
        max_tokens: int,
        *,
        schema: type[BaseModel] | None = None,
    ) -> Iterator[str]:
        """Yield the reply in pieces of whole characters; it keeps to the schema."""
        choose = most_likely if schema is None else self._grammars.writing(schema).choose
        with self._lock:
            ids, visual = self._read(prompt, clips)
            written: list[int] = []
            sent = ""
            try:
                with self._autocast():
                    for token in greedy(
                        self.model,
                        ids,
                        visual,
                        end_id=self.processor.end_token_id,
                        max_new_tokens=max_tokens,
                        choose=choose,
                    ):
                        written.append(token)
                        text = self.processor.text(written)
                        if not text.endswith("\ufffd") and text != sent:
                            yield text[len(sent) :]
                            sent = text
            finally:
                count(prompt_tokens=len(ids), completion_tokens=len(written))

    def _read(self, prompt: str, clips: Sequence[ClipTokens]) -> tuple[list[int], Tensor | None]:
        for clip in clips:
            refuse_foreign(self, clip)
        frames = [Frames(clip.frame_K, clip.times_s_T) for clip in clips]
        ids = self.processor.prompt_ids(prompt, frames)
        limit = int(self.model.config.text_config.max_position_embeddings) - MAX_NOTE_TOKENS
        if len(ids) > limit:
            raise PromptTooLong(len(ids), limit)
        if not clips:
            return ids, None
        tokens = np.concatenate([clip.tokens_KD for clip in clips])
        return ids, torch.from_numpy(tokens).float().to(self.model.device)

    def led_into(self, clip: ClipTokens, lead_in: LeadIn) -> ClipTokens:
        refuse_foreign(self, lead_in.clip)
        return led_into(clip, lead_in, projector=self.model.projector, layout=self.layout)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=False)
