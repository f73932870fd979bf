"""A recommender in; what it knows of a user, of hashtags that begin so, and of its run, out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from reeltag.hashtags import normalise
from reeltag.models.observing import Observing
from reeltag.recommend import Recommender
from reeltag.serving.records import UserHistory


def history_of(recommender: Recommender, user: str) -> UserHistory:
    """What the posts it knows tell of a user: of one unknown, nothing. Times are not known."""
    known = recommender.run.users.id_of(user)
    if known < 0:
        return UserHistory(0, None, None, {})
    own = recommender.evidence.posts.filter(pl.col("user") == known)
    uses = own["hashtags"].explode(empty_as_null=False).value_counts(name="uses")
    uses = uses.sort(["uses", "hashtags"], descending=[True, False])
    names = recommender.run.hashtags.names
    return UserHistory(own.height, None, None, {names[tag]: n for tag, n in uses.iter_rows()})


def hashtags_like(recommender: Recommender, prefix: str, count: int) -> list[tuple[str, int]]:
    """Hashtags that begin so, with their uses, the most used first, `count` at most."""
    held = recommender.run.hashtags
    names = pl.DataFrame({"name": held.names, "uses": held.counts})
    found = names.filter(pl.col("name").str.starts_with(normalise(prefix)))
    return list(found.sort(["uses", "name"], descending=[True, False]).head(count).iter_rows())


def users_like(recommender: Recommender, prefix: str) -> Iterator[tuple[str, int]]:
    """The run's users whose ids begin so, with their training posts, the most active first."""
    held = recommender.run.users
    names = pl.DataFrame({"name": held.names, "posts": held.counts})
    found = names.filter(pl.col("name").str.starts_with(prefix))
    return found.sort(["posts", "name"], descending=[True, False]).iter_rows()


def card_of(recommender: Recommender) -> dict[str, Any]:
    """`run.toml`, the run's card in Markdown, and whether the model learns of published posts."""
    run = recommender.run
    card = run.path / "README.md"
    return {
        "run": run.path.name,
        "observes": isinstance(run.model, Observing),
        **run.description,
        "card": card.read_text(encoding="utf-8") if card.is_file() else "",
    }
