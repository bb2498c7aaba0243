"""The shipped checkpoint: it loads, its recipe is beside it, and it reads footage end to end.

What it reaches is measured by `benchmarks.accuracy` on hours; here, on minutes, it only has to be
far better than notes of other clips, of whose facts one in a hundred is true.
"""

import json
from pathlib import Path
from threading import Event

import pytest

from benchmarks.accuracy import in_clip
from models.nano.footage import render
from models.nano.make import HELD_OUT_SEED
from models.nano.score_notes import NoteScores
from models.nano.world import write_script
from models.transformers_engine import TransformersEngine
from services.registry import NewStream
from services.settings import SHIPPED_MODEL, Settings
from services.up import Running, run_service
from services.wiring import load_engine, opened
from streaming.messages import NS_PER_S

MINUTES = 4


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine.load(SHIPPED_MODEL, num_threads=1)


def test_it_comes_with_its_recipe_and_metrics():
    recipe = json.loads((SHIPPED_MODEL / "recipe.json").read_text())

    assert recipe["stages"]
    assert recipe["seeds"]
    assert set(recipe["metrics"]) >= {"precision", "recall", "calm_recognised"}


def test_it_is_small_enough_to_ship():
    size_bytes = sum(path.stat().st_size for path in SHIPPED_MODEL.rglob("*"))

    assert size_bytes < 40_000_000


@pytest.mark.parametrize(
    ("question", "intent", "events"),
    [
        ("When did the red car cross?", "when", ("the red car crosses",)),
        ("Is the blue dog still there?", "state", ("the blue dog enters",)),
        ("What happened?", "between", ()),
    ],
)
def test_it_plans(engine: TransformersEngine, question: str, intent: str, events: tuple[str, ...]):
    plan = engine.plan(question)

    assert (plan.intent, plan.events) == (intent, events)


def test_it_notes_far_more_of_footage_than_chance_would(tmp_path: Path):
    script = write_script(HELD_OUT_SEED + 5_000, duration_s=MINUTES * 60, pace=1.5)
    film = tmp_path / "film.mp4"
    render(script, film, on_progress=lambda share: None)
    settings = Settings(data=tmp_path / "data", model_threads=1)
    with opened(settings, make=True) as stores:
        stores.registry.add(NewStream("yard", str(film)))

    run_service(Running(settings, load_engine, until_idle=True), Event())

    scores = NoteScores()
    with opened(settings) as stores:
        clips = stores.record.clips()
        for clip in clips:
            start_s, end_s = clip.span.start_ns / NS_PER_S, clip.span.end_ns / NS_PER_S
            scores.add(in_clip(clip), script, start_s, end_s)
    assert len(clips) == MINUTES * 6
    assert scores.summary()["recall"] > 0.5
    assert scores.summary()["precision"] > 0.5
