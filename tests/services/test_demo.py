"""The demonstration, with a film of light in place of the rendered one."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services import demo
from services.settings import Settings
from tests.services.conftest import STORY
from tests.services.films import film
from tests.services.test_cli import as_json, run, tools_for


@dataclass(frozen=True)
class Script:
    duration_s: float = 45.0


@dataclass(frozen=True)
class LightQuestion:
    question: str
    kind: str
    truth_text: str
    right: Any
    asked_s: tuple[float, float] | None = None

    def is_right(self, value: object, intervals_s: Sequence[tuple[float, float]]) -> bool:
        return self.right in (value, *intervals_s)


QUESTIONS = [
    LightQuestion("when: bright light", "when", "0:00:12 to 0:00:15", (12.0, 15.0)),
    LightQuestion("count: bright light", "count", "1", 1, asked_s=(0, 30)),
    LightQuestion("exists: green light", "exists", "yes", True),
]


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(script: Script, path: Path, *, on_progress: Callable[[float], None]) -> None:
        film(path, STORY)
        on_progress(1.0)

    monkeypatch.setattr(demo, "demo_script", lambda **_: Script())
    monkeypatch.setattr(demo, "render_demo", render)
    monkeypatch.setattr(demo, "demo_questions", lambda script: QUESTIONS)


def test_each_answer_stands_beside_its_evidence_and_the_truth(empty: Settings) -> None:
    result = run(empty, "demo")

    assert result.exit_code == 0, result.output
    said = result.stdout
    assert "2 at 0:00:12.000–0:00:15.000" in said
    assert "watched: all of the 0:00:30 asked about" in said
    assert said.count("→  right") == 2
    assert said.count("→  WRONG") == 1
    assert "2 of 3 right" in said
    assert "longwatch --data demo-data ask" in said
    assert not empty.data.exists(), "the demonstration leaves no trace"


def test_it_can_be_kept_and_asked_on(empty: Settings, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    result = run(empty, "demo", "--keep", str(kept))

    assert f"longwatch --data {kept} ask" in result.stdout
    again = run(empty, "--data", str(kept), "ask", "count: bright light", "--json")
    assert as_json(again)["value"] == 2


def test_a_directory_with_something_in_it_is_not_used(empty: Settings, tmp_path: Path) -> None:
    (tmp_path / "dear.txt").touch()
    result = run(empty, "demo", "--keep", str(tmp_path))

    assert result.exit_code == 1
    assert "not empty" in result.stderr


def test_as_json_it_gives_every_answer(empty: Settings) -> None:
    answers = json.loads(run(empty, "demo", "--json").stdout)

    assert [one["is_right"] for one in answers] == [True, True, False]
    assert answers[0]["answer"]["verdict"] == "found"


def test_it_can_be_stopped(empty: Settings) -> None:
    stop = threading.Event()
    stop.set()

    demo.run_demo(tools_for(empty), minutes=5, keep=None, as_json=False, stop=stop)
