"""A Ray cluster of several node processes on this machine."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

RAY = {
    "RAY_AUTH_MODE": "disabled",  # nobody else is here
    "RAY_USAGE_STATS_ENABLED": "0",
}
SOON_MISSED = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
"""How soon a node that is gone counts as dead; Ray gives it twenty seconds."""

NODE = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


class RayCluster:
    """A head without room for workers, and nodes that come and go."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "_system_config": SOON_MISSED, **NODE}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._nodes: list[Any] = []

    @property
    def address(self) -> str:
        address = self._cluster.address
        assert address is not None
        return address

    def grow(self, *, cpus: float = 1, gpus: float = 0) -> None:
        node = {"num_cpus": cpus, "num_gpus": gpus, **NODE}
        self._nodes.append(self._cluster.add_node(wait=False, **node))

    def workers(self, kind: type) -> list[int]:
        """How many actors of a class live on each node, the oldest first."""
        return [
            sum(
                any(word.startswith(f"ray::{kind.__name__}") for word in process.cmdline())
                for process in living_children(node)
            )
            for node in self._nodes
        ]

    def kill_node(self) -> None:
        """Kill the oldest node with all that runs there."""
        self._cluster.remove_node(self._nodes.pop(0), allow_graceful=False)

    def shut_down(self) -> None:
        self._cluster.shutdown()


def living_children(node: Any) -> list[psutil.Process]:
    """The processes that a node's raylet started."""
    raylet = node.all_processes["raylet"][0].process
    return [
        child
        for child in psutil.Process(raylet.pid).children()
        if child.status() != psutil.STATUS_ZOMBIE
    ]


@contextmanager
def ray_running() -> Generator[RayCluster]:
    scratch = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
    with pytest.MonkeyPatch.context() as patch, scratch as directory:  # a short path, for sockets
        for name, value in {**RAY, "RAY_TMPDIR": directory}.items():
            patch.setenv(name, value)
        cluster = RayCluster()
        try:
            yield cluster
        finally:
            cluster.shut_down()
