"""Where a model looked: on real clips with regions, in numbers, in words and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reeltag.data.batches import single_post
from reeltag.errors import ConfigError
from reeltag.experiments.train import train_run
from reeltag.features.single import features_of
from reeltag.models.contract import Attentive
from reeltag.recommend import Recommender
from reeltag.recommend.attention_picture import WIDTH, check_picture, draw_answers
from reeltag.recommend.look import Look, look_of
from tests.cli.test_commands import reeltag
from tests.recommend.filmed import filmed

images = pytest.importorskip("PIL.Image")
GRID = "visual-efficientnet-lite1-regions"


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with clips, their regions and runs of a model with attention and one without."""
    folder = tmp_path_factory.mktemp("look")
    with filmed(folder, ["a day"] * 20, visual=["efficientnet-lite1-regions"]) as dataset:
        for model in ("uhman", "uhman-a", "popularity"):
            settings = {} if model == "popularity" else {"epochs": 2, "dim": 8}
            train_run(dataset, "main", model, settings, folder / model)
        yield folder


@pytest.fixture(scope="module")
def recommender(road: Path) -> Recommender:
    return Recommender.load(road / "uhman")


def test_shares_are_the_models(road: Path, recommender: Recommender) -> None:
    one, other = recommender.answers(["u0", "u1"], road / "1.mp4")
    assert one.look is not None
    assert other.look is not None
    assert one.frames is not None
    assert one.look.grid == (8, 8)
    assert one.look.regions.shape == (len(one.frames), 64)
    np.testing.assert_allclose(one.look.regions.sum(1), 1, atol=1e-5)
    assert one.look.frames.sum() == pytest.approx(1, abs=1e-5)
    assert not np.allclose(one.look.regions, other.look.regions, rtol=1e-6, atol=0)
    model, run = recommender.run.model, recommender.run
    assert isinstance(model, Attentive)
    extracted = features_of(list(run.manifests.values()), road / "1.mp4")
    posts = single_post(
        run.users.id_of("u1"), extracted.values, run.manifests,
        fields=run.profiles[run.users.id_of("u1")],
    )  # fmt: skip
    np.testing.assert_allclose(model.attention(posts).frames[0].numpy(), other.look.frames)


def test_one_answer_is_that_of_many(road: Path, recommender: Recommender) -> None:
    alone = recommender.answer(road / "0.mp4", "a day", "u1").as_json()
    beside = recommender.answers(["u0", "u1"], road / "0.mp4", "a day")[1].as_json()
    assert {**alone, "timing_ms": {}} == {**beside, "timing_ms": {}}
    found = alone["attention"]
    assert found["grid"] == [8, 8]
    assert len(found["frames"]) == 8
    assert set(found["frames"][0]) == {"time", "share", "strongest"}
    json.dumps(alone, allow_nan=False)


def test_nothing_to_look_at(road: Path, recommender: Recommender) -> None:
    answer = recommender.answer(None, "a day", "u0")
    assert answer.look is None
    assert "attention" not in answer.as_json()
    plain = Recommender.load(road / "popularity").answer(road / "0.mp4")
    assert plain.frames is not None
    assert plain.look is None
    extracted = features_of(list(recommender.run.manifests.values()), road / "0.mp4")
    posts = single_post(0, extracted.values, recommender.run.manifests)
    fewer = replace(extracted, frame_times=extracted.frame_times[:3])
    assert look_of(recommender.run.model, posts, fewer) is None


def look(frame: int, region: int, share: float, regions: int = 64, frames: int = 4) -> Look:
    """Even all over but for one region."""
    shares = np.full((frames, regions), 1 / regions)
    shares[frame] = (1 - share) / (regions - 1)
    shares[frame, region] = share
    return Look(tuple(0.5 + n for n in range(frames)), np.full(frames, 1 / frames), shares)


@pytest.mark.parametrize(
    ("region", "place"),
    [(0, "top left"), (7, "top right"), (3, "top"), (27, "middle"), (24, "left"),
     (63, "bottom right")],
)  # fmt: skip
def test_words_name_the_ninth_of_the_picture(region: int, place: str) -> None:
    reason = look(3, region, 0.5).reason()
    assert reason is not None
    assert reason.text == f"looked most at the {place} of the frame at 3.5 s"
    assert reason.facts["share"] == pytest.approx(0.125)
    assert reason.facts["even_share"] == pytest.approx(1 / 256)


def test_what_is_even_is_not_named() -> None:
    assert look(0, 0, 1 / 64).reason() is None
    frames = replace(look(0, 0, 1 / 64), frames=np.array([0.1, 0.1, 0.7, 0.1]))
    reason = frames.reason()
    assert reason is not None
    assert reason.text == "looked most at the frame at 2.5 s"
    assert look(0, 5, 0.9, regions=6).grid == (1, 6)
    assert "right of the frame" in str(look(0, 5, 0.9, regions=6).reason())


def test_every_hashtag_has_the_reason_after_the_counted_ones(
    road: Path, recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = look(1, 9, 0.9)
    monkeypatch.setattr("reeltag.recommend.recommender.look_of", lambda *_: seen)
    for tag in recommender.recommend(road / "0.mp4", user="u0"):
        assert tag.reasons[-1] == seen.reason()
        assert tag.reasons[0].kind != "look"
    assert not recommender.recommend(road / "0.mp4", user="u0", explain=False)[0].reasons


def test_two_users_two_pictures(road: Path, recommender: Recommender, tmp_path: Path) -> None:
    one, other = recommender.answers(["u0", "u1"], road / "1.mp4")
    for name, answers in (("one", [one]), ("other", [other]), ("both", [one, other])):
        draw_answers(tmp_path / f"{name}.png", answers, "uhman on 1.mp4")
    pictures = {}
    for path in tmp_path.iterdir():
        with images.open(path) as image:
            assert image.size[0] == WIDTH
            pictures[path.stem] = np.asarray(image.convert("RGB"))
    assert pictures["one"].shape == pictures["other"].shape
    # The clip itself is the same, what stands below it is not.
    assert np.array_equal(pictures["one"][132:300], pictures["other"][132:300])
    assert (pictures["one"] != pictures["other"]).any()
    assert pictures["both"].shape[0] > pictures["one"].shape[0]


def test_a_region_that_is_looked_at_is_the_brightest(
    road: Path, recommender: Recommender, tmp_path: Path
) -> None:
    answer = recommender.answer(road / "1.mp4")
    assert answer.frames is not None
    black = replace(answer, frames=np.zeros((4, 64, 64, 3), np.uint8), look=look(2, 63, 0.9))
    draw_answers(tmp_path / "look.png", [black], "t")
    with images.open(tmp_path / "look.png") as image:
        light = np.asarray(image.convert("RGB")).astype(int)
    # Frames of 153 px, 8 apart, from (58, 417) on: the third, its lower right corner.
    left, top = 58 + 2 * (153 + 8), 132 + 153 + 30 + 44 + 22 + 22 + 34
    tile = light[top : top + 153, left : left + 153].sum(-1)
    y, x = np.unravel_index(int(tile.argmax()), tile.shape)
    assert min(x, y) > 153 * 6 / 8
    assert tile[:76, :76].max() < tile.max() / 2


@pytest.mark.parametrize(
    ("frames", "user"),
    [(None, "nobody"), (np.zeros((1, 4, 900, 3), np.uint8), None),
     (np.zeros((30, 90, 4, 3), np.uint8), "舞 " * 200)],
)  # fmt: skip
def test_hard_answers_do_not_crash(
    road: Path, tmp_path: Path, frames: np.ndarray | None, user: str | None
) -> None:
    answer = Recommender.load(road / "popularity").answer(k=5)
    draw_answers(tmp_path / "x.png", [replace(answer, frames=frames, user=user)], "long " * 99)
    with images.open(tmp_path / "x.png") as image:
        assert image.size[0] == WIDTH


def test_many_frames_are_thinned_out(road: Path, recommender: Recommender, tmp_path: Path) -> None:
    answer = recommender.answer(road / "1.mp4")
    frames = np.zeros((30, 60, 60, 3), np.uint8)
    draw_answers(tmp_path / "x.png", [replace(answer, frames=frames, look=look(2, 3, 0.9, 7, 30))],
                 "t")  # fmt: skip
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_by_command(road: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELTAG_CACHE", str(road / "cache"))
    asked = ("recommend", road / "uhman", "--clip", road / "2.mp4", "--user", "u0", "-k", 2)
    out, _ = reeltag(*asked, "--beside", "u1", "--picture", tmp_path / "look.png", "--json")
    found = json.loads(out)
    assert found["user"] == "u0"
    assert [each["user"] for each in found["beside"]] == ["u1"]
    assert found["hashtags"][0]["reasons"]
    assert len(found["attention"]["frames"]) == 8
    assert (tmp_path / "look.png").read_bytes()[:4] == b"\x89PNG"
    out, _ = reeltag(*asked, "--picture", tmp_path / "again.png", "--beside", "u1")
    assert "Hashtags for u0" in out
    assert "Hashtags for u1" in out
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "look.png").read_bytes()
    _, err = reeltag(*asked, "--picture", tmp_path / "look.jpg", code=2)
    assert "ends in .png" in err


def test_pictures_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="without a clip"):
        check_picture(Path("x.png"), None)


def test_the_mean_over_regions_is_even(road: Path) -> None:
    answer = Recommender.load(road / "uhman-a").answer(road / "0.mp4", user="u0")
    assert answer.look is not None
    np.testing.assert_allclose(answer.look.regions, 1 / 64, rtol=1e-5)
    assert not any("of the frame" in r.text for t in answer.hashtags for r in t.reasons)
