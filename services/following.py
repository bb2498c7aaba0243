"""Which service follows which topic, as a group of its name."""

from services.locks import Service
from streaming.messages import TOPIC_CLIPS, TOPIC_SEGMENTS

FOLLOWED = (
    (TOPIC_SEGMENTS, Service.ANALYSE),
    (TOPIC_CLIPS, Service.INDEX),
    (TOPIC_CLIPS, Service.ALERTS),
    (TOPIC_CLIPS, Service.SUMMARISE),
)
NOT_WAITED_FOR = (Service.ALERTS, Service.SUMMARISE)
"""Who may run no more, and reads from the record what it missed."""
EARLY = "alerts-early"
"""Who reads glimpses, which are hints: nobody waits until they are handled."""
