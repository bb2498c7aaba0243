"""The benchmark of serving has each rival answer each question, with the same words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.report import serving_rows
from benchmarks.serving import (
    ENGINE,
    GENERATE,
    SERVER,
    Asked,
    Generating,
    Streaming,
    compare,
    questions_about,
)
from benchmarks.serving_api import api_overhead
from models.transformers_engine import TransformersEngine
from services.settings import SHIPPED_MODEL

CLIENTS = (1, 2)
QUESTIONS = 3


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine.load(SHIPPED_MODEL, num_threads=1)


@pytest.fixture(scope="module")
def questions(engine: TransformersEngine) -> list[Asked]:
    frames = np.random.default_rng(1).integers(0, 255, (2, 5, 96, 96, 3), np.uint8)
    clips = [engine.encode(of_one, range(5)).tokens for of_one in frames]
    return questions_about(clips, engine, QUESTIONS)


@pytest.fixture(scope="module")
def rows(engine: TransformersEngine, questions: list[Asked]) -> list[dict[str, Any]]:
    rivals = {SERVER: Streaming(engine), ENGINE: Streaming(engine), GENERATE: Generating(engine)}
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
    shared = "sglang_about_one_clip_that_it_has_read"
    api = api_overhead(tmp_path / "data", questions=2, film_s=10)
    drawn = serving_rows(
        {
            "device": "cpu",
            "rows": [row | {shared: row["rivals"][SERVER]} for row in rows],
            "api": api,
        }
    )

    assert len(api["added_ms"]["samples"]) == 2
    assert all(answer_ms > 0 for answer_ms in api["answer_ms"]["samples"])
    assert "1.00, 1.00 times" in drawn[4]
    assert f"{api['added_ms']['median']:.1f} ms" in drawn[-1]
