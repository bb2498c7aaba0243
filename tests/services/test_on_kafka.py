"""The whole service with its messages in Kafka: the same memory, and nobody lags behind."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from services.settings import Settings, load_settings
from services.topics import prepare_topics
from services.wiring import opened
from tests.services.conftest import remember
from tests.streaming.kafka_server import LITTERED, KafkaServer

pytestmark = LITTERED


def remembered(settings: Settings) -> list[tuple[str, str]]:
    with opened(settings) as stores:
        return [(note.clip_id, note.text) for note in stores.record.clips()]


def test_a_film_is_remembered_as_with_the_embedded_bus(
    settings: Settings, kafka_servers: str, light_film: Path, tmp_path: Path
) -> None:
    on_kafka = load_settings(
        data=tmp_path / "on-kafka", kafka=kafka_servers, kafka_prefix=f"{uuid4().hex}."
    )
    remember(on_kafka, "cam", light_film)

    assert remembered(on_kafka) == remembered(settings)
    assert not on_kafka.bus_path.exists()
    lags = {
        (state.name, group.name): group.lag
        for state in prepare_topics(on_kafka)
        for group in state.groups
    }
    groups = ("index", "alerts", "summarise")
    assert lags == {("segments", "analyse"): 0, **{("clips", group): 0 for group in groups}}


def test_a_service_that_finds_no_broker_waits_for_one(
    settings: Settings, kafka_server: KafkaServer, light_film: Path, tmp_path: Path
) -> None:
    on_kafka = load_settings(
        data=tmp_path / "on-kafka", kafka=kafka_server.servers, kafka_prefix=f"{uuid4().hex}."
    )
    kafka_server.kill()
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(remember, on_kafka, "cam", light_film)
        time.sleep(1)
        assert not watching.done()
        assert kafka_server.start()
        watching.result(60)

    assert remembered(on_kafka) == remembered(settings)
