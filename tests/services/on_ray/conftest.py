"""The Ray cluster, one for all tests."""

from collections.abc import Iterator

import pytest

from tests.services.on_ray.ray_cluster import RayCluster, ray_running


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    with ray_running() as cluster:
        yield cluster
