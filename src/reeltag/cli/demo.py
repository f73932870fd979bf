"""`reeltag demo`: the whole road on clips made for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from reeltag.cli.show import console, print_json, print_table

if TYPE_CHECKING:
    from reeltag.demo.region_run import RegionsReport


def command(
    dir_: Path = typer.Option(Path("demo"), "--dir", help="Folder for everything it makes."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Make 300 short clips, then import → extract → split → train → evaluate → recommend.

    The clips are generated: a dozen invented creators who tag alike content differently. Then
    700 smaller ones whose users tag each another object, for UHMAN and its two ablations.
    """
    from reeltag.demo.run import run_demo
    from reeltag.runtime import set_threads

    set_threads()
    demo = run_demo(dir_)
    if json:
        print_json(demo.as_json())
        return
    metrics = ["precision@10", "recall@10", "ndcg@10", "mrr"]
    print_table(
        f"Generated clips: {demo.posts} posts, {demo.users} creators, {demo.hashtags} hashtags; "
        "test part, full ranking",
        ["model", *metrics, "recall@10 of tags new to the creator"],
        [
            [name, *(r.metrics[m] for m in metrics), r.new_to_user["recall@10"]]
            for name, r in demo.reports.items()
        ],
        note="Generated data: these figures say that the road works, not how good it is.",
    )
    _print_regions(demo.regions)
    example = demo.example
    print_table(
        f"gcn-phr for a clip {example.user} has not posted yet",
        ["rank", "hashtag", "score", "why"],
        [
            [t.rank, f"#{t.hashtag}", t.score, "; ".join(r.text for r in t.reasons)]
            for t in example.hashtags
        ],
    )
    total = sum(demo.seconds.values())
    console.print(f"Filmstrip: {demo.filmstrip}   ({total:.0f} s in all)", markup=False)


def _print_regions(regions: RegionsReport) -> None:
    """The table of UHMAN and its ablations."""
    rows = []
    for model, metrics in regions.metrics.items():
        each = [
            f"{regions.mean(model, m):.3f} ± {regions.deviation(model, m):.3f}" for m in metrics
        ]
        against = regions.contrast(model)
        p_values = [f"{against.p_seeds:.1e}", f"{against.p_posts:.1e}"] if against else ["", ""]
        rows.append([model, *each, *p_values])
    names = list(next(iter(regions.metrics.values())))
    seeds = len(regions.metrics["uhman"][names[0]])
    print_table(
        f"Where to look depends on the user: {regions.posts} generated clips, {regions.users} "
        f"users, {regions.judged} test posts, {seeds} seeds (mean ± deviation)",
        ["model", *names, "p (seeds)", "p (posts)"],
        rows,
        note="uhman-a takes the mean over regions, uhman-b over frames. p: uhman against it in "
        "recall@1, paired over seeds, and over posts.",
    )
