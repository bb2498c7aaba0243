"""Teach the decoder's first layers to watch: after each frame, what is going on?

Notes alone teach to look slowly: a reply's few words are all that says which of hundreds of tokens
mattered. The script knows what goes on at every frame, so a linear head, thrown away afterwards,
reads it from the decoder's hidden state at each frame's end mark, half way up. What is read there
is what the upper layers find when they write.

Shape letters:
    B clips    T frames    Y facts    L positions    D decoder width
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.compress import SLOT_FRAME_END
from models.nano.truth import subjects_at
from models.nano.world import COLOURS, KINDS, Script
from models.processor import Processor
from models.train import ClipFeatures, Task, visual_tokens
from models.video_llm import LongwatchForConditionalGeneration

FIXED = (
    *("the gate opens", "the gate closes", "the lamp turns on", "the lamp turns off"),
    *("the gate is open", "the lamp is on"),
)
DEEDS = ("is there", "enters", "leaves", "crosses", "jumps", "puts down the box",
         "picks up the box")  # fmt: skip
FACTS = (
    *(f"the {colour} {kind} {deed}" for kind in KINDS for colour in COLOURS for deed in DEEDS),
    *FIXED,
)
STATES = ("is there", "is open", "is on")
NUMBER_OF = {fact: number for number, fact in enumerate(FACTS)}


def facts_by_frame(script: Script, *, fps: float) -> NDArray[np.bool_]:
    """What goes on at each frame of a script, shape (T, Y)."""
    times_s = np.arange(round(script.duration_s * fps)) / fps
    known = np.zeros((len(times_s), len(FACTS)), np.bool_)
    for one in script.happenings:
        known[(times_s >= one.start_s) & (times_s < one.end_s), NUMBER_OF[one.text]] = True
    for row, now_s in zip(known, times_s, strict=True):
        for subject in subjects_at(script, float(now_s)):
            row[NUMBER_OF[f"{subject} is there"]] = True
    for switchings, fact in ((script.gate, "the gate is open"), (script.lamp, "the lamp is on")):
        on = not switchings[0].on if switchings else False
        level = np.full(len(times_s), on)
        for one in switchings:
            level[times_s >= sum(one.span_s) / 2] = one.on
        known[:, NUMBER_OF[fact]] = level
    return known


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """A clip and what goes on at each of its frames, shape (T, Y)."""

    features: ClipFeatures
    facts_TY: NDArray[np.bool_]


def watcher(width: int) -> nn.Linear:
    """A linear reader of hidden states; it begins by expecting nothing."""
    head = nn.Linear(width, len(FACTS))
    nn.init.constant_(head.bias, -5.0)
    return head


def watching(source: Iterator[list[Watched]], head: nn.Linear, *, weight: float = 1.0) -> Task:
    """The task of knowing, at the end of each frame, what goes on."""

    def losses(model: LongwatchForConditionalGeneration, processor: Processor) -> dict[str, Tensor]:
        batch = next(source)
        facts_BTY = torch.from_numpy(np.stack([one.facts_TY for one in batch])).float()
        with torch.autocast("cpu", torch.bfloat16):
            states_BTD = frame_states(model, processor, [one.features for one in batch])
            logits_BTY = head(states_BTD).float()
        loss_BTY = functional.binary_cross_entropy_with_logits(
            logits_BTY, facts_BTY, reduction="none"
        )
        return {"loss": weight * loss_BTY.sum(-1).mean()}

    return losses


def frame_states(
    model: LongwatchForConditionalGeneration, processor: Processor, clips: Sequence[ClipFeatures]
) -> Tensor:
    """Hidden states at the frames' end marks half way up, shape (B, T, D)."""
    ids_BL = torch.tensor([processor.clip_ids(clip.frames) for clip in clips])
    slot_BK = torch.from_numpy(np.stack([clip.slot_K for clip in clips]))
    lower: Any = copy.copy(model.language_model.model)
    lower._modules = dict(lower._modules)  # noqa: SLF001  a shallow copy shares them
    lower.layers = lower.layers[: len(lower.layers) // 2]
    embeds_BLD = model.inputs_embeds(ids_BL, visual_tokens(model, clips))
    hidden_BLD = lower(inputs_embeds=embeds_BLD).last_hidden_state
    visual_BL = ids_BL == processor.video_token_id
    ends_BL = visual_BL.masked_scatter(visual_BL, slot_BK == SLOT_FRAME_END)
    return hidden_BLD[ends_BL].reshape(len(clips), -1, hidden_BLD.shape[-1])
