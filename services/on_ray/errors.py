"""What can go wrong with a Ray cluster.

ClusterError
├── ClusterEngineMissing    Ray is not installed
├── ClusterUnreachable      there is no Ray cluster where one is looked for
├── ClusterFailed           it cannot do, or go on with, what it was given
└── ShardAway               a part of the index cannot be searched just now
"""

from services.errors import ServiceError


class ClusterError(ServiceError):
    """The Ray cluster cannot be used."""


class ClusterEngineMissing(ClusterError):
    def __init__(self) -> None:
        super().__init__(
            "Ray is not installed; run: pip install -c constraints.txt '.[ray]', or leave out --on"
        )


class ClusterUnreachable(ClusterError):
    def __init__(self, address: str, *, reason: str) -> None:
        super().__init__(f"no Ray cluster at {address} ({reason}); see: ray status")
        self.address = address
        self.reason = reason


class ClusterFailed(ClusterError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"the Ray cluster cannot go on ({reason}); see: ray status")
        self.reason = reason


class ShardAway(ClusterError):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a shard of the index cannot be searched ({reason}); it is started anew where there "
            "is room, so try again, and see: ray status"
        )
        self.reason = reason
