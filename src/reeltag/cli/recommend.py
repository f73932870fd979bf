"""`reeltag recommend`: hashtags for one post."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from reeltag.cli.pairs import pairs_of
from reeltag.cli.show import console, print_json, print_table

if TYPE_CHECKING:
    from reeltag.recommend import Answer


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
    music: str | None = typer.Option(None, help="Its music, as the training data writes it."),
    place: str | None = typer.Option(None, help="Its place, likewise."),
    at: str | None = typer.Option(
        None, help="When it is published, such as 2024-05-01T18:30, UTC unless it says; now."
    ),
    k: int = typer.Option(10, "-k", help="How many hashtags."),
    explain: bool = typer.Option(
        False, "--explain", help="Add true reasons; of the house model, what raised each hashtag."
    ),
    picture: Path | None = typer.Option(
        None, help="PNG to draw: the clip's frames and where the model looked; adds reasons."
    ),
    beside: list[str] = typer.Option(
        [], "--beside", help="Another user, for whom the same post is answered too; repeatable."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Recommend hashtags for a clip, a caption and a user; each of them may be missing.

    Example: reeltag recommend runs/gcn --clip band.mp4 --caption "live tonight" --user ann

    Example: reeltag recommend runs/uhman --clip band.mp4 --profile gender=f --profile age=23

    Example: reeltag recommend runs/uhman --clip band.mp4 --user ann --beside bob --picture look.png
    """
    from reeltag.recommend import Recommender
    from reeltag.recommend.attention_picture import check_picture, draw_answers
    from reeltag.recommend.posts import seconds_of
    from reeltag.runtime import set_threads

    set_threads()
    about = pairs_of(profile, "--profile", "NAME=VALUE") or None
    seconds = None if at is None else seconds_of(at)
    if picture is not None:
        check_picture(picture, clip)
    recommender = Recommender.load(run)
    why = explain or picture is not None
    answers = recommender.answers(
        [user, *beside], clip, caption, k, why, about, music, place, seconds
    )
    if picture is not None and clip is not None:
        draw_answers(picture, answers, f"{recommender.run.model.name} on {clip.name}")
    first, *others = answers
    if json:
        also = {"beside": [answer.as_json() for answer in others]} if others else {}
        print_json({**first.as_json(), **also})
        return
    for answer in answers:
        _show(answer, why)
    for warning in dict.fromkeys(w for answer in answers for w in answer.warnings):
        console.print(f"note: {warning}", markup=False, soft_wrap=True)
    if picture is not None:
        console.print(f"Picture: {picture}", markup=False, soft_wrap=True)


def _show(answer: Answer, explain: bool) -> None:
    """One user's table; where the model looked is said once, below it."""
    looked = list(
        dict.fromkeys(r.text for t in answer.hashtags for r in t.reasons if r.kind == "look")
    )
    rows: list[list[object]] = []
    for tag in answer.hashtags:
        reasons = [reason.text for reason in tag.reasons if reason.kind != "look"]
        rows.append([tag.rank, f"#{tag.hashtag}", tag.score, *(["; ".join(reasons)] * explain)])
    print_table(
        f"Hashtags for {answer.user or 'somebody'}{'' if answer.known_user else ' (not known)'}",
        ["rank", "hashtag", "score", *(["why"] if explain else [])],
        rows,
        note=f"The model {looked[0]}." if looked else "",
    )
