"""Generated clips: real files that decode, sidecars that parse, creators who differ."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from reeltag.demo.clips import Clip, make_clips
from reeltag.demo.lexicon import CREATORS, STYLES, TOPICS
from reeltag.demo.posts import DAYS, PlannedPost, plan_posts
from reeltag.demo.scenes import SCENES
from reeltag.demo.sounds import SOUNDS
from reeltag.errors import InputError

av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clips(folder: Path) -> list[Clip]:
    return make_clips(folder, posts=6, seed=3, workers=1)


@pytest.fixture(scope="module")
def planned() -> list[PlannedPost]:
    return plan_posts(300, 0)


def test_clips_decode_and_last_as_long_as_their_sidecars_say(clips: list[Clip]) -> None:
    for clip in clips:
        sidecar = json.loads(clip.sidecar.read_text(encoding="utf-8"))
        with av.open(str(clip.path)) as container:
            assert len(container.streams.audio) == (0 if clip.silent else 1)
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert frames[0].shape == (sidecar["height"], sidecar["width"], 3)
        assert len(frames) == round(sidecar["duration"] * sidecar["fps"])
        assert 2 <= sidecar["duration"] <= 3
        assert (frames[0] != frames[-1]).mean() > 0.01, "the picture moves"
        if not clip.silent:
            with av.open(str(clip.path)) as container:
                samples = sum(f.samples for f in container.decode(audio=0))
                rate = container.streams.audio[0].rate
            assert samples / rate == pytest.approx(sidecar["duration"], abs=0.15)


def test_sidecars_say_who_when_and_what(clips: list[Clip]) -> None:
    for clip in clips:
        sidecar = json.loads(clip.sidecar.read_text(encoding="utf-8"))
        assert sidecar["id"] == clip.id == clip.path.stem
        assert sidecar["uploader"] == clip.creator
        assert sidecar["uploader_id"] == clip.creator_id
        assert sidecar["timestamp"] == int(clip.time.timestamp())
        assert sidecar["generated"] is True
        assert sidecar["description"].startswith(clip.caption)
        written = [w[1:].lower() for w in sidecar["description"].split() if w.startswith("#")]
        assert written == list(clip.hashtags)


def test_same_seed_same_files_and_another_seed_other_ones(
    clips: list[Clip], tmp_path: Path
) -> None:
    again = make_clips(tmp_path / "again", posts=6, seed=3, workers=2)
    for one, other in zip(clips, again, strict=True):
        assert one.sidecar.read_bytes() == other.sidecar.read_bytes()
        assert one.path.read_bytes() == other.path.read_bytes()
    assert [p.written for p in plan_posts(6, 3)] != [p.written for p in plan_posts(6, 4)]


def test_only_what_is_missing_or_of_another_seed_is_made(tmp_path: Path) -> None:
    first = make_clips(tmp_path, posts=3, seed=1, workers=1)
    first[1].sidecar.unlink()
    stamps = {clip.id: clip.path.stat().st_mtime_ns for clip in first}
    second = make_clips(tmp_path, posts=3, seed=1, workers=1)
    redone = [clip.id for clip in second if clip.path.stat().st_mtime_ns != stamps[clip.id]]
    assert redone == [first[1].id]


def test_a_smaller_call_removes_what_is_left_over_but_nothing_foreign(tmp_path: Path) -> None:
    make_clips(tmp_path, posts=3, seed=1, workers=1)
    foreign = tmp_path / "reel-holiday.info.json"
    foreign.write_text('{"id": "reel-holiday"}')
    kept = make_clips(tmp_path, posts=1, seed=1, workers=1)
    assert sorted(p.name for p in tmp_path.glob("*.mp4")) == [kept[0].path.name]
    assert foreign.is_file()
    assert "generated" in (tmp_path / "README.txt").read_text()


def test_no_posts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="posts=0"):
        make_clips(tmp_path, posts=0)


def test_every_topic_has_a_picture_a_sound_and_four_names_a_thing() -> None:
    assert set(SCENES) == set(SOUNDS) == set(TOPICS)
    for topic in TOPICS.values():
        assert all(len(tags) == len(STYLES) == len(set(tags)) for tags in topic.tags)


def test_posts_are_a_believable_crowd(planned: list[PlannedPost]) -> None:
    assert len({p.id for p in planned}) == 300
    assert all(2 <= len(p.hashtags) == len(set(p.hashtags)) <= 5 for p in planned)
    assert [p.time for p in planned] == sorted(p.time for p in planned)
    assert (planned[-1].time - planned[0].time).days > 0.9 * DAYS
    assert min(Counter(p.creator for p in planned).values()) >= 8
    assert {p.creator for p in planned} == {name for name, _, _ in CREATORS}
    assert 0.05 < sum(not p.caption for p in planned) / 300 < 0.25
    assert any(p.silent for p in planned)
    assert any(not p.caption.isascii() for p in planned)


def test_creators_tag_the_same_topic_differently(planned: list[PlannedPost]) -> None:
    tags: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for post in planned:
        tags[post.topic][post.creator].update(post.hashtags)
    for creators in tags.values():
        favourites = {c: used.most_common(1)[0][0] for c, used in creators.items()}
        assert len(set(favourites.values())) >= 2


def recall(posts: list[PlannedPost], suggest: dict[str, list[str]], by: str) -> float:
    found = [
        len(set(suggest.get(getattr(p, by), [])[:5]) & set(p.hashtags)) / len(p.hashtags)
        for p in posts
    ]
    return sum(found) / len(found)


def test_topic_and_creator_each_tell_something(planned: list[PlannedPost]) -> None:
    """Popularity < the creator's history, and < the topic: there is something to learn."""
    train, test = planned[:240], planned[240:]
    everything = Counter(tag for p in train for tag in p.hashtags)
    popular = [tag for tag, _ in everything.most_common(5)]
    scores = {}
    for by in ("creator", "topic"):
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        for post in train:
            seen[getattr(post, by)].update(post.hashtags)
        best = {key: [t for t, _ in used.most_common(5)] for key, used in seen.items()}
        scores[by] = recall(test, best, by)
    base = recall(test, dict.fromkeys(TOPICS, popular), "topic")
    assert base + 0.1 < min(scores.values())
    assert max(scores.values()) < 0.7
