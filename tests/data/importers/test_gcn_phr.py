"""The authors' .npy layout, in every order of ids it is known in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reeltag.data.importers import import_posts
from reeltag.errors import InputError, UnsafeFileError

U, H, P = 3, 1010, 6
TAGS = [[3, 4], [5], [4, 6], [3], [7, 8], [1012]]
USERS = [0, 0, 1, 2, 1, 2]
PARTS = ["train", "train", "train", "train", "validation", "test"]


def _save(path: Path, rows: list[Any]) -> None:
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    np.save(path, array, allow_pickle=True)


def _write(folder: Path, order: str = "nested", listed: bool = True, names: bool = True) -> Path:
    folder.mkdir()
    triples = [
        (USERS[p], tag, U + H + p) for p in range(P) if PARTS[p] == "train" for tag in TAGS[p]
    ]
    if order == "nested":
        _save(folder / "train.npy", [((u, p), t) for u, t, p in triples])
    else:
        place = {"u": 0, "t": 1, "p": 2}
        np.save(folder / "train.npy", np.array([[row[place[c]] for c in order] for row in triples]))
    for stem, part in (("val", "validation"), ("test", "test")):
        rows = []
        for p in [p for p in range(P) if PARTS[p] == part]:
            negatives = [t for t in range(U, U + H) if t not in TAGS[p]][:1000]
            if order == "nested":
                rows.append([USERS[p], U + H + p, *negatives, *TAGS[p]])
            else:
                rows.append([USERS[p], *negatives, *TAGS[p], U + H + p])
        _save(folder / f"{stem}.npy", rows)
    if listed:
        _save(folder / "video_hashtag.npy", TAGS)
    if names:
        (folder / "user_list.txt").write_text("ann\nben\ncleo\n")
        (folder / "hashtag_list.txt").write_text("\n".join(f"Tag{n}" for n in range(H)))
        (folder / "video_list.txt").write_text("\n".join(f"v{n}" for n in range(P)))
    rng = np.random.default_rng(0)
    for name in ("FeatureVideo", "FeatureAudio_avg", "FeatureText"):
        values = rng.normal(size=(P, 4))
        values[5] = 0
        np.save(folder / f"{name}_normal.npy", values)
    return folder


@pytest.mark.parametrize("order", ["nested", "utp", "upt"])
@pytest.mark.parametrize("listed", [True, False])
def test_every_order_gives_the_same_posts(tmp_path: Path, order: str, listed: bool) -> None:
    report = import_posts(_write(tmp_path / "s", order, listed), tmp_path / "out")
    assert (report.format, report.kept) == ("gcn-phr", P)
    posts = report.dataset.posts
    assert posts["post"].to_list() == [f"v{n}" for n in range(P)]
    assert posts["user"].to_list() == [["ann", "ben", "cleo"][u] for u in USERS]
    assert posts["part"].to_list() == PARTS
    assert posts["hashtags"].to_list() == [[f"tag{t - U}" for t in tags] for tags in TAGS]
    assert sorted(report.dataset.features) == [
        "acoustic-gcn-phr",
        "textual-gcn-phr",
        "visual-gcn-phr",
    ]
    feature = report.dataset.feature("visual-gcn-phr")
    assert feature.values.dtype == np.float32
    assert feature.present.tolist() == [True] * 5 + [False]


def test_without_names_ids_stand_for_themselves(tmp_path: Path) -> None:
    report = import_posts(_write(tmp_path / "s", names=False), tmp_path / "out")
    posts = report.dataset.posts
    assert posts["user"].to_list() == [str(u) for u in USERS]
    assert posts["hashtags"].to_list() == [[str(t) for t in tags] for tags in TAGS]
    assert posts["post"][0] == str(U + H)


def test_hashtags_counted_from_zero_are_understood(tmp_path: Path) -> None:
    folder = _write(tmp_path / "s")
    _save(folder / "video_hashtag.npy", [[t - U for t in tags] for tags in TAGS])
    posts = import_posts(folder, tmp_path / "out").dataset.posts
    assert posts["hashtags"].to_list() == [[f"tag{t - U}" for t in tags] for tags in TAGS]


def test_damage_is_named(tmp_path: Path) -> None:
    folder = _write(tmp_path / "s")
    np.save(folder / "FeatureText_normal.npy", np.zeros((2, 4)))
    with pytest.raises(InputError, match=r"FeatureText_normal.npy: got 2 rows"):
        import_posts(folder, tmp_path / "out")
    folder = _write(tmp_path / "t")
    (folder / "user_list.txt").write_text("ann\n")
    with pytest.raises(InputError, match=r"train.npy, row \d+: got ids"):
        import_posts(folder, tmp_path / "out")
    np.save(folder / "train.npy", np.zeros((3, 2)))
    with pytest.raises(InputError, match="three"):
        import_posts(folder, tmp_path / "out")


def test_a_poisoned_folder_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return open, (str(tmp_path / "flag"), "w")

    folder = _write(tmp_path / "s")
    _save(folder / "video_hashtag.npy", [[1], Evil()])
    with pytest.raises(UnsafeFileError, match="would run"):
        import_posts(folder, tmp_path / "out")
    assert not (tmp_path / "flag").exists()
    assert not (tmp_path / "out").exists()


def test_arrays_take_a_table_only(tmp_path: Path) -> None:
    source = _write(tmp_path / "arrays")
    with pytest.raises(InputError, match=r"it has post, user, hashtags, part.*--users FILE"):
        import_posts(source, tmp_path / "out", user_fields={"age": "age"})
    table = tmp_path / "users.jsonl"
    table.write_text(json.dumps({"user": "ben", "age": 30}))
    users = import_posts(source, tmp_path / "out", users=table).dataset.users
    assert dict(users.select("user", "age").iter_rows())["ben"] == 30
