"""`reeltag evaluate`: how good a run is."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.cli.show import print_json, print_table


def command(
    run: Path = typer.Argument(..., help="Run folder."),
    dataset: Path = typer.Argument(..., help="Dataset folder the run was trained on."),
    protocol: str = typer.Option(
        "full",
        help="full (rank every hashtag), sampled (among 1,000 drawn), leave-one-out (100) or "
        "replay (full, in order of time; the model observes each post once judged).",
    ),
    on: str = typer.Option("test", help="test or validation."),
    top: str = typer.Option("5,10", help="The k of the metrics, with commas."),
    seed: int = typer.Option(0, help="Seed of the drawn hashtags."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Judge a run on posts it did not learn from.

    Example: reeltag evaluate runs/gcn news5 --protocol full --top 5,10 --json

    Processes that torchrun starts judge a part of the posts each.
    """
    from reeltag.data.dataset import Dataset
    from reeltag.evaluation.protocols import parse_protocol
    from reeltag.experiments.judge import evaluate_run, parse_part, parse_tops
    from reeltag.progress import say
    from reeltag.runtime import set_threads
    from reeltag.together import first, joined

    set_threads()
    with joined(device) as own:
        report = evaluate_run(
            run,
            Dataset.open(dataset),
            parse_part(on),
            parse_protocol(protocol),
            parse_tops(top),
            seed,
            own,
        )
        if not first():
            return
    if json:
        print_json(report.as_json())
        return
    if protocol == "replay" and not report.observes:
        say(f"{report.model} cannot observe: judged as in full ranking.")
    print_table(
        f"{report.model} on {report.dataset}, split {report.split}, {report.on}, "
        f"{report.protocol}: {report.posts:,} judged, {report.skipped:,} skipped, "
        f"{report.hashtags:,} hashtags",
        ["metric", "value"],
        report.metrics.items(),
        note=f"{report.seconds:.1f} s, {report.posts_per_second:,.0f} posts/s, "
        f"{report.peak_rss_mb:,.0f} MiB",
    )
    hashtags = {"new to the user": report.new_to_user, **report.by_popularity}
    posts = {
        **{f"user of {count} posts": found for count, found in report.by_history.items()},
        **{f"{kind} caption": found for kind, found in report.by_caption.items()},
    }
    names = list(report.new_to_user)
    print_table(
        "By kind of hashtag", ["kind", *names], [[g, *v.values()] for g, v in hashtags.items()]
    )
    print_table(
        "By kind of post",
        ["kind", *names],
        [[g, *v.values()] for g, v in posts.items()],
        note="A user's posts are those of the training part.",
    )
