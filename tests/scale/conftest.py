"""A real Ray cluster on this machine: raylets of one core each, closed by a token."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Iterator
from functools import partialmethod
from typing import Any

import pytest

from tests.features.pool_workers import PATIENCE

PATIENT = {
    "worker_niceness": "0",  # workers usually stand back for all else, and would never start
    "worker_register_timeout_seconds": str(PATIENCE),
    "gcs_server_port_wait_time_s": str(PATIENCE),
    "gcs_server_request_timeout_seconds": "10",  # one that is lost is asked again
    # A node that is slow to answer is not dead; one that is dead is noticed soon.
    "health_check_timeout_ms": str(1000 * PATIENCE),
    "health_check_period_ms": "500",
}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster with its head alone; `RAY_ADDRESS` and the token lead to it."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'reeltag[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELTAG_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("RAY_AUTH_MODE", "token")  # before Ray is loaded, which reads it
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        for name, value in PATIENT.items():
            patch.setenv(f"RAY_{name}", value)
        from ray import cluster_utils

        waits = partialmethod(cluster_utils.Cluster._wait_for_node, timeout=PATIENCE)
        patch.setattr(cluster_utils.Cluster, "_wait_for_node", waits)
        made = cluster_utils.Cluster(
            initialize_head=True, head_node_args={"include_dashboard": False}
        )
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
        made.shutdown()


@pytest.fixture
def two_nodes(cluster: Any) -> Any:
    """The cluster with a second node, whatever became of an earlier one."""
    if not cluster.worker_nodes:
        cluster.add_node()
    cluster.wait_for_nodes(timeout=PATIENCE)
    return cluster


@pytest.fixture
def connected(two_nodes: Any) -> Iterator[Any]:
    """Ray, with this process among the users of the cluster."""
    import ray

    ray.init(address=two_nodes.address, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()
