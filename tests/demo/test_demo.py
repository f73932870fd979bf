"""The demo in small: the whole road on real mp4 files, twice in the same folder, then served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reeltag.demo.run import MODELS, Demo, run_demo
from reeltag.errors import InputError
from tests.serving.served import served


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return small(tmp_path_factory.mktemp("whole") / "demo")


def small(folder: Path) -> Demo:
    return run_demo(folder, posts=60, region_posts=40, region_seeds=1)


def test_the_whole_road_on_generated_clips(demo: Demo) -> None:
    assert set(demo.reports) == set(MODELS)
    assert demo.example.hashtags
    assert demo.example.frames is not None
    assert not demo.example.warnings
    assert demo.filmstrip.stat().st_size > 10_000
    stored = json.loads((demo.folder / "report.json").read_text())
    assert stored["generated"] is True
    assert set(stored["regions"]["models"]) == {"uhman", "uhman-a", "uhman-b"}
    assert set(stored["regions"]["uhman_against"]) == {"uhman-a", "uhman-b"}
    again = small(demo.folder)
    for name, report in demo.reports.items():
        assert again.reports[name].metrics == report.metrics
    assert again.regions == demo.regions


def test_the_run_it_leaves_is_served(demo: Demo, tmp_path: Path) -> None:
    clip = min((demo.folder / "clips").glob("*.mp4"))
    with served(demo.folder / "runs" / "reeltag", tmp_path) as service:
        page = service.client.get("/")
        assert page.status_code == 200
        assert "Drop a clip here" in page.text
        user = service.client.get("/v1/users?n=1").json()["users"][0]["user"]
        form = {"user": user, "caption": "harbour at dawn", "filmstrip": "true"}
        with clip.open("rb") as file:
            answer = service.client.post("/v1/recommend", data=form, files={"clip": file})
        told = answer.json()
        assert answer.status_code == 200, told
        assert told["known_user"]
        assert len(told["hashtags"]) == 10
        assert all(tag["reasons"] for tag in told["hashtags"])
        assert told["filmstrip"]
        assert told["warnings"] == []


def test_a_folder_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"thesis\.tex"):
        run_demo(tmp_path)
