"""The connection to a Ray cluster, and what each of its workers may take.

One at a time in a process, which is how Ray has it.
"""

import io
import logging
import os
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.errors import GpuMissing, SettingsError, reason_of
from services.on_ray.errors import ClusterEngineMissing, ClusterUnreachable
from services.settings import Settings
from services.wiring import LoadEngine, WatchingEngine

CONNECT_S = 10.0
QUIET = ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_AUTO_CONNECT")
"""What Ray does unasked: tell its makers, and start a cluster when it is called without one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placement:
    """How many workers, and what Ray sets aside for each. `gpus` may be a part of one."""

    workers: int = 1
    cpus: float = 1
    gpus: float = 0
    address: str | None = None
    """Of a cluster; without, that of RAY_ADDRESS, one that runs here, or one that is started."""

    def settings_of_a_worker(self, settings: Settings) -> Settings:
        """The settings with which a worker stays within what was set aside for it.

        Ray shows a worker its GPU as the only one.
        """
        given: dict[str, object] = {"data": settings.data.absolute(), "health": None}
        if self.gpus:
            given["device"] = "cuda"
        if not settings.model_threads:
            given["model_threads"] = max(1, round(self.cpus))
        return settings.model_copy(update=given)

    def loading(self, load_engine: LoadEngine) -> LoadEngine:
        """How a worker loads its model, given how it is loaded here."""
        return partial(on_gpu_if_any, load_engine) if self.gpus else load_engine


def on_gpu_if_any(load_engine: LoadEngine, settings: Settings) -> WatchingEngine:
    """Load a model on the GPU that Ray set aside, or on the CPU where there is none.

    Ray counts the GPUs that it is told of, and looks for none itself.

    Raises:
        ModelUnavailable, StoreError
    """
    try:
        return load_engine(settings)
    except GpuMissing as error:
        log.warning("Ray set a GPU aside, and the model computes on the CPU: %s", error.reason)
        return load_engine(settings.model_copy(update={"device": "cpu"}))


@contextmanager
def connected(address: str | None) -> Generator[None]:
    """Be connected to a cluster meanwhile; one that was started for that ends with it.

    Raises:
        ClusterEngineMissing, ClusterUnreachable
    """
    for name in QUIET:
        os.environ.setdefault(name, "0")  # noqa: TID251 - where Ray looks
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ClusterEngineMissing from error
    if address is not None:
        must_listen(address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.WARNING,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = first_line(error)
        raise ClusterUnreachable(address or "this machine", reason=reason) from error
    finally:
        for number, handler in handlers.items():  # Ray sets its own, and asks nobody
            signal.signal(number, handler)
    with redirect_stdout(Notices()):
        try:
            yield
        finally:
            ray.shutdown()


def must_listen(address: str) -> None:
    """Find out in seconds what would take Ray minutes.

    Raises:
        ClusterUnreachable
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S):
            pass
    except ValueError as error:
        raise ClusterUnreachable(address, reason="it must be HOST:PORT") from error
    except OSError as error:
        raise ClusterUnreachable(address, reason=reason_of(error)) from error


class Notices(io.TextIOBase):
    """Where Ray's notices go instead of standard output, on which programs read our JSON."""

    def write(self, text: str) -> int:
        if text.strip():
            log.debug("ray: %s", text.strip())
        return len(text)


def placed(
    cls: type[Any], placement: Placement, *, calls_at_once: int, is_called_again: bool = False
) -> Any:  # noqa: ANN401 - Ray's handles are untyped
    """The class as an actor, which Ray places, and starts anew wherever there is room.

    A call that was lost with it fails, or is made again.
    """
    import ray

    return ray.remote(cls).options(
        num_cpus=placement.cpus,
        num_gpus=placement.gpus,
        max_restarts=-1,
        max_task_retries=-1 if is_called_again else 0,
        max_concurrency=calls_at_once,
        scheduling_strategy="SPREAD",
    )


def must_share(name: str, value: object) -> None:
    """Refuse an engine that only one machine can open.

    Raises:
        SettingsError
    """
    if value is None:
        raise SettingsError(
            f"--on ray needs {name}: workers on other machines cannot open SQLite files here"
        )


def first_line(error: Exception) -> str:
    """What Ray says, without the page of advice after it."""
    return str(error).strip().partition("\n")[0]
