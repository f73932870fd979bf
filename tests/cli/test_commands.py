"""The command line as a person uses it: the whole road, and one clear message for bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROWS = [
    {
        "id": f"p{n}",
        "who": f"u{n % 5}",
        "when": 1_700_000_000 + n * 3600,
        "text": f"a {'sea' if n % 2 else 'city'} day #t{n % 2} number{n % 7}",
        "tags": [f"t{n % 2}", f"by{n % 5}", "everyday"],
        "set-up": n % 2,
        "loud": n % 3,
        "sex": "fm"[n % 5 % 2],
    }
    for n in range(100)
]


def reeltag(*arguments: object, code: int = 0, cwd: Path | None = None) -> tuple[str, str]:
    """Run the command; returns (stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "reeltag", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every stop of the road was made by commands."""
    folder = tmp_path_factory.mktemp("road")
    (folder / "posts.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    (folder / "users.csv").write_text("who,age\nu0,20\nu1,30\nu2,40\nu3,\nu9,99\n")
    reeltag(
        "import", "posts.jsonl", "all", "--map", "post=id", "--map", "user=who", "--map",
        "time=when", "--map", "caption=text", "--map", "hashtags=tags",
        "--feature", "visual=set-up", "--feature", "acoustic=loud",
        "--user-field", "gender=sex", "--users", "users.csv", cwd=folder,
    )  # fmt: skip
    reeltag("split", "all", "--name", "main", cwd=folder)
    reeltag("filter", "all", "core", "--min-hashtag-uses", 2, "--min-user-posts", 2, cwd=folder)
    reeltag("split", "core", "--name", "main", "--by", "user", "--seed", 0, cwd=folder)
    reeltag("extract", "core", "--textual", "tokens", "--textual", "sif", cwd=folder)
    reeltag(
        "train", "core", "--model", "gcn-phr", "--out", "runs/gcn", "--set", "epochs=2",
        "--set", "dim=4", cwd=folder,
    )  # fmt: skip
    reeltag(
        "train", "core", "--model", "user-additive", "--out", "runs/ua", "--set", "epochs=1",
        "--set", "features=visual", cwd=folder,
    )  # fmt: skip
    return folder


def test_info_counts(road: Path) -> None:
    out, _ = reeltag("info", "core", "--json", cwd=road)
    found = json.loads(out)
    assert found["counts"]["posts"] == 100
    assert found["counts"]["users"] == 5
    assert {f["name"] for f in found["features"]} == {
        "visual-columns", "acoustic-columns", "textual-tokens", "textual-sif",
    }  # fmt: skip
    assert found["splits"][0]["counts"] == {"train": 80, "validation": 10, "test": 10}
    gender, age = found["fields"]
    assert (gender["kind"], gender["values"]) == ("categorical", {"f": 3, "m": 2})
    assert (age["kind"], age["range"], age["unknown_users"]) == ("numeric", [20, 40], 0.4)
    table, _ = reeltag("info", "core", cwd=road)
    assert "everyday" in table
    assert "f (3), m (2)" in table
    assert "20 to 40" in table


@pytest.mark.parametrize("protocol", ["full", "sampled", "leave-one-out", "replay"])
def test_evaluate_prints_one_json_object(road: Path, protocol: str) -> None:
    out, _ = reeltag(
        "evaluate", "runs/gcn", "core", "--protocol", protocol, "--top", "1,3", "--json", cwd=road
    )
    found = json.loads(out)
    assert found["protocol"] == protocol
    assert found["posts"] == (30 if protocol == "leave-one-out" else 10)
    for metric in ("precision", "recall", "f1", "accuracy", "ndcg"):
        assert 0 <= found["metrics"][f"{metric}@3"] <= 1
    assert set(found["by_popularity"]) == {"popular", "relative", "unpopular"}
    assert set(found["by_history"]) == {"0", "1-4", "5-14", "15+"}
    assert (
        found["by_caption"]["repeated"]["posts"] + found["by_caption"]["new"]["posts"]
        == (found["posts"])
    )


def test_recommend_prints_one_json_object(road: Path) -> None:
    out, _ = reeltag(
        "recommend", "runs/gcn", "--caption", "a sea day", "--user", "u1", "-k", 3, "--explain",
        "--json", cwd=road,
    )  # fmt: skip
    found = json.loads(out)
    assert found["known_user"] is True
    assert len(found["hashtags"]) == 3
    assert found["hashtags"][0]["reasons"]
    assert any("table columns" in warning for warning in found["warnings"])
    table, _ = reeltag("recommend", "runs/gcn", "--user", "nobody-we-know", cwd=road)
    assert "not known" in table


def test_filter_balances_the_top(road: Path) -> None:
    reeltag("filter", "all", "even", "--balance-top", 1, "--seed", 3, cwd=road)
    out, _ = reeltag("info", "even", "--json", cwd=road)
    assert json.loads(out)["top_hashtags"]["everyday"] == 50


def test_recommend_to_somebody_described(road: Path) -> None:
    out, _ = reeltag(
        "recommend", "runs/ua", "--profile", "gender=f", "--profile", "age=33", "--json", cwd=road
    )
    assert not any("never seen" in warning for warning in json.loads(out)["warnings"])
    table, _ = reeltag("recommend", "runs/ua", "--profile", "gender=x", cwd=road)
    assert "gender 'x' was never seen in training" in table


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--help"],
        ["info", "core"],
        ["filter", "core", "apart", "--min-user-posts", "3"],
        ["import", "posts.jsonl", "again", "--map", "post=id", "--map", "hashtags=tags"],
    ],
)
def test_what_only_touches_data_starts_without_torch(road: Path, arguments: list[str]) -> None:
    """torch takes three times as long to import as all else."""
    code = "import sys\nfrom reeltag.cli import main\n"
    code += "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=road
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["models", "extractors", "doctor"])
def test_lists_are_json_objects(command: str) -> None:
    out, _ = reeltag(command, "--json")
    assert len(next(iter(json.loads(out).values()))) > 3


def test_help_teaches() -> None:
    out, _ = reeltag("--help")
    for command in ("import", "filter", "split", "extract", "train", "evaluate", "recommend"):
        assert command in out
        shown, _ = reeltag(command, "--help")
        assert "Example:" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nowhere"], "no ReelTag dataset"),
        (["train", "core", "--model", "gcn-pht", "--out", "x"], "Did you mean gcn-phr"),
        (["train", "core", "--model", "gcn-phr", "--out", "x", "--set", "dims=3"], "mean dim"),
        (["train", "core", "--model", "gcn-phr", "--out", "x", "--split", "no"], "no split 'no'"),
        (["train", "core", "--model", "gcn-phr", "--out", "runs/gcn"], "holds a run already"),
        (["train", "core", "--model", "popularity", "--out", "x", "--device", "abacus"], "abacus"),
        (["evaluate", "runs/none", "core"], "no ReelTag run"),
        (["evaluate", "runs/gcn", "core", "--protocol", "half"], "full, sampled"),
        (["evaluate", "runs/gcn", "all"], "no feature 'textual-sif'"),
        (["recommend", "runs/gcn", "-k", "0"], "k=0"),
        (["recommend", "runs/ua", "--profile", "age"], "expected NAME=VALUE"),
        (["recommend", "runs/ua", "--profile", "age=1", "--profile", "age=2"], "age=… twice"),
        (["recommend", "runs/ua", "--profile", "age=old"], "age='old' about a user"),
        (["recommend", "runs/ua", "--profile", "sex=f"], "expected one of: gender, age"),
        (["split", "core", "--by", "moon"], "--by 'moon'"),
        (["split", "core", "--ratio", "1:2"], "8:1:1"),
        (["split", "core", "--by", "column"], "--map split=COLUMN"),
        (["split", "core", "--cold-users", "1"], "--cold-users 1"),
        (["filter", "core", "all"], "exists already"),
        (["filter", "core", "new", "--min-user-posts", "-1"], "min_user_posts=-1"),
        (["filter", "core", "new", "--balance-top", "99"], "balance_top=99, but"),
        (["extract", "core"], "Nothing to extract"),
        (["extract", "core", "--visual", "eyes"], "eyes"),
        (["import", "posts.jsonl", "new", "--map", "post"], "expected NAME=COLUMN"),
        (["import", "posts.jsonl", "new", "--map", "user=whom"], "whom"),
        (["import", "missing.csv", "new"], "missing.csv"),
        (["import", "posts.jsonl", "new", "--user-field", "age"], "expected NAME=COLUMN"),
        (["import", "posts.jsonl", "new", "--user-field", "age=years"], "no column 'years'"),
        (["import", "posts.jsonl", "new", "--users", "none.csv"], "none.csv does not exist"),
        (["train", "core"], "--model"),
        (["fly"], "fly"),
    ],
)
def test_bad_input_is_one_clear_message(road: Path, arguments: list[str], message: str) -> None:
    before = sorted(p.name for p in road.iterdir())
    _, err = reeltag(*arguments, code=2, cwd=road)
    assert message in err
    assert sorted(p.name for p in road.iterdir()) == before


def test_models_without_users_or_features_say_what_is_needed(tmp_path: Path) -> None:
    rows = [{"post": str(n), "caption": "x", "hashtags": ["a", f"b{n % 3}"]} for n in range(40)]
    (tmp_path / "posts.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    reeltag("import", "posts.jsonl", "d", cwd=tmp_path)
    reeltag("split", "d", "--by", "random", cwd=tmp_path)
    _, err = reeltag("train", "d", "--model", "gcn-phr", "--out", "r", code=2, cwd=tmp_path)
    assert "no training post has a user" in err
    _, err = reeltag("train", "d", "--model", "content-knn", "--out", "r", code=2, cwd=tmp_path)
    assert "reeltag extract" in err
    reeltag("train", "d", "--model", "user-history", "--out", "r", cwd=tmp_path)
    out, _ = reeltag("evaluate", "r", "d", "--json", cwd=tmp_path)
    assert json.loads(out)["posts"] > 0


def test_ctrl_c_is_one_line_and_leaves_a_run_to_resume(road: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "reeltag", "train", "core", "--model", "gcn-phr", "--out",
         str(tmp_path / "run"), "--set", "epochs=5000", "--set", "patience=5000"],
        cwd=road, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "--resume" in err
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["checkpoint.safetensors"]


def test_a_full_disk_is_one_line_and_leaves_nothing(road: Path) -> None:
    """A file-size limit plays the full disk: writing past it fails as writing to one does."""
    command = (
        "ulimit -f 1; trap '' XFSZ; "
        f"exec {sys.executable} -m reeltag import posts.jsonl big --map post=id"
    )
    done = subprocess.run(
        ["bash", "-c", command], cwd=road, capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "Nothing half-written is left" in done.stderr
    assert not any("big" in p.name for p in road.iterdir())
