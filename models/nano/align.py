"""Align the projector with the decoder's words: a token begins as the words of what it shows.

A decoder that is trained from scratch on captions ignores its visual tokens for a long time,
because before it attends to them they say nothing, and before they say something nothing
attends. The renderer knows what each pool of patches shows, so the projector is taught first: it
maps the features of a pool to the sum of the embeddings of its words ("red", "car"), and what
shows nothing to that of the padding token. From then on, reading a token is copying words, which
the decoder learns from text. It takes a minute on one core.

Shape letters:
    B pictures    P patches a side    M pools    C classes    D decoder width
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nano.draw import (
    CLASS_BOX,
    CLASS_GATE_CLOSED,
    CLASS_GATE_OPEN,
    CLASS_LAMP_OFF,
    CLASS_LAMP_ON,
    NUM_CLASSES,
    class_of,
)
from models.nano.tower import POOLS, labelled_pictures
from models.nano.world import COLOURS, KINDS
from models.preprocess import to_pixels
from models.processor import Processor
from models.video_llm import LongwatchForConditionalGeneration

LEAST_SHARE = 0.2
"""A class is told of a pool if it covers this share of one of its patches."""
PEAK_LR = 2e-3


def words_of_classes() -> dict[int, Sequence[str]]:
    """The words that a pool showing a class begins as."""
    words: dict[int, Sequence[str]] = {
        class_of(kind, colour): (f" {colour}", f" {kind}") for kind in KINDS for colour in COLOURS
    }
    return words | {
        CLASS_BOX: (" box",),
        CLASS_GATE_CLOSED: (" gate", " closes"),
        CLASS_GATE_OPEN: (" gate", " opens"),
        CLASS_LAMP_OFF: (" lamp", " off"),
        CLASS_LAMP_ON: (" lamp", " on"),
    }


def targets(model: LongwatchForConditionalGeneration, processor: Processor) -> Tensor:
    """Embedding of each class, shape (C, D): the sum of its words', or the padding token's."""
    embedding = model.get_input_embeddings().weight.detach()  # type: ignore[union-attr]
    target_CD = torch.zeros(NUM_CLASSES, embedding.shape[1])
    target_CD[0] = embedding[int(processor.tokenizer.pad_token_id)]  # type: ignore[arg-type]
    for number, words in words_of_classes().items():
        ids = [processor.text_ids(word) for word in words]
        target_CD[number] = torch.stack([embedding[one].sum(0) for one in ids]).sum(0)
    return target_CD


@torch.inference_mode()
def pools(model: LongwatchForConditionalGeneration, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Features and presence of the pools of one script's pictures: (M, tower width) and (M, C)."""
    config = model.config.vision_config
    pictures, shares = labelled_pictures(
        seed, size_px=int(config.image_size), patch_px=int(config.patch_size)
    )
    with torch.autocast("cpu", torch.bfloat16):
        features_BND = model.features(to_pixels(pictures, size_px=int(config.image_size)))[
            0
        ].float()
    P = shares.shape[1]
    grid = features_BND.transpose(1, 2).reshape(len(pictures), -1, P, P)
    shares_BCPP = torch.from_numpy(shares).float().permute(0, 3, 1, 2)
    features: list[Tensor] = []
    present: list[Tensor] = []
    for stride in POOLS:
        pooled = functional.avg_pool2d(grid, stride).permute(0, 2, 3, 1)
        most = functional.max_pool2d(shares_BCPP, stride).permute(0, 2, 3, 1)
        features.append(pooled.flatten(0, 2))
        present.append((most >= LEAST_SHARE).float().flatten(0, 2))
    return features, present


def align(
    model: LongwatchForConditionalGeneration,
    processor: Processor,
    *,
    first_seed: int,
    num_scripts: int,
    num_steps: int,
    report: Callable[[dict[str, float]], None],
) -> None:
    """Teach the projector; nothing else changes."""
    torch.manual_seed(0)
    target_CD = targets(model, processor)
    scale = target_CD[1:].std()
    encoded = [pools(model, first_seed + number) for number in range(num_scripts)]
    features_MC = torch.cat([part for script, _ in encoded for part in script])
    present_MC = torch.cat([part for _, script in encoded for part in script])
    present_MC[:, 0] = (present_MC[:, 1:].sum(1) == 0).float()
    busy = present_MC[:, 0] == 0
    optimizer = torch.optim.AdamW(model.projector.parameters(), lr=PEAK_LR, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    batches = _halves(busy)
    model.projector.train()
    for step in range(num_steps):
        chosen = next(batches)
        tokens = model.projector.shown(features_MC[chosen])
        wanted = present_MC[chosen] @ target_CD
        loss = nn.functional.mse_loss(tokens / scale, wanted / scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 200 == 0:
            explained = 1 - loss.item() / (wanted / scale).var().item()
            report({"step": step + 1, "loss": loss.item(), "explained": explained})
    model.projector.eval()


def _halves(busy: Tensor, *, size: int = 1024) -> Iterator[Tensor]:
    """Draw batches of which half show something."""
    full, empty = busy.nonzero().flatten(), (~busy).nonzero().flatten()
    while True:
        yield torch.cat([part[torch.randint(len(part), (size // 2,))] for part in (full, empty)])
