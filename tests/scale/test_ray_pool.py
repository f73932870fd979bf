"""The pool of a Ray cluster keeps to what pools keep to, and closes its doors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial

import pytest

from reeltag.errors import ConfigError, MissingExtraError, ReelTagError
from reeltag.features.pool import Task
from reeltag.scale import ray_pool
from reeltag.scale.executors import pool_on
from reeltag.scale.ray_pool import RayPool
from tests.features.pool_contract import PoolContract
from tests.features.pool_workers import PATIENCE, Blind, Placed, Say, Talker
from tests.scale.conftest import PATIENT


class TestRayPool(PoolContract):
    @pytest.fixture
    def pool(self, connected):
        return RayPool

    def test_workers_are_spread_over_the_nodes(self, pool, tmp_path):
        with pool(partial(Placed, tmp_path / "log")) as running:
            found = [node for _, node in running.run(map(Say, "abcdefgh"))]
        assert len(found) == 8
        assert len(set(found)) == 2

    def test_a_node_that_does_not_see_the_clips_ends_the_run(self, pool, tmp_path):
        clip, log = tmp_path / "clip.mp4", tmp_path / "log"
        with pool(partial(Blind, log), 1) as running:
            assert [answer for _, answer in running.run([Task(0, clip, ())])] == [
                "it does not exist"
            ]
            clip.touch()
            with pytest.raises(ReelTagError, match=r"does not see .*clip\.mp4, which is here"):
                list(running.run([Task(0, clip, ())]))

    def test_no_room_for_a_worker(self, pool, connected, tmp_path, monkeypatch):
        monkeypatch.setattr(ray_pool, "START_SECONDS", 0.5)

        @connected.remote(num_cpus=1)
        class Guest:
            def there(self):
                return True

        guests = [Guest.remote() for _ in range(2)]
        connected.get([guest.there.remote() for guest in guests])
        while connected.available_resources().get("CPU"):  # this is told from time to time
            time.sleep(0.05)
        with (
            pool(partial(Talker, tmp_path / "log"), 1) as running,
            pytest.raises(ReelTagError, match=r"No worker started .* 2 cores, of which 0 are free"),
        ):
            list(running.run([Say("a")]))


@pytest.mark.long
def test_without_the_token_the_cluster_is_closed(cluster, tmp_path):
    code = (
        "from functools import partial; from pathlib import Path; "
        "from tests.features.pool_workers import Talker; "
        "from reeltag.scale.ray_pool import RayPool; "
        "RayPool(partial(Talker, Path('log'))).__enter__()"
    )
    usual = {name: value for name, value in os.environ.items() if name[4:] not in PATIENT}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**usual, "RAY_AUTH_TOKEN": "0" * 64, "RAY_py_gcs_connect_timeout_s": "2"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert "ReelTagError: Ray of" in done.stderr
    assert "does not answer or refuses us" in done.stderr


def test_ray_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'reeltag\[ray\]'"):
        RayPool(Talker)


def test_an_unknown_executor_is_named():
    with pytest.raises(ConfigError, match="'spark', expected one of local, ray"):
        pool_on("spark")
