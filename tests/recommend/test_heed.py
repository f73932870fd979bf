"""What each hashtag heeded: on real clips with frames, sound and words, in numbers and in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from reeltag.data.batches import single_post
from reeltag.experiments.train import train_run
from reeltag.features.single import features_of
from reeltag.models.logo import Logo
from reeltag.recommend import Recommender
from reeltag.recommend.heed import Step, heeded, reason_of, steps_of
from tests.cli.test_commands import reeltag
from tests.recommend.filmed import filmed

CAPTION = "rain over the harbour zzqx"
SMALL = {
    "epochs": 2, "dim": 8, "hidden_visual": 8, "hidden_acoustic": 8, "hidden_textual": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Clips with their frames, sound and words, and runs on some of the modalities."""
    folder = tmp_path_factory.mktemp("heed")
    with filmed(
        folder,
        ["rain over the sea", "a harbour"] * 12,
        visual=["efficientnet-lite1-frames:frames=4"],
        acoustic=["spectrogram"],
        textual=["glove", "minilm"],
    ) as dataset:
        for name, settings in {
            "logo": {},
            "visual": {"features": "visual"},
            "sound-and-words": {"features": "acoustic,textual"},
            "vectors": {"features": "textual-minilm"},
        }.items():
            train_run(dataset, "main", "logo", {**SMALL, **settings}, folder / name)
        train_run(dataset, "main", "logo-a", SMALL, folder / "logo-a")
        yield folder


def test_steps_are_the_posts_own(road: Path) -> None:
    manifests = Recommender.load(road / "logo").run.manifests
    extracted = features_of(list(manifests.values()), road / "1.mp4", CAPTION)
    steps = steps_of(manifests, extracted, CAPTION)
    assert [step.facts["time"] for step in steps["visual"]] == [
        round(time, 3) for time in extracted.frame_times
    ]
    assert len(steps["acoustic"]) == 6
    assert steps["acoustic"][0].facts["start"] == 0
    assert steps["acoustic"][5].facts["end"] == pytest.approx(extracted.duration, abs=1e-3)
    # A word without a vector is no step.
    assert [step.facts["word"] for step in steps["textual"]] == ["rain", "over", "the", "harbour"]


def test_shares_are_the_models(road: Path) -> None:
    recommender = Recommender.load(road / "logo")
    answer = recommender.answer(road / "1.mp4", CAPTION, k=3)
    run, model = recommender.run, recommender.run.model
    assert isinstance(model, Logo)
    extracted = features_of(list(run.manifests.values()), road / "1.mp4", CAPTION)
    posts = single_post(-1, extracted.values, run.manifests)
    ids = [list(run.hashtags.names).index(tag.hashtag) for tag in answer.hashtags]
    expected = model.attention_of(posts, torch.tensor([ids]))
    for place, tag in enumerate(answer.hashtags):
        (reason,) = [each for each in tag.reasons if each.kind == "heed"]
        for modality, steps in reason.facts["attention"].items():
            shares = [step["share"] for step in steps]
            np.testing.assert_allclose(shares, expected[modality][0, place].numpy(), atol=1e-6)
            assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_explained_by_command(road: Path) -> None:
    arguments = ("recommend", road / "logo", "--clip", road / "0.mp4", "--caption", CAPTION)
    out, _ = reeltag(*arguments, "--explain", "--json")
    for tag in json.loads(out)["hashtags"]:
        (reason,) = [each for each in tag["reasons"] if each["kind"] == "heed"]
        assert set(reason["attention"]) == {"visual", "acoustic", "textual"}
        assert reason["text"].startswith("heeded ")
    shown, _ = reeltag(*arguments, "--explain")
    assert "heeded" in shown
    plain, _ = reeltag(*arguments, "--json")
    assert all(tag["reasons"] == [] for tag in json.loads(plain)["hashtags"])


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("visual", {"visual"}),
        ("sound-and-words", {"acoustic", "textual"}),
        ("vectors", set()),
        ("logo-a", set()),
    ],
)
def test_any_modalities_are_served(road: Path, run: str, expected: set[str]) -> None:
    answer = Recommender.load(road / run).answer(road / "2.mp4", CAPTION, "u1")
    assert len(answer.hashtags) == 5
    assert not any("modality" in warning for warning in answer.warnings)
    for tag in answer.hashtags:
        heeds = [reason.facts["attention"] for reason in tag.reasons if reason.kind == "heed"]
        assert set().union(*heeds) == expected


def test_what_is_missing_is_not_spoken_of(road: Path) -> None:
    recommender = Recommender.load(road / "logo")
    (tag, *_) = recommender.answer(None, CAPTION).hashtags
    (reason,) = [each for each in tag.reasons if each.kind == "heed"]
    assert set(reason.facts["attention"]) == {"textual"}
    (tag, *_) = recommender.answer(None, "harbour").hashtags  # one word: nothing to choose among
    assert not [each for each in tag.reasons if each.kind == "heed"]
    nothing = features_of(list(recommender.run.manifests.values()))
    posts = single_post(-1, nothing.values, recommender.run.manifests)
    run = recommender.run
    assert heeded(run.model, posts, [0, 1], run.manifests, nothing, "") == [None, None]
    assert heeded(run.model, posts, [], run.manifests, nothing, "") == []


def test_a_step_is_named_where_it_stands_out() -> None:
    words = [Step(f"‘{word}’", {"word": word}) for word in ("rain", "over", "us")]
    frames = [Step(f"the frame at {n}.0 s", {"time": n}) for n in range(4)]
    reason = reason_of(
        {
            "visual": (frames, np.array([0.25, 0.3, 0.25, 0.2])),
            "textual": (words, np.array([0.7, 0.2, 0.1])),
        }
    )
    assert reason is not None
    assert reason.text == "heeded all frames alike, ‘rain’ (70%)"
    assert reason.facts["attention"]["textual"][0] == {"word": "rain", "share": 0.7}
    assert reason_of({"visual": (frames, np.zeros(4))}) is None
