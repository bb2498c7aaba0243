"""Train the video LLM: stages of supervised learning over samples of prompt, clips and reply.

A stage says which parts learn, how fast and for how many steps; a task draws batches and returns
their losses. Mostly a task is to write the replies of a source, which yields samples of clips or of
text alone (batched apart, as LLaVA-Video does, so that little is padded).
The loss of a reply is that of its next tokens (`models/reply_loss.py`), plus SigLIP's sigmoid loss
(arXiv 2303.15343) between clips and texts that are or are not true of them, which makes them
findable by vector.

A run that keeps its state (`models/kept.py`) goes on after a kill as if it had never stopped, to
the bit, if its sources go on where they were. On several devices
(`models/several_devices.py`), each reads its part of a batch, and steps are those of all of it.

Knows nothing of where samples come from. Random numbers come from the sources and the stage's seed.

Shape letters:
    B sequences    L positions    X visual tokens of a batch, in order    D decoder width
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.cpu_attention import trained_with
from models.kept import Kept, Progress
from models.processor import Frames, Processor
from models.reply_loss import Target, reply_loss
from models.several_devices import SeveralDevices, touched
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
    `target` is that of all its replies.
    """

    prompt: str
    reply: str
    clips: tuple[ClipFeatures | ClipAsRead, ...] = ()
    captions: tuple[str, ...] = ()
    more: tuple[tuple[str, str], ...] = ()
    target: Target = Target.AS_IT_STANDS


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


def train(  # noqa: PLR0913 - what a run is made of
    model: LongwatchForConditionalGeneration,
    processor: Processor,
    stage: Stage,
    tasks: Sequence[Task],
    *,
    report: Callable[[dict[str, float]], None],
    report_every: int = 50,
    kept: Kept | None = None,
    devices: SeveralDevices | None = None,
) -> None:
    """Run one stage; each step takes one batch of every task and adds up their losses.

    With `kept`, it goes on at `kept.first_step`, and so must the tasks. On several devices, tasks
    give the part that this one has in their losses; where `devices.is_first`, the model can be read
    in the end, and not be used.
    """
    torch.manual_seed(stage.seed)
    whole = None if devices is None else devices.shard(model)
    value_of = Tensor.item if devices is None else devices.mean
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
                losses = whole(task, processor) if whole else task(model, processor)
                total = losses["loss"] + stage.retrieval_weight * losses.get("retrieval", 0.0)
                torch.as_tensor(total).backward()
                progress.add({f"{name}_{number}": value_of(one) for name, one in losses.items()})
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
    if devices is not None:
        devices.gather(model)


def replies(
    source: Source,
    devices: SeveralDevices | None = None,
    *,
    before: LongwatchForConditionalGeneration | None = None,
) -> Task:
    """The task of writing the replies of a source's samples; on several devices, of its part.

    `before` is the model as it was, where it has a say in targets.
    """
    return lambda model, processor: batch_losses(
        model, processor, next(source), devices, before=before
    )


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
    model: LongwatchForConditionalGeneration,
    processor: Processor,
    samples: Sequence[Sample],
    devices: SeveralDevices | None = None,
    *,
    before: LongwatchForConditionalGeneration | None = None,
) -> dict[str, Tensor]:
    """Return `loss` (next token, on replies) and, where samples have captions, `retrieval`.

    A model `before` says what it expects where replies are not learnt as they stand. On several
    devices, the mean of what they return is the loss of all samples together.
    """
    clips = [clip for sample in samples for clip in sample.clips]
    input_ids_BL, labels_BL = (x.to(model.device) for x in collate(processor, samples))
    with torch.autocast(input_ids_BL.device.type, torch.bfloat16):
        visual_XD = visual_tokens(model, clips) if clips else None
        embeds_BLD = model.inputs_embeds(input_ids_BL, visual_XD)
        if devices is not None and devices.total(sum(map(_is_projected, clips))):
            embeds_BLD = embeds_BLD + touched(model.projector.parameters())
        taught_BL = labels_BL[:, 1:] != IGNORED
        logits = reply_logits(model, embeds_BLD, taught_BL)
        labels_N = labels_BL[:, 1:][taught_BL]
        target_N = _targets(processor, samples, taught_BL, labels_N)
        said = None
        if before is not None and set(target_N) != {Target.AS_IT_STANDS}:
            said = expected(before, clips, input_ids_BL, taught_BL)
        losses = {"loss": reply_loss(logits, labels_N, target_N, said)}
        counts = {"loss": int(taught_BL.sum())}
        captions = {text for sample in samples for text in sample.captions}
        if devices is not None:
            captions = devices.union(captions)
        if captions:
            told = told_of(samples, visual_XD)
            losses["retrieval"] = retrieval_loss(model, processor, told, sorted(captions))
            counts["retrieval"] = len(told)
    if devices is not None:
        _add_up(losses, counts, model, devices)
    return losses


@torch.no_grad()
def expected(
    model: LongwatchForConditionalGeneration,
    clips: Sequence[ClipFeatures | ClipAsRead],
    input_ids_BL: Tensor,
    taught_BL: Tensor,
) -> Tensor:
    """The logits of a model that does not learn, of the tokens that are taught."""
    visual_XD = visual_tokens(model, clips) if clips else None
    return reply_logits(model, model.inputs_embeds(input_ids_BL, visual_XD), taught_BL)


def reply_logits(
    model: LongwatchForConditionalGeneration, embeds_BLD: Tensor, taught_BL: Tensor
) -> Tensor:
    """The logits of the tokens that are taught, in order."""
    hidden_BLD = model.language_model.model(inputs_embeds=embeds_BLD).last_hidden_state
    return model.language_model.lm_head(hidden_BLD[:, :-1][taught_BL]).float()


def _targets(
    processor: Processor, samples: Sequence[Sample], taught_BL: Tensor, labels_N: Tensor
) -> list[Target]:
    """The target of each token that is taught, in order. Of what is corrected, words are, once.

    That a list ends is no news, though it ended later before, with what was told wrongly: who
    learns that by a margin leaves out other things. Nor is what the reply has said already.
    """
    targets: list[Target] = []
    labels = iter(labels_N.tolist())
    for sample, count in zip(samples, taught_BL.sum(1).tolist(), strict=True):
        said: set[int] = set()
        for label in islice(labels, count):
            is_news = label not in said and processor.is_word(label)
            is_kept = sample.target is not Target.CORRECTED or is_news
            targets.append(sample.target if is_kept else Target.AS_IT_STANDS)
            said.add(label)
    return targets


def _is_projected(clip: ClipFeatures | ClipAsRead) -> bool:
    return isinstance(clip, ClipFeatures)


def _add_up(
    losses: dict[str, Tensor],
    counts: dict[str, int],
    model: LongwatchForConditionalGeneration,
    devices: SeveralDevices,
) -> None:
    """Weigh means of this device's part, so that their mean over devices is that of the batch."""
    for name, count in counts.items():
        losses[name] = losses[name] * (count * devices.count / devices.total(count))
    if "retrieval" in losses:
        heads = (*model.visual_head.parameters(), *model.text_head.parameters())
        losses["retrieval"] = losses["retrieval"] + touched((*heads, model.retrieval_scale))


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


def told_of(
    samples: Sequence[Sample], visual_XD: Tensor | None
) -> list[tuple[tuple[str, ...], Tensor]]:
    """The captions of samples that have any, each with the tokens (K, D) of its clip."""
    if visual_XD is None:
        return []
    lengths = [sum(len(clip.frames.frame_K) for clip in sample.clips) for sample in samples]
    parts = zip(samples, visual_XD.split(lengths), strict=True)
    return [(sample.captions, tokens_KD) for sample, tokens_KD in parts if sample.captions]


def retrieval_loss(
    model: LongwatchForConditionalGeneration,
    processor: Processor,
    told: Sequence[tuple[tuple[str, ...], Tensor]],
    texts: Sequence[str],
) -> Tensor:
    """Every clip against all texts: which of them are its captions, and so are true of it."""
    clips = [model.clip_vector(tokens_KD[None]) for _, tokens_KD in told]
    ids, mask = pad_texts(processor, texts)
    text_NV = model.text_vector(ids.to(model.device), mask.to(model.device))
    if not clips:
        return 0.0 * text_NV.sum()
    truth_BN = torch.tensor([[text in captions for text in texts] for captions, _ in told])
    truth_BN = truth_BN.to(model.device)
    scale, bias = model.retrieval_scale
    logits = torch.cat(clips).float() @ text_NV.float().T * scale.exp() + bias
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
