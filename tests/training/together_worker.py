"""Started by torchrun in `test_together`: trains every case, as one of the processes or alone.

python -m torch.distributed.run ... tests/training/together_worker.py DATA OUT [CASE ...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from reeltag import together
from reeltag.data.dataset import Dataset
from reeltag.experiments.judge import evaluate_run
from reeltag.experiments.train import train_run
from reeltag.storage import write_text

TINY: dict[str, Any] = {"dim": 6, "batch_size": 50}
GRAPH = {**TINY, "optimiser": "sgd", "learning_rate": 0.1}
"""Adam makes whole steps of gradients that are 0 but for rounding, of which GCN-PHR has some."""
LSTMS = {"hidden_visual": 7, "hidden_acoustic": 5, "hidden_textual": 4}

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gcn-phr": ("vectors", "gcn-phr", GRAPH),
    "gcn-phr-drawn": ("vectors", "gcn-phr", {**GRAPH, "layers": 2, "neighbours": 2,
                                             "neighbour_posts": 2}),
    "gcn-phr-masked": ("vectors", "gcn-phr", {**GRAPH, "mask_own_post": True, "neighbours": 3,
                                              "negatives": 2}),
    "gcn-phr-late": ("vectors", "gcn-phr", {**GRAPH, "projections": 3}),
    "utm": ("vectors", "utm", TINY),
    "ushm": ("vectors", "ushm", {"rank": 6, "batch_size": 50}),
    "contagnet": ("vectors", "contagnet", {**TINY, "user_dim": 4, "time_dim": 3}),
    "csmn": ("vectors", "csmn", {**TINY, "user_slots": 5, "output_slots": 3}),
    "rsdae": ("vectors", "rsdae", {**TINY, "hidden": 7}),
    "bilinear": ("vectors", "bilinear", TINY),
    "user-additive": ("vectors", "user-additive", TINY),
    "few": ("vectors", "bilinear", {"dim": 6, "batch_size": 2}),
    "three-way": ("vectors", "three-way", TINY),
    "blend": ("vectors", "blend", {}),
    "ease": ("vectors", "ease", {}),
    "uhman": ("grids", "uhman", {**TINY, "dim": 8, "predictive": 5, "heads": 2}),
    "logo": ("sequences", "logo", {**TINY, **LSTMS, "attention": 8}),
    "logo-sum": ("sequences", "logo", {**TINY, **LSTMS, "attention": 8, "alternate": False,
                                       "pooling": "mean"}),
    "trumann": ("sequences", "trumann", TINY),
    "eastern": ("sequences", "eastern", {**TINY, **LSTMS, "concepts": 9}),
    "co-attention": ("sequences", "co-attention", {**TINY, "attention": 5}),
}  # fmt: skip
"""Name to (dataset, model, settings): a model of every way to lose, to draw and to be counted."""


def train_cases(data: Path, out: Path, cases: list[str], device: str = "cpu") -> None:
    """A run folder for each case, with what `leave-one-out` says of it in `test.json`."""
    torch.set_num_threads(1)
    for case in cases:
        dataset, model, settings = CASES[case]
        trained = {"epochs": 2} if "batch_size" in settings else {}
        train_run(
            Dataset.open(data / dataset), "main", model, {**settings, **trained}, out / case,
            device=device,
        )  # fmt: skip
        together.numbers([0])  # nobody opens a run that the first has not finished
        report = evaluate_run(
            out / case, Dataset.open(data / dataset), "test", "leave-one-out", (3,), device=device
        )
        if together.first():
            write_text(out / case / "test.json", json.dumps(report.metrics))


if __name__ == "__main__":
    with together.joined("cpu") as own:
        train_cases(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or list(CASES), own)
