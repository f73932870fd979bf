"""`reeltag recommend`: hashtags for one post."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.cli.pairs import pairs_of
from reeltag.cli.show import console, print_json, print_table


def command(
    run: Path = typer.Argument(..., help="Run folder."),
    clip: Path | None = typer.Option(None, help="Video file."),
    caption: str | None = typer.Option(None, help="Text of the post; its hashtags are ignored."),
    user: str | None = typer.Option(None, help="Who posts; unknown or nobody works too."),
    profile: list[str] = typer.Option(
        [],
        "--profile",
        help="NAME=VALUE known about the user, such as age=23, for models that read it.",
    ),
    k: int = typer.Option(10, "-k", help="How many hashtags."),
    explain: bool = typer.Option(False, "--explain", help="Add true reasons."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Recommend hashtags for a clip, a caption and a user; each of them may be missing.

    Example: reeltag recommend runs/gcn --clip band.mp4 --caption "live tonight" --user ann

    Example: reeltag recommend runs/uhman --clip band.mp4 --profile gender=f --profile age=23
    """
    from reeltag.recommend import Recommender
    from reeltag.runtime import set_threads

    set_threads()
    about = pairs_of(profile, "--profile", "NAME=VALUE") or None
    answer = Recommender.load(run).answer(clip, caption, user, k, explain, about)
    if json:
        print_json(answer.as_json())
        return
    print_table(
        f"Hashtags for {user or 'somebody'}{'' if answer.known_user else ' (not known)'}",
        ["rank", "hashtag", "score", *(["why"] if explain else [])],
        [
            [t.rank, f"#{t.hashtag}", t.score, *(["; ".join(r.text for r in t.reasons)] * explain)]
            for t in answer.hashtags
        ],
    )
    for warning in answer.warnings:
        console.print(f"note: {warning}", markup=False, soft_wrap=True)
