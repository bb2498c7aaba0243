"""The topics of the bus: made as they should be, and how far each group has read them."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from services.errors import DataDirectoryEmpty, SettingsError
from services.following import FOLLOWED, NOT_WAITED_FOR
from services.locks import alone
from services.settings import Settings
from services.wiring import kafka, opened_bus
from streaming.bus import Bounds, Bus, lag
from streaming.topics import DAY_S, TOPICS, TopicPolicy


@dataclass(frozen=True, slots=True)
class GroupState:
    """How far a group is: below `committed` all is done, in each partition; `lag` are not."""

    name: str
    committed: dict[int, int]
    lag: int


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic, and what its partitions hold."""

    name: str
    policy: TopicPolicy | None
    """What Kafka was told; None where only the service trims."""
    is_changed: bool
    """Whether it had to be made, or set anew."""
    bounds: dict[int, Bounds]
    groups: list[GroupState]

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.name,
            "partitions": [
                {"partition": number, "begin_offset": held.begin, "end_offset": held.end}
                for number, held in self.bounds.items()
            ],
            "records": self.records,
            "keep_s": self.policy and self.policy.keep_s,
            "is_compacted": self.policy is not None and self.policy.is_compacted,
            "is_changed": self.is_changed,
            "groups": [
                {"group": group.name, "committed": group.committed, "lag": group.lag}
                for group in self.groups
            ],
        }

    @property
    def records(self) -> int:
        """How many it holds."""
        return sum(held.end - held.begin for held in self.bounds.values())

    @property
    def keeps(self) -> str:
        """In words, what happens to old records."""
        if self.policy is None or (self.policy.keep_s is None and not self.policy.is_compacted):
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


def grow_topics(settings: Settings) -> None:
    """Give the topics that are divided as many partitions as are set, while no service runs.

    Raises:
        SettingsError, DataDirectoryError, BusError
    """
    if settings.kafka is None:
        raise SettingsError("topics have partitions in Kafka only; set LONGWATCH_KAFKA")
    with alone(settings), closing(kafka(settings)) as bus:
        for topic in {topic for topic, _ in FOLLOWED}:
            groups = [group for followed, group in FOLLOWED if followed == topic]
            bus.grow(topic, groups=[one for one in groups if one not in NOT_WAITED_FOR])


def _state(bus: Bus, topic: str, policy: TopicPolicy | None, is_changed: bool) -> TopicState:
    bounds = bus.bounds(topic)
    groups = [
        GroupState(group, committed, lag(bounds, committed))
        for followed, group in FOLLOWED
        if followed == topic and (committed := bus.committed(topic, group=group))
    ]
    return TopicState(topic, policy, is_changed, bounds, groups)
