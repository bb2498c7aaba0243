"""A day of memory is laid of hours that were watched, and is remembered as they are."""

from pathlib import Path

import numpy as np

from benchmarks.report_rows import rule_test_row
from benchmarks.rule_test import DAY, DAY_HOURS, lay_a_day
from memory.tokens import StoredTokens
from services.settings import load_settings
from services.wiring import opened
from streaming.messages import NS_PER_S
from tests.memory.notes import note, put, spec

HOURS = 8


def test_a_day_is_what_was_watched_over_and_over(tmp_path: Path) -> None:
    filmed = [note(0), note(1, "a fox runs", ((-2.0, 3.0, "a fox runs"),))]
    with opened(load_settings(data=tmp_path), make=True) as stores:
        stores.record.add_stream(spec())
        put(stores.record, *filmed)
        for one in filmed:
            arrays = {"tokens_KD": np.full((2, 3), one.span.start_ns, np.float32)}
            stores.tokens.put(StoredTokens(one.clip_id, one.layout_id, one.encoder_id, arrays))

        assert lay_a_day(stores, hours=HOURS) == len(filmed) * DAY_HOURS // HOURS

        *_, last = (one for one in stores.record.clips() if one.span.stream_id == DAY)
        later_ns = (DAY_HOURS - HOURS) * 3600 * NS_PER_S
        assert last.text == "a fox runs"
        assert last.span.start_ns == filmed[-1].span.start_ns + later_ns
        assert last.events[0].span.start_ns == filmed[-1].events[0].span.start_ns + later_ns
        tokens = stores.tokens.get(
            last.clip_id, layout_id=last.layout_id, encoder_id=last.encoder_id
        )
        assert (tokens.arrays["tokens_KD"] == filmed[-1].span.start_ns).all()
        held, theirs = (stores.record.vectors_of(one.clip_id) for one in (last, filmed[-1]))
        assert held is not None
        assert theirs is not None
        assert held.text_vector.tolist() == theirs.text_vector.tolist()


def test_the_readme_shows_the_quickest_and_the_slowest_kind() -> None:
    kinds = {
        kind: {"seconds_a_day": {"p50": seconds, "p95": 99.0, "max": 99.0}}
        for kind, seconds in (("then", 12.4), ("shown", 3.6), ("while", 17.6))
    }
    assert rule_test_row({"cores_used": 2, "kinds": kinds}) == (
        "| a rule tried on a day of memory, on 2 cores: “shown”, and the slowest kind, “while” "
        "| 4 s, 18 s | 20 s |"
    )
