"""Options after an extractor's name: what is read, stored, refused, and what becomes of a clip."""

from __future__ import annotations

import numpy as np
import pytest
from tests.features.contract import ClipContract
from tests.media.clips import write_clip

from reeltag.errors import ConfigError
from reeltag.features.projection import project, projection
from reeltag.features.registry import make, of_manifest

REGIONS = "efficientnet-lite1-regions"


class TestByRate(ClipContract):
    lacking = "audio-only"

    @pytest.fixture
    def extractor(self, made):
        return made("visual", f"{REGIONS}:fps=5,frames=12")


class TestProjected(ClipContract):
    lacking = "audio-only"

    @pytest.fixture
    def extractor(self, made):
        return made("visual", f"{REGIONS}:frames=2,project=128")


@pytest.mark.parametrize(
    ("options", "options_stored", "folder"),
    [
        ("", {"frames": 8, "fit": "crop"}, ""),
        (":frames=8", {"frames": 8, "fit": "crop"}, ""),
        (":fps=5", {"frames": 60, "fit": "crop", "fps": 5.0}, "-fps5"),
        (":frames=12, fps=5", {"frames": 12, "fit": "crop", "fps": 5.0}, "-fps5-frames12"),
        (":fit=squash,fps=2.5", {"frames": 60, "fit": "squash", "fps": 2.5}, "-fitsquash-fps2.5"),
        (
            ":project=64",
            {"frames": 8, "fit": "crop", "project": 64, "project_seed": 0},
            "-project64",
        ),
    ],
)
def test_the_manifest_stores_them_and_the_folder_tells_the_unusual(options, options_stored, folder):
    extractor = make("visual", REGIONS + options)
    manifest = extractor.manifest()
    assert manifest.options == options_stored
    assert manifest.extractor == REGIONS
    assert manifest.name == f"visual-{REGIONS}{folder}"
    assert of_manifest(manifest).manifest() == manifest


def test_rate_and_cap_decide_how_many_frames(tmp_path, decoder):
    clip = write_clip(tmp_path / "two-seconds.mp4", frames=50)
    counts = {}
    for options in ("fps=5,frames=12", "fps=5,frames=4", "frames=3", "fps=2"):
        wanted = make("visual", f"{REGIONS}:{options}").request
        counts[options] = len(decoder.decode(clip, wanted).frames)
    assert counts == {"fps=5,frames=12": 10, "fps=5,frames=4": 4, "frames=3": 3, "fps=2": 4}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{REGIONS}:fsp=5", "'fsp=5' for efficientnet-lite1-regions, .*fps=VALUE, frames=VALUE"),
        (f"{REGIONS}:fps=5,fps=6", "at most once"),
        (f"{REGIONS}:", "written efficientnet-lite1-regions:KEY=VALUE"),
        (f"{REGIONS}:frames=many", "'frames=many' .* a whole number for frames"),
        (f"{REGIONS}:fps=fast", "a number for fps"),
        (f"{REGIONS}:fps=0", "0.0 frames a second"),
        (f"{REGIONS}:frames=0", "0 frames"),
        (f"{REGIONS}:fit=stretch", "expected crop or squash"),
        (f"{REGIONS}:project=1281", "project=1281, expected 1 to 1280"),
        ("efficientnet-lite1:project=8", "fps=VALUE, frames=VALUE, fit=VALUE"),
        ("efficientnet:fps=5", "'efficientnet', expected one of"),
    ],
)
def test_what_is_wrong_is_named(name, message):
    with pytest.raises(ConfigError, match=message):
        make("visual", name)


def test_an_extractor_without_options_says_so():
    with pytest.raises(ConfigError, match="at most once of: none"):
        make("acoustic", "logmel:bands=3")


def test_the_projection_is_the_same_for_good():
    matrix = projection(1280, 128)
    corner = [[0.01119906, -0.01162864], [-0.0506419, -0.09001516]]
    np.testing.assert_allclose(matrix[:2, :2], corner, atol=1e-6)  # stored features hold these
    assert matrix[-1, -1] == pytest.approx(0.02691405, abs=1e-6)
    np.testing.assert_allclose(matrix.T @ matrix, 10 * np.eye(128), atol=1e-4)
    assert not np.allclose(matrix, projection(1280, 128, seed=1))


def test_a_projected_region_keeps_its_distances():
    rows = np.random.default_rng(3).standard_normal((40, 1280)).astype(np.float32)
    away = np.linalg.norm(rows[:20] - rows[20:], axis=1)
    small = project(rows, 128)
    ratio = np.linalg.norm(small[:20] - small[20:], axis=1) / away
    assert 0.75 < ratio.min() <= ratio.max() < 1.25
    assert ratio.mean() == pytest.approx(1, abs=0.06)


def test_projected_regions_are_the_regions_projected(made, decoded):
    whole, small = (made("visual", f"{REGIONS}:frames=2{o}") for o in ("", ",project=128"))
    entry = whole.extract(decoded("usual", whole.request)).astype(np.float32)
    projected = small.extract(decoded("usual", small.request))
    np.testing.assert_allclose(projected, project(entry, 128), atol=0.05)
