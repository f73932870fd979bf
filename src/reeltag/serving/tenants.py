"""A run and a store in; a recommender for each tenant, which knows the tenant's posts, out."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from reeltag.data.batches import check_fits
from reeltag.data.feature import Manifest
from reeltag.errors import InputError, MissingFeatureError
from reeltag.features.single import Extracted
from reeltag.hashtags import normalise, strip
from reeltag.models.contract import Model
from reeltag.models.observing import Observing
from reeltag.recommend import Answer, Question, Recommender
from reeltag.recommend.posts import Circumstances, NewPost, Values
from reeltag.recommend.recommender import Read
from reeltag.serving.records import DEFAULT, Ledger, Published
from reeltag.training.evidence import Evidence

_BLOCK = 64
"""Posts of the store that are observed at once."""


class Tenant:
    """One tenant's recommender, and the number of the last post of the store that it knows.

    It begins as a copy of the run's own (`private_copy`): what one tenant publishes, no other's
    recommender sees. Not to be used by two threads at once.
    """

    def __init__(self, name: str, base: Recommender, store: Ledger) -> None:
        self.name, self.seen = name, 0
        gone = erased_users(store, name, base) if name == DEFAULT else None
        self.recommender = private_copy(base, gone)
        self.observes = isinstance(base.run.model, Observing)

    def catch_up(self, store: Ledger) -> None:
        """Take in what the store has of the tenant's posts and this one has not, in order.

        The store is the only source of posts: so what is known depends on its order alone, not
        on that of notices, and a post that was erased in between is never learned of. Posts that
        are taken in together give what each one by itself gives, but for rounding.
        """
        if not self.observes:
            return
        manifests = self.recommender.run.manifests
        posts = store.posts(self.seen, self.name)
        while block := list(itertools.islice(posts, _BLOCK)):
            self.recommender.publish([_news(post, manifests) for _, post in block])
            self.seen = block[-1][0]

    def warm(self) -> None:
        """Answer once for nobody, so that no request waits for what is read or compiled first."""
        asked = Question(None, Extracted({}), "warm", Circumstances(0))
        self.recommender.respond([self.recommender.read(asked)])

    def respond(self, reads: Sequence[Read]) -> list[Answer]:
        """Answers to questions its recommender read, with a warning where posts are not learned."""
        answers = self.recommender.respond(reads)
        if self.observes:
            return answers
        said = (
            f"{self.recommender.run.model.name} learns of published posts by training alone: "
            "they are stored, and change nothing here until then"
        )
        return [replace(answer, warnings=[*answer.warnings, said]) for answer in answers]


def private_copy(base: Recommender, gone: Collection[str] | None) -> Recommender:
    """A recommender that observes alone, and to which the run's users `gone` (None: all of them)
    are unknown: their names lead to no history, and their posts have no ids that a reason names.

    What such posts added to counts, weights and neighbours stays, with nobody's name to it. What
    observing never changes is shared with `base`: parameters, `Observing.lasting`, and all of a
    model that cannot observe.
    """
    run, evidence = base.run, base.evidence
    nameless = pl.lit(True)
    if gone is not None:
        nameless = pl.col("user").is_in([run.users.id_of(name) for name in gone])
    post = pl.when(nameless).then(None).otherwise(pl.col("post"))
    return Recommender(
        replace(
            run,
            model=_apart(run.model),
            users=run.users.concealed(gone),
            hashtags=run.hashtags.concealed(()),
        ),
        Evidence(
            evidence.posts.with_columns(post=post),
            evidence.words,
            None if evidence.nearest is None else copy.deepcopy(evidence.nearest),
        ),
    )


def _apart(model: Model) -> Model:
    """A copy that can observe by itself."""
    if not isinstance(model, Observing):
        return model
    kept = [
        part.get_buffer(name)
        for part in model.modules()
        if isinstance(part, Observing)
        for name in part.lasting
    ]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *kept)})


def erased_users(store: Ledger, tenant: str, base: Recommender) -> set[str]:
    """Those of the run's users whom the tenant had erased."""
    stones = store.erased_hashes()
    return {name for name in base.run.users.index if is_erased(store, tenant, name, stones)}


def is_erased(store: Ledger, tenant: str, user: str, stones: frozenset[bytes]) -> bool:
    """Whether a user is among the erased, given by their tombstones."""
    try:
        return bool(stones) and store.tombstone(tenant, user) in stones
    except InputError:  # a name that no store can hold: nobody could ask for it to be erased
        return False


def _news(post: Published, manifests: Mapping[str, Manifest]) -> NewPost:
    """What is learned of a stored post by a run that reads these features."""
    tags = filter(None, map(normalise, post.hashtags))
    return NewPost(
        post.user,
        list(dict.fromkeys(tags)),
        strip(post.caption or ""),
        dict(_fitting(post.values or {}, manifests.values())),
        Circumstances(post.at, post.music, post.place),
        post.post,
    )


def _fitting(values: Values, manifests: Iterable[Manifest]) -> Values:
    """The features that a run can read: of another run, some may be of another shape."""
    kept: dict[str, np.ndarray] = {}
    for manifest in manifests:
        value = values.get(manifest.name)
        if value is None:
            continue
        try:
            check_fits(np.asarray(value), manifest)
        except MissingFeatureError:
            continue
        kept[manifest.name] = np.asarray(value)
    return kept
