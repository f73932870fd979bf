"""Rows of features: chosen, gathered on disk where they are many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reeltag.data import feature as module
from reeltag.data.feature import Feature, Manifest, ragged


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_chosen_entries_keep_their_rows(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", limit)
    monkeypatch.setattr(module, "_BLOCK_ROWS", 4)
    rng = np.random.default_rng(0)
    entries = [None if n % 5 == 0 else rng.standard_normal((n % 4 + 1, 3, 2)) for n in range(30)]
    manifest = Manifest("visual-x", "visual", "test", "grid", (3, 2), "float32", "clip")
    chosen = np.array([7, 3, 29, 0, 11])
    part = ragged(manifest, entries).select(chosen)
    part.save(tmp_path / "x")
    for found in (part, Feature.open(tmp_path / "x")):
        for at, post in enumerate(chosen.tolist()):
            entry = entries[post]
            expected = np.zeros((0, 3, 2)) if entry is None else entry
            np.testing.assert_array_equal(found.row(at), expected.astype(np.float32))
            assert found.present[at] == (entry is not None)


def test_nothing_chosen_is_an_empty_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", -1)
    manifest = Manifest("visual-x", "visual", "test", "grid", (3, 2), "float32", "clip")
    part = ragged(manifest, [None, np.ones((2, 3, 2))]).select(np.array([0]))
    assert part.values.shape == (0, 3, 2)
