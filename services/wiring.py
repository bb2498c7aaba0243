"""Open what a command needs, with the settings, and close it again.

torch, faiss and redis are imported where an engine, an index or a record in Redis is really opened,
so that commands that need none of them start quickly.
"""

import logging
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from memory.errors import GpuSearchUnavailable
from memory.record import Record
from memory.shards import ALL, Shard
from memory.sqlite_record import SqliteRecord
from memory.tokens import TokenStore
from models.engine import Engine
from models.errors import CheckpointUnreadable
from models.layout import StreamLayout
from services.alerts.book import RuleBook
from services.alerts.sealing import SealedSinks
from services.errors import (
    DataDirectoryEmpty,
    DataDirectoryUnusable,
    GpuMissing,
    ModelUnavailable,
    SettingsError,
    reason_of,
)
from services.model_address import ModelAddress, ServedBy
from services.promoted import served_model
from services.registry import Registry
from services.secrets import Secrets
from services.settings import Settings, load_telemetry
from services.tracing import CarryingTracer, Tracer
from streaming.bus import Bus
from streaming.clock import WallClock
from streaming.decode import Decoding
from streaming.errors import BusEngineMissing, NvdecUnavailable
from streaming.footage import FootageStore
from streaming.nvdec import open_nvdec
from streaming.sources import SourceOptions
from streaming.sqlite_bus import SqliteBus

if TYPE_CHECKING:
    from memory.faiss_index import OpenedIndex
    from models.model_servers import ModelServers
    from models.transformers_engine import TransformersEngine
    from streaming.kafka_bus import KafkaBus

log = logging.getLogger(__name__)

SPARED_CORES = 1  # for decoding: threads of the model that wait for a core cost ten times as much


class WatchingEngine(Engine, Protocol):
    """An engine that says how it wants streams to be sampled."""

    @property
    def layout(self) -> StreamLayout: ...


LoadEngine = Callable[[Settings], WatchingEngine]


def load_engine(settings: Settings) -> WatchingEngine:
    """The model that serves, in this process or in servers, which are not asked yet.

    Raises:
        ModelUnavailable: it cannot be loaded.
        StoreError: what was promoted cannot be read.
        SettingsError
    """
    address = settings.model_address
    if address is None:
        return _in_process(settings)
    servers = model_servers(settings, address)
    if address.served_by is ServedBy.SGLANG:
        from models.sglang_engine import SGLangEngine

        return SGLangEngine(servers, _in_process(settings))
    from models.openai_engine import OpenAIEngine

    if settings.model_name is None:
        raise SettingsError(
            "LONGWATCH_MODEL_NAME is missing; set it to what the server calls the model, "
            "see: longwatch doctor"
        )
    return OpenAIEngine(servers, name=settings.model_name)


def model_servers(settings: Settings, address: ModelAddress) -> "ModelServers":
    """The servers of an address, with the key that the settings hold."""
    from models import model_servers, openai_engine

    denied = {ServedBy.SGLANG: model_servers.DENIED, ServedBy.OPENAI: openai_engine.DENIED}
    return model_servers.ModelServers(
        address.urls,
        key=None if settings.model_key is None else settings.model_key.get_secret_value(),
        denied=denied[address.served_by],
    )


def _in_process(settings: Settings) -> "TransformersEngine":
    import torch
    from transformers.utils import logging as transformers_logging

    from models.transformers_engine import TransformersEngine

    transformers_logging.disable_progress_bar()
    path = served_model(settings)
    if settings.device != "cpu" and not torch.cuda.is_available():
        raise GpuMissing(str(path), device=settings.device)
    threads = model_threads(settings)
    try:
        return TransformersEngine.load(path, num_threads=threads, device=settings.device)
    except CheckpointUnreadable as error:
        raise ModelUnavailable(str(path), reason=error.why) from error


def model_threads(settings: Settings) -> int:
    """CPU threads that the model computes with."""
    return settings.model_threads or max(1, (os.cpu_count() or 1) - SPARED_CORES)


def open_decoding(settings: Settings) -> Decoding:
    """Who decodes: the GPU on which the model computes, or the CPU, and a word where it must.

    To be called before the model is loaded, see `streaming.nvdec`.
    """
    nvdec = None
    if settings.device != "cpu":
        try:
            nvdec = open_nvdec(settings.device)
        except NvdecUnavailable as error:
            log.warning("video is decoded on the CPU: %s", error)
    return Decoding(settings.decode_threads, nvdec)


def now_at() -> datetime:
    """The machine's clock, in the machine's zone: what day words in a question refer to."""
    return datetime.now().astimezone()


def now_ns() -> int:
    return (datetime.now(UTC) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000


def now_ms() -> int:
    return now_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of a data directory, open."""

    settings: Settings
    record: Record
    registry: Registry
    secrets: Secrets
    footage: FootageStore
    tokens: TokenStore


def rules_of(stores: Stores) -> RuleBook:
    """The rules and alerts of a record, dated by the machine's clock."""
    return RuleBook(stores.record.documents, now_ns=now_ns)


def sealed_sinks(stores: Stores) -> SealedSinks:
    """Addresses of who is told by rules, where the record must not have them."""
    return SealedSinks(stores.secrets)


@contextmanager
def opened(settings: Settings, *, make: bool = False) -> Generator[Stores]:
    """The stores of the data directory, which is made where there is none and `make` is true.

    Raises:
        DataDirectoryEmpty, DataDirectoryUnusable, StoreError
    """
    if not make and settings.redis is None and not settings.record_path.exists():
        raise DataDirectoryEmpty(settings.data)
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataDirectoryUnusable(settings.data, reason=reason_of(error)) from error
    record, secrets = open_record(settings), secrets_of(settings)
    try:
        yield Stores(
            settings=settings,
            record=record,
            registry=Registry(
                record,
                secrets,
                now_at=now_at,
                options=SourceOptions(
                    ca_file=settings.camera_ca_file, file_roots=settings.allowed_roots
                ),
            ),
            secrets=secrets,
            footage=FootageStore(settings.footage),
            tokens=TokenStore(settings.tokens),
        )
    finally:
        record.close()


def secrets_of(settings: Settings) -> Secrets:
    """Credentials of cameras, and of who is told of alerts."""
    key = settings.secret_key
    return Secrets(
        settings.credentials_path,
        key=None if key is None else key.get_secret_value(),
        key_file=settings.secret_key_path,
    )


def open_record(settings: Settings) -> Record:
    """The record that the settings name: in a Redis server, or in the data directory.

    Raises:
        StoreError
    """
    if settings.redis_url is None:
        return SqliteRecord(settings.record_path)
    from memory.redis_record import RedisRecord

    return RedisRecord(settings.redis_url)


@contextmanager
def opened_bus(settings: Settings) -> Generator[Bus]:
    """The bus that the settings name: in Kafka, or in the data directory.

    Raises:
        BusError
    """
    bus = SqliteBus(settings.bus_path, now_ms=now_ms) if settings.kafka is None else kafka(settings)
    try:
        yield bus
    finally:
        bus.close()


def kafka(settings: Settings) -> "KafkaBus":
    """The bus in Kafka, which is not connected before it is used.

    Raises:
        BusEngineMissing
    """
    assert settings.kafka is not None
    try:
        from streaming.kafka_bus import KafkaBus
        from streaming.kafka_link import KafkaAccess
    except ModuleNotFoundError as error:
        raise BusEngineMissing from error
    password = settings.kafka_password
    access = KafkaAccess(
        settings.kafka,
        security_protocol=settings.kafka_security,
        mechanism=settings.kafka_mechanism if settings.kafka_username else None,
        username=settings.kafka_username,
        password=None if password is None else password.get_secret_value(),
        ca_file=settings.kafka_ca_file,
    )
    return KafkaBus(
        access,
        now_ms=now_ms,
        prefix=settings.kafka_prefix,
        partitions=settings.kafka_partitions,
    )


def open_index(stores: Stores, engine: Engine) -> "OpenedIndex":
    """The index of the engine's vectors, up to date; built from the record if need be."""
    return open_shard(stores, ALL, width=engine.vector_width, embedder_id=engine.model_id)


def open_shard(stores: Stores, shard: Shard, *, width: int, embedder_id: str) -> "OpenedIndex":
    """The same of the streams of one shard alone."""
    from memory.faiss_index import open_index
    from memory.scout import gpu_scout

    device = stores.settings.device
    opened = open_index(
        stores.settings.index_path,
        stores.record,
        width=width,
        embedder_id=embedder_id,
        shard=shard,
    )
    if device != "cpu":
        try:
            opened.index.use(gpu_scout(device, width=width))
        except GpuSearchUnavailable as error:
            log.warning("vectors are searched on the CPU: %s", error)
    return opened


@contextmanager
def tracing_as(service: str) -> Generator[Tracer]:
    """The tracer of a service: its spans are recorded where OpenTelemetry is told to.

    Raises:
        SettingsError
    """
    if not load_telemetry().is_wanted:
        yield CarryingTracer()
        return
    try:
        from services.otel import recording
    except ModuleNotFoundError:
        log.warning("traces are not exported: pip install -c constraints.txt '.[otel]'")
        yield CarryingTracer()
        return
    with recording(service) as tracer:
        yield tracer


def wall_clock() -> WallClock:
    return WallClock(now_ns=now_ns)
