"""A second, obvious `Engine`: it reads brightness, and tells what a very simple film shows.

A second of film is dark, dim or bright (`LEVELS`). A note's events are the stretches of one level
that is not dark; its text ends with a mark that depends on the notes before it, so that a record
that went wrong once stays different for ever. It understands questions such as

    when: a bright light          count: a bright light       state: a bright light | a dim light
    first: a bright light         last: a bright light        order: a bright light, a dim light
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memory.words import content_words
from models.engine import ClipTokens, EncodedClip, LeadIn
from models.errors import UnparsableReply
from models.layout import Pooling, StreamLayout
from models.schemas import Note, NoteEvent, Plan
from models.usage import count

LEVELS = {"dark": 20, "dim": 120, "bright": 230}
TEXT_OF = {"dim": "a dim light shines", "bright": "a bright light shines"}
WIDTH = 32
LAYOUT = StreamLayout(
    clip_length_s=10, fps=1, max_frames=10, image_size_px=16, compression=Pooling()
)


class ScriptedEngine:
    """Implements `models.engine.Engine`, and `layout`. A token is a word, of plans and answers."""

    def __init__(self, *, model_id: str = "scripted@1", lead_in_s: float = 0.0) -> None:
        self.model_id = model_id
        self.lead_in_s = lead_in_s
        self.encoder_id = "scripted-encoder"
        self.layout = LAYOUT
        self.layout_id = LAYOUT.layout_id
        self.vector_width = WIDTH
        self.frames_encoded = 0
        self.asked: list[tuple[str, tuple[str, ...], int]] = []

    def encode(
        self,
        frames_THWC: NDArray[np.uint8],
        times_s_T: Sequence[float],
        *,
        before: EncodedClip | None = None,
    ) -> EncodedClip:
        self.frames_encoded += len(frames_THWC)
        tokens_KD = frames_THWC.reshape(len(frames_THWC), -1).mean(axis=1)[:, None]
        if before is not None:
            tokens_KD = np.concatenate([before.tokens.tokens_KD, tokens_KD])
            times_s_T = [*before.tokens.times_s_T.tolist(), *times_s_T]
        tokens = ClipTokens(
            tokens_KD=tokens_KD.astype(np.float16),
            frame_K=np.arange(len(tokens_KD), dtype=np.int16),
            times_s_T=np.asarray(times_s_T, dtype=np.float32),
            layout_id=self.layout_id,
            encoder_id=self.encoder_id,
        )
        return EncodedClip(tokens, self.embed([seen_in(tokens)])[0])

    def clip_vector(self, clip: ClipTokens) -> NDArray[np.float32] | None:
        return self.embed([seen_in(clip)])[0]

    def describe(
        self, clip: ClipTokens, *, previous: Sequence[str], lead_in: LeadIn | None = None
    ) -> Note:
        if lead_in is not None:
            clip = led_into(clip, lead_in, self.lead_in_s)
        seen = seen_in(clip)
        mark = hashlib.sha256("\n".join([seen, *previous]).encode()).hexdigest()[:8]
        return Note(text=f"{seen} ({mark})", events=tuple(events_in(clip)))

    def plan(self, question: str) -> Plan:
        count(prompt_tokens=len(question.split()), completion_tokens=1)
        intent, colon, rest = question.partition(":")
        if not colon:
            raise UnparsableReply("plan", question)
        begins, _, ends = rest.partition("|")
        events, ended_by = (
            tuple(part.strip(" ?.") for part in half.split(",") if part.strip(" ?."))
            for half in (begins, ends)
        )
        which = intent.strip().lower()
        if which in ("first", "last"):
            return Plan.model_validate({"intent": "when", "events": events, "which": which})
        return Plan.model_validate({"intent": which, "events": events, "ended_by": ended_by})

    def judge(self, clip: ClipTokens, claim: str) -> float:
        seen = {word for text in seen_in(clip).split(", ") for word in content_words(text)}
        return 0.999 if seen.issuperset(content_words(claim)) else 0.001

    def judge_all(self, asked: Sequence[tuple[ClipTokens, str]]) -> list[float]:
        return [self.judge(clip, claim) for clip, claim in asked]

    def answer(
        self, question: str, *, findings: Sequence[str], clips: Sequence[ClipTokens]
    ) -> Iterator[str]:
        self.asked.append((question, tuple(findings), len(clips)))
        cited = ", ".join(f"[{number}]" for number in range(1, len(findings)))
        text = f"{findings[0].removeprefix('result: ')} at {cited}."
        count(prompt_tokens=len(question.split()), completion_tokens=len(text.split()))
        for start in range(0, len(text), 3):
            yield text[start : start + 3]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), WIDTH), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in content_words(text) or ("",):
                digest = hashlib.sha256(word.encode()).digest()
                vectors[row, digest[0] % WIDTH] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def led_into(clip: ClipTokens, lead_in: LeadIn, lead_in_s: float) -> ClipTokens:
    before = lead_in.clip
    kept = before.times_s_T >= lead_in.ends_s - lead_in_s
    return replace(
        clip,
        tokens_KD=np.concatenate([before.tokens_KD[kept], clip.tokens_KD]),
        times_s_T=np.concatenate([before.times_s_T[kept] - lead_in.ends_s, clip.times_s_T]),
    )


def events_in(clip: ClipTokens) -> Iterator[NoteEvent]:
    levels = [level_of(float(value)) for value in clip.tokens_KD[:, 0]]
    times_s = [float(time_s) for time_s in clip.times_s_T]
    start = 0
    for position in range(1, len(levels) + 1):
        if position == len(levels) or levels[position] != levels[start]:
            if levels[start] in TEXT_OF:
                end_s = times_s[position] if position < len(levels) else times_s[-1] + 1
                yield NoteEvent(start_s=times_s[start], end_s=end_s, text=TEXT_OF[levels[start]])
            start = position


def seen_in(clip: ClipTokens) -> str:
    return ", ".join(event.text for event in events_in(clip)) or "nothing shines"


def level_of(brightness: float) -> str:
    return min(LEVELS, key=lambda level: abs(LEVELS[level] - brightness))
