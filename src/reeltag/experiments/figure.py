"""Test posts and runs in; a picture of them, their users' past and each model's ten best out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.data.dataset import Dataset
from reeltag.data.splits import open_split
from reeltag.errors import ClipError, DatasetError, MissingExtraError
from reeltag.evaluation.protocols import judge
from reeltag.experiments.judge import corpus_of
from reeltag.experiments.plan import Plan, run_path
from reeltag.experiments.plots import Plot, matplotlib_figure, png, quiet_glyphs
from reeltag.training.run import load_run

POSTS, TOP, PAST = 3, 10, 10
_FRAMES, _SIZE, _SHORT = 3, 160, 22
_LETTERS = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "PingFang SC",
    "Arial Unicode MS",
)  # fmt: skip
_INK, _SOFT, _LINE = "#1f2328", "#6b7078", "#dfe2e6"
_COLOURS = {"hit": "#1a7f4b", "own": "#2f62b5", "other": "#565b63"}

Kind = Literal["hit", "own", "other"]


@dataclass(frozen=True)
class Shown:
    """One test post of the figure."""

    post: str
    user: str
    caption: str
    hashtags: list[str]
    past: list[tuple[str, int]]
    """The user's most used training hashtags with their uses."""
    recommended: dict[str, list[tuple[str, Kind]]]
    """Model to its best hashtags and what each is to the post."""
    frames: list[NDArray[np.uint8]] = field(default_factory=list, repr=False)
    """Of the clip, where the dataset has it and it can be decoded."""

    def as_json(self) -> dict[str, Any]:
        """Everything but the pictures."""
        return {
            "post": self.post,
            "user": self.user,
            "caption": self.caption,
            "hashtags": self.hashtags,
            "past": [{"hashtag": tag, "uses": uses} for tag, uses in self.past],
            "recommended": {
                model: [{"hashtag": tag, "kind": kind} for tag, kind in tags]
                for model, tags in self.recommended.items()
            },
        }


def show_posts(
    dataset: Dataset, plan: Plan, models: Sequence[str], out: Path, users: Sequence[str] = ()
) -> list[Shown]:
    """What the stored runs of `models` recommend for a few test posts.

    One post each of `users`, or of `POSTS` drawn users with a past. Raises `DatasetError`
    where there is no such post.
    """
    posts = _choose(dataset, plan.split, users)
    rows = posts["row"].to_numpy().astype(np.int64)
    split = open_split(dataset, plan.split)
    past = (
        split.visible(dataset.posts)[split.rows("train")]
        .select("user", "hashtags")
        .explode("hashtags", empty_as_null=False)
    )
    tags: dict[str, list[list[str]]] = {}
    for model in models:
        run = load_run(run_path(out, model, plan.seeds_of(model)[0]), plan.device)
        corpus = corpus_of(run, dataset)
        ranked = judge(run.model, corpus, corpus.posts_at(rows), "full", (TOP,)).ranked
        tags[model] = [
            [run.hashtags.names[tag] for tag in row if tag >= 0] for row in ranked.tolist()
        ]
    shown = []
    for number, post in enumerate(posts.iter_rows(named=True)):
        uses = (
            past.filter(pl.col("user") == post["user"])
            .group_by("hashtags").len().sort(["len", "hashtags"], descending=[True, False])
        )  # fmt: skip
        own = set(uses["hashtags"])
        recommended = {
            model: [(tag, _kind(tag, post["hashtags"], own)) for tag in found[number]]
            for model, found in tags.items()
        }
        shown.append(
            Shown(
                post=post["post"],
                user=post["user"],
                caption=post["caption"],
                hashtags=post["hashtags"],
                past=list(uses.head(PAST).iter_rows()),
                recommended=recommended,
                frames=_frames(dataset, post["clip"]),
            )
        )
    return shown


def _choose(dataset: Dataset, split: str, users: Sequence[str]) -> pl.DataFrame:
    """One test post a user, with a hashtag known from training; the richest in hashtags."""
    opened = open_split(dataset, split)
    train = opened.visible(dataset.posts)[opened.rows("train")]
    known = train["hashtags"].explode(empty_as_null=False).unique()
    tests = dataset.posts[opened.rows("test")].with_columns(row=pl.Series(opened.rows("test")))
    tests = tests.filter(
        pl.col("user").is_in(train["user"].drop_nulls().unique().to_list())
        & pl.col("hashtags").list.set_intersection(pl.lit(known.to_list())).list.len().gt(0)
    )
    if users:
        tests = tests.filter(pl.col("user").is_in(list(users)))
        lacking = set(users) - set(tests["user"])
        if lacking:
            raise DatasetError(
                f"User {', '.join(sorted(lacking))} has no test post with a known hashtag in "
                f"split {split!r}. Expected users of the training part; reeltag info shows them."
            )
    if tests.is_empty():
        raise DatasetError(
            "No test post has a user and a hashtag of the training part, so there is nothing to "
            "show. Expected a split --by user of a dataset with users."
        )
    richest = tests.sort(
        [pl.col("hashtags").list.len(), "row"], descending=[True, False], maintain_order=True
    ).unique("user", keep="first", maintain_order=True)
    if users:
        return richest
    drawn = np.random.default_rng(0).permutation(richest.height)[:POSTS]
    return richest.sort("user")[np.sort(drawn)]


def _kind(tag: str, post: Sequence[str], own: set[str]) -> Kind:
    return "hit" if tag in post else "own" if tag in own else "other"


def _frames(dataset: Dataset, clip: str | None) -> list[NDArray[np.uint8]]:
    """A few frames of a clip; none where there is no clip or nothing to decode it with."""
    if clip is None:
        return []
    from reeltag.media.decode import decode
    from reeltag.media.request import Frames, Request

    try:
        found = decode(dataset.clip_path(clip), Request(Frames(_FRAMES, _SIZE), None)).frames
    except (ClipError, MissingExtraError):
        return []
    return [] if found is None else list(found)


def draw_figure(shown: Sequence[Shown]) -> Plot:
    """The picture, on white, one row a post."""
    columns = list(shown[0].recommended)
    wide, tall = 3.4 + 1.95 * (len(columns) + 1), 3.15
    figure = matplotlib_figure()(figsize=(wide, 0.6 + tall * len(shown)), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, wide)
    axes.set_ylim(0.6 + tall * len(shown), 0)
    pen = _Pen(axes, _families())
    with quiet_glyphs():
        x = pen.write(0.2, 0.35, "✓ on this post", _COLOURS["hit"], bold=True) + 0.3
        x = pen.write(x, 0.35, "used by the user before", _COLOURS["own"], bold=True) + 0.3
        pen.write(x, 0.35, "neither", _COLOURS["other"])
        for number, post in enumerate(shown):
            _draw_post(axes, pen, post, 0.6 + tall * number, wide)
        image = png(figure, transparent=False)
    spoken = "; ".join(_spoken(post) for post in shown)
    return Plot("figure", "What each model recommends", f"{spoken}.", image, image)


def _draw_post(axes: Any, pen: _Pen, post: Shown, top: float, wide: float) -> None:
    axes.plot([0.2, wide - 0.2], [top, top], color=_LINE, linewidth=1)
    y = top + 0.3
    for number, frame in enumerate(post.frames[:_FRAMES]):
        left = 0.2 + number * 1.02
        high = 0.96 * frame.shape[0] / frame.shape[1]
        scale = min(1.0, 1.3 / high)
        box = (left, left + 0.96 * scale, top + 0.12 + high * scale, top + 0.12)
        axes.imshow(frame, extent=box, aspect="auto", interpolation="bilinear")
        y = top + 0.12 + min(high, 1.3) + 0.25
    pen.write(0.2, y, _short(post.user, 30), _INK, bold=True)
    caption = textwrap.wrap(" ".join(post.caption.split()), 42)[: 3 if post.frames else 6]
    for line in caption or ["no caption"]:
        y += 0.2
        pen.write(0.2, y, line, _INK if caption else _SOFT)
    y += 0.26
    for line in textwrap.wrap(" ".join(f"#{tag}" for tag in post.hashtags), 42)[:4]:
        pen.write(0.2, y, line, _COLOURS["hit"])
        y += 0.2
    x, step = 3.5, 0.245
    pen.write(x, top + 0.3, "used before", _INK, bold=True)
    for place, (tag, uses) in enumerate(post.past):
        pen.write(x, top + 0.58 + step * place, f"{_short(tag, 16)} ×{uses}", _SOFT)
    axes.plot([x + 1.8] * 2, [top + 0.15, top + 3.0], color=_LINE, linewidth=1)
    for number, (model, tags) in enumerate(post.recommended.items()):
        x = 5.45 + 1.95 * number
        pen.write(x, top + 0.3, model, _INK, bold=True)
        for place, (tag, kind) in enumerate(tags):
            tick = "✓ " if kind == "hit" else ""
            pen.write(x, top + 0.58 + step * place, tick + _short(tag, 19), _COLOURS[kind],
                      bold=kind == "hit")  # fmt: skip


class _Pen:
    """Writes on axes whose unit is an inch; text is never read as mathematics."""

    def __init__(self, axes: Any, families: list[str]) -> None:
        self._axes, self._families = axes, families

    def write(self, x: float, y: float, text: str, colour: str, *, bold: bool = False) -> float:
        """Write with the baseline at y; returns about where the text ends."""
        self._axes.text(
            x, y, text, color=colour, fontsize=9, va="baseline", parse_math=False,
            family=self._families, weight="bold" if bold else "normal",
        )  # fmt: skip
        return x + 0.086 * len(text)


def _families() -> list[str]:
    """Fonts of `_LETTERS` that this machine has, so that every script that can be is shown."""
    from matplotlib.font_manager import fontManager

    have = {font.name for font in fontManager.ttflist}
    return [name for name in _LETTERS if name in have]


def _short(text: str, most: int = _SHORT) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _spoken(post: Shown) -> str:
    hits = ", ".join(
        f"{model} {sum(kind == 'hit' for _, kind in tags)} of {len(post.hashtags)}"
        for model, tags in post.recommended.items()
    )
    return f"A post of {post.user} with {', '.join(post.hashtags)}: right among ten: {hits}"
