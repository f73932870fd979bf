"""Products that do not show how rows were batched."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from reeltag.models.layers import grid
from reeltag.models.layers.grid import GridProduct, grid_counts, grid_product, on_grid


def test_products_on_the_grid_are_exact_in_any_order() -> None:
    numbers = torch.Generator().manual_seed(0)
    left, right = (on_grid(normalize(torch.randn(40, 384, generator=numbers), dim=1)) for _ in "ab")
    exact = left.double() @ right.double().T
    assert torch.equal(left @ right.T, exact.float())
    order = torch.randperm(384, generator=numbers)
    assert torch.equal(left[:, order] @ right[:, order].T, left @ right.T)


def test_half_precision_holds_the_grid() -> None:
    vectors = on_grid(normalize(torch.randn(40, 384, generator=torch.Generator().manual_seed(1))))
    assert torch.equal(vectors.half().float(), vectors)
    assert torch.equal(on_grid(torch.tensor([1.0, -1.0])).half().float(), torch.tensor([1.0, -1.0]))


def test_grid_products_are_near_and_show_no_batch() -> None:
    numbers = torch.Generator().manual_seed(2)
    left, right = torch.randn(50, 64, generator=numbers), torch.randn(64, 300, generator=numbers)
    product = GridProduct()
    found = product(left, right)
    lengths = left.norm(dim=1, keepdim=True) * right.norm(dim=0)
    assert ((found - left @ right).abs() < 1e-3 * lengths).all()
    assert torch.equal(torch.cat([product(row, right) for row in left.split(1)]), found)
    assert torch.equal(product(left, 2 * right), 2 * found)
    assert not product(0 * left, right).any()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("width", [5, 37, 384])
def test_whole_numbers_say_the_same(
    rows: int, width: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(grid, "available", lambda: False)
    numbers = torch.Generator().manual_seed(3)
    left, right = (
        normalize(torch.randn(count, width, generator=numbers), dim=1) for count in (rows, 35)
    )
    found = grid_product(grid_counts(left), grid_counts(right))
    assert torch.equal(found, on_grid(left) @ on_grid(right).T)
    one = torch.eye(width)[-1:]
    assert grid_product(grid_counts(one), grid_counts(-one)).tolist() == [[-1.0]]
    assert grid_product(grid_counts(left[:0]), grid_counts(right)).shape == (0, 35)
    assert grid_product(grid_counts(left), grid_counts(right[:0])).shape == (rows, 0)


@pytest.mark.parametrize("long", [True, False])
def test_any_processor_says_the_same(long: bool, tmp_path: Path) -> None:
    """Registers of sixteen or of thirty-two numbers: the loop is written for either."""
    kernels = pytest.importorskip("reeltag.models.layers.grid_kernels")
    text = Path(kernels.__file__).read_text(encoding="utf-8")
    text, count = re.subn(r"^_LONG = .*$", f"_LONG = {long}", text, flags=re.M)
    assert count == 1
    copy = tmp_path / "copied_kernels.py"
    copy.write_text(text, encoding="utf-8")
    spec = spec_from_file_location("copied_kernels", copy)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    draw = np.random.default_rng(4)
    for rows, columns, width in ((1, 70, 384), (7, 33, 37), (6, 3, 16), (13, 67, 256)):
        left, right = (
            draw.integers(-99, 99, (count, width), dtype=np.int16) for count in (rows, columns)
        )
        out = np.empty((rows, columns), np.float32)
        module.inner_products(left, right, np.float32(0.5), out)
        assert (out == 0.5 * (left.astype(np.int64) @ right.T)).all()
