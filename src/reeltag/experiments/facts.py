"""A dataset, a split and a command in; what a report must say about how it was made out."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import reeltag
from reeltag.data.dataset import Dataset
from reeltag.data.schema import PARTS
from reeltag.data.splits import Split

_LIBRARIES = ("torch", "polars", "numpy", "scipy")


def facts_of(dataset: Dataset, split: Split | None, command: str = "") -> dict[str, Any]:
    """Command, date, data, split (where one is used), versions and machine."""
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": {
            "name": dataset.path.name,
            "counts": dataset.counts,
            "sha256": dict(dataset.description["sha256"]),
            "features": {
                name: f"{manifest.extractor} {'×'.join(map(str, manifest.shape))}"
                for name, manifest in dataset.features.items()
            },
        },
        **({} if split is None else {"split": _split(split)}),
        "versions": {
            "reeltag": reeltag.__version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
        "machine": machine(),
    }


def _split(split: Split) -> dict[str, Any]:
    return {
        "name": split.name,
        **asdict(split.recipe),
        "counts": {part: len(split.rows(part)) for part in PARTS},
    }


def machine() -> str:
    """Processor, cores this process may use, accelerator and system, in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no accelerator"
    threads = torch.get_num_threads()
    return (
        f"{_processor()}, {cores} core{'s' if cores != 1 else ''} "
        f"({threads} torch thread{'s' if threads != 1 else ''}), {accelerator}, "
        f"{platform.system()} {platform.machine()}"
    )


def _processor() -> str:
    """The processor's name, where the system tells it."""
    table = Path("/proc/cpuinfo")
    if table.is_file():
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return " ".join(value.split())
    return platform.processor() or platform.machine()
