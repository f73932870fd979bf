"""Processes that work on one model together: who this one is, and what they tell each other.

`torchrun` starts them and sets RANK, WORLD_SIZE and LOCAL_RANK; whoever calls `joined` becomes
one of them. In a process that never did, there is one process, the first, and every function
here gives back what it was given.

torch is imported late: what only touches data starts without it.

All processes make the same calls in the same order. One that ends or falls silent is noticed by
the others in their next call: at once when its connections close, else after `TIMEOUT`.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any

from reeltag.errors import ConfigError, ReelTagError

if TYPE_CHECKING:
    from torch import Tensor

TIMEOUT = "REELTAG_PROCESS_TIMEOUT"
"""Environment variable: seconds to wait for a silent process; 300 if it is not set."""

_GO_ON = (
    "The run folder holds the last finished epoch; the same command with --resume, with any number "
    "of processes, goes on."
)

_group: Any = None  # torch.distributed once this process has joined
_store: Any = None


def number() -> int:
    """Which of the processes this is, from 0."""
    return 0 if _group is None else int(_group.get_rank())


def count() -> int:
    """How many processes there are."""
    return 1 if _group is None else int(_group.get_world_size())


def first() -> bool:
    """Whether this is the process that writes and speaks."""
    return number() == 0


@contextmanager
def joined(device: str = "auto") -> Iterator[str]:
    """Be one of torchrun's processes while the block runs; yields the device of this one.

    With `auto` or `cuda` each process has the GPU of its LOCAL_RANK and gradients go by NCCL;
    else, also where a GPU is named by its number, they go by gloo. Numbers about sizes always go
    by gloo, so that no GPU is waited for. SIGTERM, which torchrun sends when one process has
    failed, ends this one with an error like any other. Where torchrun started nothing, the
    block runs as it would without.

    Raises `ConfigError` where there are more processes than GPUs, and for other accelerators.
    """
    global _group, _store
    if not {"RANK", "WORLD_SIZE"} <= set(os.environ):
        yield device
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    wanted = os.environ.get(TIMEOUT, "300")
    if not wanted.isdigit() or not int(wanted):
        raise ConfigError(
            f"Got {TIMEOUT}={wanted!r}, expected a whole number of seconds, 1 or more."
        )
    timeout = timedelta(seconds=int(wanted))
    if device == "mps":
        raise ConfigError("Got device 'mps' for several processes, expected auto, cpu or cuda.")
    backend, own = "gloo", int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        if own >= torch.cuda.device_count():
            raise ConfigError(
                f"Got {os.environ.get('LOCAL_WORLD_SIZE', own + 1)} processes on a machine with "
                f"{torch.cuda.device_count()} GPUs, expected no more processes than GPUs. Lower "
                "--nproc-per-node, or choose --device cpu."
            )
        device, backend = f"cuda:{own}", "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(own)
    before = signal.signal(signal.SIGTERM, _stopped)
    try:
        with _answering():
            _store, rank, size = next(iter(rendezvous("env://", timeout=timeout)))
            dist.init_process_group(
                backend, store=_store, rank=rank, world_size=size, timeout=timeout
            )
        _group = dist
        yield device
        dist.destroy_process_group()
        signal.signal(signal.SIGTERM, before)
    except BaseException:
        # The group is left as it is: the others may be gone. Whoever tells of the error must not
        # be cut short by torchrun, which ends what still runs half a minute later.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise
    finally:
        _group = None


def claims(what: str) -> bool:
    """Whether this is the first process to ask for `what`: one alone tells of an error."""
    if _store is None:
        return True
    try:
        return int(_store.add(f"reeltag/{what}", 1)) == 1
    except RuntimeError:  # whoever kept the count is gone
        return True


def numbers(own: Sequence[int]) -> list[list[int]]:
    """What each process gave, in their order; the same count of numbers each."""
    if _group is None:
        return [list(own)]
    import torch

    mine = torch.tensor(own, dtype=torch.int64)
    found = [torch.empty_like(mine) for _ in range(count())]
    with _answering():
        _group.all_gather(found, mine)
    return [each.tolist() for each in found]


def gathered(rows: Tensor) -> list[Tensor]:
    """The `rows` (n, ...) of each process, in their order; n may differ, nothing else may."""
    if _group is None:
        return [rows]
    lengths = [length for (length,) in numbers([len(rows)])]
    import torch

    # Whatever the type, bytes travel; all in one length, for that is what NCCL can do.
    if not max(lengths):
        return [rows.detach()] * len(lengths)
    flat = rows.detach().reshape(len(rows), math.prod(rows.shape[1:]))
    padded = flat.new_zeros(max(lengths), flat.shape[1])
    padded[: len(rows)] = flat
    padded = padded.view(torch.uint8)
    found = [torch.empty_like(padded) for _ in lengths]
    with _answering():
        _group.all_gather(found, padded)
    return [
        part.view(rows.dtype)[:length].view(length, *rows.shape[1:])
        for part, length in zip(found, lengths, strict=True)
    ]


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over the processes; the same shapes and type everywhere."""
    if _group is None or not tensors:
        return
    import torch

    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _answering():
        _group.all_reduce(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


@contextmanager
def _answering() -> Iterator[None]:
    """Tell people what torch.distributed tells programmers."""
    try:
        yield
    except RuntimeError as fault:
        raise ReelTagError(
            "Another of the processes ended or does not answer, so this one stops "
            f"(REELTAG_DEBUG=1 shows what torch says). {_GO_ON}"
        ) from fault


def _stopped(_: int, __: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise ReelTagError(
        f"Stopped by SIGTERM, which torchrun sends when another process has failed. {_GO_ON}"
    )
