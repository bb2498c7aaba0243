"""The Redis server under the record: address, connecting, patience, and errors in our words.

A server that is away is waited for, a while, and then named; the next call finds it when it is
back, since connections are made anew by themselves. What was sent may have been done although no
answer came, so that only what may be done twice is sent again. Each new connection looks whether
the server was started since the record was last written, and says so to the record.

Knows scripts and keys, not what they mean. An address is never shown with its user or password.
"""

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from memory.errors import (
    BadStoreAddress,
    DamagedRecord,
    DiskFull,
    EvictingStore,
    RecordEngineMissing,
    ServerAway,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    WrongSchema,
)
from memory.redis_scripts import SETTLE

try:
    import redis as _redis_module
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as error:
    raise RecordEngineMissing from error

_redis: Any = _redis_module  # its types speak of asyncio and of no asyncio at once

SCHEMA_VERSION = 1
DEFAULT_PREFIX = "longwatch:"
ANSWER_TIMEOUT_S = 5.0  # for the server to accept a connection, and for each of its answers
PATIENCE_S = 10.0  # for a server that is away to come back, before somebody is told
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 1.0
_SCHEMES = ("redis", "rediss", "unix")
_TLS_OPTIONS = {
    *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    "ssl_cert_reqs",
}
_DATABASE = re.compile(r"(/\d*)?")
_SOCKET = re.compile(r"/[^@]+")

T = TypeVar("T")

log = logging.getLogger(__name__)


class Address(NamedTuple):
    """Where a record lies. `url` may hold a password; `shown` never does."""

    url: str
    prefix: str
    shown: str


class ServerState(NamedTuple):
    """What a server says of itself; `appendfsync` is empty where it does not say."""

    version: str
    is_appending: bool
    appendfsync: str
    eviction_policy: str
    used_bytes: int
    max_bytes: int

    @property
    def may_evict(self) -> bool:
        """Whether it drops what it holds when its memory is full."""
        return self.eviction_policy.startswith("allkeys")

    @property
    def durability(self) -> str:
        """How it writes to disk, in its own words."""
        if not self.is_appending:
            return "appendonly no"
        return f"appendonly yes, appendfsync {self.appendfsync or 'unknown'}"

    def warnings(self) -> list[str]:
        """What an owner should change, each with how."""
        found: list[str] = []
        if not self.is_appending:
            found.append("appendonly is no: a crash loses minutes; set appendonly yes")
        elif self.appendfsync == "no":
            found.append("appendfsync is no: a power cut may lose half a minute; set everysec")
        if self.eviction_policy.startswith("volatile"):
            found.append(f"maxmemory-policy is {self.eviction_policy}; set noeviction")
        return found


def address_of(url: str) -> Address:
    """Take an address apart. `?prefix=NAME:` tells records that share a server apart; `ssl_...`
    go to redis-py, such as `ssl_ca_certs`, the file of whoever signed the server's certificate.

    Raises:
        BadStoreAddress: it names no Redis server.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port
        query = dict(parse_qsl(parts.query))
    except ValueError:
        raise BadStoreAddress from None  # what it says may hold the password
    is_file = parts.scheme == "unix"
    # A password with a slash that is not written %2F would end up in the path.
    if not (_SOCKET if is_file else _DATABASE).fullmatch(parts.path):
        raise BadStoreAddress
    prefix = query.pop("prefix", DEFAULT_PREFIX)
    options = {"db"} | (_TLS_OPTIONS if parts.scheme == "rediss" else set())
    if parts.scheme not in _SCHEMES or query.keys() - options:
        raise BadStoreAddress
    kept = f"?{urlencode(query)}" if query else ""
    place = "" if is_file else f"{f'[{host}]' if ':' in host else host}:{port or 6379}"
    return Address(url.partition("?")[0] + kept, prefix, f"{parts.scheme}://{place}{parts.path}")


class RedisClient:
    """One server with our record under a prefix, which is made where there is none."""

    def __init__(self, url: str, *, patience_s: float | None = None) -> None:
        self.address = address_of(url)
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._closing = threading.Event()
        self._prefix = self.address.prefix.encode()
        self._scripts: dict[str, Any] = {}
        try:
            self._server = _connected(self.address, self._settle, timeout_s=ANSWER_TIMEOUT_S)
        except (ValueError, TypeError):
            raise BadStoreAddress from None
        try:
            self._refuse_eviction()
        except BaseException:
            self._server.close()
            raise

    @property
    def where(self) -> str:
        return f"{self.address.shown} ({self.address.prefix}*)"

    def key(self, *names: str) -> bytes:
        return self._prefix + ":".join(names).encode()

    def ask(self, command: str, *arguments: Any) -> Any:  # noqa: ANN401 - whatever Redis answers
        """Send one command that may be done twice."""
        return self._patiently(lambda: self._server.execute_command(command, *arguments))

    def ask_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands that may be done twice, together, and return all answers."""
        if not commands:
            return []

        def send() -> list[Any]:
            with self._server.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                return pipeline.execute()

        return self._patiently(send)

    def run(self, script: str, *arguments: Any) -> Any:  # noqa: ANN401 - whatever it returns
        """Run a script that may be done twice."""
        return self._patiently(lambda: self._evaluate(script, arguments))

    def run_once(self, script: str, *arguments: Any) -> Any:  # noqa: ANN401 - whatever it returns
        """Run a script whose answer would be another the second time."""
        return self.once(lambda: self._evaluate(script, arguments))

    def ask_once(self, command: str, *arguments: Any) -> Any:  # noqa: ANN401 - as above
        return self.once(lambda: self._server.execute_command(command, *arguments))

    def once(self, act: Callable[[], T]) -> T:
        """Wait for the server to be there, then act a single time."""
        self.ask("PING")
        try:
            return act()
        except _redis.RedisError as error:
            raise self._translation(error) from error

    def state(self) -> ServerState:
        return self._patiently(lambda: state_of(self._server))

    def close(self) -> None:
        self._closing.set()
        self._server.close()

    def _evaluate(self, script: str, arguments: Sequence[Any]) -> Any:  # noqa: ANN401 - as above
        if (known := self._scripts.get(script)) is None:
            known = self._scripts.setdefault(script, self._server.register_script(script))
        return known(args=[self._prefix, *arguments])

    def _patiently(self, act: Callable[[], T]) -> T:
        deadline_s = time.monotonic() + self._patience_s
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return act()
            except _redis.RedisError as error:
                ours = self._translation(error)
                is_late = time.monotonic() + wait_s > deadline_s
                if not isinstance(ours, StoreUnavailable) or is_late or self._closing.is_set():
                    raise ours from error
            self._closing.wait(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _settle(self, connection: Any) -> None:  # noqa: ANN401 - redis-py's connection
        """Greet the server, and tell the record which run of the server this is."""
        connection.on_connect()
        info = _info(_asked(connection, "INFO"))
        run_id = info.get("run_id", "")
        last_run_id = _asked(connection, "HGET", self.key("meta"), "run_id")
        if last_run_id not in (None, run_id.encode()) and info.get("aof_enabled") == "1":
            self._leave_torn_write_behind(connection)
        arguments = (self._prefix, str(SCHEMA_VERSION), uuid.uuid4().hex, run_id)
        try:
            self._check_schema(_asked(connection, "EVAL", SETTLE, 0, *arguments).decode())
        except StoreError:
            connection.disconnect()
            raise

    def _leave_torn_write_behind(self, connection: Any) -> None:  # noqa: ANN401 - as above
        """Have the server write its file anew, before we write to it for the first time.

        A crash may leave the beginning of a script's writes in the append-only file. Redis leaves
        them out when it starts, but cuts off no more than the last command that is not whole: at
        the start after that, they would be done by half, together with what was written behind
        them (https://github.com/valkey-io/valkey/pull/4342).
        """
        try:
            _asked(connection, "BGREWRITEAOF")
        except _redis.ResponseError as error:  # one that is under way does as well
            if "already in progress" not in str(error):
                log.warning("%s: BGREWRITEAOF after its restart: %s", self.address.shown, error)

    def _check_schema(self, found: str) -> None:
        if found == "headless":
            raise DamagedRecord(self.where, detail="its key meta is missing")
        if found == "foreign":
            raise DamagedRecord(self.where, detail="it belongs to another program")
        if found != str(SCHEMA_VERSION):
            raise WrongSchema(self.where, expected=SCHEMA_VERSION, got=int(found))

    def _refuse_eviction(self) -> None:
        state = self.state()
        if state.may_evict:
            raise EvictingStore(self.where, policy=state.eviction_policy)
        for warning in state.warnings():
            log.warning("%s: %s", self.address.shown, warning)

    def _translation(self, error: Exception) -> Exception:
        return translation(error, self.where)


def probe(url: str, *, timeout_s: float = 2.0) -> ServerState:
    """Ask a server what it is, and write nothing.

    Raises:
        StoreError: it cannot be reached or used.
    """
    address = address_of(url)
    try:
        server = _connected(address, None, timeout_s=timeout_s)
    except (ValueError, TypeError):
        raise BadStoreAddress from None
    try:
        return state_of(server)
    except _redis.RedisError as error:
        raise translation(error, address.shown) from error
    finally:
        server.close()


def state_of(server: Any) -> ServerState:  # noqa: ANN401 - redis-py's client
    info: dict[str, Any] = server.info()
    try:
        fsync = server.config_get("appendfsync").get("appendfsync", "")
    except _redis.ResponseError:
        fsync = ""  # not every user may ask, and not every host lets anybody
    return ServerState(
        version=str(info.get("redis_version", "")),
        is_appending=bool(info.get("aof_enabled")),
        appendfsync=fsync.decode() if isinstance(fsync, bytes) else fsync,
        eviction_policy=str(info.get("maxmemory_policy", "noeviction")),
        used_bytes=int(info.get("used_memory", 0)),
        max_bytes=int(info.get("maxmemory", 0)),
    )


def translation(error: Exception, where: str) -> Exception:
    """Our error for one of Redis's; itself if it is no state of the world but our mistake."""
    detail = str(error)
    for words, make in _BY_WORDS:
        if words in detail:
            return make(where, detail)
    if isinstance(error, _redis.AuthenticationError | _redis.exceptions.NoPermissionError):
        return StoreDenied(where, detail=detail)
    if isinstance(error, _redis.exceptions.ReadOnlyError):
        return StoreReadOnly(where, detail=detail)
    if isinstance(error, _redis.exceptions.OutOfMemoryError):
        return StoreFull(where)
    if isinstance(error, _AWAY):
        return ServerAway(where, retry_after_s=1.0, detail=detail or type(error).__name__)
    return error


_AWAY = (
    _redis.ConnectionError,
    _redis.TimeoutError,
    _redis.exceptions.TryAgainError,
    _redis.exceptions.ClusterDownError,
    _redis.exceptions.MasterDownError,
)


def _unavailable(where: str, detail: str) -> StoreError:
    return StoreUnavailable(where, retry_after_s=5.0, detail=detail)


_BY_WORDS: tuple[tuple[str, Callable[[str, str], StoreError]], ...] = (
    # What a script runs into comes as an error of the script, with the cause inside.
    ("OOM command not allowed", lambda where, detail: StoreFull(where)),
    ("No space left on device", lambda where, detail: DiskFull(where)),
    ("MISCONF", _unavailable),
    ("NOREPLICAS", _unavailable),
    ("BUSY", _unavailable),
    ("WRONGTYPE", lambda where, detail: DamagedRecord(where, detail="a key holds something else")),
    ("READONLY", lambda where, detail: StoreReadOnly(where, detail=detail)),
    ("ACL failure", lambda where, detail: StoreDenied(where, detail=detail)),
    ("user executing the script", lambda where, detail: StoreDenied(where, detail=detail)),
)


def _connected(
    address: Address,
    on_connect: Callable[[Any], None] | None,
    *,
    timeout_s: float,
) -> Any:  # noqa: ANN401 - redis-py's client
    options: dict[str, Any] = {"redis_connect_func": on_connect} if on_connect else {}
    if not address.url.startswith("unix:"):
        options["socket_keepalive"] = True
    return _redis.Redis.from_url(
        address.url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),  # patience is ours
        protocol=2,
        client_name="longwatch",
        **options,
    )


def _asked(connection: Any, *command: Any) -> Any:  # noqa: ANN401 - of redis-py's connection
    connection.send_command(*command)
    return connection.read_response()


def _info(text: bytes) -> dict[str, str]:
    lines = (line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    return {name: value.strip() for name, value in lines}
