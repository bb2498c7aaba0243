"""Topics in Kafka: made with the policy they should have, and corrected where they differ."""

from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType

from streaming.bus import MAX_VALUE_BYTES
from streaming.kafka_link import Admin
from streaming.topics import TopicPolicy

MAX_BATCH_BYTES = 4 * 2**20
MAX_MESSAGE_BYTES = MAX_BATCH_BYTES + MAX_VALUE_BYTES  # of a batch; room for its header


def prepare_topic(admin: Admin, name: str, policy: TopicPolicy, partitions: int) -> bool:
    """Make the topic, or have it follow the policy; return whether anything had to be done."""
    if count_partitions(admin, name) is None:
        return make_topic(admin, name, policy, partitions)
    [found] = admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all"
    )["topic"].values()
    wanted = configs_of(policy)
    if all(found[key]["value"] == value for key, value in wanted.items()):
        return False
    done = admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, wanted)])
    if (answer := done["topic"][name]) != "OK":
        raise errors.InvalidConfigurationError(answer)
    return True


def made_partitions(admin: Admin, name: str, policy: TopicPolicy, partitions: int) -> int:
    """How many partitions the topic has, which is made with so many if there is none."""
    count = count_partitions(admin, name)
    if count is None:
        make_topic(admin, name, policy, partitions)
        count = count_partitions(admin, name)
    if count is None:
        raise errors.UnknownTopicOrPartitionError(f"topic {name!r}")
    return count


def expect_partitions(admin: Admin, name: str, partitions: int) -> None:
    """Brokers hear of what the controller made a moment later.

    Raises:
        UnknownTopicOrPartitionError: this one has not heard of so many yet; ask again.
    """
    if (count := count_partitions(admin, name)) != partitions:
        raise errors.UnknownTopicOrPartitionError(f"topic {name!r} has {count} of {partitions}")


def count_partitions(admin: Admin, name: str) -> int | None:
    """How many partitions the topic has; None where there is no such topic."""
    [found] = admin.describe_topics([name])
    if found["error_code"] == errors.UnknownTopicOrPartitionError.errno:
        return None
    if found["error_code"]:
        raise errors.for_code(found["error_code"])(f"topic {name!r}")
    return len(found["partitions"])


def make_topic(admin: Admin, name: str, policy: TopicPolicy, partitions: int) -> bool:
    """Make the topic; False if another process was faster."""
    made = {
        "num_partitions": partitions,
        "replication_factor": -1,
        "configs": configs_of(policy),
    }
    try:
        admin.create_topics({name: made}, wait_for_metadata=True)
    except errors.TopicAlreadyExistsError:
        return False
    return True


def configs_of(policy: TopicPolicy) -> dict[str, str]:
    """What Kafka is told of a topic. Compacted ones can be trimmed too, hence both policies."""
    return {
        "cleanup.policy": "compact,delete" if policy.is_compacted else "delete",
        "retention.ms": str(-1 if policy.keep_s is None else policy.keep_s * 1000),
        "retention.bytes": "-1",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "message.timestamp.type": "CreateTime",
    }
