"""Recommendations for many posts on Ray: the same bytes as here."""

from __future__ import annotations

from reeltag.experiments.train import train_run
from reeltag.recommend import batch
from reeltag.scale.executors import EXECUTORS, pool_on
from tests.recommend.test_batch import content


def test_the_same_bytes_here_and_on_two_nodes(two_nodes, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "BLOCK_POSTS", 50)
    train_run(dataset, "main", "gcn-phr", {"epochs": 1}, tmp_path / "run")
    for name in EXECUTORS:
        batch.recommend_batch(
            dataset, tmp_path / "run", tmp_path / name, workers=2, pool=pool_on(name)
        )
    assert len(content(tmp_path / "local")) == 5 + 2
    assert content(tmp_path / "ray") == content(tmp_path / "local")
