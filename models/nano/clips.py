"""Clips of scripts as the decoder learns from them: compressed features, encoded once and kept.

The tower is frozen by then, so each picture is painted and encoded once however often its clip is
learnt from. Some scripts pass through x264 on the way, so that its blocks are nothing new.

Shape letters:
    S clips of a script    T frames    K tokens    C tower width
"""

import io
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.video.stream
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from models.nano.draw import Painter
from models.nano.tower import PAINT_HEIGHT_PX, PAINT_WIDTH_PX, Shrinker
from models.nano.world import Script, write_script
from models.preprocess import to_pixels
from models.video_llm import LongwatchForConditionalGeneration

SCRIPT_S = 240.0
CODED_SHARE = 0.25


def training_script(seed: int) -> Script:
    """Scripts that training learns from: short, of every pace."""
    return write_script(
        seed, duration_s=SCRIPT_S, pace=float(np.random.default_rng(seed).uniform(0.6, 2.2))
    )


def sampled_pictures(script: Script, *, fps: float, size_px: int) -> NDArray[np.uint8]:
    """Pictures at 1 / fps s as the product's decoder would deliver them, shape (T, H, W, 3)."""
    rng = np.random.default_rng(script.seed + 1)
    painter = Painter(script, width_px=PAINT_WIDTH_PX, height_px=PAINT_HEIGHT_PX)
    times_s = np.arange(round(script.duration_s * fps)) / fps
    pictures = [painter.picture(float(now_s)) for now_s in times_s]
    if rng.random() < CODED_SHARE:
        pictures = through_x264(pictures, crf=int(rng.integers(18, 31)))
    shrink = Shrinker(size_px)
    return np.stack([shrink(picture) for picture in pictures])


def through_x264(pictures: list[NDArray[np.uint8]], *, crf: int) -> list[NDArray[np.uint8]]:
    """Encode pictures as keyframes at 640x360, and decode them again."""
    file = io.BytesIO()
    reformatter = VideoReformatter()
    with av.open(file, "w", format="matroska") as out:
        options = {"preset": "ultrafast", "crf": str(crf)}
        stream = out.add_stream("libx264", rate=1, options=options)
        assert isinstance(stream, av.video.stream.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 640, 360, "yuv420p", 1
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            big = reformatter.reformat(
                frame, 640, 360, "yuv420p", interpolation=Interpolation.FAST_BILINEAR, threads=1
            )
            big.pts, big.time_base = number, Fraction(1)
            out.mux(stream.encode(big))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as back:
        return [
            frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            for frame in back.decode(video=0)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class ScriptFeatures:
    """All clips of one script, in order."""

    seed: int
    features_SKC: NDArray[np.float16]


@torch.inference_mode()
def encode_script(model: LongwatchForConditionalGeneration, seed: int) -> ScriptFeatures:
    """Paint and encode one training script."""
    layout = model.layout
    pictures = sampled_pictures(training_script(seed), fps=layout.fps, size_px=layout.image_size_px)
    frames_a_clip = round(layout.clip_length_s * layout.fps)
    clips = []
    for start in range(0, len(pictures), frames_a_clip):
        pixels = to_pixels(pictures[start : start + frames_a_clip], size_px=layout.image_size_px)
        with torch.autocast("cpu", torch.bfloat16):
            clips.append(model.compress(pixels).features_KC.to(torch.float16).numpy())
    return ScriptFeatures(seed, np.stack(clips))


def build(
    model_path: Path, out: Path, *, first_seed: int, num_scripts: int, num_workers: int
) -> None:
    """Encode scripts into `out`, a file each; what is there already is kept."""
    out.mkdir(parents=True, exist_ok=True)
    seeds = [
        first_seed + n for n in range(num_scripts) if not (out / f"{first_seed + n}.npy").exists()
    ]
    work = [(model_path, out, seed) for seed in seeds]
    with multiprocessing.get_context("spawn").Pool(num_workers) as pool:
        for _ in pool.imap_unordered(_build_one, work):
            pass


_model: LongwatchForConditionalGeneration | None = None


def _build_one(item: tuple[Path, Path, int]) -> None:
    global _model  # one model a worker process
    model_path, out, seed = item
    if _model is None:
        torch.set_num_threads(1)
        _model = LongwatchForConditionalGeneration.from_pretrained(model_path).eval()
    encoded = encode_script(_model, seed)
    partial = out / f"{seed}.partial"
    with partial.open("wb") as file:
        np.save(file, encoded.features_SKC)
    partial.rename(out / f"{seed}.npy")


def load(out: Path) -> Iterator[ScriptFeatures]:
    """Read what `build` has written so far, in order of seeds."""
    for path in sorted(out.glob("*.npy"), key=lambda path: int(path.stem)):
        yield load_one(path)


def load_one(path: Path) -> ScriptFeatures:
    return ScriptFeatures(int(path.stem), np.load(path))
