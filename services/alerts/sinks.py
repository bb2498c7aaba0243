"""Who may be told of alerts, as a rule names them.

    log
    kafka                                              the topic `alerts`
    webhook:https://HOST/PATH                          signed
    mqtt:mqtt://HOST[:1883]/TOPIC                      a broker
    mqtt:mqtts://USER:PASSWORD@HOST[:8883]/TOPIC       the same over TLS, as one of its users

Signs that a URL may not hold are written as %41 there. What holds a secret stands in the record
without it, and with the name of what has it after `#` (`services.alerts.sealing`). Pure.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from services.errors import BadRule

WEB_SCHEMES = ("http", "https")
MQTT_PORTS: Mapping[str, int] = {"mqtt": 1883, "mqtts": 8883}
MOST_TOPIC_BYTES = 65_535
SEALED = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}@[0-9a-f]{8}\.[1-9][0-9]{0,5}")
HELP = "write log, kafka, webhook:https://HOST/PATH or mqtt:mqtts://HOST/TOPIC"


class Sink(NamedTuple):
    """Somebody who is told: `log`, `kafka`, or `webhook` or `mqtt` with a URL."""

    kind: str
    url: str = ""

    @property
    def text(self) -> str:
        """As a rule names it."""
        return f"{self.kind}:{self.url}" if self.url else self.kind

    @property
    def is_secret(self) -> bool:
        """Whether it holds a user, or a path that may have a key in it."""
        parts = urlsplit(self.url)
        if self.kind == "mqtt":
            return "@" in parts.netloc
        return parts.path not in ("", "/") or bool(parts.query or parts.fragment)

    @property
    def sealed_as(self) -> str | None:
        """Where the whole of it is, if this is not all."""
        fragment = urlsplit(self.url).fragment
        return fragment if SEALED.fullmatch(fragment) else None

    def sealed(self, name: str) -> str:
        """Its text without secrets, of which that is the name."""
        parts = urlsplit(self.url)
        path = parts.path if self.kind == "mqtt" else "/"
        return f"{self.kind}:{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}#{name}"

    @property
    def shown(self) -> str:
        """Without what only those who are told may know: a user, or a path with a key in it."""
        if not self.url:
            return self.kind
        parts = urlsplit(self.url)
        path = parts.path if self.kind == "mqtt" else "/…"
        return f"{self.kind}:{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


class Broker(NamedTuple):
    """An MQTT broker as one of its users, and the topic that it is told."""

    host: str
    port: int
    is_encrypted: bool
    username: str | None
    password: str | None
    topic: str


def parse_sink(text: str) -> Sink:
    """Read what a rule names.

    Raises:
        BadRule
    """
    kind, _, url = text.partition(":")
    if kind in ("log", "kafka") and not url:
        return Sink(kind)
    parts = _parts(url)
    if kind == "webhook" and parts.scheme in WEB_SCHEMES:
        if "@" in parts.netloc:
            raise BadRule("a webhook's URL may hold no user and no password; it is signed instead")
        return Sink(kind, url)
    if kind == "mqtt" and parts.scheme in MQTT_PORTS:
        broker_of(url)
        return Sink(kind, url)
    raise BadRule(f"{kind[:20]!r} with such an address is nobody to tell; {HELP}")


def broker_of(url: str) -> Broker:
    """Read the URL of an MQTT broker.

    Raises:
        BadRule
    """
    parts = _parts(url)
    topic = unquote(parts.path.removeprefix("/"), errors="replace")
    has_more = parts.query or (parts.fragment and not SEALED.fullmatch(parts.fragment))
    if not topic or has_more or re.search(r"[+#\x00-\x1f\x7f\ufffd]", topic):
        raise BadRule("a broker is told a topic, without + and #; write mqtts://HOST/some/topic")
    if topic.startswith("$") or len(topic.encode()) > MOST_TOPIC_BYTES:
        raise BadRule("a topic that begins with $ is the broker's own, and none is that long")
    return Broker(
        host=parts.hostname or "",
        port=parts.port or MQTT_PORTS[parts.scheme],
        is_encrypted=parts.scheme == "mqtts",
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        topic=topic,
    )


def _parts(url: str) -> SplitResult:
    """The parts of a URL that can be connected to.

    Raises:
        BadRule: it is none; it is not repeated there, for it may hold a password.
    """
    try:
        parts = urlsplit(url)
        is_usable = bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError:  # of a port, or of a name that no host can have
        raise BadRule(f"that is nobody to tell; {HELP}") from None
    if not is_usable or not url.isascii() or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise BadRule(f"that is nobody to tell; {HELP}")
    return parts
