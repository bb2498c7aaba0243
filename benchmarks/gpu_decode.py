"""NVDEC beside decoding on the CPU: a file sampled as by analysis, alone and eight at once."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.decode_footage import Footage
from streaming.decode import Decoding, sampled_frames
from streaming.errors import NvdecUnavailable
from streaming.messages import NS_PER_S
from streaming.nvdec import Nvdec, open_nvdec
from streaming.sampling import SamplingPolicy
from streaming.unit_decoder import Frame

POLICY = SamplingPolicy(
    fps=Fraction(2), max_frames_per_clip=20, clip_length_ns=10 * NS_PER_S, size_px=(224, 224)
)
FOOTAGE = (
    Footage("1280x720@30, groups of 2 s", (1280, 720), rate=30, gop=60, b_frames=2, seconds=20),
    Footage("1920x1080@25, groups of 2 s", (1920, 1080), rate=25, gop=50, b_frames=2, seconds=20),
)
SMALL = (Footage("320x180@15, groups of 2 s", (320, 180), rate=15, gop=30, b_frames=2, seconds=4),)
AT_ONCE = (1, 8)


@dataclass(slots=True)
class CountingNvdec(Nvdec):
    """Counts the files that it leaves to the CPU."""

    num_refused: int = 0

    def refused(self, path: Path, reason: str) -> None:
        self.num_refused += 1
        Nvdec.refused(self, path, reason)


def measure(footage: tuple[Footage, ...], *, turns: int) -> dict[str, object]:
    result: dict[str, object] = {}
    with TemporaryDirectory() as folder:
        for film in footage:
            path = Path(folder) / "film.mp4"
            film.render(path)
            result[film.name] = compared(path, film, turns)
    return result


def compared(path: Path, film: Footage, turns: int) -> dict[str, object]:
    result: dict[str, object] = {"cpu": run(path, Decoding(), film, turns)}
    try:
        opened = open_nvdec("cuda")
    except NvdecUnavailable as error:
        print(f"NVDEC: left out, {error.reason}", file=sys.stderr)
        return result
    nvdec = CountingNvdec(opened.device, opened.acceleration, opened.kept)
    result["nvdec"] = run(path, Decoding(nvdec=nvdec), film, turns)
    result["left_to_the_cpu"] = nvdec.num_refused
    result["same_pictures"] = all(
        one.media_ns == other.media_ns and np.array_equal(one.pixels_HWC, other.pixels_HWC)
        for one, other in zip(
            sample(path, Decoding()), sample(path, Decoding(nvdec=nvdec)), strict=True
        )
    )
    return result


def run(path: Path, decoding: Decoding, film: Footage, turns: int) -> dict[str, float]:
    """Times real time, and CPU seconds for a minute of footage, by files at once."""
    result: dict[str, float] = {}
    for at_once in AT_ONCE:
        wall_s, cpu_s = [], []
        for _ in range(turns + 1):
            begun = time.perf_counter(), time.process_time()
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(lambda _: sample(path, decoding), range(at_once)))
            wall_s.append(time.perf_counter() - begun[0])
            cpu_s.append(time.process_time() - begun[1])
        footage_s = at_once * film.seconds
        result[f"{at_once}_at_once_times_real_time"] = footage_s / median(wall_s[1:])
        result[f"{at_once}_at_once_cpu_s_a_minute"] = 60 * median(cpu_s[1:]) / footage_s
    return result


def sample(path: Path, decoding: Decoding) -> list[Frame]:
    return list(
        sampled_frames(
            path, start_ns=0, pts_origin=0, policy=POLICY, after_ns=None, decoding=decoding
        )
    )
