"""The way to a Kafka cluster: clients made when needed, thrown away when they fail, errors as ours.

kafka-python heals many things by itself, slowly and for ever. Here every wait has an end: whether
anybody listens is asked first, which is quick, and a client that failed is not trusted again.
"""

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, Protocol, TypeAlias, TypeVar

from kafka import KafkaAdminClient, errors
from kafka.net.compat import KafkaNetClient

from streaming.errors import BusClosed, BusError, BusRefused, BusUnavailable

KNOCK_S = 1.0
CONNECT_S = 3.0
REQUEST_S = 3.0
PATIENCE_S = 5.0
PAUSE_S = 0.05
RETRY_AFTER_S = 1.0

# pyright brings stubs of kafka-python 2, which know half of what there is: hence `Any`.
Admin: TypeAlias = Any
Retriable: type[Exception] = vars(errors)["RetriableError"]

FAULTS = (errors.KafkaError, OSError, RuntimeError)
"""What kafka-python raises: RuntimeError when its loop was stopped under a caller."""

PASSING = (
    errors.BrokerNotAvailableError,
    errors.CorruptRecordError,
    errors.DuplicateSequenceNumberError,
    errors.InvalidProducerEpochError,
    errors.InvalidProducerIdMappingError,
    errors.OutOfOrderSequenceNumberError,
    errors.StaleControllerEpochError,
    errors.UnknownError,
    errors.UnknownProducerIdError,
)
"""What a broker in trouble answers: not marked as retriable, yet a new client cures it."""

SEVERED = (
    errors.KafkaConnectionError,
    errors.NodeNotReadyError,
    errors.NotCoordinatorError,  # which a client remembers
    errors.RequestTimedOutError,
)
"""What a new client cures sooner: it asks first whether anybody listens."""

TIMEOUTS = (errors.KafkaTimeoutError, errors.RequestTimedOutError)
"""What waiting ends with, whatever was waited for: anything else that was heard says more."""

REFUSALS = (
    errors.BrokerResponseError,
    errors.KafkaConfigurationError,
    errors.UnrecognizedBrokerVersion,
    errors.UnsupportedCodecError,
)


class _Bootstrap(logging.Handler):
    """Keeps why the last connection failed: kafka-python logs it, and raises a timeout instead."""

    last: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, Exception) and not isinstance(argument, TIMEOUTS):
                self._hear(argument)

    def _hear(self, error: Exception) -> None:
        """Prefer an answer to a connection that broke off."""
        if self.last is None or not is_refusal(self.last):
            self.last = error


# Its lines of level DEBUG hold passwords, and what it says of failures is said by our errors.
logging.getLogger("kafka").setLevel(logging.CRITICAL)
_bootstrap = _Bootstrap(logging.WARNING)
_connecting = logging.getLogger("kafka.net.manager")
_connecting.setLevel(logging.WARNING)
_connecting.addHandler(_bootstrap)
_connecting.propagate = False


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Where a cluster is, and how to be let in."""

    servers: str
    """host:port of some brokers, with commas between them."""
    security_protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def configs(self) -> dict[str, Any]:
        """As kafka-python wants to be told."""
        return {
            "bootstrap_servers": self.servers.split(","),
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
            "ssl_cafile": None if self.ca_file is None else str(self.ca_file),
            "client_id": "longwatch",
            "bootstrap_timeout_ms": round(CONNECT_S * 1000),
            "request_timeout_ms": round(REQUEST_S * 1000),
            "reconnect_backoff_max_ms": round(RETRY_AFTER_S * 1000),
            "metadata_max_age_ms": 60_000,
        }


class Client(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Client)
T = TypeVar("T")


class KafkaLink:
    """One cluster, for any number of threads."""

    def __init__(self, access: KafkaAccess, *, monotonic_s: Callable[[], float]) -> None:
        self._access = access
        self._monotonic_s = monotonic_s
        self._lock = RLock()
        self._admin: Admin = None
        self._away_until_s = float("-inf")
        self._away_reason = ""
        self.is_closed = False

    def connect(self, make: Callable[..., C], **configs: object) -> C:
        """A new client. Fails at once where the brokers were away a moment ago.

        Raises:
            BusClosed, BusRefused, BusUnavailable
        """
        with self._lock:
            self.refuse_closed()
            if self._monotonic_s() < self._away_until_s:
                raise self._unavailable(self._away_reason)
            begun: list[KafkaNetClient] = []
            _bootstrap.last = None
            try:
                self._knock()
                return make(kafka_client=_net(begun), **self._access.configs() | configs)
            except FAULTS as error:
                for net in begun:  # what the client began it leaves running when it fails
                    discard(net.close)
                cause = _bootstrap.last or error
                raise self.error_for(cause) from cause

    def ask(self, act: Callable[[Admin], T]) -> T:
        """What `act` returns; asked again, for a while, where asking again may help.

        Raises:
            BusClosed, BusRefused, BusUnavailable
        """
        deadline_s = self._monotonic_s() + PATIENCE_S
        while True:
            admin = self._opened_admin()
            try:
                return act(admin)
            except FAULTS as error:
                is_final = is_refusal(error) or self._monotonic_s() > deadline_s
                if is_final or not isinstance(error, Retriable) or isinstance(error, SEVERED):
                    self._drop_admin(admin)
                if is_final or self.is_closed:
                    raise self.error_for(error) from error
            time.sleep(PAUSE_S)

    def error_for(self, error: Exception) -> BusError:
        """The bus's own error that says what kafka-python's means."""
        if self.is_closed:
            return BusClosed()
        if is_refusal(error):
            return BusRefused(self._access.servers, reason=_described(error))
        self._away_reason = f"{_described(error)}; check that a broker runs there"
        self._away_until_s = self._monotonic_s() + RETRY_AFTER_S
        return self._unavailable(self._away_reason)

    def refuse_closed(self) -> None:
        if self.is_closed:
            raise BusClosed

    def close(self) -> None:
        self.is_closed = True
        with self._lock:
            if self._admin is not None:
                self._drop_admin(self._admin)

    def _opened_admin(self) -> Admin:
        with self._lock:
            self.refuse_closed()
            if self._admin is None:
                self._admin = self.connect(KafkaAdminClient)
            return self._admin

    def _drop_admin(self, admin: Admin) -> None:
        with self._lock:
            if self._admin is admin:
                self._admin = None
        discard(admin.close)

    def _knock(self) -> None:
        """Raise what the last server says if none of them lets us connect."""
        servers = self._access.servers.split(",")
        for number, server in enumerate(servers, 1):
            host, _, port = server.strip().rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()
            except OSError:
                if number == len(servers):
                    raise
            else:
                return

    def _unavailable(self, reason: str) -> BusUnavailable:
        return BusUnavailable(self._access.servers, reason=reason, retry_after_s=RETRY_AFTER_S)


def _net(begun: list[KafkaNetClient]) -> Callable[..., KafkaNetClient]:
    """Makes the part of a client that talks, which has settings of its own."""

    def make(**configs: object) -> KafkaNetClient:
        setup_ms = round(CONNECT_S * 1000)
        net = KafkaNetClient(
            **configs
            | {
                "socket_connection_setup_timeout_ms": setup_ms,
                "socket_connection_setup_timeout_max_ms": setup_ms,
            }
        )
        begun.append(net)
        return net

    return make


def is_refusal(error: Exception) -> bool:
    """Whether waiting will not help: no rights, a wrong password, a setting nobody can use."""
    if isinstance(error, (Retriable, *PASSING)):
        return False
    return isinstance(error, REFUSALS)


def discard(close: Callable[[], object]) -> None:
    """Close a client that may have failed already; how it takes that is of no interest."""
    try:
        close()
    except FAULTS as error:
        logging.getLogger(__name__).debug("a Kafka client did not close well: %r", error)


def _described(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    if isinstance(error, TIMEOUTS):
        return "no answer in time"
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return "wrong user name or password"
    if str(error).endswith("socket disconnected"):
        return "connected, and then cut off, as a wrong user name or password is by some"
    name = type(error).__name__.removesuffix("Error")
    return f"{name}: {error}" if str(error) else name
