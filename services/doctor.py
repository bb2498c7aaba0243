"""What is installed, which engines are used, what is missing, and how to get it.

Looks, and changes nothing; each check stands alone, so that one that fails hides no other.
"""

import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata, util
from pathlib import Path

from memory.errors import GpuSearchUnavailable, StoreError
from models.errors import CheckpointUnreadable, ModelServerAway, ModelServerError
from services.locks import Service, running_services
from services.model_address import ModelAddress, ServedBy
from services.promoted import served_model, serving_promotion
from services.settings import SHIPPED_MODEL, Settings
from services.told_weights import WeightsBook
from services.wiring import kafka, model_servers, now_at, open_record, secrets_of
from streaming.errors import BusEngineMissing, BusError, NvdecUnavailable
from streaming.nvdec import open_nvdec

MODELS_OF = {ServedBy.SGLANG: "/v1/models", ServedBy.OPENAI: "/models"}
"""Where a server lists its models."""
OLDEST_PYTHON = (3, 11)
LITTLE_SPACE_BYTES = 2 * 2**30
OPTIONAL = {
    "kafka": ("kafka", "a shared log instead of SQLite, where LONGWATCH_KAFKA is set"),
    "redis": ("redis", "a shared record instead of SQLite, where LONGWATCH_REDIS is set"),
    "ray": ("ray", "analysis on several machines, with --on ray"),
    "sglang": ("sglang", "a model server, with longwatch serve-model"),
}


class Health(StrEnum):
    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and what to do if it is not well."""

    name: str
    health: Health
    found: str
    remedy: str = ""


def examine(settings: Settings) -> list[Check]:
    return [*_software(), *_engines(settings), *_data(settings), *_optional()]


def is_well(checks: list[Check]) -> bool:
    return all(check.health is not Health.MISSING for check in checks)


def _software() -> Iterator[Check]:
    version = platform.python_version()
    if sys.version_info >= OLDEST_PYTHON:
        yield Check("python", Health.OK, version)
    else:
        yield Check("python", Health.MISSING, version, "install Python 3.11 or newer")
    for package in ("av", "numpy", "pydantic", "torch", "transformers", "fsspec"):
        yield _package(package, package, "pip install -c constraints.txt '.[cpu]'")
    faiss = next((name for name in ("faiss-cpu", "faiss-gpu") if _version(name)), "faiss-cpu")
    yield _package("faiss", faiss, "pip install -c constraints.txt '.[cpu]' (or '.[gpu]')")
    yield _fts5()


def _package(name: str, distribution: str, remedy: str) -> Check:
    version = _version(distribution)
    if version is None:
        return Check(name, Health.MISSING, "not installed", remedy)
    return Check(name, Health.OK, version)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _fts5() -> Check:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("create virtual table words using fts5 (text)")
    except sqlite3.OperationalError:
        remedy = "use a Python whose SQLite has FTS5, such as Debian's or python.org's"
        return Check("sqlite", Health.MISSING, f"{sqlite3.sqlite_version} without FTS5", remedy)
    finally:
        connection.close()
    return Check("sqlite", Health.OK, f"{sqlite3.sqlite_version} with FTS5")


def _engines(settings: Settings) -> Iterator[Check]:
    yield _log(settings)
    yield _record(settings)
    yield _vectors(settings)
    yield Check("footage", Health.OK, settings.footage)
    yield Check("tokens", Health.OK, settings.tokens)
    address = settings.model_address
    if address is None or address.served_by is ServedBy.SGLANG:
        yield _checkpoint(served_model(settings))
    if address is not None:
        wanted = _wanted(settings, address.served_by)
        yield from (_served(settings, address, url, wanted) for url in address.urls)
    yield _device()
    yield _decoder(settings.device)


def _log(settings: Settings) -> Check:
    name = "log between services"
    if settings.kafka is None:
        return Check(name, Health.OK, f"SQLite, {settings.bus_path}")
    try:
        with closing(kafka(settings)) as bus:
            count = bus.count_brokers()
    except BusEngineMissing:
        remedy = "pip install -c constraints.txt '.[kafka]'"
        return Check(name, Health.MISSING, "Kafka, but its client is not installed", remedy)
    except BusError as error:
        remedy = "start it, or correct LONGWATCH_KAFKA and what is set beside it"
        return Check(name, Health.MISSING, f"Kafka: {error}", remedy)
    brokers = "1 broker" if count == 1 else f"{count} brokers"
    client = f"client {_version('kafka-python')}"
    return Check(name, Health.OK, f"Kafka, {settings.kafka}, {brokers}; {client}")


def _record(settings: Settings) -> Check:
    if settings.redis_url is None:
        return Check("record", Health.OK, f"SQLite, {settings.record_path}")
    if util.find_spec("redis") is None:
        remedy = "pip install -c constraints.txt '.[redis]'"
        return Check("record", Health.MISSING, "Redis, but its client is not installed", remedy)
    from memory.redis_client import address_of, probe

    try:
        shown = address_of(settings.redis_url).shown
        state = probe(settings.redis_url)
    except StoreError as error:
        remedy = "start it (Debian: apt-get install redis-server), or correct LONGWATCH_REDIS"
        return Check("record", Health.MISSING, f"Redis: {error}", remedy)
    memory = f"{state.used_bytes / 2**20:.0f} MiB used"
    if state.max_bytes:
        memory += f" of {state.max_bytes / 2**20:.0f}"
    found = f"Redis {state.version}, {shown}, {state.durability}, {memory}"
    if state.may_evict:
        return Check("record", Health.MISSING, found, "set its maxmemory-policy to noeviction")
    if warnings := state.warnings():
        return Check("record", Health.WARNING, found, "; ".join(warnings))
    return Check("record", Health.OK, found)


def _vectors(settings: Settings) -> Check:
    name, found = "vectors", f"FAISS on the CPU, {settings.index_path}"
    if settings.device == "cpu" or util.find_spec("faiss") is None:
        return Check(name, Health.OK, found)
    try:
        from memory.scout import gpu_scout

        gpu_scout(settings.device, width=1)
    except GpuSearchUnavailable as error:
        return Check(name, Health.WARNING, f"{found}: {error.reason}", error.remedy)
    return Check(name, Health.OK, f"FAISS on {settings.device} and the CPU, {settings.index_path}")


def _checkpoint(path: Path) -> Check:
    name = "longwatch-nano" if path == SHIPPED_MODEL else str(path)
    if not (path / "config.json").is_file():
        remedy = "set LONGWATCH_MODEL to the folder of a checkpoint"
        return Check("model", Health.MISSING, f"{name}: no config.json in it", remedy)
    if not any(path.glob("*.safetensors")):
        remedy = "fetch the checkpoint again, whole"
        return Check("model", Health.MISSING, f"{name}: no weights in it", remedy)
    size_bytes = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    return Check("model", Health.OK, f"{name}, in process, {size_bytes / 2**20:.0f} MiB")


def _wanted(settings: Settings, served_by: ServedBy) -> str | None:
    """What the model is called that its servers are to have; None if nobody knows."""
    if served_by is ServedBy.OPENAI:
        return settings.model_name
    from models.checkpoint import Checkpoint  # which needs torch

    try:
        return Checkpoint(served_model(settings)).model_id
    except CheckpointUnreadable:
        return None


def _served(settings: Settings, address: ModelAddress, url: str, wanted: str | None) -> Check:
    """Whether a server of the model answers, and has the model that is named."""
    name = "model server"
    try:
        with closing(model_servers(settings, address)) as servers:
            listed = servers.get(MODELS_OF[address.served_by], url)
    except ModelServerAway as error:
        remedy = "start it, or correct LONGWATCH_MODEL_URL; meanwhile footage is captured"
        return Check(name, Health.MISSING, f"{url} does not answer ({error.reason})", remedy)
    except ModelServerError as error:
        return Check(name, Health.MISSING, str(error))
    known = [str(model.get("id")) for model in listed.get("data", [])]
    if wanted is not None and known and wanted not in known:
        remedy = "set LONGWATCH_MODEL_NAME, or LONGWATCH_MODEL, to the one that is served there"
        found = f"{url} has no model {wanted}, but {', '.join(known)}"
        return Check(name, Health.MISSING, found, remedy)
    return Check(name, Health.OK, f"{url} answers, with {wanted or ', '.join(known)}")


def _device() -> Check:
    if util.find_spec("torch") is None:
        return Check("device", Health.MISSING, "torch is not installed")
    import torch

    cores = os.cpu_count() or 1
    if torch.cuda.is_available():
        return Check("device", Health.OK, f"{torch.cuda.get_device_name()}; {cores} CPU cores")
    return Check("device", Health.OK, f"{cores} CPU cores; no GPU that torch can use")


def _decoder(device: str) -> Check:
    name = "video decoder"
    if device == "cpu":
        return Check(name, Health.OK, "FFmpeg on the CPU")
    try:
        open_nvdec(device)
    except NvdecUnavailable as error:
        return Check(name, Health.WARNING, f"FFmpeg on the CPU: {error.reason}", error.remedy)
    return Check(name, Health.OK, f"NVDEC of {device}")


def _data(settings: Settings) -> Iterator[Check]:
    data = settings.data
    if not data.exists():
        yield Check("data directory", Health.OK, f"{data} is made when it is first used")
        data = _existing_parent(data)
    if not os.access(data, os.W_OK | os.X_OK):
        remedy = "give this user the right to write there, or set LONGWATCH_DATA"
        yield Check("data directory", Health.MISSING, f"{data} may not be written", remedy)
        return
    free_bytes = shutil.disk_usage(data).free
    health = Health.OK if free_bytes >= LITTLE_SPACE_BYTES else Health.WARNING
    remedy = "" if health is Health.OK else "make room, or forget old footage"
    yield Check("disk", health, f"{free_bytes / 2**30:.1f} GiB free at {data}", remedy)
    if settings.lock_path.exists():
        running = running_services(settings)
        names = "" if running == set(Service) else f": {', '.join(sorted(running))}"
        yield Check("service", Health.OK, f"running{names}" if running else "not running")
        yield from _weights(settings) if running else ()
    yield _secrets(settings)


def _secrets(settings: Settings) -> Check:
    """Where the key is that credentials are sealed with, and whether it opens them."""
    name, secrets = "secret key", secrets_of(settings)
    if unreadable := secrets.unreadable():
        found = f"{secrets.where}; cannot open {', '.join(one.name for one in unreadable)}"
        remedy = "give back the key that sealed them, or add them again"
        return Check(name, Health.WARNING, f"{found}: {unreadable[0].reason}", remedy)
    return Check(name, Health.OK, f"{secrets.where}; credentials: {len(secrets.names())}")


def _weights(settings: Settings) -> Iterator[Check]:
    """What the services that run have loaded, and what they could not load."""
    try:
        promotion = serving_promotion(settings)
        with closing(open_record(settings)) as record:
            told = WeightsBook(record.documents, now_at=now_at).all()
    except StoreError as error:
        yield Check("weights", Health.WARNING, str(error))
        return
    for one in told:
        name = f"weights of {one.service}"
        if one.refused is not None:
            remedy = "mend the folder and promote it again, or run: longwatch promote --back"
            found = f"{one.model_id} goes on serving: {one.refused}"
            yield Check(name, Health.WARNING, found, remedy)
        elif one.promotion != promotion:
            yield Check(name, Health.OK, f"{one.model_id}, and about to change")
        else:
            yield Check(name, Health.OK, one.model_id)


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if parent.exists())


def _optional() -> Iterator[Check]:
    for name, (module, use) in OPTIONAL.items():
        found = "installed" if util.find_spec(module) else "not installed"
        yield Check(name, Health.OPTIONAL, f"{found}: {use}")
