"""Documents in the Redis server of the record: a hash for each kind."""

from collections.abc import Iterator

from memory.documents import Bodies, Key
from memory.redis_client import RedisClient
from memory.redis_scripts import SWAP_DOCUMENTS


class RedisDocuments:
    """`Documents` by kind and name."""

    def __init__(self, client: RedisClient) -> None:
        self._redis = client

    def get(self, key: Key) -> str | None:
        body = self._redis.ask("HGET", self._redis.key("documents", key.kind), key.name)
        return None if body is None else body.decode()

    def all(
        self,
        kind: str,
        *,
        after: str | None = None,
        before: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> dict[str, str]:
        least = "-" if after is None else f"({after}"
        most = "+" if before is None else f"({before}"
        bounds = (least, most, "BYLEX") if last is None else (most, least, "BYLEX", "REV")
        count = first if last is None else last
        names = self._redis.ask(
            *("ZRANGE", self._redis.key("document-names", kind), *bounds),
            *("LIMIT", 0, -1 if count is None else count),
        )
        if not names:
            return {}
        if last is not None:
            names.reverse()
        bodies = self._redis.ask("HMGET", self._redis.key("documents", kind), *names)
        return {
            name.decode(): body.decode()
            for name, body in zip(names, bodies, strict=True)
            if body is not None  # else it was deleted meanwhile
        }

    def swap(self, expected: Bodies, changed: Bodies) -> bool:
        done = self._redis.run(
            SWAP_DOCUMENTS, len(expected), *_told(expected), len(changed), *_told(changed)
        )
        return done == 1


def _told(bodies: Bodies) -> Iterator[str | int]:
    """Kind, name, whether there is a body, and the body."""
    for key, body in bodies.items():
        yield from (*key, int(body is not None), body or "")
