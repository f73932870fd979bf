"""The demo in small: the whole road on real mp4 files, twice in the same folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reeltag.demo.run import MODELS, run_demo
from reeltag.errors import InputError


def test_the_whole_road_on_generated_clips(tmp_path: Path) -> None:
    demo = run_demo(tmp_path / "demo", posts=60, region_posts=40, region_seeds=1)
    assert set(demo.reports) == set(MODELS)
    assert demo.example.hashtags
    assert demo.example.frames is not None
    assert not demo.example.warnings
    assert demo.filmstrip.stat().st_size > 10_000
    stored = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert stored["generated"] is True
    assert set(stored["regions"]["models"]) == {"uhman", "uhman-a", "uhman-b"}
    assert set(stored["regions"]["uhman_against"]) == {"uhman-a", "uhman-b"}
    again = run_demo(tmp_path / "demo", posts=60, region_posts=40, region_seeds=1)
    for name, report in demo.reports.items():
        assert again.reports[name].metrics == report.metrics
    assert again.regions == demo.regions


def test_a_folder_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"thesis\.tex"):
        run_demo(tmp_path)
