"""What holds for every test: no network beyond this machine, one thread, no needless skip.

`--no-needless-skips` (CI passes it) fails the run when a test was skipped for a reason that is not
in `EXCUSES`: a skip is how a check gets lost without anybody noticing.
"""

import gc
import importlib.util
import logging
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from services.logs import OURS
from services.settings import load_settings
from tests.memory.redis_server import RedisServer, clear, fresh_url
from tests.streaming.kafka_server import KafkaServer, cache_folder, serving

if TYPE_CHECKING:
    from tests.services.on_sglang.model_server import ModelServer

ROOT = Path(__file__).resolve().parent.parent
FOOTAGE = ROOT.parent / "shared" / "footage"
LOOPBACK = ("127.", "::1", "localhost")
SKIPS = pytest.StashKey[list[tuple[str, str]]]()
REDIS_URL = pytest.StashKey[str | None]()
"""The server that LONGWATCH_REDIS names, for tests of Redis; others use the embedded record."""

KAFKA_SERVERS = pytest.StashKey[str | None]()
"""The brokers that LONGWATCH_KAFKA names, likewise; without, the tests start one of their own."""


def has_gpu() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def may_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN, which root in a container may lack."""
    status = Path("/proc/self/status").read_text()
    [effective] = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> 21 & 1)


EXCUSES: dict[str, Callable[[], bool]] = {
    "real footage": lambda: not FOOTAGE.exists(),
    "GPU": lambda: not has_gpu(),
    "may not mount": lambda: not may_mount(),
}
"""A word of the reason that a test gives for being skipped, and whether that reason is true."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-needless-skips",
        action="store_true",
        help="fail when a test was skipped that this machine should be able to run",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SKIPS] = []
    hypothesis.settings.register_profile("ours", deadline=None, derandomize=True, database=None)
    hypothesis.settings.load_profile("ours")
    settings = load_settings()
    config.stash[REDIS_URL] = settings.redis.get_secret_value() if settings.redis else None
    config.stash[KAFKA_SERVERS] = settings.kafka
    patch = pytest.MonkeyPatch()
    for name in ("LONGWATCH_REDIS", "LONGWATCH_KAFKA"):
        patch.delenv(name, raising=False)
    config.add_cleanup(patch.undo)


def pytest_collection_finish() -> None:
    """One thread: the machine is shared, and sums then come out the same every time."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


class SkipCounter:
    """Collects the reasons of all skips, of single tests and of whole modules."""

    def __init__(self, config: pytest.Config) -> None:
        self._skips = config.stash[SKIPS]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skips.append((report.nodeid, str(report.longrepr)))


def needless(skips: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The skips whose reason holds no excuse that is true on this machine."""
    return [
        (test, reason)
        for test, reason in skips
        if not any(word in reason and is_true() for word, is_true in EXCUSES.items())
    ]


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.pluginmanager.register(SkipCounter(session.config))


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if config.getoption("--no-needless-skips") and needless(config.stash[SKIPS]):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.getoption("--no-needless-skips"):
        for test, reason in needless(config.stash[SKIPS]):
            terminalreporter.write_line(f"NEEDLESS SKIP {test}: {reason}", red=True)


def refuse_strangers(host: object) -> None:
    if isinstance(host, str) and host and not host.startswith(LOOPBACK):
        pytest.fail(f"a test reached for the network: {host}")


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Sockets reach this machine only (those of FFmpeg are beyond our reach)."""
    connect, lookup = socket.socket.connect, socket.getaddrinfo

    def local_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            refuse_strangers(address[0])
        connect(self, address)

    def local_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_strangers(host)
        return lookup(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", local_connect)
        patch.setattr(socket, "getaddrinfo", local_lookup)
        yield


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command that a test runs in this process says what is logged from then on."""
    yield
    for name in OURS:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def kafka_server(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[KafkaServer]:
    """A Kafka broker that a test may harm, started when the first one needs it.

    A kafka-python client that is closed while it connects leaves its socket to the collector.
    """
    with serving(tmp_path_factory.mktemp("kafka"), cache=cache_folder()) as server:
        ports = f"({server.port}|{server.secure_port})"
        left = rf"unclosed <socket\.socket .*raddr=\('127\.0\.0\.1', {ports}\)"
        warnings.filterwarnings("ignore", left, ResourceWarning)  # until this test ends
        pytestconfig.addinivalue_line("filterwarnings", f"ignore:{left}:ResourceWarning")
        yield server


@pytest.fixture
def kafka_servers(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> str:
    """Where a Kafka broker is."""
    if (named := pytestconfig.stash[KAFKA_SERVERS]) is not None:
        return named
    server: KafkaServer = request.getfixturevalue("kafka_server")
    return server.servers


@pytest.fixture(scope="session")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ModelServer]":
    """A model server, started when the first test needs it, and stopped well at the end."""
    from tests.services.on_sglang.model_server import ModelServer

    server = ModelServer(tmp_path_factory.mktemp("served"))
    try:
        server.until_ready()
        yield server
        assert server.stop() == 0, server.log.read_text()[-3000:]
    finally:
        server.kill()


@pytest.fixture(scope="module")
def collected_litter() -> Iterator[None]:
    """What a module leaves to the garbage collector is collected while the module runs."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Redis server that all tests may share."""
    if given := request.config.stash[REDIS_URL]:
        yield given
        return
    with closing(RedisServer()) as server:
        yield f"unix://{server.socket}"


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """The address of an empty record in Redis."""
    url = fresh_url(redis_server)
    yield url
    clear(url)
