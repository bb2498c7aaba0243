"""Rankings are fused by rank, fair over time, and spread."""

import numpy as np
import pytest

from memory.recall import by_time_bucket, fuse, recall, spread
from memory.values import Hit
from streaming.messages import NS_PER_S
from tests.memory.notes import span

HOUR_NS = 3600 * NS_PER_S


def hit(number: int, score: float, *, stream: str = "pond") -> Hit:
    where = span(number * 10, number * 10 + 10, stream=stream)
    return Hit(f"{stream}-{number}", where, score)


def numbers(hits: list[Hit]) -> list[int]:
    return [int(one.clip_id.split("-")[1]) for one in hits]


def test_what_two_rankings_like_beats_what_one_loves() -> None:
    one = [hit(1, 0.9), hit(2, 0.8), hit(3, 0.7)]
    other = [hit(4, 12.0), hit(2, 11.0), hit(5, 10.0)]

    assert numbers(fuse([one, other]))[0] == 2


def test_a_fused_score_is_the_sum_of_reciprocal_ranks() -> None:
    fused = fuse([[hit(1, 0.9), hit(2, 0.1)], [hit(2, 5.0)]])

    assert [(one.clip_id, one.score) for one in fused] == [
        ("pond-2", pytest.approx(1 / 62 + 1 / 61)),
        ("pond-1", pytest.approx(1 / 61)),
    ]


def test_equal_scores_share_a_rank() -> None:
    fused = fuse([[hit(3, 0.5), hit(1, 0.5)], [hit(2, 1.0)]])

    assert numbers(fused) == [2, 1, 3]
    assert fused[1].score == fused[2].score


def test_nothing_fused_is_nothing() -> None:
    assert fuse([]) == []
    assert fuse([[], []]) == []
    assert by_time_bucket([]) == []
    assert recall([[]], [[]], limit=5) == []


def test_scores_of_another_scale_change_nothing() -> None:
    one, other = [hit(1, 0.9), hit(2, 0.8)], [hit(2, 0.3), hit(3, 0.2)]
    scaled = [[h._replace(score=h.score * 1000) for h in hits] for hits in (one, other)]

    assert fuse([one, other]) == fuse(scaled)


def test_a_drift_of_similarity_over_time_does_not_win() -> None:
    random = np.random.default_rng(0)
    hits = [
        hit(number, 0.2 + 0.1 * (number // 360) + float(random.normal(0, 0.01)))
        for number in range(3 * 360)
    ]
    hits[100] = hit(100, 0.28)  # stands out of its hour by far, below every clip of the last

    by_score = sorted(hits, key=lambda one: -one.score)
    assert by_score.index(hits[100]) > 300
    assert numbers(by_time_bucket(hits, bucket_ns=HOUR_NS))[0] == 100


def test_a_lone_clip_keeps_its_standing() -> None:
    hits = [hit(number, 0.2 + 0.001 * (number % 7)) for number in range(360)]
    lone = hit(5000, 0.9)

    assert numbers(by_time_bucket([*hits, lone], bucket_ns=HOUR_NS))[0] == 5000


def test_each_stream_has_its_own_level() -> None:
    pond = [hit(number, 0.5 + 0.001 * (number % 9)) for number in range(200)]
    hill = [hit(number, 0.1 + 0.001 * (number % 9), stream="hill") for number in range(200)]
    hill[50] = hit(50, 0.2, stream="hill")

    assert by_time_bucket([*pond, *hill])[0].clip_id == "hill-50"


def test_equal_scores_stay_equal() -> None:
    hits = [hit(number, 0.5) for number in range(10)]

    assert by_time_bucket(hits) == [one._replace(score=0.0) for one in hits]


def test_neighbours_make_room() -> None:
    hits = [hit(5, 0.9), hit(6, 0.8), hit(4, 0.7), hit(20, 0.6), hit(5, 0.5, stream="hill")]

    chosen = spread(hits, limit=3, min_gap_ns=15 * NS_PER_S)
    assert [one.clip_id for one in chosen] == ["pond-5", "pond-20", "hill-5"]


def test_places_left_are_filled_with_neighbours() -> None:
    hits = [hit(5, 0.9), hit(6, 0.8), hit(4, 0.7), hit(20, 0.6)]

    assert numbers(spread(hits, limit=3, min_gap_ns=15 * NS_PER_S)) == [5, 20, 6]
    assert numbers(spread(hits, limit=9, min_gap_ns=15 * NS_PER_S)) == [5, 20, 6, 4]
    assert numbers(spread(hits, limit=2, min_gap_ns=0)) == [5, 6]
    assert spread(hits, limit=0, min_gap_ns=0) == []


def test_words_and_vectors_find_together() -> None:
    random = np.random.default_rng(1)
    noise = random.normal(0.3, 0.02, size=(2, 720))
    text, visual = ([hit(n, float(noise[k, n])) for n in range(720)] for k in range(2))
    text[400], visual[400] = hit(400, 0.5), hit(400, 0.36)
    words = [hit(400, 7.1), hit(30, 2.0)]

    found = recall([text, visual], [words], limit=5, min_gap_ns=60 * NS_PER_S)
    assert numbers(found)[0] == 400
    assert 30 in numbers(found)
    assert len(found) == 5
