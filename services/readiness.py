"""Whether a process is ready to work, and if not, why: what `/v1/ready` tells.

A process needs several things at once, each known by a name: its stores, its model, its socket.
Whoever has one says so, and whoever misses it again says why. Who can work, and yet not as was
wanted, warns.
"""

import threading
from collections.abc import Callable

from services.metrics import Metrics
from streaming.messages import NS_PER_S

STALE_NS = 30 * NS_PER_S
"""Longer than a look takes when both engines are away, which each wait a while for theirs."""


class Readiness:
    """What one process has and misses. May be used from any thread."""

    def __init__(self, metrics: Metrics, *, monotonic_ns: Callable[[], int]) -> None:
        self._metrics = metrics
        self._monotonic_ns = monotonic_ns
        self._changed = threading.Lock()
        self._missing: dict[str, str] = {"service": "it is starting"}
        self._warnings: dict[str, str] = {}
        self._looked_ns: int | None = None

    def has(self, what: str) -> None:
        with self._changed:
            self._missing.pop(what, None)
            self._metrics.ready(is_ready=not self._missing)

    def misses(self, what: str, reason: str) -> None:
        with self._changed:
            self._missing[what] = reason
            self._metrics.ready(is_ready=False)

    def warns(self, what: str, reason: str | None) -> None:
        """Something is not as was wanted, and work goes on; None: it is well again."""
        with self._changed:
            self._warnings.pop(what, None)
            if reason is not None:
                self._warnings[what] = reason

    def warnings(self) -> dict[str, str]:
        with self._changed:
            return dict(self._warnings)

    def looked(self) -> None:
        """Somebody looked at the engines just now; from the first look on it has to go on."""
        self._looked_ns = self._monotonic_ns()

    def why_not(self) -> str | None:
        """Why the process cannot work just now; None if it can."""
        with self._changed:
            reasons = [f"{what}: {reason}" for what, reason in self._missing.items()]
        if self._looked_ns is not None:
            silent_ns = self._monotonic_ns() - self._looked_ns
            if silent_ns > STALE_NS:
                reasons.append(f"engines: no word from them for {silent_ns // NS_PER_S} s")
        return "; ".join(reasons) or None
