"""The demonstration: render footage, watch it, ask about it, and hold the answers to the script.

The only module outside `models.nano` that meets its world, through `models.nano.demo`. What runs
is the real service on a real video file; the script is looked at only after each answer.
"""

import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from models.nano.demo import DemoQuestion, demo_questions, demo_script, render_demo
from services.answer import Answerer, Question
from services.console import Tools, print_json
from services.errors import DataDirectoryUnusable
from services.moments import Bounds, MediaMoment, show_ns
from services.progress import StreamProgress
from services.registry import NewStream
from services.requests import answerer_of
from services.showing import evidence_lines
from services.up import Running, run_service
from services.wiring import WatchingEngine, open_index, opened
from streaming.messages import NS_PER_S, Answer

STREAM = "demo"


@dataclass(frozen=True, slots=True)
class Answered:
    """A question of the demonstration, the answer, and whether that was right."""

    asked: DemoQuestion
    answer: Answer
    is_right: bool
    took_s: float

    def as_json(self) -> dict[str, object]:
        return {
            "question": self.asked.question,
            "kind": self.asked.kind,
            "answer": self.answer.model_dump(mode="json"),
            "truth": self.asked.truth_text,
            "is_right": self.is_right,
            "took_s": round(self.took_s, 3),
        }


def run_demo(
    tools: Tools,
    *,
    minutes: float,
    keep: Path | None,
    as_json: bool,
    stop: threading.Event,
) -> None:
    """Run it from the first frame to the last answer."""
    with _directory(keep) as directory:
        show = replace(tools, out=tools.err) if as_json else tools
        demo = Demo(show, directory, minutes=minutes, stop=stop)
        answered = demo.run()
        if stop.is_set():
            return
        if as_json:
            print_json([one.as_json() for one in answered])
        else:
            demo.say_what_next(keep)


class Demo:
    """One run of the demonstration, in a directory of its own."""

    def __init__(
        self, tools: Tools, directory: Path, *, minutes: float, stop: threading.Event
    ) -> None:
        self._tools = tools
        self._out = tools.out
        self._settings = tools.settings.model_copy(
            update={"data": directory, "footage_url": None, "tokens_url": None, "redis": None}
            | {"file_roots": None}
        )
        self._film = directory / "demo.mp4"
        self._script = demo_script(minutes=minutes)
        self._minutes = minutes
        self._stop = stop
        self._began_s = time.monotonic()

    def run(self) -> list[Answered]:
        self._step("Loading the model")
        engine = self._tools.load_engine(self._settings)
        self._say(f"  {engine.model_id}")
        self._step(f"Rendering {self._minutes:g} minutes of video that no model was trained on")
        self._render()
        self._step("Watching it: capture, look, describe, remember")
        with opened(self._settings, make=True) as stores:
            stores.registry.add(NewStream(STREAM, str(self._film)))
        watched_s = self._watch(engine)
        if self._stop.is_set():
            return []
        speed = self._minutes * 60 / watched_s
        self._say(f"  {watched_s:.0f} s, {speed:.0f} times as fast as it was filmed")
        self._step("Asking about it, and comparing with the script")
        with opened(self._settings) as stores:
            answerer = answerer_of(stores, engine, open_index(stores, engine).index)
            questions = demo_questions(self._script)
            answered = [
                self._ask(answerer, number, question)
                for number, question in enumerate(questions, start=1)
                if not self._stop.is_set()
            ]
        right = sum(one.is_right for one in answered)
        took_s = time.monotonic() - self._began_s
        self._step(f"{right} of {len(answered)} right, in {took_s:.0f} s altogether")
        return answered

    def say_what_next(self, keep: Path | None) -> None:
        if keep is None:
            self._say("To keep what it remembers, and ask on:")
            self._say("  longwatch demo --keep demo-data")
            keep = Path("demo-data")
        else:
            self._say("To ask on:")
        self._say(f'  longwatch --data {keep} ask "what happened in the last 2 minutes?"')
        self._say("To watch footage of your own, in two terminals:")
        self._say("  longwatch up")
        self._say("  longwatch add NAME FILE-OR-URL")

    def _render(self) -> None:
        with self._progress() as progress:
            task = progress.add_task("rendering", total=1.0)
            render_demo(
                self._script,
                self._film,
                on_progress=lambda share: progress.update(task, completed=share),
            )

    def _watch(self, engine: WatchingEngine) -> float:
        began_s = time.monotonic()
        with self._progress() as progress:
            task = progress.add_task("watching", total=self._script.duration_s)

            def show(streams: list[StreamProgress]) -> None:
                for one in streams:
                    progress.update(
                        task,
                        completed=one.remembered_ns / NS_PER_S,
                        description=f"captured {show_ns(one.captured_ns, decimals=0)}, "
                        f"remembered {show_ns(one.remembered_ns, decimals=0)}",
                    )

            run_service(
                Running(
                    settings=self._settings,
                    load_engine=lambda settings: engine,
                    until_idle=True,
                    on_progress=show,
                ),
                self._stop,
            )
        return time.monotonic() - began_s

    def _ask(self, answerer: Answerer, number: int, asked: DemoQuestion) -> Answered:
        self._say(f"\n{number}. {asked.question}{_beside(asked)}")
        began_s = time.monotonic()
        self._out.print("   ", end="")
        answer = answerer.ask(
            Question(asked.question, (STREAM,), _bounds(asked)),
            on_text=lambda piece: self._out.print(piece, end="", markup=False, highlight=False),
        )
        took_s = time.monotonic() - began_s
        self._out.print()
        for line in evidence_lines(answer):
            self._say(f" {line}")
        is_right = asked.is_right(
            answer.value,
            [(one.span.start_ns / NS_PER_S, one.span.end_ns / NS_PER_S) for one in answer.evidence],
        )
        verdict = "right" if is_right else "WRONG"
        self._say(f"   truth: {asked.truth_text}  →  {verdict} ({took_s:.1f} s)")
        return Answered(asked, answer, is_right, took_s)

    def _progress(self) -> Progress:
        return Progress(
            SpinnerColumn(),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self._out,
        )

    def _step(self, text: str) -> None:
        self._out.print(f"\n[bold]==> {text}[/]", highlight=False)

    def _say(self, text: str) -> None:
        self._out.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _directory(keep: Path | None) -> Generator[Path]:
    """The directory to keep, which must be new or empty; or one that is deleted afterwards."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="longwatch-demo-") as scratch:
            yield Path(scratch)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise DataDirectoryUnusable(keep, reason="it is not empty")
    except OSError as error:
        raise DataDirectoryUnusable(keep, reason=str(error)) from error
    yield keep


def _bounds(asked: DemoQuestion) -> Bounds:
    """The range that is given beside a question, as a caller's options would be."""
    if asked.asked_s is None:
        return Bounds()
    start_s, end_s = asked.asked_s
    return Bounds(MediaMoment(round(start_s * NS_PER_S)), MediaMoment(round(end_s * NS_PER_S)))


def _beside(asked: DemoQuestion) -> str:
    if asked.asked_s is None:
        return ""
    start, end = (show_ns(round(time_s * NS_PER_S), decimals=0) for time_s in asked.asked_s)
    return f"  (asked about {start} to {end})"
