"""An archive of thousands of files, taken in by workers on a Ray cluster of which a node dies.

The files are a handful of short films of real H.264 under thousands of names, which is what tells
them apart. `longwatch backfill` takes in some of them by itself, and all of them on Ray; when half
are taken in, a node is killed with the worker on it, and another joins. Instead of the model the
one of our tests describes clips, at next to no cost: what is measured is the work around it.

    python -m benchmarks.archive [--files 2000] [--beside 500]
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.watching import load_average, machine, room_there_was, write_result
from services.settings import load_settings
from services.wiring import opened
from tests.services.films import film, story
from tests.services.on_ray.ray_cluster import RAY, ray_running
from tests.services.processes import Process

FILMS = tuple(story(("dark", 2 + number), ("bright", 2)) for number in range(5))
FOLDER_FILES = 500
LOOK_S = 0.5
MIB = 2**20
WORKERS = 2


def make_archive(folder: Path, files: int) -> Path:
    """So many files, of which every fifth has the same contents."""
    folder.mkdir()
    films = [film(folder / f"{number}.mp4", words) for number, words in enumerate(FILMS)]
    archive = folder / "archive"
    for number in range(files):
        path = archive / f"door-{number // FOLDER_FILES}" / f"{number:05}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(films[number % len(films)], path)
    return archive


class Taking:
    """One run of the command: what it said, how fast it was, and what it held."""

    def __init__(self, archive: Path, folder: Path, *words: str) -> None:
        self.data = folder / "data"
        self._process = Process(
            ("backfill", str(archive), "--json", *words),
            environment={**RAY, "LONGWATCH_DATA": str(self.data)},
            log=folder / "log",
        )
        self._seen: list[tuple[float, int]] = []
        self._peak_bytes = 0

    def to_its_end(self, at_half: Callable[[], object], *, files: int) -> dict[str, object]:
        begun_s, is_at_half = time.monotonic(), False
        try:
            while not self._process.has_ended:
                self._look()
                if not is_at_half and self._seen[-1][1] >= files // 2:
                    is_at_half = True
                    at_half()
                time.sleep(LOOK_S)
        finally:
            self._process.kill()
        ended_s = time.monotonic()
        *taken, counts = said(self._process.log)
        began_s, before = next(one for one in self._seen if one[1])
        return {
            "files": files,
            "files_a_second": round((len(taken) - before) / (ended_s - began_s), 1),
            "seconds_until_the_first": round(began_s - begun_s, 1),
            "seconds": round(ended_s - begun_s, 1),
            "memory_of_the_command_mib": round(self._peak_bytes / MIB),
            "said": counts,
            "files_said_twice": len(taken) - len({one["path"] for one in taken}),
            **remembered(self.data, files),
        }

    def _look(self) -> None:
        with suppress(psutil.Error):  # it may have ended just now
            held = psutil.Process(self._process.pid).memory_info().rss
            self._peak_bytes = max(self._peak_bytes, held)
        self._seen.append((time.monotonic(), len(said(self._process.log))))


def said(log: str) -> list[dict[str, Any]]:
    whole_lines = log.rpartition("\n")[0].splitlines()
    return [json.loads(line) for line in whole_lines if line.startswith("{")]


def remembered(data: Path, files: int) -> dict[str, object]:
    """How many files are remembered, and how many of them otherwise than others like them."""
    with opened(load_settings(data=data)) as stores:
        clips: dict[str, list[tuple[int, int, str]]] = {}
        for note in stores.record.clips():
            told = (note.span.start_ns, note.span.end_ns, note.text)
            clips.setdefault(note.span.stream_id, []).append(told)
        streams = {Path(spec.url).stem: spec.stream_id for spec in stores.record.streams()}
    by_contents: list[Counter[tuple[tuple[int, int, str], ...]]] = [Counter() for _ in FILMS]
    for number in range(files):
        stream_id = streams.get(f"{number:05}", "")
        by_contents[number % len(FILMS)][tuple(sorted(clips.get(stream_id, [])))] += 1
    return {
        "streams": len(streams),
        "clips": sum(map(len, clips.values())),
        "files_without_a_clip": sum(one[()] for one in by_contents),
        "files_unlike_others_of_the_same_contents": sum(
            one.total() - max(one.values()) for one in by_contents
        ),
    }


def on_ray(archive: Path, folder: Path, *, files: int) -> dict[str, object]:
    """Take in the archive by two workers, a node each, one of which is killed at half."""
    with ray_running() as cluster:
        for _ in range(WORKERS):
            cluster.grow()

        def lose_a_node() -> None:
            cluster.kill_node()
            cluster.grow()

        words = ("--on", "ray", "--workers", str(WORKERS), "--ray", cluster.address)
        return Taking(archive, folder, *words).to_its_end(lose_a_node, files=files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000, help="taken in on Ray")
    parser.add_argument("--beside", type=int, default=500, help="of these, without Ray")
    parser.add_argument("--small", action="store_true", help="try it out, and write nothing")
    args = parser.parse_args()
    files, beside = (40, 10) if args.small else (args.files, args.beside)
    load_before = load_average()
    with tempfile.TemporaryDirectory() as scratch:
        here, there = Path(scratch, "here"), Path(scratch, "ray")
        few, all_of_it = make_archive(here, beside), make_archive(there, files)
        alone = Taking(few, here).to_its_end(lambda: None, files=beside)
        print(alone)
        spread = on_ray(all_of_it, there, files=files)
        print(spread)
    if args.small:
        return
    result = {
        "what": "films of 4 to 8 s, 64x48 H.264, one clip each; the stand-in for the model takes "
        f"no time. On Ray {WORKERS} workers, a node of one CPU each, one killed at half",
        "command": f"python -m benchmarks.archive --files {files} --beside {beside}",
        "machine": machine(),
        **room_there_was(load_before),
        "without_ray": alone,
        "on_ray": spread,
    }
    print(write_result("archive", result))


if __name__ == "__main__":
    main()
