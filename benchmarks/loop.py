"""The loop, shown: something new is seen, labelled, learnt and served, by commands that users type.

A service watches rendered streams on which are a kind of subject and an event that the model has
never seen, and is asked about them. A few dozen clips are labelled; a data set is built, and the
model is trained, evaluated and promoted while the service runs; the same questions are asked
again. The script is looked at only to say what a person would who watches, and after each answer.

    python -m benchmarks.loop [--clips 64] [--minutes 40] [--steps 800] [--keep DIR]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import cpu_count, get_context
from pathlib import Path
from typing import Any

from benchmarks.watching import load_average, machine, room_there_was, write_result
from models.nano import novelty
from models.nano.demo import DemoQuestion, render_demo
from models.nano.replay import write_replay
from models.nano.world import Script
from services.errors import AnswerFailed
from services.moments import show_ns
from services.requests import Answered, AskRequest
from services.resident import ask_service
from services.settings import SHIPPED_MODEL, load_settings
from services.wiring import now_at
from streaming.messages import NS_PER_S

TAUGHT, ASKED = "road", "field"
"""Streams of one camera; those of which clips are labelled are numbered."""
TASKS = ("note", "judge", "plan")
"""What tells of what is new. Answers are worded as before, which is replayed."""
HOLD_OUT = ("--hold-out", "0.1")  # of what is labelled: some of its streams
LOOK_S = 2.0
FOLLOW_S = 5.0  # for the index to follow what was written anew


class CommandFailed(Exception):
    """A command of the loop ended with an exit code; what it said stands above."""

    def __init__(self, words: Sequence[str], code: int) -> None:
        super().__init__(f"longwatch {' '.join(words)}: exit code {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Right:
    """How many questions were answered rightly, and so of each kind."""

    right: int
    asked: int
    of_kinds: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the loop showed: questions about what is new, and about what was known, both times."""

    new_before: Right
    new_after: Right
    known_before: Right
    known_after: Right
    seconds: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """Clips to label, minutes of footage to ask about, steps of training, questions of a sort.

    And how many scripts, of four minutes each, and texts of what was known before are replayed.
    """

    clips: int
    minutes: float
    steps: int
    asked: int
    scripts: int
    texts: int


SMALL = Sizes(clips=8, minutes=4, steps=2, asked=2, scripts=1, texts=200)


class Loop:
    """One run of it, in a directory of its own."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self._folder = folder
        self._sizes = sizes
        self._data = folder / "data"
        self._settings = load_settings(data=self._data)
        self._footage = novelty.footage(clips=sizes.clips, minutes=sizes.minutes)
        self._taught = {f"{TAUGHT}-{n}": one for n, one in enumerate(self._footage.taught, 1)}
        self._new = novelty.new_questions(self._footage.asked, count=sizes.asked)
        self._known = novelty.known_questions(self._footage.asked, count=sizes.asked)
        self._begun_s = time.monotonic()

    def run(self) -> Shown:
        """Raises:
        CommandFailed, AnswerFailed
        """
        films = self._rendered()
        with self._service():
            for name, film in films.items():
                self._longwatch("add", name, str(film))
            self._until_remembered()
            new_before, known_before = self._ask("before")
            self._learn()
            self._longwatch("promote", str(self._folder / "run"))
            self._longwatch("renote", "--stream", ASKED)
            time.sleep(FOLLOW_S)
            new_after, known_after = self._ask("after")
        seconds = round(time.monotonic() - self._begun_s)
        return Shown(new_before, new_after, known_before, known_after, seconds)

    def _rendered(self) -> dict[str, Path]:
        self._say("Rendering footage, some of it with trams and fires")
        scripts = {ASKED: self._footage.asked, **self._taught}  # the longest first
        films = {name: self._folder / f"{name}.mp4" for name in scripts}
        with get_context("spawn").Pool() as pool:
            work = zip(scripts.values(), films.values(), strict=True)
            pool.starmap(render_silently, work, chunksize=1)
        return films

    def _learn(self) -> None:
        labels, sets, run = (self._folder / name for name in ("labels.jsonl", "sets", "run"))
        said = [
            {"stream": name, **as_label(one)}
            for name, script in self._taught.items()
            for one in novelty.said_of(script)
        ]
        labels.write_text("".join(f"{json.dumps(one)}\n" for one in said))
        self._longwatch("label", "--from", str(labels))
        streams = (word for name in self._taught for word in ("--stream", name))
        built = ("dataset", "build", str(sets / TAUGHT), *streams)
        self._longwatch(*built, "--people-only", *HOLD_OUT)
        scripts, texts = self._sizes.scripts, self._sizes.texts
        self._say(f"Writing {scripts} films and {texts} texts of what the model knew before")
        write_replay(sets / "before", scripts=scripts, texts=texts)
        replay = ("--replay", str(sets / "before"))
        tasks = (word for task in TASKS for word in ("--task", task))
        learnt = ("--set", str(sets / TAUGHT), *replay, *tasks, "--steps", str(self._sizes.steps))
        train = ("train", "--from", str(SHIPPED_MODEL), *learnt, "--out", str(run))
        self._longwatch(*train, model_threads=cpu_count())  # nothing is watched meanwhile
        self._longwatch("evaluate", "--set", str(sets / TAUGHT), "--model", str(run))

    @contextmanager
    def _service(self) -> Generator[None]:
        self._say("longwatch up")
        with (self._folder / "up.log").open("a") as log:
            process = subprocess.Popen(self._command("up"), stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    def _until_remembered(self) -> None:
        told: list[dict[str, Any]] = []
        while not told or any(one["remembered_ns"] < one["captured_ns"] for one in told):
            time.sleep(LOOK_S)
            told = self._streams()
            if any(one["state"] != "ended" for one in told):
                told = []

    def _streams(self) -> list[dict[str, Any]]:
        shown = subprocess.run(self._command("streams", "--json"), capture_output=True, check=True)
        return json.loads(shown.stdout)

    def _ask(self, when: str) -> tuple[Right, Right]:
        self._say(f"Asking about what is new, {when}")
        new = self._right_of(self._new)
        self._say(f"Asking about what was known, {when}")
        return new, self._right_of(self._known)

    def _right_of(self, questions: Sequence[DemoQuestion]) -> Right:
        with ThreadPoolExecutor(cpu_count()) as people:
            answered = list(people.map(self._is_right, questions))
        of_kinds: dict[str, tuple[int, int]] = {}
        for one, is_right in zip(questions, answered, strict=True):
            right, asked = of_kinds.get(one.kind, (0, 0))
            of_kinds[one.kind] = (right + is_right, asked + 1)
        right = sum(answered)
        print(f"{right} of {len(questions)} right", flush=True)
        return Right(right, len(questions), of_kinds)

    def _is_right(self, asked: DemoQuestion) -> bool:
        since = until = None
        if asked.asked_s is not None:
            since, until = (show_ns(round(at_s * NS_PER_S), decimals=0) for at_s in asked.asked_s)
        request = AskRequest(
            text=asked.question, streams=(ASKED,), since=since, until=until, asked_at=now_at()
        )
        result = ask_service(self._settings, request, on_text=lambda piece: None)
        if not isinstance(result, Answered):
            raise AnswerFailed(reason="the service does not answer")
        answer = result.answer
        spans = [one.span for one in answer.evidence]
        intervals_s = [(one.start_ns / NS_PER_S, one.end_ns / NS_PER_S) for one in spans]
        is_right = asked.is_right(answer.value, intervals_s)
        mark = "right" if is_right else "wrong"
        print(f"{mark}  {asked.question}  {answer.text}  ({asked.truth_text})", flush=True)
        return is_right

    def _longwatch(self, *words: str, model_threads: int | None = None) -> None:
        told = () if model_threads is None else (f"LONGWATCH_MODEL_THREADS={model_threads}",)
        self._say(" ".join((*told, "longwatch", *words)))
        done = subprocess.run(["env", *told, *self._command(*words)], check=False)
        if done.returncode:
            raise CommandFailed(words, done.returncode)

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "services.cli", "--data", str(self._data), *words]

    def _say(self, text: str) -> None:
        print(f"\n==> [{time.monotonic() - self._begun_s:4.0f} s] {text}", flush=True)


def render_silently(script: Script, film: Path) -> None:
    render_demo(script, film, on_progress=lambda share: None)


def as_label(said: novelty.Said) -> dict[str, object]:
    """What a person says, as `longwatch label --from` reads it."""
    return {"start": round(said.start_s, 3), "end": round(said.end_s, 3), "text": said.text}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=64, help="how many are labelled")
    parser.add_argument("--minutes", type=float, default=40, help="of footage to ask about")
    parser.add_argument("--steps", type=int, default=800, help="of training")
    parser.add_argument("--asked", type=int, default=160, help="questions of either sort")
    parser.add_argument("--scripts", type=int, default=16, help="of what was known, to replay")
    parser.add_argument("--texts", type=int, default=600, help="of what was known, to replay")
    parser.add_argument("--keep", type=Path, help="keep everything in this directory")
    parser.add_argument("--small", action="store_true", help="try it out, and write nothing")
    args = parser.parse_args()
    given = Sizes(args.clips, args.minutes, args.steps, args.asked, args.scripts, args.texts)
    sizes = SMALL if args.small else given
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="longwatch-loop-") as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            shown = Loop(folder, sizes).run()
        except CommandFailed as error:
            sys.exit(str(error))
    for name, one in asdict(shown).items():
        print(f"{name}: {one}")
    if not args.small:
        command = "python -m benchmarks.loop" + "".join(
            f" --{k} {v}" for k, v in asdict(sizes).items()
        )
        result = {"command": command, "machine": machine(), **room_there_was(load_before)}
        print(write_result("loop", {"what": __doc__, **result, **asdict(shown)}))


if __name__ == "__main__":
    main()
