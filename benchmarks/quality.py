"""Every model on every real set: what `docs/quality.md` is written from.

    python -m benchmarks.quality FOLDER [--only PART ...] [--tables]

The sets come from `../shared/data` (or REELTAG_SHARED_DATA). Each step is one `reeltag` command,
printed before it runs; what is finished is kept, so a killed run goes on. All of it takes many
hours on two cores. `--tables` runs nothing: it prints Markdown of the reports that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.convergence import ACOUSTIC, MAPPING, VISUAL

DATA = Path(
    os.environ.get("REELTAG_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared/data")
)
SEEDS = "3"
SETS = {
    "tweets-a": ("tw5", "main"),
    "tweets-b": ("tw", "authors"),
    "news-a": ("news5", "main"),
    "news-b": ("news", "time"),
    "kuairec": ("kuai5", "main"),
}
"""Name of a comparison to its dataset and split. A: by user, after the 5/5 core. B: by time."""
COLD = "popularity,user-history,content-knn,text-knn,blend,reeltag"
REPLAYED = "popularity,user-history,bll,text-knn,blend,reeltag"
SHOWN = (("ndcg@10", "metrics"), ("recall@10", "metrics"), ("recall@10", "new_to_user"))

Step = tuple[str, Path, str]
"""The part it is of, what it makes, the command's arguments."""


def steps(folder: Path) -> Iterator[Step]:
    """Every command in order; paths are relative to `folder`."""
    mapping = " ".join(f"--map {key}={column}" for key, column in MAPPING.items())
    columns = f"--feature visual={VISUAL} --feature acoustic={ACOUSTIC}"
    core = "--min-hashtag-uses 5 --min-user-posts 5"
    made: list[tuple[str, str]] = [
        ("news", f"import {DATA}/tiktok_news_gesis/tiktok.csv.gz news {mapping} {columns}"),
        ("news/splits/time.toml", "split news --name time --by time --min-hashtag-uses 5"),
        ("news5", f"filter news news5 {core}"),
        ("news5/splits/main.toml", "split news5 --name main --by user --seed 0"),
        (
            "tw",
            f"import {DATA}/twitter_howyoutag/posts.jsonl.gz tw --map caption=text "
            "--map split=split",
        ),
        (
            "tw/splits/authors.toml",
            "split tw --name authors --by column --min-hashtag-uses 5",
        ),
        (
            "tw/splits/cold.toml",
            "split tw --name cold --by user --min-hashtag-uses 5 --cold-users 0.2",
        ),
        ("tw5", f"filter tw tw5 {core}"),
        ("tw5/splits/main.toml", "split tw5 --name main --by user --seed 0"),
        (
            "kuai",
            f"import {DATA}/kuairec_captions/kuairec_caption_category.csv.gz kuai "
            "--map post=video_id --map hashtags=topic_tag --map caption=caption",
        ),
        ("kuai5", "filter kuai kuai5 --min-hashtag-uses 5"),
        ("kuai5/splits/main.toml", "split kuai5 --name main --by random --ratio 8:1:1"),
    ]
    made += [
        (f"{name}/features/textual-minilm", f"extract {name} --textual minilm")
        for name in ("news", "news5", "tw", "tw5", "kuai5")
    ]
    yield from (("data", folder / path, command) for path, command in made)
    for name, (dataset, split) in SETS.items():
        yield name, folder / name, (
            f"compare {dataset} --split {split} --models all --seeds {SEEDS} --out {name}"
        )  # fmt: skip
    for name in ("tweets-b", "news-b"):
        dataset, split = SETS[name]
        yield "replay", folder / f"{name}-replay", (
            f"compare {dataset} --split {split} --models {REPLAYED} --protocol replay "
            f"--out {name}-replay"
        )  # fmt: skip
    yield "cold", folder / "cold", f"compare tw --split cold --models {COLD} --out cold"
    for name in ("news-a", "tweets-a"):
        dataset, split = SETS[name]
        for part in ("scorers", "modalities", "joined", "calibration"):
            yield part, folder / f"{name}-{part}", (
                f"reproduce house:{part} {dataset} --split {split} --out {name}-{part}"
            )  # fmt: skip


def run(folder: Path, only: list[str]) -> int:
    """Run the steps of the named parts, or all; the first one that fails ends it."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, target, command in steps(folder):
        if (only and part not in only) or (part == "data" and target.exists()):
            continue
        print(f"$ reeltag {command}", flush=True)
        argv = [sys.executable, "-m", "reeltag", *shlex.split(command)]
        code = subprocess.run(argv, cwd=folder, check=False).returncode
        if code:
            return code
    return 0


def report_of(folder: Path, name: str) -> dict[str, Any]:
    """`report.json` of one comparison; empty where it is not there."""
    path = folder / name / "report.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def values_of(model: dict[str, Any], protocol: str = "full") -> list[float]:
    """NDCG@10, recall@10 and recall@10 on hashtags new to the user."""
    test = model["test"][protocol]
    return [test[kind][metric]["mean"] for metric, kind in SHOWN]


def tables(folder: Path) -> Iterator[str]:
    """Lines of Markdown: the sets side by side, then a table a report."""
    found = {name: report_of(folder, name) for name in SETS}
    found = {name: report for name, report in found.items() if report}
    models = {
        name: {each["model"]: values_of(each) for each in report["models"]}
        for name, report in found.items()
    }
    names = dict.fromkeys(model for report in models.values() for model in report)
    yield "| | " + " | ".join(models) + " |"
    yield "| --- " * (len(models) + 1) + "|"
    for model in names:
        cells = [_cell(report.get(model)) for report in models.values()]
        yield f"| {model} | " + " | ".join(cells) + " |"
    yield ""
    for name, report in found.items():
        tests = report["significance"]["full"]["against_reference"].get("blend", [])
        for test in tests:
            if test["first"] == "reeltag":
                yield (
                    f"{name}: reeltag minus blend {test['difference']:+.4f} "
                    f"({test['low']:+.4f} to {test['high']:+.4f})"
                )
    for path in sorted(folder.glob("*/report.json")):
        if path.parent.name not in SETS:
            yield from ("", f"### {path.parent.name}", "")
            yield from _single(json.loads(path.read_text(encoding="utf-8")))


def _cell(values: list[float] | None) -> str:
    return "-" if values is None else " ".join(f"{v:.3f}".removeprefix("0") for v in values)


def _single(report: dict[str, Any]) -> Iterator[str]:
    for each in report.get("models", []):
        for protocol in each["test"]:
            yield f"| {each['model']} | {protocol} | {_cell(values_of(each, protocol))} |"
    if "brier" in report:
        yield f"Brier {report['brier']:.4f}, calibration error {report['calibration_error']:.4f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=[], help="data, a set, replay, cold, ...")
    parser.add_argument("--tables", action="store_true", help="print what there is")
    asked = parser.parse_args()
    if asked.tables:
        print("\n".join(tables(asked.folder)))
        raise SystemExit(0)
    raise SystemExit(run(asked.folder, asked.only))
