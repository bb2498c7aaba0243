"""How fast one picture a second is had of a file, beside ffmpeg, decord, torchcodec and OpenCV.

All tools do the same job on the same file in one run, in turns, so that whatever else the machine
does strikes all alike: what counts are the ratios within a turn. Processor time includes child
processes. That the tools chose the same frames is checked by the number that each rendered
picture carries; of other footage, by how far their pictures differ from ours.

Every tool is given the same number of threads: one, which is what a stream has where there are
many, and two. On a machine with other work, two show mostly that work.

    python -m benchmarks.decode [--source film.mp4] [--turns 4]
"""

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np

from benchmarks.decode_footage import Footage, number_in
from benchmarks.decode_tools import Job, Pixels, Tool, tools

RESULT = Path("benchmarks/results/decode.json")
SMALL_PX, LARGE_PX = (96, 96), (384, 384)
FOOTAGE = (
    Footage("640x360@15, groups of 2 s", (640, 360), rate=15, gop=30, b_frames=2, seconds=20),
    Footage("1280x720@30, groups of 2 s", (1280, 720), rate=30, gop=60, b_frames=2, seconds=8),
    Footage("1280x720@30, groups of 8.3 s", (1280, 720), rate=30, gop=250, b_frames=3, seconds=10),
)
LONG_GROUP = 100
SAME_PICTURE_LEVELS = 6.0  # mean difference of 255 levels; scalers differ by about 2


@dataclass(frozen=True, slots=True)
class Turn:
    """One tool doing one job once."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    path: Path
    footage: Footage | None

    @property
    def contests(self) -> Sequence[tuple[tuple[int, int], int]]:
        """Sizes of pictures, and threads. Long groups cost so much that size tells nothing."""
        if self.footage is not None and self.footage.gop > LONG_GROUP:
            return ((SMALL_PX, 1),)
        return ((SMALL_PX, 1), (LARGE_PX, 1), (SMALL_PX, 2))


def timed(tool: Tool, job: Job) -> tuple[Turn, Sequence[Pixels]]:
    assert tool.sample is not None
    cpu_s, wall_s = cpu_used_s(), time.perf_counter()
    pictures = tool.sample(job)
    return Turn(cpu_used_s() - cpu_s, time.perf_counter() - wall_s), pictures


def cpu_used_s() -> float:
    """Processor time of this process and of its finished children."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def compare(source: Source, job: Job, rivals: Sequence[Tool], turns: int) -> dict[str, Any]:
    """Let every tool do the job `turns` times, after once to warm up, in an order that moves on."""
    pictures = {tool.name: timed(tool, job)[1] for tool in rivals}
    samples: dict[str, list[Turn]] = {tool.name: [] for tool in rivals}
    for turn in range(turns):
        for at in range(len(rivals)):
            tool = rivals[(at + turn) % len(rivals)]
            samples[tool.name].append(timed(tool, job)[0])
    return {
        "source": source.name,
        "size_px": job.size_px,
        "threads": job.threads,
        "pictures": len(pictures["longwatch"]),
        "tools": {
            name: {
                "same_frames": chose_same(pictures[name], pictures["longwatch"], source.footage),
                "cpu_s": spread([turn.cpu_s for turn in done]),
                "wall_s": spread([turn.wall_s for turn in done]),
            }
            for name, done in samples.items()
        },
        "cpu_ratios": ratios(samples, "cpu_s"),
        "wall_ratios": ratios(samples, "wall_s"),
    }


def chose_same(
    pictures: Sequence[Pixels], reference: Sequence[Pixels], footage: Footage | None
) -> bool:
    """Whether these are the frames that were asked for."""
    if footage is not None:
        due = [second * footage.rate for second in range(footage.seconds)]
        return [number_in(picture) for picture in pictures] == due
    return len(pictures) == len(reference) and all(
        np.abs(one.astype(int) - other.astype(int)).mean() < SAME_PICTURE_LEVELS
        for one, other in zip(pictures, reference, strict=True)
    )


def ratios(samples: dict[str, list[Turn]], figure: str) -> dict[str, Any]:
    """Our time by that of each other tool, turn by turn; below 1 we are faster.

    `best_other` compares with whichever was the fastest other of the median.
    """
    values = {name: [getattr(turn, figure) for turn in done] for name, done in samples.items()}
    mine = values.pop("longwatch")
    by_tool = {
        name: spread([one / other for one, other in zip(mine, theirs, strict=True)])
        for name, theirs in values.items()
    }
    best = min(values, key=lambda name: median(values[name]))
    return {**by_tool, "best_other": {"tool": best, **by_tool[best]}}


def spread(values: Sequence[float]) -> dict[str, Any]:
    low, _, high = quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return {
        "median": round(median(values), 4),
        "quartiles": [round(low, 4), round(high, 4)],
        "samples": [round(value, 4) for value in values],
    }


def job_of(path: Path, size_px: tuple[int, int], threads: int) -> Job:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        stamps = [packet.pts for packet in container.demux(video) if packet.pts is not None]
        assert video.time_base is not None
        length_s = (max(stamps) - min(stamps)) * video.time_base
        return Job(path, min(stamps), int(length_s) + 1, size_px, threads)


def machine() -> dict[str, Any]:
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    models = {line.split(":")[1].strip() for line in lines if line.startswith("model name")}
    return {
        "processor": ", ".join(sorted(models)) or platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "niceness": os.nice(0),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def sources(folder: Path, given: Path | None) -> list[Source]:
    if given is not None:
        return [Source(given.name, given, None)]
    rendered: list[Source] = []
    for number, footage in enumerate(FOOTAGE):
        path = folder / f"{number}.mp4"
        footage.render(path)
        rendered.append(Source(footage.name, path, footage))
    return rendered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, help="a film to use in place of rendered ones")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()

    everyone = tools()
    rivals = [tool for tool in everyone if tool.sample is not None]
    before = machine()
    comparisons: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        for source in sources(Path(folder), asked.source):
            for size_px, threads in source.contests:
                job = job_of(source.path, size_px, threads)
                comparisons.append(compare(source, job, rivals, asked.turns))
                say(comparisons[-1])
    result = {
        "machine": before,
        "settings": {"fps": 1, "turns": asked.turns},
        "tools": {
            tool.name: {"version": tool.version, "settings": tool.settings} for tool in everyone
        },
        "footage": [asdict(footage) for footage in FOOTAGE] if asked.source is None else [],
        "comparisons": comparisons,
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {asked.out}")


def say(comparison: dict[str, Any]) -> None:
    width_px, height_px = comparison["size_px"]
    print(f"{comparison['source']} to {width_px}x{height_px}, threads: {comparison['threads']}")
    for name, figures in comparison["tools"].items():
        cpu_ms = 1000 * figures["cpu_s"]["median"] / comparison["pictures"]
        wall_ms = 1000 * figures["wall_s"]["median"] / comparison["pictures"]
        same = "" if figures["same_frames"] else "  OTHER FRAMES"
        print(f"  {name:10} {cpu_ms:7.2f} ms cpu {wall_ms:7.2f} ms wall a picture{same}")
    for figure in ("cpu", "wall"):
        best = comparison[f"{figure}_ratios"]["best_other"]
        print(f"  {figure}: {best['median']:.2f} of {best['tool']}")


if __name__ == "__main__":
    main()
