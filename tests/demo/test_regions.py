"""The world of regions: its plan has no short cut, its clips show it, and attention pays there."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from reeltag.data.feature import Feature, Manifest, ragged
from reeltag.demo import region_clips, regions
from reeltag.demo.region_clips import MOMENT_FRAMES, SIZE, film_of, make_region_clips, shape_mask
from reeltag.demo.region_run import SETTINGS, judge_regions, region_dataset, run_regions
from reeltag.demo.regions import LIKES, MOMENTS, SHAPES, TEAMS, RegionPost, plan_region_posts
from reeltag.demo.run import REGION_SEED
from reeltag.errors import InputError

SIDE = 8


@pytest.fixture(scope="module")
def planned() -> list[RegionPost]:
    return plan_region_posts(700, 0)


def test_a_plan_is_a_function_of_its_arguments(planned: list[RegionPost]) -> None:
    assert planned == plan_region_posts(700, 0)
    assert planned != plan_region_posts(700, 1)
    assert len({post.id for post in planned}) == 700
    with pytest.raises(InputError, match="posts=0"):
        plan_region_posts(0, 0)


def test_a_hashtag_names_the_users_object_and_another_user_tags_another(
    planned: list[RegionPost],
) -> None:
    differ = 0
    for post in planned:
        tags = [regions.own_thing(post, team, likes).shape for team in TEAMS for likes in LIKES]
        assert post.hashtags[0] == regions.own_thing(post, post.team, post.likes).shape
        differ += len(set(tags)) == len(tags)
    assert differ > 0.6 * len(planned), "mostly four users would tag four objects"


def test_neither_history_nor_light_nor_order_tells_the_hashtag(planned: list[RegionPost]) -> None:
    by_user: dict[str, list[str]] = defaultdict(list)
    for post in planned:
        by_user[post.user].append(post.hashtags[0])
    again = [a == b for own in by_user.values() for a, b in pairwise(own)]
    assert np.mean(again) < 2 / len(SHAPES)
    assert max(Counter(p.hashtags[0] for p in planned).values()) < 2 * len(planned) / len(SHAPES)
    lightest = [max(m.light for m in p.moments) for p in planned]
    darkest = [min(m.light for m in p.moments) for p in planned]
    assert min(lightest) < max(darkest), "light alone does not say which moment it is"
    first = np.mean([p.moments[0].light > p.moments[1].light for p in planned])
    assert 0.4 < first < 0.6


def test_a_film_shows_its_things(planned: list[RegionPost]) -> None:
    post = planned[0]
    film = film_of(post)
    assert film.shape == (MOMENTS * MOMENT_FRAMES, SIZE, SIZE, 3)
    assert np.array_equal(film, film_of(post))
    for at, moment in enumerate(post.moments):
        frame = film[at * MOMENT_FRAMES].astype(float) / 255
        colours = np.array([region_clips.COLOURS[team] for team in TEAMS])
        for thing, colour in zip(moment.things, colours, strict=True):
            ys, xs = np.nonzero((np.abs(frame - colour) < 0.1).all(-1))
            assert xs.mean() / SIZE == pytest.approx(thing.x, abs=0.06)
            assert ys.mean() / SIZE == pytest.approx(thing.y, abs=0.06)


def test_shapes_differ() -> None:
    masks = np.array([shape_mask(shape, 43).ravel() for shape in SHAPES])
    away = np.abs(masks[:, None] - masks[None]).mean(-1) + np.eye(len(SHAPES))
    assert away.min() > 0.05


def test_only_missing_clips_are_made_and_those_of_another_call_go(tmp_path: Path) -> None:
    make_region_clips(tmp_path / "clips", 3, 0)
    clips = sorted((tmp_path / "clips").glob("*.mp4"))
    assert len(clips) == 3
    before = [clip.stat().st_mtime_ns for clip in clips]
    content = clips[1].read_bytes()
    clips[1].unlink()
    make_region_clips(tmp_path / "clips", 3, 0)
    assert clips[1].read_bytes() == content
    assert [clips[at].stat().st_mtime_ns for at in (0, 2)] == [before[at] for at in (0, 2)]
    make_region_clips(tmp_path / "clips", 2, 1)
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 2


def grid_of(posts: list[RegionPost], seed: int = 1) -> Feature:
    """Regions without clips: what is at each place as numbers, mixed at random, with noise."""
    rng = np.random.default_rng(seed)
    wide = len(TEAMS) + len(SHAPES) + 1
    mix = rng.standard_normal((wide, 48)) / 7
    entries = []
    for post in posts:
        here = np.zeros((MOMENTS, SIDE, SIDE, wide))
        for at, moment in enumerate(post.moments):
            here[at, ..., -1] = 4 * moment.light - 2
            for thing in moment.things:
                x, y = (min(int(v * SIDE), SIDE - 2) for v in (thing.x, thing.y))
                around = here[at, y - 1 : y + 2, x - 1 : x + 2]
                around[..., TEAMS.index(thing.team)] = 1
                around[..., len(TEAMS) + SHAPES.index(thing.shape)] = 1
        mixed = here.reshape(MOMENTS, SIDE * SIDE, wide) @ mix
        entries.append(mixed + 0.05 * rng.standard_normal(mixed.shape))
    manifest = Manifest(
        "visual-grid", "visual", "test", "grid", (SIDE * SIDE, 48), "float16", "clip",
        options={"frames": MOMENTS},
    )  # fmt: skip
    return ragged(manifest, entries)


def test_uhman_beats_both_ablations_on_a_generated_grid(
    planned: list[RegionPost], tmp_path: Path
) -> None:
    quick = {**SETTINGS, "learning_rate": 4e-3, "epochs": 25}
    dataset = region_dataset(tmp_path / "data", planned, [grid_of(planned)])
    report = judge_regions(dataset, seeds=1, workers=1, settings=quick)
    assert report.judged == 140
    for model in ("uhman-a", "uhman-b"):
        against = report.contrast(model)
        assert against is not None
        assert against.difference > 0.05
        assert against.p_posts < 0.05


@pytest.mark.long
def test_uhman_beats_both_ablations_on_real_clips(tmp_path: Path) -> None:
    """Full size: 700 clips through the network, five seeds, the world of the demo."""
    report = run_regions(tmp_path, seed=REGION_SEED)
    assert report.mean("uhman", "recall@5") > 0.8
    assert len(report.contrasts) == 2
    for against in report.contrasts:
        assert against.difference > 0.1
        assert against.p_seeds < 0.01
        assert against.p_posts < 0.01
