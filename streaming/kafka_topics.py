"""Topics in Kafka: made with the policy they should have, and corrected where they differ."""

from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType

from streaming.bus import MAX_VALUE_BYTES
from streaming.kafka_link import Admin
from streaming.topics import TopicPolicy

MAX_BATCH_BYTES = 4 * 2**20
MAX_MESSAGE_BYTES = MAX_BATCH_BYTES + MAX_VALUE_BYTES  # of a batch; room for its header


def prepare_topic(admin: Admin, name: str, policy: TopicPolicy) -> bool:
    """Make the topic, or have it follow the policy; return whether anything had to be done."""
    if make_topic(admin, name, policy):
        return True
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


def make_topic(admin: Admin, name: str, policy: TopicPolicy) -> bool:
    """Make the topic; False if it is there already.

    Raises:
        InvalidPartitionsError: it is there, with more than one partition.
    """
    [found] = admin.describe_topics([name])
    if found["error_code"] == errors.UnknownTopicOrPartitionError.errno:
        made = {"num_partitions": 1, "replication_factor": -1, "configs": configs_of(policy)}
        try:
            admin.create_topics({name: made}, wait_for_metadata=True)
        except errors.TopicAlreadyExistsError:  # another process was faster
            return False
        return True
    if found["error_code"]:
        raise errors.for_code(found["error_code"])(f"topic {name!r}")
    if (count := len(found["partitions"])) > 1:
        raise errors.InvalidPartitionsError(f"topic {name!r} has {count} partitions, not one")
    return False


def configs_of(policy: TopicPolicy) -> dict[str, str]:
    """What Kafka is told of a topic. Compacted ones can be trimmed too, hence both policies."""
    return {
        "cleanup.policy": "compact,delete" if policy.is_compacted else "delete",
        "retention.ms": str(-1 if policy.keep_s is None else policy.keep_s * 1000),
        "retention.bytes": "-1",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "message.timestamp.type": "CreateTime",
    }
