"""Reading what lies within ranges of time out of Redis, in few round trips."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from memory.bodies import note_of
from memory.record import Within
from memory.redis_client import RedisClient
from memory.redis_rows import PLACE, before, stream_ranges
from streaming.messages import ClipNote

_NOTES_AT_ONCE = 512


class Member(NamedTuple):
    """A member of a sorted set by time; `rest` is what follows its place."""

    stream_id: str
    start_ns: int
    end_ns: int
    rest: bytes

    @property
    def member(self) -> bytes:
        return PLACE.pack(self.start_ns, self.end_ns) + self.rest


def members(client: RedisClient, name: str, within: Within) -> list[Member]:
    """What overlaps any of the spans, by stream, start, end and rest."""
    streams, longest = client.ask_all(
        [("HKEYS", client.key("streams")), ("HGETALL", client.key("longest"))]
    )
    ranges = stream_ranges(within, (stream.decode() for stream in streams))
    asked = [
        (wanted, ("ZRANGE", client.key(name, wanted.stream_id), *some, "BYLEX"))
        for wanted in ranges
        for some in wanted.lex_ranges(int(longest.get(f"{name}:{wanted.stream_id}".encode(), 0)))
    ]
    answers = client.ask_all([command for _, command in asked])
    found = [
        Member(wanted.stream_id, *_place(member), member[PLACE.size :])
        for (wanted, _), answer in zip(asked, answers, strict=True)
        for member in answer
        if wanted.overlaps(*_place(member))
    ]
    return sorted(found)


def last_clip_ids(client: RedisClient, stream_id: str, *, before_ns: int, limit: int) -> list[str]:
    """The last `limit` clips that end at or before an instant, in order of start and id."""
    page = max(2 * limit, 16)
    found: list[tuple[int, str]] = []
    num_read = 0
    while limit:
        answer = client.ask(
            *("ZRANGE", client.key("clips", stream_id), before(before_ns), b"-"),
            *("BYLEX", "REV", "LIMIT", num_read, page),
        )
        num_read += len(answer)
        places = [(*_place(member), member[PLACE.size :].decode()) for member in answer]
        found += [
            (start_ns, clip_id) for start_ns, end_ns, clip_id in places if end_ns <= before_ns
        ]
        last = sorted(found)[-limit:]
        if len(answer) < page or (len(last) == limit and places[-1][0] < last[0][0]):
            return [clip_id for _, clip_id in last]
    return []


def notes(client: RedisClient, clip_ids: Iterable[str]) -> Iterator[ClipNote]:
    """The notes of clips, in the given order; none of one that was deleted meanwhile."""
    ids = list(clip_ids)
    pages = [ids[at : at + _NOTES_AT_ONCE] for at in range(0, len(ids), _NOTES_AT_ONCE)]
    answers = client.ask_all([("HMGET", client.key("notes"), *page) for page in pages])
    for page, bodies in zip(pages, answers, strict=True):
        for clip_id, body in zip(page, bodies, strict=True):
            if body is not None:
                yield note_of(clip_id, body)


def _place(member: bytes) -> tuple[int, int]:
    start_ns, end_ns = PLACE.unpack_from(member)
    return start_ns, end_ns
