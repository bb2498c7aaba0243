"""What survives compression: SlowFast, the weighted sampler, pooling and random tokens.

Clips of held-out scripts go through nano's frozen tower once; each compressor then makes fewer
tokens of the same features. A linear probe reads which subjects (kind and colour) act in the
clip: it scores every token, and a clip has a subject as surely as its best token says so. The
probe is trained on some clips and judged, by mean average precision, on others. Compressors of
equal size are compared in one run; the tower was trained for the pools that SlowFast uses, which
favours pooling.

    python -m benchmarks.compression --clips 900
"""

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.compress import SLOT_VISUAL, compress
from models.intervals import bootstrap
from models.layout import Compression, Pooling, RandomTokens, SlowFast, WeightedSampler
from models.nano.clips import sampled_pictures, training_script
from models.nano.truth import shown_in
from models.nano.world import COLOURS, KINDS
from models.preprocess import to_pixels
from models.video_llm import LongwatchForConditionalGeneration

CHECKPOINT = Path("models/nano/checkpoint")
RESULT = Path("benchmarks/results/compression.json")
FIRST_SEED = 50_000_000
TRAINING_SHARE = 0.6
PROBE_STEPS = 400
COMPRESSIONS: tuple[Compression, ...] = (
    SlowFast(slow_stride=3, pool=2),
    SlowFast(slow_stride=5, pool=2),
    SlowFast(slow_stride=3, pool=3),
    Pooling(pool=2),
    Pooling(pool=3),
    Pooling(pool=4),
    *(
        kind(tokens_per_frame=count)
        for count in (36, 20, 16, 9)
        for kind in (WeightedSampler, RandomTokens)
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Tower features and attention responses of clips, and which subjects each shows."""

    features_STNC: Tensor
    response_STN: Tensor
    present_SL: Tensor


@torch.inference_mode()
def encode(model: LongwatchForConditionalGeneration, num_clips: int) -> Clips:
    layout = model.layout.model_copy(
        update={"compression": WeightedSampler(tokens_per_frame=1)}
    )  # so that the tower also tells its attention
    model.layout = layout
    frames = round(layout.clip_length_s * layout.fps)
    features: list[Tensor] = []
    responses: list[Tensor] = []
    present: list[NDArray[np.float32]] = []
    seed = FIRST_SEED
    while len(features) < num_clips:
        script = training_script(seed)
        pictures = sampled_pictures(script, fps=layout.fps, size_px=layout.image_size_px)
        for start in range(0, len(pictures), frames):
            pixels = to_pixels(pictures[start : start + frames], size_px=layout.image_size_px)
            with torch.autocast("cpu", torch.bfloat16):
                features_TNC, response_TN = model.features(pixels)
            assert response_TN is not None
            features.append(features_TNC.half())
            responses.append(response_TN.float())
            seen = shown_in(script, start_s=start / layout.fps, end_s=(start + frames) / layout.fps)
            subjects = {happening.subject for happening in seen}
            present.append(
                np.array([f"the {c} {k}" in subjects for k in KINDS for c in COLOURS], np.float32)
            )
        seed += 1
    return Clips(
        torch.stack(features[:num_clips]),
        torch.stack(responses[:num_clips]),
        torch.from_numpy(np.stack(present[:num_clips])),
    )


def tokens_of(clips: Clips, model: LongwatchForConditionalGeneration, how: Compression) -> Tensor:
    """Visual tokens of every clip, shape (S, K, C)."""
    layout = model.layout.model_copy(update={"compression": how, "newline": "none"})
    tokens: list[Tensor] = []
    for features_TNC, response_TN in zip(clips.features_STNC, clips.response_STN, strict=True):
        compressed = compress(features_TNC.float(), layout, response_TN=response_TN)
        tokens.append(compressed.features_KC[compressed.slot_K == SLOT_VISUAL])
    return torch.stack(tokens)


def probe(tokens_SKC: Tensor, present_SL: Tensor) -> list[float]:
    """Average precision of each subject that the judged clips show at least twice."""
    torch.manual_seed(0)
    cut = round(len(tokens_SKC) * TRAINING_SHARE)
    head = nn.Linear(tokens_SKC.shape[-1], present_SL.shape[-1])
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-2, weight_decay=1e-3)
    for step in range(PROBE_STEPS):
        chosen = torch.randint(cut, (64,), generator=torch.Generator().manual_seed(step))
        logits = head(tokens_SKC[chosen]).amax(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, present_SL[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        scores_SL = torch.cat([head(part).amax(1) for part in tokens_SKC[cut:].split(64)]).numpy()
    truth_SL = present_SL[cut:].numpy() > 0
    return [
        average_precision(scores_SL[:, label], truth_SL[:, label])
        for label in range(truth_SL.shape[1])
        if truth_SL[:, label].sum() >= 2
    ]


def average_precision(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Mean, over what is to be found, of the precision down to it."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order])
    precision = found / (1 + np.arange(len(order)))
    return float(precision[truth[order]].mean())


def measure(num_clips: int) -> list[dict[str, object]]:
    model = LongwatchForConditionalGeneration.from_pretrained(CHECKPOINT).eval()
    clips = encode(model, num_clips)
    rows: list[dict[str, object]] = []
    for how in COMPRESSIONS:
        tokens_SKC = tokens_of(clips, model, how)
        estimate = bootstrap(probe(tokens_SKC, clips.present_SL), rng=np.random.default_rng(0))
        rows.append(
            {
                "compression": how.model_dump(),
                "tokens": tokens_SKC.shape[1],
                "mean_average_precision": round(estimate.value, 4),
                "interval": [round(estimate.low, 4), round(estimate.high, 4)],
            }
        )
        print(f"{how.kind:10} {tokens_SKC.shape[1]:4} tokens  mAP {estimate}")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=900)
    args = parser.parse_args(arguments)
    result = {
        "what": "subjects of a clip read from its compressed tokens by a linear probe",
        "command": f"python -m benchmarks.compression --clips {args.clips}",
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "clips": args.clips,
        "rows": measure(args.clips),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
