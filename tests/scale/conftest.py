"""A real Ray cluster on this machine: raylets of one core each, closed by a token."""

from __future__ import annotations

import importlib.util
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster with its head alone; `RAY_ADDRESS` and the token lead to it."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'reeltag[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELTAG_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("RAY_AUTH_MODE", "token")  # before Ray is loaded, which reads it
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={"include_dashboard": False})
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
        made.shutdown()


@pytest.fixture
def two_nodes(cluster: Any) -> Any:
    """The cluster with a second node, whatever became of an earlier one."""
    if not cluster.worker_nodes:
        cluster.add_node()
    cluster.wait_for_nodes()
    return cluster


@pytest.fixture
def connected(two_nodes: Any) -> Iterator[Any]:
    """Ray, with this process among the users of the cluster."""
    import ray

    ray.init(address=two_nodes.address, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()
    time.sleep(0.1)
