"""From rankings to the clips worth a look: fused by rank, fair over time, not all of one moment.

Several searches rank clips: text vectors, picture vectors, words. Their scores have nothing in
common but their order, hence reciprocal rank fusion. Similarity drifts along a stream (light,
season, a camera that moved), so before ranking, a score is read against the others of its
time bucket. And neighbours resemble each other, so the pick is spread out.

Pure: knows no index and no record. Filters by stream and time belong to the searches.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean

from memory.index import best_first
from memory.values import Hit
from streaming.messages import NS_PER_S

RANK_CONSTANT = 60
"""How little the first ranks stand out; the value that the method was published with."""

BUCKET_NS = 3600 * NS_PER_S
"""Long enough to hold hundreds of clips, short enough for light to stay much the same."""

_PRIOR_CLIPS = 20
"""A bucket with this many clips is read half by its own level, half by that of them all."""


def recall(
    drifting: Sequence[Sequence[Hit]],
    steady: Sequence[Sequence[Hit]] = (),
    *,
    limit: int,
    min_gap_ns: int = 0,
    bucket_ns: int = BUCKET_NS,
) -> list[Hit]:
    """The clips that the rankings together favour, best first, spread by `min_gap_ns`.

    `drifting` are rankings whose scores drift with time (vectors), best given as long as can
    be afforded, since levels are estimated from them; `steady` are the others (words).
    """
    rankings = [by_time_bucket(hits, bucket_ns=bucket_ns) for hits in drifting]
    rankings += [best_first(hits) for hits in steady]
    return spread(fuse(rankings), limit=limit, min_gap_ns=min_gap_ns)


def fuse(rankings: Sequence[Sequence[Hit]], *, rank_constant: int = RANK_CONSTANT) -> list[Hit]:
    """One ranking of several: a clip scores the sum of 1 / (rank_constant + its rank).

    Equal scores within a ranking share the middle of their ranks, so that the order in which
    equals happen to be listed decides nothing.
    """
    score_of: dict[str, float] = {}
    span_of = {hit.clip_id: hit.span for hits in rankings for hit in hits}
    for hits in rankings:
        for clip_id, rank in _ranks(hits).items():
            score_of[clip_id] = score_of.get(clip_id, 0.0) + 1 / (rank_constant + rank)
    return best_first(Hit(clip_id, span_of[clip_id], s) for clip_id, s in score_of.items())


def by_time_bucket(hits: Sequence[Hit], *, bucket_ns: int = BUCKET_NS) -> list[Hit]:
    """Scores as distances from the level of their stream and time bucket, best first.

    The distance is counted in deviations. Level and deviation of a bucket lean on those of
    all hits, the more the fewer clips it holds: a lone clip keeps its standing.
    """
    if not hits:
        return []
    buckets: dict[tuple[str, int], list[float]] = {}
    for hit in hits:
        buckets.setdefault(_bucket(hit, bucket_ns), []).append(hit.score)
    everywhere = _level([hit.score for hit in hits])
    levels = {key: _leaning(scores, everywhere) for key, scores in buckets.items()}
    normalised: list[Hit] = []
    for hit in hits:
        mean, deviation = levels[_bucket(hit, bucket_ns)]
        score = (hit.score - mean) / deviation if deviation > 0 else 0.0
        normalised.append(hit._replace(score=score))
    return best_first(normalised)


def spread(hits: Iterable[Hit], *, limit: int, min_gap_ns: int) -> list[Hit]:
    """The first `limit` hits with at least `min_gap_ns` between those of one stream.

    What was passed over fills the places that are left. Best first in both parts.
    """
    chosen: list[Hit] = []
    passed_over: list[Hit] = []
    for hit in hits:
        if len(chosen) == limit:
            break
        crowded = any(_is_within(min_gap_ns, hit, other) for other in chosen)
        (passed_over if crowded else chosen).append(hit)
    return chosen + passed_over[: limit - len(chosen)]


def _ranks(hits: Sequence[Hit]) -> dict[str, float]:
    """Ranks counted from 1, the same for equal scores."""
    rows: dict[float, list[int]] = {}
    for row, hit in enumerate(hits, start=1):
        rows.setdefault(round(hit.score, 6), []).append(row)
    middle = {score: fmean(places) for score, places in rows.items()}
    return {hit.clip_id: middle[round(hit.score, 6)] for hit in hits}


def _bucket(hit: Hit, bucket_ns: int) -> tuple[str, int]:
    return hit.span.stream_id, hit.span.start_ns // bucket_ns


def _level(scores: list[float]) -> tuple[float, float]:
    """Mean and deviation."""
    mean = fmean(scores)
    return mean, math.sqrt(fmean((score - mean) ** 2 for score in scores))


def _leaning(scores: list[float], everywhere: tuple[float, float]) -> tuple[float, float]:
    own = len(scores) / (len(scores) + _PRIOR_CLIPS)
    (mean, deviation), (mean_all, deviation_all) = _level(scores), everywhere
    return own * mean + (1 - own) * mean_all, own * deviation + (1 - own) * deviation_all


def _is_within(gap_ns: int, one: Hit, other: Hit) -> bool:
    return (
        one.span.stream_id == other.span.stream_id
        and one.span.start_ns < other.span.end_ns + gap_ns
        and other.span.start_ns < one.span.end_ns + gap_ns
    )
