"""How an index is divided among several machines."""

from typing import NamedTuple
from zlib import crc32


class Shard(NamedTuple):
    """One of so many. Each stream is in one of them, the same on every machine, for ever."""

    number: int
    of: int

    def holds(self, stream_id: str) -> bool:
        return crc32(stream_id.encode()) % self.of == self.number


ALL = Shard(0, of=1)


def shards(count: int) -> list[Shard]:
    return [Shard(number, of=count) for number in range(count)]
