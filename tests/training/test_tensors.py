"""Tensor files: the bytes of safetensors' own writer, without its copies."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

from reeltag.training.tensors import tensor_file


def test_the_bytes_are_those_of_safetensors() -> None:
    kinds = (
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
        torch.int16, torch.int8, torch.uint8, torch.bool,
    )  # fmt: skip
    shapes = ((3,), (2, 5), (), (0, 4))
    tensors = {
        f"{kind}/ä{number}": (torch.randn(shape) * 9).to(kind)
        for kind in kinds
        for number, shape in enumerate(shapes)
    }
    assert b"".join(tensor_file(tensors)) == save(tensors)
    told = {"seal": "0" * 64}
    assert b"".join(tensor_file(tensors, told)) == save(tensors, metadata=told)
    assert b"".join(tensor_file({})) == save({})


def test_tensors_are_views_unless_they_must_be_copied() -> None:
    whole = torch.arange(12.0).view(3, 4)
    _, piece = tensor_file({"whole": whole})
    whole[0, 0] = 7
    assert torch.frombuffer(piece, dtype=torch.float32)[0] == 7
    turned = load(b"".join(tensor_file({"turned": whole.T})))["turned"]
    assert torch.equal(turned, whole.T)


def test_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="complex64"):
        tensor_file({"odd": torch.zeros(2, dtype=torch.complex64)})
