"""The loop at a small size: every command does its part, and the service changes over."""

import json
from pathlib import Path

import pytest

from benchmarks.loop import ASKED, SMALL, TAUGHT, Loop
from memory.labels import LabelBook
from services.promoted import serving_promotion
from services.settings import load_settings
from services.wiring import opened


@pytest.mark.timeout(900)
def test_what_is_labelled_is_learnt_and_serves(tmp_path: Path) -> None:
    shown = Loop(tmp_path, SMALL).run()

    for one in (shown.new_before, shown.new_after, shown.known_before, shown.known_after):
        assert one.asked == SMALL.asked
        assert one.right == sum(right for right, _ in one.of_kinds.values())
    steps = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(steps[-1])["step"] == SMALL.steps
    settings = load_settings(data=tmp_path / "data")
    promotion = serving_promotion(settings)
    assert promotion is not None
    with opened(settings) as stores:
        written_by = {
            note.model_id for note in stores.record.clips() if note.span.stream_id == ASKED
        }
        labels = LabelBook(stores.record.documents).of(f"{TAUGHT}-1")
    assert written_by == {promotion.model_id}
    assert labels
