"""Words in Redis: for each stem and stream a sorted set of where it is said, in order of time.

A posting holds all that BM25 needs of a clip but the totals. So a search reads the postings of its
words within its ranges, the size of each set for how rare a word is, and the ids of the best alone.
A common word of a long memory has many postings: 32 bytes each, scored by numpy.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory.bm25 import rarity, saturated
from memory.index import best_first
from memory.record import Within
from memory.redis_client import RedisClient
from memory.redis_rows import POSTING, TAIL, StreamRange, stream_ranges
from memory.values import Hit
from memory.words import searchable_words, searched_words
from streaming.messages import ClipNote, Span


class NoteWords(NamedTuple):
    """The words of a note: how many in all, and each with what its posting ends with."""

    total: int
    tails: dict[str, bytes]


class _Scored(NamedTuple):
    """Clips of one stream that hold any of the words; four arrays of one length."""

    stream_id: str
    revisions: NDArray[np.int64]
    starts_ns: NDArray[np.int64]
    ends_ns: NDArray[np.int64]
    scores: NDArray[np.float64]


class _Totals(NamedTuple):
    """What a search needs to know of the whole record."""

    stream_ids: list[str]
    notes: int
    words: int
    longest_ns: dict[str, int]


def words_of(note: ClipNote) -> NoteWords:
    """What a note is found by."""
    times = Counter(searchable_words([note.text, *(event.text for event in note.events)]))
    total = times.total()
    return NoteWords(total, {stem: TAIL.pack(count, total) for stem, count in times.items()})


def search(client: RedisClient, query: str, *, limit: int, within: Within) -> list[Hit]:
    """Clips by BM25 of the query's words, best first."""
    stems = searched_words(query)
    if not stems or limit < 1 or (within is not None and not within):
        return []
    totals = _totals(client)
    if not totals.notes or not totals.stream_ids:
        return []
    sizes = client.ask_all(
        [("ZCARD", client.key("words", of, stem)) for stem in stems for of in totals.stream_ids]
    )
    num_streams = len(totals.stream_ids)
    holders = [sum(sizes[at : at + num_streams]) for at in range(0, len(sizes), num_streams)]
    texts = max(totals.notes, *holders)  # clips may have come since the totals were read
    weights = [rarity(held, texts) for held in holders]
    scored = [
        _scored(wanted, weights, postings, totals)
        for wanted, postings in _postings(client, stems, totals, within)
    ]
    return _hits(client, [one for one in scored if one.revisions.size], limit)


def _totals(client: RedisClient) -> _Totals:
    streams, notes, words, longest = client.ask_all(
        [
            ("HKEYS", client.key("streams")),
            ("HLEN", client.key("notes")),
            ("HGET", client.key("meta"), "words"),
            ("HGETALL", client.key("longest")),
        ]
    )
    return _Totals(
        sorted(name.decode() for name in streams),
        notes,
        int(words or 0),
        {name.decode(): int(length_ns) for name, length_ns in longest.items()},
    )


def _postings(
    client: RedisClient, stems: Sequence[str], totals: _Totals, within: Within
) -> Iterator[tuple[StreamRange, list[NDArray[Any]]]]:
    """The postings of each stem that may lie within, stream by stream."""
    for wanted in stream_ranges(within, totals.stream_ids):
        ranges = wanted.lex_ranges(totals.longest_ns.get(f"clips:{wanted.stream_id}", 0))
        found = client.ask_all(
            [
                ("ZRANGE", client.key("words", wanted.stream_id, stem), *some, "BYLEX")
                for stem in stems
                for some in ranges
            ]
        )
        yield (
            wanted,
            [
                np.frombuffer(b"".join(b"".join(members) for members in some), dtype=POSTING)
                for some in (
                    found[at : at + len(ranges)] for at in range(0, len(found), len(ranges))
                )
            ],
        )


def _scored(
    wanted: StreamRange, weights: Sequence[float], postings: list[NDArray[Any]], totals: _Totals
) -> _Scored:
    mean_length = max(totals.words, 1) / totals.notes
    scores = [
        weight
        * saturated(
            some["times"].astype(np.float64), some["length"].astype(np.float64) / mean_length
        )
        for weight, some in zip(weights, postings, strict=True)
    ]
    every = np.concatenate(postings)
    revisions, first, which = np.unique(
        every["revision"].astype(np.int64), return_index=True, return_inverse=True
    )
    starts_ns, ends_ns = (every[name][first].astype(np.int64) for name in ("start", "end"))
    is_inside = _inside(wanted, starts_ns, ends_ns)
    summed = np.zeros(len(revisions))
    np.add.at(summed, which, np.concatenate(scores))
    return _Scored(
        wanted.stream_id,
        revisions[is_inside],
        starts_ns[is_inside],
        ends_ns[is_inside],
        summed[is_inside],
    )


def _inside(
    wanted: StreamRange, starts_ns: NDArray[np.int64], ends_ns: NDArray[np.int64]
) -> NDArray[np.bool_]:
    if wanted.bounds is None:
        return np.ones(len(starts_ns), dtype=np.bool_)
    bounds = np.array(wanted.bounds, dtype=np.int64).reshape(-1, 2)
    last = np.searchsorted(bounds[:, 0], ends_ns) - 1
    return (last >= 0) & (bounds[np.maximum(last, 0), 1] > starts_ns)


def _hits(client: RedisClient, scored: list[_Scored], limit: int) -> list[Hit]:
    """The best, and whatever ties with the last of them but for the id."""
    if not scored:
        return []
    streams = np.concatenate(
        [np.full(len(one.revisions), at) for at, one in enumerate(scored)]
    )  # in order of name
    revisions, starts_ns, ends_ns, scores = (
        np.concatenate(column) for column in zip(*(one[1:] for one in scored), strict=True)
    )
    rounded = np.round(scores, 6)
    order = np.lexsort((starts_ns, streams, -rounded))
    keys = np.stack([rounded, streams, starts_ns.astype(np.float64)])[:, order]
    if len(order) > limit:
        is_tied = (keys[:, limit:] == keys[:, [limit - 1]]).all(axis=0)
        limit_and_ties = limit + int(np.cumprod(is_tied).sum())
        order = order[:limit_and_ties]
    ids = client.ask_all(
        [
            ("ZRANGE", client.key("revisions"), int(at), int(at), "BYSCORE")
            for at in revisions[order]
        ]
    )
    hits: list[Hit] = []
    for at, found in zip(order, ids, strict=True):
        if found:  # else it was deleted meanwhile
            span = Span(
                stream_id=scored[streams[at]].stream_id,
                start_ns=int(starts_ns[at]),
                end_ns=int(ends_ns[at]),
            )
            hits.append(Hit(found[0].decode(), span, float(scores[at])))
    return best_first(hits)[:limit]
