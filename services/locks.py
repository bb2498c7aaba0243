"""Who works on a data directory: `longwatch up` alone, or services that run one by one.

Three kinds of files, each locked with flock, which the system lets go of however a process ends:

    DATA/lock            `up` holds it alone; services that run one by one share it
    DATA/lock.SERVICE    whoever is that service holds it alone; on Kafka, whose consumer groups
                         divide the work, any number of `analyse` share theirs
    DATA/lock.backfill   a back-fill holds it alone, and whoever writes notes anew DATA/lock.renote

So `up` excludes all others, a service excludes `up` and, mostly, its own like, and a process that
only looks takes a lock for an instant, which keeps nobody from anything for long.
"""

import fcntl
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path

from services.errors import DataDirectoryBusy, DataDirectoryUnusable, reason_of
from services.settings import Settings

LOCK_TRIES, LOCK_WAIT_S = 3, 0.1


class Service(StrEnum):
    """What can run in a process of its own."""

    CAPTURE = "capture"
    ANALYSE = "analyse"
    INDEX = "index"
    ANSWER = "answer"
    ALERTS = "alerts"
    SUMMARISE = "summarise"
    API = "api"


@contextmanager
def alone(settings: Settings) -> Generator[None]:
    """Be all services of the data directory at once.

    Raises:
        DataDirectoryBusy, DataDirectoryUnusable
    """
    with _locked(settings, settings.lock_path, fcntl.LOCK_EX):
        yield


@contextmanager
def serving(settings: Settings, service: Service) -> Generator[None]:
    """Be that service of the data directory, beside the others and those that share its work.

    Raises:
        DataDirectoryBusy, DataDirectoryUnusable
    """
    with (
        _locked(settings, settings.lock_path, fcntl.LOCK_SH, holder="longwatch up"),
        _locked(
            settings,
            settings.lock_path_of(service),
            fcntl.LOCK_SH if is_shared(settings, service) else fcntl.LOCK_EX,
            holder=f"another longwatch run {service}",
        ),
    ):
        yield


@contextmanager
def only_one(settings: Settings, work: str) -> Generator[None]:
    """Be the one who does that work on the data directory, beside whatever services.

    Raises:
        DataDirectoryBusy, DataDirectoryUnusable
    """
    path = settings.lock_path_of(work)
    with _locked(settings, path, fcntl.LOCK_EX, holder=f"another longwatch {work}"):
        yield


@contextmanager
def standing_in(settings: Settings, *services: Service) -> Generator[set[Service]]:
    """Keep those of `services` that do not run from starting, and say which they are.

    Raises:
        DataDirectoryUnusable
    """
    with ExitStack() as stack:
        held: set[Service] = set()
        for service in services:
            try:
                stack.enter_context(serving(settings, service))
            except DataDirectoryBusy:
                continue
            held.add(service)
        yield held


def running_services(settings: Settings) -> set[Service]:
    """The services of the data directory that run, in whatever process."""
    return {service for service in Service if is_running(settings, service)}


def is_running(settings: Settings, service: Service) -> bool:
    """Whether that service runs, by itself or within `up`."""
    look = fcntl.LOCK_EX if is_shared(settings, service) else fcntl.LOCK_SH
    return _is_held(settings.lock_path) or _is_held(settings.lock_path_of(service), look)


def is_shared(settings: Settings, service: Service) -> bool:
    """Whether several processes may be that service at once, each with a part of the work."""
    return service is Service.ANALYSE and settings.kafka is not None


def _is_held(path: Path, look: int = fcntl.LOCK_SH) -> bool:
    """Whether somebody has a lock that `look` excludes. What cannot be looked at counts as free."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file.fileno(), look | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def _locked(
    settings: Settings, path: Path, kind: int, *, holder: str = "another longwatch"
) -> Generator[None]:
    """Hold a lock; `holder` is who has it when it is taken, in words."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise DataDirectoryUnusable(settings.data, reason=reason_of(error)) from error
    with file:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(file.fileno(), kind | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOCK_WAIT_S)
            except OSError as error:
                raise DataDirectoryUnusable(settings.data, reason=reason_of(error)) from error
            else:
                break
        else:
            raise DataDirectoryBusy(settings.data, holder=holder)
        yield
