"""Train the video LLM: stages of supervised learning over samples of prompt, clips and reply.

A stage says which parts learn, how fast and for how many steps; a task draws batches and returns
their losses. Mostly a task is to write the replies of a source, which yields samples of clips or of
text alone (batched apart, as LLaVA-Video does, so that little is padded).
The loss of a reply is next-token cross entropy, plus SigLIP's sigmoid loss (arXiv
2303.15343) between clips and texts that are or are not true of them, which makes them findable
by vector.

A run that keeps its state (`Kept`) goes on after a kill as if it had never stopped, to the bit, if
its sources go on where they were.

Knows nothing of where samples come from. Random numbers come from the sources and the stage's seed.

Shape letters:
    B sequences    L positions    X visual tokens of a batch, in order    D decoder width
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.cpu_attention import trained_with
from models.processor import Frames, Processor
from models.video_llm import LongwatchForConditionalGeneration

IGNORED = -100


@dataclass(frozen=True, slots=True, eq=False)
class ClipFeatures:
    """One clip as the projector reads it: compressed tower features, encoded once beforehand."""

    features_KC: NDArray[np.float16]
    slot_K: NDArray[np.int8]
    place_K2: NDArray[np.float32]
    frames: Frames


@dataclass(frozen=True, slots=True, eq=False)
class ClipAsRead:
    """One clip as the decoder reads it: tokens that were stored. No projector learns from it."""

    tokens_KD: NDArray[np.float16]
    frames: Frames


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What is asked, of which clips, and what is to be replied.

    `captions` are texts true of the (one) clip; they train retrieval. `more` are further prompts
    and replies of the same conversation: clips are long, and one is asked about several times.
    """

    prompt: str
    reply: str
    clips: tuple[ClipFeatures | ClipAsRead, ...] = ()
    captions: tuple[str, ...] = ()
    more: tuple[tuple[str, str], ...] = ()


Source = Iterator[list[Sample]]

Task = Callable[[LongwatchForConditionalGeneration, Processor], dict[str, Tensor]]
"""Draws its next batch and returns its losses: `loss`, and `retrieval` where there are captions."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: parts by name prefix and their peak learning rates, steps, and schedule."""

    name: str
    lr: dict[str, float]
    """Name prefix of parameters to peak learning rate. What has no prefix here is frozen."""
    num_steps: int
    warmup_steps: int = 200
    weight_decay: float = 0.02
    retrieval_weight: float = 0.1
    seed: int = 0
    save_memory: bool = False
    """Compute each layer of the decoder twice, and keep nothing of the first time."""


@dataclass(slots=True)
class Progress:
    """Running means of what a stage reports."""

    step: int = 0
    means: dict[str, float] = field(default_factory=dict)

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            old = self.means.get(name, value)
            self.means[name] = old + (value - old) / min(self.step, 50)


class Kept:
    """The state of a run in a file, which a crash leaves as it was or as it is to be."""

    def __init__(self, path: Path, *, every: int) -> None:
        self._path = path
        self._every = every
        self._found: dict[str, Any] | None = None
        self.kept_step = 0
        if path.is_file():
            self._found = torch.load(path, map_location="cpu", weights_only=True)
            self.kept_step = self.first_step

    @property
    def first_step(self) -> int:
        """How many steps are done."""
        return 0 if self._found is None else int(self._found["progress"]["step"])

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Put everything where it was, and return how far it was."""
        if self._found is None:
            return Progress()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(self._found["learning"][name])
        optimizer.load_state_dict(self._found["optimizer"])
        torch.set_rng_state(self._found["random"])
        return Progress(**self._found["progress"])

    def keep(self, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Write the state, if it is time to; where that fails, the one before stays.

        Raises:
            OSError
        """
        if progress.step % self._every:
            return
        learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        state = {
            "learning": {name: parameter.detach() for name, parameter in learning.items()},
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "progress": asdict(progress),
        }
        unfinished = self._path.with_suffix(".unfinished")
        try:
            with unfinished.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
        except RuntimeError as error:  # what torch makes of an error of the file
            raise OSError(f"{unfinished} cannot be written ({error})") from error
        finally:
            unfinished.unlink(missing_ok=True)
        self.kept_step = progress.step


def train(  # noqa: PLR0913 - what a run is made of
    model: LongwatchForConditionalGeneration,
    processor: Processor,
    stage: Stage,
    tasks: Sequence[Task],
    *,
    report: Callable[[dict[str, float]], None],
    report_every: int = 50,
    kept: Kept | None = None,
) -> None:
    """Run one stage; each step takes one batch of every task and adds up their losses.

    With `kept`, it goes on at `kept.first_step`, and so must the tasks.
    """
    torch.manual_seed(stage.seed)
    optimizer = make_optimizer(model, stage)
    learning = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    progress = kept.restore(model, optimizer) if kept else Progress()
    if stage.save_memory:
        model.language_model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    for step in range(progress.step, stage.num_steps):
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * schedule(step, stage)
        optimizer.zero_grad()
        progress.step = step + 1
        with trained_with(model.language_model):
            for number, task in enumerate(tasks):
                losses = task(model, processor)
                total = losses["loss"] + stage.retrieval_weight * losses.get("retrieval", 0.0)
                torch.as_tensor(total).backward()
                progress.add({f"{name}_{number}": loss.item() for name, loss in losses.items()})
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        if progress.step % report_every == 0:
            share = progress.step / stage.num_steps
            report({"step": progress.step, "share": share, **progress.means})
        if kept is not None:
            kept.keep(model, optimizer, progress)
    model.eval()
    if stage.save_memory:
        model.language_model.activation_checkpointing_disable()


def replies(source: Source) -> Task:
    """The task of writing the replies of a source's samples."""
    return lambda model, processor: batch_losses(model, processor, next(source))


def make_optimizer(model: nn.Module, stage: Stage) -> torch.optim.AdamW:
    """AdamW over the stage's parts; vectors (norms, biases, marks) are not decayed."""
    groups = []
    for prefix, peak_lr in stage.lr.items():
        parameters = [p for name, p in model.named_parameters() if name.startswith(prefix)]
        if not parameters:
            raise ValueError(f"stage {stage.name!r} trains {prefix!r}, which no parameter has")
        for decayed in (True, False):
            chosen = [p for p in parameters if (p.ndim >= 2) == decayed]
            decay = stage.weight_decay if decayed else 0.0
            groups.append({"params": chosen, "peak_lr": peak_lr, "weight_decay": decay})
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(name.startswith(prefix) for prefix in stage.lr))
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98))


def schedule(step: int, stage: Stage) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < stage.warmup_steps:
        return (step + 1) / stage.warmup_steps
    rest = (step - stage.warmup_steps) / max(1, stage.num_steps - stage.warmup_steps)
    return 0.5 + 0.5 * math.cos(math.pi * rest)


def batch_losses(
    model: LongwatchForConditionalGeneration, processor: Processor, samples: Sequence[Sample]
) -> dict[str, Tensor]:
    """Return `loss` (next token, on replies) and, where samples have captions, `retrieval`."""
    clips = [clip for sample in samples for clip in sample.clips]
    input_ids_BL, labels_BL = (x.to(model.device) for x in collate(processor, samples))
    with torch.autocast(input_ids_BL.device.type, torch.bfloat16):
        visual_XD = visual_tokens(model, clips) if clips else None
        embeds_BLD = model.inputs_embeds(input_ids_BL, visual_XD)
        hidden_BLD = model.language_model.model(inputs_embeds=embeds_BLD).last_hidden_state
        taught_BL = labels_BL[:, 1:] != IGNORED
        logits = model.language_model.lm_head(hidden_BLD[:, :-1][taught_BL])
        losses = {"loss": functional.cross_entropy(logits.float(), labels_BL[:, 1:][taught_BL])}
        if visual_XD is not None and any(sample.captions for sample in samples):
            losses["retrieval"] = retrieval_loss(model, processor, samples, visual_XD)
    return losses


def collate(processor: Processor, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    """Ids and labels, padded on the right: under a causal mask, padding is never attended to."""
    rows = [_turns(processor, sample) for sample in samples]
    L = max(len(row) for row, _ in rows)
    ids = torch.full((len(rows), L), processor.end_token_id)
    labels = torch.full((len(rows), L), IGNORED)
    for number, (row, taught) in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        labels[number, : len(row)] = torch.tensor(taught)
    return ids, labels


def _turns(processor: Processor, sample: Sample) -> tuple[list[int], list[int]]:
    """Ids and labels of all turns of one sample."""
    ids: list[int] = []
    labels: list[int] = []
    clips = [clip.frames for clip in sample.clips]
    for prompt, reply in ((sample.prompt, sample.reply), *sample.more):
        asked, replied = processor.prompt_ids(prompt, clips), processor.reply_ids(reply)
        clips = []
        ids += asked + replied
        labels += [IGNORED] * len(asked) + replied
    return ids, labels


def visual_tokens(
    model: LongwatchForConditionalGeneration, clips: Sequence[ClipFeatures | ClipAsRead]
) -> Tensor:
    """The tokens of clips in order; those as they are read stay as they are."""
    parts: list[Tensor] = []
    for as_read, group in groupby(clips, lambda clip: isinstance(clip, ClipAsRead)):
        tokens_of = _read if as_read else _projected
        parts.append(tokens_of(model, list(group)))
    return torch.cat(parts)


def _read(
    model: LongwatchForConditionalGeneration, clips: Sequence[ClipFeatures | ClipAsRead]
) -> Tensor:
    tokens = [clip.tokens_KD for clip in clips if isinstance(clip, ClipAsRead)]
    return torch.from_numpy(np.concatenate(tokens)).float().to(model.device)


def _projected(
    model: LongwatchForConditionalGeneration, clips: Sequence[ClipFeatures | ClipAsRead]
) -> Tensor:
    shown = [clip for clip in clips if isinstance(clip, ClipFeatures)]
    features_XC = torch.from_numpy(np.concatenate([clip.features_KC for clip in shown])).float()
    slot_X = torch.from_numpy(np.concatenate([clip.slot_K for clip in shown]))
    place_X2 = torch.from_numpy(np.concatenate([clip.place_K2 for clip in shown]))
    when_X = torch.from_numpy(
        np.concatenate([clip.frames.times_s_T[clip.frames.frame_K] for clip in shown])
    )
    given = (features_XC, slot_X, place_X2, when_X / model.layout.clip_length_s)
    return model.projector(*(part.to(model.device) for part in given))


def retrieval_loss(
    model: LongwatchForConditionalGeneration,
    processor: Processor,
    samples: Sequence[Sample],
    visual_XD: Tensor,
) -> Tensor:
    """Every clip with captions against one caption of each: which are true of it, which not."""
    lengths = [sum(len(clip.frames.frame_K) for clip in sample.clips) for sample in samples]
    parts = list(zip(samples, visual_XD.split(lengths), strict=True))
    told = [sample for sample, _ in parts if sample.captions]
    clip_BV = torch.cat([model.clip_vector(part[None]) for one, part in parts if one.captions])
    texts = sorted({text for sample in told for text in sample.captions})
    ids, mask = pad_texts(processor, texts)
    text_NV = model.text_vector(ids.to(model.device), mask.to(model.device))
    truth_BN = torch.tensor([[text in sample.captions for text in texts] for sample in told])
    truth_BN = truth_BN.to(model.device)
    scale, bias = model.retrieval_scale
    logits = clip_BV.float() @ text_NV.float().T * scale.exp() + bias
    return -functional.logsigmoid(torch.where(truth_BN, logits, -logits)).sum(1).mean()


def pad_texts(processor: Processor, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids and mask of texts, padded on the right."""
    rows = [processor.text_ids(text) or [processor.end_token_id] for text in texts]
    L = max(len(row) for row in rows)
    ids = torch.full((len(rows), L), processor.end_token_id)
    mask = torch.zeros(len(rows), L, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return ids, mask


def jsonl_report(path: Path) -> Callable[[dict[str, float]], None]:
    """Append each report to a file, one JSON object a line."""

    def report(values: dict[str, float]) -> None:
        with path.open("a") as file:
            file.write(json.dumps({name: round(value, 5) for name, value in values.items()}) + "\n")

    return report
