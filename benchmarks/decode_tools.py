"""The tools that are compared: each takes a file and gives one RGB picture a second of one size.

Each is used as its documentation says it is fastest for this job. A tool that is not installed,
or cannot be loaded here, says why.
"""

import importlib
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.decode import Decoding, sampled_frames
from streaming.messages import NS_PER_S
from streaming.sampling import SamplingPolicy

Pixels = NDArray[np.uint8]
Sample = Callable[["Job"], Sequence[Pixels]]


@dataclass(frozen=True, slots=True)
class Job:
    """A file, and the size of the pictures wanted of it: one for each whole second."""

    path: Path
    pts_origin: int
    seconds: int
    size_px: tuple[int, int]
    threads: int


@dataclass(frozen=True, slots=True)
class Tool:
    """`sample` is None where the tool cannot be had; `version` then says why."""

    name: str
    version: str
    settings: str
    sample: Sample | None


def ours(job: Job) -> Sequence[Pixels]:
    policy = SamplingPolicy(
        fps=Fraction(1),
        max_frames_per_clip=1000,
        clip_length_ns=10 * NS_PER_S,
        size_px=job.size_px,
    )
    frames = sampled_frames(
        job.path,
        start_ns=0,
        pts_origin=job.pts_origin,
        policy=policy,
        after_ns=None,
        decoding=Decoding(job.threads),
    )
    return [frame.pixels_HWC for frame in frames]


def ffmpeg(job: Job) -> Sequence[Pixels]:
    width_px, height_px = job.size_px
    # round=up makes the picture of a second the one shown at that second, not half of one later
    chain = f"fps=1:round=up,scale={width_px}:{height_px}:flags=area"
    source = ["-threads", str(job.threads), "-i", str(job.path)]
    target = ["-vf", chain, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    command = ["ffmpeg", "-v", "error", "-nostdin", *source, *target]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    pictures = np.frombuffer(raw, dtype=np.uint8).reshape(-1, height_px, width_px, 3)
    return list(pictures)


def decord(job: Job) -> Sequence[Pixels]:
    width_px, height_px = job.size_px
    reader: Any = importlib.import_module("decord").VideoReader(
        str(job.path), width=width_px, height=height_px, num_threads=job.threads
    )
    starts_s = reader.get_frame_timestamp(range(len(reader)))[:, 0]
    indices = np.searchsorted(starts_s, np.arange(job.seconds) - 1e-6)
    # decord2 3.4 pads rows that are no multiple of 128 bytes and misstates the shape; its
    # get_batch fails on them. One by one costs the same.
    rows = (reader[int(index)].asnumpy().reshape(height_px, -1) for index in indices)
    return [row[:, : width_px * 3].reshape(height_px, width_px, 3) for row in rows]


def torchcodec(job: Job) -> Sequence[Pixels]:
    width_px, height_px = job.size_px
    decoders: Any = importlib.import_module("torchcodec.decoders")
    transforms: Any = importlib.import_module("torchcodec.transforms")
    decoder = decoders.VideoDecoder(
        str(job.path),
        dimension_order="NHWC",
        num_ffmpeg_threads=job.threads,
        seek_mode="approximate",
        transforms=[transforms.Resize((height_px, width_px))],
    )
    seconds = [float(second) for second in range(job.seconds)]
    return list(decoder.get_frames_played_at(seconds).data.numpy())


def opencv(job: Job) -> Sequence[Pixels]:
    cv2: Any = importlib.import_module("cv2")
    settings = [cv2.CAP_PROP_N_THREADS, job.threads]
    capture = cv2.VideoCapture(str(job.path), cv2.CAP_FFMPEG, settings)
    pictures: list[Pixels] = []
    while capture.grab():
        if capture.get(cv2.CAP_PROP_POS_MSEC) < len(pictures) * 1000 - 0.001:
            continue
        _, picture = capture.retrieve()
        small = cv2.resize(picture, job.size_px, interpolation=cv2.INTER_AREA)
        pictures.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
    capture.release()
    return pictures


def tools() -> list[Tool]:
    return [
        Tool("longwatch", _version("av"), "AREA; pictures of one unit a thread", ours),
        _ffmpeg_tool(),
        _library("decord", "decord", "width=, height=, one item at a time", decord),
        _library(
            "torchcodec",
            "torchcodec.decoders",
            "seek_mode=approximate, Resize while decoding, get_frames_played_at",
            torchcodec,
        ),
        _library("opencv", "cv2", "grab, retrieve what is wanted, INTER_AREA", opencv),
    ]


def _ffmpeg_tool() -> Tool:
    if which("ffmpeg") is None:
        return Tool("ffmpeg", "ffmpeg is not on the PATH", "", None)
    said = subprocess.run(["ffmpeg", "-version"], check=True, capture_output=True, text=True)
    version = said.stdout.split()[2]
    return Tool("ffmpeg", version, "-vf fps=1:round=up,scale=W:H:flags=area to a pipe", ffmpeg)


def _library(name: str, module: str, settings: str, sample: Sample) -> Tool:
    try:
        importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        return Tool(name, f"not importable: {reason}", settings, None)
    return Tool(name, _version(module.split(".")[0]), settings, sample)


def _version(module: str) -> str:
    return str(importlib.import_module(module).__version__)
