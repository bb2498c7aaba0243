"""The benchmark of serving has each rival answer each question, with the same words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.report import serving_rows
from benchmarks.serving import (
    ENGINE,
    GENERATE,
    NEW,
    PACE,
    READ,
    SEED,
    SENT,
    SERVER,
    compare,
    neighbours,
    questions_about,
)
from benchmarks.serving_api import api_overhead
from benchmarks.serving_rivals import Asked, Generating, Streaming
from models.nano.clips import sampled_pictures
from models.nano.world import write_script
from models.transformers_engine import TransformersEngine
from services.settings import SHIPPED_MODEL

CLIENTS = (1, 2)
QUESTIONS = 3


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine.load(SHIPPED_MODEL, num_threads=1)


@pytest.fixture(scope="module")
def questions(engine: TransformersEngine) -> list[Asked]:
    script = write_script(SEED, duration_s=10, pace=PACE)
    pictures = sampled_pictures(script, fps=1, size_px=engine.layout.image_size_px)
    clips = [engine.encode(of_one, range(5)).tokens for of_one in np.split(pictures, 2)]
    return questions_about(neighbours(clips), engine, QUESTIONS)


@pytest.fixture(scope="module")
def rows(engine: TransformersEngine, questions: list[Asked]) -> list[dict[str, Any]]:
    streaming = Streaming(engine)
    rivals = {
        **dict.fromkeys((SERVER, SENT, ENGINE), streaming),
        GENERATE: Generating(engine),
    }
    return [
        compare(rivals, questions, clients=clients, turns=1, before_turn=lambda: None)
        for clients in CLIENTS
    ]


def test_all_say_the_same_however_many_ask(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for figures in row["rivals"].values():
            assert figures["same_words_as_the_first"] == 1
            assert figures["tokens"] == row["rivals"][SERVER]["tokens"]
            assert figures["tokens"]["written"] > 1
            assert 0 < figures["first_token_s"]["p50"] <= figures["whole_answer_s"]["p50"]
            assert figures["questions_a_second"]["median"] > 0


def test_the_report_can_be_drawn_of_it(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    api = api_overhead(tmp_path / "data", questions=2, film_s=10)
    drawn = serving_rows(
        {
            "device": "cpu",
            "rows": [
                row | {"conversation": dict.fromkeys((NEW, READ), row["rivals"][SERVER])}
                for row in rows
            ],
            "api": api,
        }
    )

    assert len(api["added_ms"]["samples"]) == 2
    assert all(answer_ms > 0 for answer_ms in api["answer_ms"]["samples"])
    assert "1.00, 1.00 times" in drawn[5]
    assert f"{api['added_ms']['median']:.1f} ms" in drawn[-1]
