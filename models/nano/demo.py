"""What the demonstration needs: footage nobody trained on, questions, and the truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from models.nano.asking import KINDS_OF_QUESTION
from models.nano.footage import render
from models.nano.questions import ScriptedQuestion, questions
from models.nano.scoring import Interval, Reply, Value, score
from models.nano.world import Script, write_script

DEMO_SEED = 70_000_001
"""Far from every seed of training (`models.nano.make`)."""


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """A question, what is true, and a judge of replies."""

    question: str
    kind: str
    asked_s: Interval | None
    truth_text: str
    scripted: ScriptedQuestion

    def is_right(self, value: Value, intervals_s: Sequence[Interval]) -> bool:
        """Judge parsed values only: never words within words."""
        return score(self.scripted.truth, Reply(value, intervals_s)).is_right


def demo_script(*, minutes: float, seed: int = DEMO_SEED) -> Script:
    return write_script(seed, duration_s=minutes * 60)


def render_demo(script: Script, path: Path, *, on_progress: Callable[[float], None]) -> None:
    """Encode the script as 640x360 H.264 at 15 fps."""
    render(script, path, on_progress=on_progress)


def demo_questions(script: Script, *, seed: int = DEMO_SEED) -> list[DemoQuestion]:
    """One question of each kind, and one more about something that never happened."""
    rng = Random(seed)
    pairs = questions(script, rng=rng, per_kind=2, unseen=False)
    chosen = [next(q for q in pairs if q.kind == kind) for kind in KINDS_OF_QUESTION]
    chosen.append(next(q for q in pairs if q.kind == "exists" and q.truth.value is False))
    return [DemoQuestion(q.question, q.kind, q.asked_s, truth_text(q), q) for q in chosen]


def truth_text(asked: ScriptedQuestion) -> str:
    """The scripted truth in a few words."""
    truth = asked.truth
    if truth.interval_s is not None:
        return f"{_clock(truth.interval_s[0])} to {_clock(truth.interval_s[1])}"
    if isinstance(truth.value, tuple):
        return ", ".join(truth.value) or "nothing"
    if isinstance(truth.value, bool):
        return "yes" if truth.value else "no"
    return str(truth.value)


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(time_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}"
