"""Where training stands, to one file and back: continuing equals never having stopped.

One safetensors file holds the model's, the best epoch's and the optimiser's tensors;
its header holds the epoch, the history, the settings and the checksum of it all. It is
replaced atomically, so a kill at any moment leaves the last whole epoch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from reeltag.checksums import SEAL, check_seal, sealed
from reeltag.errors import RunError
from reeltag.storage import write_bytes
from reeltag.training.tensors import tensor_file


@dataclass
class Progress:
    """What training has done so far."""

    epoch: int = 0
    """Epochs finished."""
    best_epoch: int = 0
    best_score: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Checkpoint:
    """Everything needed to go on."""

    progress: Progress
    model: dict[str, Tensor]
    best: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    settings: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically."""
    groups = {"model": checkpoint.model, "best": checkpoint.best, "optimiser": checkpoint.optimiser}
    tensors = {
        f"{group}/{key}": value for group, named in groups.items() for key, value in named.items()
    }
    header = {
        "progress": json.dumps(vars(checkpoint.progress)),
        "settings": json.dumps(checkpoint.settings, sort_keys=True),
        **SEAL,
    }
    write_bytes(path, *sealed(*tensor_file(tensors, header)))


def load_checkpoint(path: Path, settings: dict[str, Any]) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises `RunError` where the file is damaged or was made with other settings.
    """
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimiser": {}}
    try:
        check_seal(path)
        with safe_open(path, framework="pt") as stored:
            header = stored.metadata()
            for name in stored.keys():  # noqa: SIM118 - no mapping
                group, _, key = name.partition("/")
                groups[group][key] = stored.get_tensor(name)
        progress = Progress(**json.loads(header["progress"]))
        found = json.loads(header["settings"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as fault:
        raise RunError(f"Checkpoint {path} is damaged: {fault}. Train without --resume.") from fault
    wanted = json.loads(json.dumps(settings))
    if found != wanted:
        changed = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
        raise RunError(
            f"Checkpoint {path} was made with other settings ({', '.join(sorted(changed))}). "
            "Give the same settings, or train without --resume."
        )
    return Checkpoint(progress, settings=found, **groups)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as named tensors: `<parameter number>/<name>`."""
    state = optimiser.state_dict()["state"]
    return {
        f"{number}/{name}": torch.as_tensor(value)
        for number, named in state.items()
        for name, value in named.items()
        if value is not None
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition("/")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )
