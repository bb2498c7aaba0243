"""Pretrain the vision tower of longwatch-nano on dense labels: what does each patch show?

The renderer knows every pixel, so the tower learns subjects and colours in minutes, before any
language is involved. Three linear heads, thrown away afterwards, read it: the share of each class
in each patch, and which classes are present in each 2x2 and 4x4 pool of patches. The pools are
those of the SlowFast layout, so what survives pooling is what is learnt.

Shape letters:
    B pictures    P patches a side    C classes    H, W pixels
"""

import itertools
import math
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import SiglipVisionModel

from models.nano.draw import NUM_CLASSES, Painter
from models.nano.world import write_script

PAINT_WIDTH_PX, PAINT_HEIGHT_PX = 320, 180
PICTURES_A_SCRIPT = 32
BATCH = 128
PEAK_LR = 1.5e-3
POOLS = (2, 4)
LEAST_SHARE = 1 / 32
"""A class is present in a pool if it covers this share of one of its patches."""


class Shrinker:
    """swscale area averaging to a square, as the product's decoder does it."""

    def __init__(self, size_px: int) -> None:
        self._size_px = size_px
        self._reformatter = VideoReformatter()

    def __call__(self, picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        frame = av.VideoFrame.from_ndarray(picture_HWC, format="rgb24")
        small = self._reformatter.reformat(
            frame, self._size_px, self._size_px, "rgb24", interpolation=Interpolation.AREA
        )
        return small.to_ndarray().astype(np.uint8, copy=False)


def patch_shares(
    classes_HW: NDArray[np.uint8], *, size_px: int, patch_px: int
) -> NDArray[np.float16]:
    """Share of each class in each patch, shape (P, P, C)."""
    H, W = classes_HW.shape
    rows, columns = np.arange(size_px) * H // size_px, np.arange(size_px) * W // size_px
    small = classes_HW[rows[:, None], columns[None, :]].astype(np.int64)
    P = size_px // patch_px
    patch = np.arange(size_px) // patch_px
    key = (patch[:, None] * P + patch[None, :]) * NUM_CLASSES + small
    counts = np.bincount(key.ravel(), minlength=P * P * NUM_CLASSES)
    return (counts.reshape(P, P, NUM_CLASSES) / patch_px**2).astype(np.float16)


def labelled_pictures(
    seed: int, *, size_px: int, patch_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Pictures of one script at random moments, shapes (B, H, W, 3) and (B, P, P, C)."""
    rng = np.random.default_rng(seed)
    script = write_script(seed, duration_s=300, pace=float(rng.uniform(1.5, 4.0)))
    painter = Painter(script, width_px=PAINT_WIDTH_PX, height_px=PAINT_HEIGHT_PX)
    shrink = Shrinker(size_px)
    pictures, shares = [], []
    for now_s in rng.uniform(0, 300, PICTURES_A_SCRIPT):
        picture, classes = painter.picture_and_classes(float(now_s))
        assert classes is not None
        pictures.append(shrink(picture))
        shares.append(patch_shares(classes, size_px=size_px, patch_px=patch_px))
    return np.stack(pictures), np.stack(shares)


class DenseHeads(nn.Module):
    """Linear readers of patches and of pools of patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patch = nn.Linear(width, NUM_CLASSES)
        self.pools = nn.ModuleList(nn.Linear(width, NUM_CLASSES) for _ in POOLS)

    def loss(self, features_BND: Tensor, shares_BPPC: Tensor) -> tuple[Tensor, float]:
        """Return the loss, and how often the main class of a non-empty patch is right."""
        B, P = shares_BPPC.shape[:2]
        logits = self.patch(features_BND).float()
        target = shares_BPPC.reshape(B, P * P, -1)
        weight = 1 + 9 * (1 - target[..., 0])  # most patches are background
        loss = -(target * logits.log_softmax(-1)).sum(-1)
        total = (loss * weight).sum() / weight.sum()
        grid = features_BND.transpose(1, 2).reshape(B, -1, P, P)
        shares_BCPP = shares_BPPC.permute(0, 3, 1, 2)
        for stride, head in zip(POOLS, self.pools, strict=True):
            present = functional.max_pool2d(shares_BCPP, stride) >= LEAST_SHARE
            pooled = head(functional.avg_pool2d(grid, stride).permute(0, 2, 3, 1)).float()
            bce = functional.binary_cross_entropy_with_logits(
                pooled, present.permute(0, 2, 3, 1).float(), reduction="none"
            )
            total = total + bce.sum(-1).mean()
        with torch.no_grad():
            busy = target[..., 0] < 0.5
            right = (logits.argmax(-1) == target.argmax(-1))[busy].float().mean()
        return total, float(right)


def pretrain(
    tower: SiglipVisionModel,
    *,
    seconds: float,
    first_seed: int,
    report: Callable[[dict[str, float]], None],
) -> DenseHeads:
    """Train until the time is up; the learning rate follows the clock down to zero."""
    config = tower.config
    size_px, patch_px = int(config.image_size), int(config.patch_size)  # type: ignore[arg-type]
    heads = DenseHeads(config.hidden_size)
    parameters = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_LR, weight_decay=0.02, betas=(0.9, 0.98))
    begun, step = time.monotonic(), 0
    averaged = {"loss": 0.0, "right": 0.0}
    ahead = threading.Semaphore(8)  # scripts painted but not yet learnt from
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        work = ((seed, size_px, patch_px) for seed in _from(first_seed, ahead))
        batches = pool.imap(_work, work)
        while (spent := (time.monotonic() - begun) / seconds) < 1:
            parts = [next(batches) for _ in range(BATCH // PICTURES_A_SCRIPT)]
            ahead.release(len(parts))
            pixels = to_pixels(np.concatenate([part[0] for part in parts]))
            shares = torch.from_numpy(np.concatenate([part[1] for part in parts])).float()
            for group in optimizer.param_groups:
                group["lr"] = (
                    PEAK_LR * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * spent))
                )
            with torch.autocast("cpu", torch.bfloat16):
                features = tower(pixel_values=pixels).last_hidden_state
                loss, right = heads.loss(features, shares)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            step += 1
            for name, value in (("loss", loss.item()), ("right", right)):
                averaged[name] += (value - averaged[name]) / min(step, 50)
            if step % 50 == 0:
                report({"step": step, "spent": spent, **averaged})
        ahead.release(1_000_000)  # let the feeding thread go
        pool.terminate()
    return heads


def _from(first_seed: int, ahead: threading.Semaphore) -> Iterator[int]:
    for seed in itertools.count(first_seed):
        ahead.acquire()
        yield seed


def _work(item: tuple[int, int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    seed, size_px, patch_px = item
    return labelled_pictures(seed, size_px=size_px, patch_px=patch_px)


def to_pixels(pictures_BHWC: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pictures_BHWC).permute(0, 3, 1, 2).float() / 127.5 - 1
