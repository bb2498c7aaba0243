"""The topics of the bus: made as they should be, and how far each group has read them."""

from dataclasses import dataclass
from typing import Any

from services.errors import DataDirectoryEmpty
from services.settings import Settings
from services.wiring import kafka, opened_bus
from streaming.bus import Bus
from streaming.topics import DAY_S, TOPICS, TopicPolicy


@dataclass(frozen=True, slots=True)
class GroupState:
    """How far a group is: everything below `committed` is done, `lag` records are not."""

    name: str
    committed: int
    lag: int


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic, holding offsets [begin, end)."""

    name: str
    policy: TopicPolicy | None
    """What Kafka was told; None where only the service trims."""
    is_changed: bool
    """Whether it had to be made, or set anew."""
    begin: int
    end: int
    groups: list[GroupState]

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.name,
            "begin_offset": self.begin,
            "end_offset": self.end,
            "keep_s": self.policy and self.policy.keep_s,
            "is_compacted": self.policy is not None and self.policy.is_compacted,
            "is_changed": self.is_changed,
            "groups": [
                {"group": group.name, "committed": group.committed, "lag": group.lag}
                for group in self.groups
            ],
        }

    @property
    def keeps(self) -> str:
        """In words, what happens to old records."""
        if self.policy is None or self.policy == TopicPolicy():
            return "until handled, and 7 days more"
        if self.policy.is_compacted:
            return "the newest of each key"
        return f"{(self.policy.keep_s or 0) // DAY_S} days"


def prepare_topics(settings: Settings) -> list[TopicState]:
    """Make the topics where Kafka is used; return the state of all.

    Raises:
        DataDirectoryEmpty, BusError
    """
    if settings.kafka is None and not settings.bus_path.exists():
        raise DataDirectoryEmpty(settings.data)
    changed: set[str] = set()
    if settings.kafka is not None:
        bus = kafka(settings)
        try:
            changed = {topic for topic, policy in TOPICS.items() if bus.prepare(topic, policy)}
        finally:
            bus.close()
    with opened_bus(settings) as bus:
        return [
            _state(bus, topic, None if settings.kafka is None else policy, topic in changed)
            for topic, policy in TOPICS.items()
        ]


def _state(bus: Bus, topic: str, policy: TopicPolicy | None, is_changed: bool) -> TopicState:
    begin, end = bus.begin_offset(topic), bus.end_offset(topic)
    groups = [
        GroupState(name, committed, lag=end - min(max(committed, begin), end))
        for name, committed in sorted(bus.committed(topic).items())
    ]
    return TopicState(topic, policy, is_changed, begin, end, groups)
