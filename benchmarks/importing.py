"""Times the import of one million posts from JSON Lines, CSV and Parquet, each in a new process.

python benchmarks/importing.py [POSTS]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

POSTS = 1_000_000
USERS, HASHTAGS, WORDS = 50_000, 200_000, 20_000
SECONDS, MEGABYTES = 15.0, 2048.0

_CHILD = """
import json, sys
from reeltag.data.importers import import_posts
from reeltag.runtime import peak_rss_mb
report = import_posts(sys.argv[1], sys.argv[2])
counts = report.dataset.counts
print(json.dumps({"seconds": report.seconds, "rss": peak_rss_mb(), "kept": report.kept,
                  "uses": counts["uses"], "hashtags": counts["hashtags"]}))
"""


def main(posts: int = POSTS) -> dict[str, dict[str, Any]]:
    """Generate the posts, import each format, and say seconds and peak memory."""
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="reeltag-importing-") as name:
        folder = Path(name)
        # In a process of its own: a child's peak memory starts from its parent's.
        command = [sys.executable, __file__, "--generate", str(folder), str(posts)]
        subprocess.run(command, check=True)
        for source in sorted(folder.glob("posts.*")):
            form = source.suffix[1:]
            got = _import(source, folder / f"dataset-{form}")
            if got["kept"] != posts:
                raise AssertionError(f"{form}: kept {got['kept']:,} of {posts:,} posts")
            size = source.stat().st_size >> 20
            note = f"{posts:,} posts, {got['uses']:,} uses, {size} MB, {os.cpu_count()} cores"
            seconds = {"value": round(got["seconds"], 2), "unit": "s", "target": SECONDS}
            memory = {"value": round(got["rss"]), "unit": "MB", "target": MEGABYTES}
            for what, entry in (("seconds", seconds), ("peak_rss", memory)):
                ok = entry["value"] <= entry["target"]
                results[f"import_{form}_{what}"] = {**entry, "ok": ok, "note": note}
            source.unlink()
    return results


def _generate(folder: Path, posts: int) -> None:
    """Zipf hashtags and users; captions that hold the hashtags, one in fifty with an odd one."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 9, posts)
    total = int(lengths.sum())
    tags = pl.Series(rng.zipf(1.2, total) % HASHTAGS).cast(pl.Utf8)
    words = pl.Series(rng.zipf(1.3, posts * 8) % WORDS).cast(pl.Utf8)
    rows = pl.Series(np.repeat(np.arange(posts), lengths))
    hashtags = pl.DataFrame({"row": rows, "tag": "#Tag" + tags}).group_by("row").agg("tag")
    text = pl.DataFrame({"row": np.repeat(np.arange(posts), 8), "word": "word" + words})
    text = text.group_by("row", maintain_order=True).agg(pl.col("word").str.join(" "))
    frame = text.join(hashtags, on="row", how="left", maintain_order="left")
    odd = (
        pl.when(pl.col("row") % 50 == 0)
        .then(pl.lit("#Café🔥#Straße, 好看#话题# "))
        .otherwise(pl.lit(""))
    )
    frame = frame.select(
        (pl.col("row") + 7_200_000_000_000_000_000).alias("post"),
        pl.Series("user", rng.zipf(1.3, posts) % USERS).cast(pl.Utf8),
        pl.concat_str("word", pl.lit(" "), odd, pl.col("tag").fill_null([]).list.join(" ")).alias(
            "caption"
        ),
        (pl.lit(1_600_000_000) + pl.col("row") * 30).alias("time"),
    )
    frame.write_ndjson(folder / "posts.jsonl")
    frame.write_csv(folder / "posts.csv")
    frame.write_parquet(folder / "posts.parquet")


def _import(source: Path, target: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", _CHILD, str(source), str(target)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--generate"]:
        _generate(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        print(json.dumps(main(*(int(argument) for argument in sys.argv[1:])), indent=2))
