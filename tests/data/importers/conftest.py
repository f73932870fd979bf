"""Shared by the importers' tests: where the real data lies, and small sources."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def shared() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("REELTAG_SHARED_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data is absent: {folder} (set REELTAG_SHARED_DATA)")
    return folder


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Write values, one a line, and give the file."""

    def write(*values: Any, name: str = "posts.jsonl") -> Path:
        lines = [v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write
