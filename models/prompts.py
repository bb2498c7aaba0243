"""One prompt template per task, each a versioned file in `models/prompt_templates/`.

Every engine and the trainer fill the same ones. `VIDEO` stands where a clip's tokens go.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

from models.question_kinds import MEANT

VIDEO = "<video>"

Task = Literal["system", "describe", "plan", "judge", "answer", "merge", "fold", "teach"]
VERSION_OF: dict[Task, str] = {
    "system": "v1",
    "describe": "v1",
    "plan": "v1",
    "judge": "v1",
    "answer": "v1",
    "merge": "v1",
    "fold": "v1",
    "teach": "v1",
}


@cache
def template(task: Task) -> str:
    name = f"{task}.{VERSION_OF[task]}.txt"
    return files("models").joinpath("prompt_templates", name).read_text().removesuffix("\n")


def system_prompt() -> str:
    """What a model is told first that was not trained on these prompts."""
    return template("system")


def describe_prompt(previous: Sequence[str]) -> str:
    """`previous` are the texts of the notes before the clip, oldest first."""
    earlier = "; ".join(without_placeholder(text) for text in previous) or "none"
    return template("describe").format(video=VIDEO, previous=earlier)


def plan_prompt(question: str) -> str:
    return template("plan").format(question=without_placeholder(question))


def judge_prompt(claim: str) -> str:
    return template("judge").format(video=VIDEO, claim=without_placeholder(claim))


def answer_prompt(question: str, *, findings: Sequence[str], num_clips: int) -> str:
    """`findings` are whole lines, such as `[1] ...`."""
    return (
        template("answer")
        .format(
            videos=VIDEO * num_clips,
            findings="\n".join(without_placeholder(finding) for finding in findings),
            question=without_placeholder(question),
        )
        .removeprefix("\n")
    )


def merge_prompt(num_clips: int) -> str:
    """Ask for one note of several clips."""
    return template("merge").format(videos=VIDEO * num_clips)


def fold_prompt(notes: Sequence[str]) -> str:
    """Ask what notes come to; they are texts, oldest first."""
    return template("fold").format(notes="; ".join(without_placeholder(text) for text in notes))


def teach_prompt(note: str) -> str:
    """Ask for questions about a clip, and their answers."""
    kinds = "\n".join(f"{kind}: {meant}" for kind, meant in MEANT.items())
    return template("teach").format(video=VIDEO, note=without_placeholder(note), kinds=kinds)


def without_placeholder(text: str) -> str:
    """A user's text must not be able to stand for a clip."""
    return text.replace(VIDEO, "(video)")
