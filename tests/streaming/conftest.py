"""The Kafka broker of the tests, started when the first of them needs it."""

from collections.abc import Iterator

import pytest

from tests.streaming.kafka_server import KafkaServer, cache_folder, serving


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with serving(tmp_path_factory.mktemp("kafka"), cache=cache_folder()) as server:
        yield server


@pytest.fixture
def kafka_servers(request: pytest.FixtureRequest) -> str:
    """Where a broker is."""
    server: KafkaServer = request.getfixturevalue("kafka_server")
    return server.servers
