"""A folder of clips: three styles of sidecar, and sidecars made to do harm."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from reeltag.data.importers import import_posts
from reeltag.data.importers.sidecar import SIZE_LIMIT
from reeltag.errors import InputError

YTDLP = {
    "id": "abc",
    "uploader": "Ann",
    "uploader_id": "@ann",
    "description": "a dog #Dog runs",
    "upload_date": "20230216",
    "tags": ["pets", "dog"],
    "formats": [{}],
}
TIKTOK = {
    "id": "7203375632661695749",
    "author": {"uniqueId": "ben"},
    "desc": "nice #cat",
    "createTime": "1676561788",
    "challenges": [{"title": "cat"}, {"title": "fyp"}],
    "textExtra": [{"hashtagName": "kitten"}, {"hashtagName": ""}],
    "music": {"title": "song"},
}
INSTAGRAM = {
    "shortcode": "Xy1",
    "owner": {"username": "cleo"},
    "edge_media_to_caption": {"edges": [{"node": {"text": "sea #Sun#sea"}}]},
    "taken_at_timestamp": 1676561788,
    "location": {"name": "Nice"},
}


def _clip(folder: Path, name: str, sidecar: Any = None, suffix: str = ".info.json") -> Path:
    clip = folder / name
    clip.parent.mkdir(parents=True, exist_ok=True)
    clip.write_bytes(b"clip")
    if sidecar is not None:
        content = sidecar if isinstance(sidecar, bytes) else json.dumps(sidecar).encode()
        clip.with_name(clip.stem + suffix).write_bytes(content)
    return clip


def test_three_styles(tmp_path: Path) -> None:
    source = tmp_path / "clips"
    _clip(source, "a.mp4", YTDLP)
    _clip(source, "sub/b.webm", {"itemInfo": {"itemStruct": TIKTOK}}, ".json")
    _clip(source, "sub/c.MOV", {"node": INSTAGRAM}, ".json")
    (source / "readme.txt").write_text("x")
    report = import_posts(source, tmp_path / "out")
    assert (report.format, report.kept, report.rejected) == ("folder", 3, {})
    posts = report.dataset.posts
    assert posts["post"].to_list() == ["abc", "7203375632661695749", "Xy1"]
    assert posts["user"].to_list() == ["@ann", "ben", "cleo"]
    assert posts["caption"].to_list() == ["a dog runs", "nice", "sea"]
    assert posts["hashtags"].to_list() == [
        ["dog", "pets"],
        ["cat", "fyp", "kitten"],
        ["sun", "sea"],
    ]
    assert posts["clip"].to_list() == ["a.mp4", "sub/b.webm", "sub/c.MOV"]
    assert posts["music"].to_list() == [None, "song", None]
    assert posts["place"].to_list() == [None, None, "Nice"]
    assert posts["time"].null_count() == 0
    assert report.dataset.clip_path("sub/b.webm") == source.resolve() / "sub/b.webm"


def test_a_clip_without_a_sidecar_is_a_post_of_nobody(tmp_path: Path) -> None:
    _clip(tmp_path / "clips", "x/a.mp4")
    report = import_posts(tmp_path / "clips", tmp_path / "out")
    assert report.dataset.posts["post"].to_list() == ["x/a"]
    assert report.dataset.counts["posts_without_user"] == 1
    assert "1 of 1 clips have no sidecar" in report.warnings[0]


@pytest.mark.parametrize(
    ("sidecar", "reason"),
    [
        (b" " * (SIZE_LIMIT + 1), "sidecar too large"),
        (b'{"a":' * 100_000, "sidecar too deep"),
        (b"\xff\xfe{}", "sidecar not UTF-8"),
        (b"{", "sidecar broken"),
        (b"[1]", "sidecar no object"),
        (b"null", "sidecar no object"),
        ({"id": 1, "timestamp": 10**5000}, "sidecar broken"),
        ({"id": ["x"]}, "sidecar field of a wrong kind"),
        ({"id": "x", "description": {"a": 1}}, "sidecar field of a wrong kind"),
        ({"id": "x", "tags": "dog"}, "sidecar field of a wrong kind"),
        ({"id": "x", "author": ["y"], "desc": "z"}, "sidecar field of a wrong kind"),
        ({"id": "x", "description": "a" * 200_000}, "sidecar field too long"),
    ],
)
def test_hostile_sidecars_are_one_reject_each(tmp_path: Path, sidecar: Any, reason: str) -> None:
    source = tmp_path / "clips"
    _clip(source, "good.mp4", YTDLP)
    if isinstance(sidecar, dict) and isinstance(sidecar.get("timestamp"), int):
        sidecar = b'{"id": 1, "timestamp": 1' + b"0" * 5000 + b"}"
    _clip(source, "bad.mp4", sidecar)
    report = import_posts(source, tmp_path / "out", rejects=tmp_path / "rejects")
    assert (report.kept, report.rejected) == (1, {reason: 1})
    assert json.loads((tmp_path / "rejects").read_text())["reason"].startswith(reason)


def test_unreadable_time_follows_the_rule_for_rows(tmp_path: Path) -> None:
    source = tmp_path / "clips"
    _clip(source, "a.mp4", YTDLP)
    _clip(source, "b.mp4", {**YTDLP, "id": "b", "upload_date": "soon"})
    report = import_posts(source, tmp_path / "out", rejects=tmp_path / "rejects")
    assert report.rejected == {"unreadable time": 1}


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    source, outside = tmp_path / "clips", tmp_path / "outside"
    _clip(source, "good.mp4", YTDLP)
    secret = _clip(outside, "secret.mp4", {**YTDLP, "id": "secret"})
    (source / "linked.mp4").symlink_to(secret)
    _clip(source, "b.mp4")
    (source / "b.info.json").symlink_to(outside / "secret.info.json")
    (source / "loop.mp4").symlink_to(source / "loop.mp4")
    (source / "inside.mp4").symlink_to(source / "good.mp4")
    (source / "folder").symlink_to(outside, target_is_directory=True)
    os.mkfifo(source / "pipe.mp4")
    report = import_posts(source, tmp_path / "out")
    assert report.rejected == {"link leaves the folder": 2, "broken link": 1, "no plain file": 1}
    assert "secret" not in report.dataset.posts["post"].to_list()


def test_odd_file_names(tmp_path: Path) -> None:
    source = tmp_path / "clips"
    names = ["a b'\"#.mp4", "new\nline.mp4", "好看🔥.mp4", "-rf.mp4"]
    for name in names:
        _clip(source, name)
    with (source / "ok.mp4").open("wb"), open(os.fsencode(source) + b"/bad\xff.mp4", "wb"):
        pass
    report = import_posts(source, tmp_path / "out", rejects=tmp_path / "rejects")
    assert report.rejected == {"file name not UTF-8": 1}
    assert set(report.dataset.posts["clip"]) == {*names, "ok.mp4"}


def test_folders_refuse_what_they_cannot_do(tmp_path: Path) -> None:
    source = tmp_path / "clips"
    source.mkdir()
    with pytest.raises(InputError, match="no known format"):
        import_posts(source, tmp_path / "out")
    with pytest.raises(InputError, match="holds no clip"):
        import_posts(source, tmp_path / "out", format="folder")
    _clip(source, "a.mp4", YTDLP)
    with pytest.raises(InputError, match="--map"):
        import_posts(source, tmp_path / "out", mapping={"user": "x"})


def test_keys_of_sidecars_become_fields(tmp_path: Path) -> None:
    source = tmp_path / "clips"
    author = {"uniqueId": "ben", "region": "IT", "verified": True}
    _clip(source, "a.mp4", {**TIKTOK, "author": author})
    _clip(source, "b.mp4", {**YTDLP, "channel_follower_count": 12, "a.b": "c"})
    _clip(source, "c.mp4")
    asked = {
        "country": "author.region",
        "verified": "author.verified",
        "followers": "channel_follower_count",
        "dotted": "a.b",
        "song": "music",
    }
    report = import_posts(source, tmp_path / "out", user_fields=asked)
    nothing = dict.fromkeys(asked)
    users = report.dataset.users.select("user", *asked)
    assert {row.pop("user"): row for row in users.to_dicts()} == {
        "ben": {**nothing, "country": "IT", "verified": "true", "song": "song"},
        "@ann": {**nothing, "followers": 12, "dotted": "c"},
    }


@pytest.mark.parametrize(
    ("key", "message"),
    [("autor", "no column 'autor'.*It has: .*author.*mean 'author'"), ("author", "an object")],
)
def test_keys_no_sidecar_can_give(tmp_path: Path, key: str, message: str) -> None:
    source = tmp_path / "clips"
    _clip(source, "a.mp4", TIKTOK)
    with pytest.raises(InputError, match=message):
        import_posts(source, tmp_path / "out", user_fields={"country": key})
