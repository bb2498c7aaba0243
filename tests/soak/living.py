"""Four services on Kafka and Redis, and cameras that they lose again and again.

One cycle forgets one stream wholly and adds it anew, takes every camera away in its own manner and
waits until all are captured again, asks, searches, and forgets what is old of each stream.
"""

import time
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.forget import forget_span, forget_whole
from services.locks import Service
from services.progress import captured_until_ns
from services.registry import NewStream
from services.requests import AskRequest, Request, SearchRequest
from services.resident import ask_service
from services.settings import Settings
from services.wiring import Stores, now_at, opened
from streaming.messages import NS_PER_S, Span
from tests.faults.topology import settings_of
from tests.memory.redis_server import RedisServer
from tests.services.processes import SCRIPTED, Services, until
from tests.soak.samples import Sample, sample_of
from tests.streaming.kafka_server import KafkaServer
from tests.streaming.live_server import (
    Broadcaster,
    Camera,
    Clock,
    Film,
    broadcasting,
    clock_film,
    switched_on,
)

KEPT_NS = 120 * NS_PER_S
"""How much of each stream is kept: from then on the memory is as large as it will be."""
KILL_EVERY = 4
"""In so many cycles the camera loses its power once; in the others only the connections break."""
PATIENCE_S = 300.0
"""A camera is tried again every half minute, and models take long to load on a busy machine."""
VISITOR = "visitor"


@dataclass(frozen=True, slots=True)
class Program:
    """What runs as the services, and what it can be asked."""

    words: tuple[str, ...]
    question: str


SCRIPTED_ENGINE = Program(SCRIPTED, "when: a bright light")
SHIPPED_MODEL = Program(("-m", "services.cli"), "When did something move?")


class Living:
    """Services and cameras, as long as they live."""

    def __init__(
        self,
        services: Services,
        stores: Stores,
        camera: Camera,
        broadcaster: Broadcaster,
        film: Film,
        question: str,
    ) -> None:
        self._services, self._stores = services, stores
        self._camera, self._broadcaster, self._film = camera, broadcaster, film
        self._question = question
        self._publisher = ExitStack()
        self._began_s = time.monotonic()
        self.cycles = self.answers = self.forgotten = 0
        self._urls = {
            "rtsp": camera.url("/1"),
            VISITOR: camera.url("/2"),
            "rtmp": broadcaster.rtmp_url,
            "hls": broadcaster.hls_url,
        }

    def begin(self) -> None:
        """Wait for the services, and for what they capture."""
        for name in Service:
            process = self._services[name]
            until(lambda p=process: p.get("/v1/ready").status == 200, process, within_s=PATIENCE_S)
        self._publish()
        until(lambda: (self._broadcaster.hls / "1.m3u8").exists())
        for name in self._urls:
            self._add(name)
        self._until_more("segments", dict.fromkeys(self._urls, 0))

    def cycle(self) -> None:
        """Take away every camera, and see all of them come back."""
        self.cycles += 1
        forget_whole(self._stores, VISITOR)
        self._add(VISITOR)
        before = {"rtsp": self._count("rtsp", "reconnects")}
        if self.cycles % KILL_EVERY:
            self._camera.drop_all()
            self._until_more("reconnects", before)
        else:
            self._camera.process.kill()
            self._until_more("reconnects", before)
            self._camera.start()
        self._publish()
        self._until_more("segments", {name: self._count(name, "segments") for name in self._urls})
        self._ask()
        self._forget_what_is_old()

    def samples(self) -> dict[str, Sample]:
        at_s = time.monotonic() - self._began_s
        return {name: sample_of(self._services[name].pid, at_s=at_s) for name in Service}

    def close(self) -> None:
        self._publisher.close()

    def _publish(self) -> Clock:
        """Send the film by RTMP from now on; who sent it before is gone."""
        self._publisher.close()
        return self._publisher.enter_context(self._broadcaster.publishing(self._film))

    def _add(self, name: str) -> None:
        self._stores.registry.add(NewStream(name, self._urls[name]))

    def _forget_what_is_old(self) -> None:
        for spec in self._stores.record.streams():
            end_ns = captured_until_ns(self._stores.record, spec) - KEPT_NS
            if end_ns > 0:
                span = Span(stream_id=spec.stream_id, start_ns=0, end_ns=end_ns)
                self.forgotten += forget_span(self._stores, span).footage.files

    def _ask(self) -> None:
        requests: tuple[Request, ...] = (
            AskRequest(text=self._question, asked_at=now_at()),
            SearchRequest(text="light", asked_at=now_at(), limit=5),
        )
        for request in requests:
            found = ask_service(self._stores.settings, request, on_text=lambda piece: None)
            assert found is not None, "nobody answers"
            self.answers += 1

    def _until_more(self, what: str, before: dict[str, int]) -> None:
        """Wait until capture has counted more of something than before, of each stream."""
        give_up_s = time.monotonic() + PATIENCE_S
        while same := [name for name, count in before.items() if self._count(name, what) <= count]:
            for name in Service:
                if self._services[name].has_ended:
                    pytest.fail(f"{name} ended:\n{self._services[name].log[-3000:]}")
            if time.monotonic() > give_up_s:
                told = {name: self._stores.record.status(name) for name in same}
                pytest.fail(f"after {PATIENCE_S:.0f} s no more {what}: {told}")
            time.sleep(0.1)

    def _count(self, name: str, what: str) -> int:
        status = self._stores.record.status(name)
        return 0 if status is None else status.counters[what]


@contextmanager
def living(kafka: KafkaServer, folder: Path, program: Program) -> Generator[Living]:
    """Services that are ready, and cameras that are captured."""
    for name in ("camera", "nginx"):
        (folder / name).mkdir(parents=True)
    film = clock_film(folder / "clock.h264")
    lenses = {"/1": film, "/2": film}
    with (
        closing(RedisServer()) as redis,
        switched_on(Camera(folder / "camera", lenses)) as camera,
        broadcasting(folder / "nginx") as broadcaster,
    ):
        environment = {
            "LONGWATCH_DATA": str(folder / "data"),
            "LONGWATCH_KAFKA": kafka.servers,
            "LONGWATCH_KAFKA_PREFIX": f"{folder.name}.",
            "LONGWATCH_REDIS": redis.url("soak:"),
        }
        settings: Settings = settings_of(environment)
        services = Services(
            {str(name): ("run", str(name)) for name in Service},
            environment=environment,
            logs=folder / "logs",
            program=program.words,
        )
        with opened(settings, make=True) as stores:
            try:
                services.start()
                alive = Living(services, stores, camera, broadcaster, film, program.question)
                with closing(alive):
                    alive.begin()
                    yield alive
            finally:
                services.clean_up()
