"""A trained model among the scorers of the house model, and the names of those who take part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, ModelConfig, Sizes, Trained
from reeltag.models.layers.growing import longer
from reeltag.models.observing import Observing
from reeltag.models.trained import TRAINED


class Joined(Observing):
    """score(post, j) = s(post, j) - min_i s(post, i),  s the score of a trained model.

    and 0 for a hashtag of which the trained model knows nothing: one without a use in the
    training posts, or one that came later. So the worst, and whom it cannot judge, are alike in
    every post.

    The model is trained by a trainer before `fit`, and stays as it was trained: `fit` only looks
    which hashtags have uses. Users, words and hashtags that came after the training (by `grow`,
    or as `Sizes` of a later fit; the ids of earlier ones stay) are unknown to it, so its sizes
    may be smaller than these. Whatever is asked about is a post from outside to it
    (`PostBatch.own` is -1), and every dataset's vectors are what it reads, whatever it `reads`
    by itself.

    `observe` changes nothing: this is where it is less than `Observing` promises.
    """

    def __init__(self, name: str, sizes: Sizes) -> None:
        super().__init__(ModelConfig(), sizes)
        self.heard: Tensor
        self.known: Tensor
        self.name = name
        self.model = self._untrained(sizes)
        self.buffer("heard", torch.ones(sizes.hashtags, dtype=torch.bool))
        self.buffer("known", torch.tensor([sizes.users, sizes.hashtags, sizes.words]))

    def _untrained(self, sizes: Sizes) -> Trained:
        entry = TRAINED[self.name]
        with torch.random.fork_rng(devices=[]):  # with the weights it would draw if it were alone
            torch.manual_seed(torch.initial_seed())
            model = entry.model(entry.model.Config(**entry.preset), sizes)
        model.name = self.name
        assert isinstance(model, Trained)
        return model

    def share(self, other: Joined) -> None:
        """Score with the trained model of `other`, which was made for these ids or fewer."""
        self.model, self.known = other.model, other.known

    def resize(self, known: Tensor) -> None:
        """Make room for a stored model that knew so many users, hashtags and words (3,)."""
        if not torch.equal(known.cpu(), self.known.cpu()):
            users, hashtags, words = known.tolist()
            sizes = replace(self.sizes, users=users, hashtags=hashtags, words=words)
            self.model = self._untrained(sizes).to(self.device).train(self.training)

    def fit(self, training: TrainingSet) -> None:
        self.heard = torch.from_numpy(training.hashtags.counts > 0)

    @torch.no_grad()
    def encode(self, posts: PostBatch) -> Encoded:
        sizes, users, words = self.model.sizes, posts.users, posts.words
        if self.sizes.words > sizes.words:
            old = words.values < sizes.words
            words = Ragged.from_pairs(words.row_of_value[old], words.values[old], len(words))
        seen = replace(
            posts,
            users=torch.where(users < sizes.users, users, -1),
            words=words,
            own=torch.full_like(posts.own, -1),
        )
        return self.model.encode(seen)

    @torch.no_grad()
    def score_all(self, encoded: Encoded) -> Tensor:
        scores = self.model.score_all(encoded)
        scores = scores - scores.amin(1, keepdim=True)
        return pad(scores, (0, len(self.heard) - scores.shape[1])) * self.heard

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + self.model.bytes_per_post()

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        self.heard = longer(self.heard, self.sizes.hashtags)

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        """Nothing: what was trained stays."""


def names_in(value: object, usual: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Names in a list or with commas between them: those who take part.

    With signs, `+` and `-`, they are the `usual` ones and more, or less. Raises `ValueError`
    where a name is in neither list, comes twice, or some have a sign and others none.
    """
    given = value.split(",") if isinstance(value, str) else value
    known = f"expected different names among {', '.join(usual)} or, trained, {', '.join(others)}"
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(known)
    names = [str(name).strip() for name in given]
    signed = [name[:1] in ("+", "-") for name in names]
    if any(signed) and not all(signed):
        raise ValueError(
            "expected names that all have a sign (the usual scorers with these and without those: "
            "+gcn-phr,-ease), or that have none (these alone: bll,ridge)"
        )
    if all(signed):
        gone = [name[1:] for name in names if name[0] == "-"]
        absent = [name for name in gone if name not in usual]
        if absent:
            raise ValueError(f"expected after - one of {', '.join(usual)}; not {', '.join(absent)}")
        names = [name for name in usual if name not in gone] + [
            name[1:] for name in names if name[0] == "+"
        ]
    strange = [name for name in names if name not in usual and name not in others]
    if strange or not names or len(set(names)) < len(names):
        wrong = ", ".join(map(repr, strange)) or ("one twice" if names else "none")
        raise ValueError(f"{known}; not {wrong}")
    return tuple(names)
