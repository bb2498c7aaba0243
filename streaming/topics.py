"""The topics of Longwatch: how long each keeps its records, and whether only the newest of a key.

`SqliteBus` and `MemoryBus` forget nothing by themselves: `Bus.trim` is all the retention they have.
Kafka is told these policies when a topic is made. Segments and clips have no limit there either,
because Kafka's retention heeds no group and would drop what nobody has analysed yet; the service
trims them once they are handled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from streaming.messages import (
    TOPIC_ALERTS,
    TOPIC_CLIPS,
    TOPIC_DEAD_LETTERS,
    TOPIC_GLIMPSES,
    TOPIC_SEGMENTS,
)

TOPIC_CONTROL = "control"
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class TopicPolicy:
    """What a topic keeps."""

    keep_s: int | None = None
    """Records older than that may go; None: only `Bus.trim` removes any."""
    is_compacted: bool = False
    """Of each key at least the newest record stays, whatever its age; older ones may go."""
    is_divided: bool = False
    """Whether it has as many partitions as `KafkaBus` is told, for several to share the work."""


KEPT_UNTIL_TRIMMED = TopicPolicy()
SHARED = TopicPolicy(is_divided=True)
TOPICS: Mapping[str, TopicPolicy] = MappingProxyType(
    {
        TOPIC_SEGMENTS: SHARED,
        TOPIC_CLIPS: SHARED,
        TOPIC_GLIMPSES: TopicPolicy(keep_s=3600, is_divided=True),
        TOPIC_DEAD_LETTERS: TopicPolicy(keep_s=7 * DAY_S),
        TOPIC_CONTROL: TopicPolicy(is_compacted=True),
        TOPIC_ALERTS: TopicPolicy(keep_s=30 * DAY_S),
    }
)
"""The topics that `longwatch topics` makes."""
