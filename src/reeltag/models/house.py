"""Many simple scorers in, one ranking out: fused, then ordered by trees that saw answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingExtraError, MissingFeatureError
from reeltag.models.comparing import Comparing, Voting
from reeltag.models.contract import (
    Composed,
    Encoded,
    Judge,
    ModelConfig,
    Refitting,
    Sizes,
    Trained,
)
from reeltag.models.explaining import Contributing, Contributions, Explaining, Facts
from reeltag.models.house_config import SCORERS, HouseConfig
from reeltag.models.joining import Joined
from reeltag.models.layers.chances import Chances
from reeltag.models.layers.resemblance import Resemblance
from reeltag.models.layers.shortlisting import Shortlisted, Shortlisting
from reeltag.models.layers.trees import RankingTrees
from reeltag.models.layers.votes import Votes
from reeltag.models.listing import Listing, scores_of
from reeltag.models.observing import Observing
from reeltag.models.sharing import Sharing
from reeltag.models.trained import TRAINED
from reeltag.progress import say
from reeltag.runtime import generator_of

_FIRST, _FINALISTS, _FEATURES = "first", "finalists", "features"
"""Among what is encoded, once it was scored, for whoever asks for reasons: each scorer's first
places (B, scorers, D), the candidates that all trees saw (B, C), and what they saw (B, C, F)."""


class House(Refitting, Composed, Contributing, Observing):
    """The house model: a stack of scorers that are cheap, exact and different from each other.

        fused(post, j)  reciprocal-rank fusion of all scorers            (`Shortlisting`)
        score(post, j)  σ(a·trees(features of post and j) + b)  for the best of the best of fused
                        fused(post, j) - 1 < 0                  for all others

    Scorers look at training posts alone. The trees (`RankingTrees`) learn on the validation
    posts, which no scorer has seen, how much each scorer is to be believed and where: what is
    learned on posts that the scorers have seen trusts them far too much. So a validation
    figure of this model is one of posts it learned from; only the test part judges it.
    The first few trees say which of a post's candidates all trees put in order.

    The score of one of the best is the chance that the post's user takes it: a and b (`Chances`)
    are fitted to validation posts in two halves, each scored by trees grown on the other half.

    With `refit` the scorers are then fitted once more, on training and validation posts
    together (the trees stay): what users did last is the best guide to what they do next.

    What is observed reaches every scorer and the counts that the trees look at; the trees stay.

    Where the catalogue has hashtags that no training post carries, trees grown so would learn
    that such hashtags are never right. So they rehearse: they learn from scorers fitted without
    as large a share of the used hashtags, drawn at random, and believe names where counts are
    silent; the truly unused take no part in it. It costs one more fit of the scorers.

    Trained models may join (`Joined`). They are trained on the training posts before all else,
    once: the rehearsal and the last fit take them as they are.

    Without validation posts (or before `choose`) the fused order is the ranking. It needs
    users, features and captions no more than its scorers do.
    """

    name = "reeltag"
    Config = HouseConfig
    seeded = True
    probable = True
    reentrant = True
    needs_words = True
    needs_pieces = True
    config: HouseConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.scorers = torch.nn.ModuleDict()
        for name in self.config.scorers:
            if name in TRAINED:
                self.scorers[name] = Joined(name, sizes)
                continue
            kind = SCORERS[name]
            try:
                self.scorers[name] = kind(kind.Config(), sizes)
            except MissingFeatureError:
                continue
            except MissingExtraError as fault:
                say(f"{name} takes no part: {fault}")
        if not len(self.scorers):
            raise MissingFeatureError(
                f"reeltag: none of the scorers {', '.join(self.config.scorers)} can work with "
                "this dataset. Add popularity, which needs nothing."
            )
        comparing = [part for _, part in self._each() if isinstance(part, Comparing)]
        self.resemblance = Resemblance(sizes, {p for part in comparing for p in part.shares})
        self.votes = Votes(sizes.hashtags)
        self.shortlisting = Shortlisting(sizes.users, sizes.hashtags)
        self._lend()
        self.trees, self.chances = RankingTrees(), Chances()
        self._rehearsed: tuple[House, Tensor] | None = None

    def _lend(self) -> None:
        """Have all scorers look at the same layers, where these are the same for all."""
        lent = {
            "resemblance": self.resemblance, "votes": self.votes, "uses": self.shortlisting.uses,
        }  # fmt: skip
        for _, part in self._each():
            for name, layer in lent.items():
                if isinstance(part, Sharing) and part.owns(name):
                    part.borrow(name, layer)

    def _each(self) -> list[tuple[str, Observing]]:
        return [(name, part) for name, part in self.scorers.items() if isinstance(part, Observing)]

    def _joined(self) -> list[tuple[str, Joined]]:
        return [(name, part) for name, part in self.scorers.items() if isinstance(part, Joined)]

    @property
    def parts(self) -> dict[str, Trained]:
        return {name: part.model for name, part in self._joined()}

    def _with_parts_of(self, other: House) -> House:
        """This one, with what `other` had trained."""
        for (_, part), (_, trained) in zip(self._joined(), other._joined(), strict=True):
            part.share(trained)
        return self

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        for name, part in self._joined():
            part.resize(tensors.get(f"scorers.{name}.known", part.known))
        super().load_tensors(tensors)

    def _voting(self) -> list[tuple[str, Voting]]:
        return [(name, part) for name, part in self.scorers.items() if isinstance(part, Voting)]

    def columns(self) -> list[tuple[str, str]]:
        """(group, name) of each feature that the trees look at."""
        voting = [name for name, _ in self._voting()]
        return self.shortlisting.columns(list(self.scorers), voting)

    def fit(self, training: TrainingSet) -> None:
        self._fit(training)
        used = torch.from_numpy(training.hashtags.counts > 0)
        if not used.all():
            draws = torch.rand(len(used), generator=generator_of(self.config.seed, "hidden"))
            hidden = used & (draws > used.float().mean())
            twin = House(self.config, self.sizes)._with_parts_of(self)
            twin._fit(training.hiding(hidden.nonzero().squeeze(1)))
            self._rehearsed = twin, used  # in a tuple: none of this model's state

    def _fit(self, training: TrainingSet) -> None:
        for layer in (self.resemblance, self.votes, self.shortlisting):
            layer.fit(training)
        for _, scorer in self._each():
            scorer.fit(training)
            scorer.unshare()

    def encode(self, posts: PostBatch) -> Encoded:
        encoded = {
            "users": posts.users,
            "own": posts.own,
            "lengths": torch.stack([posts.words.lengths, posts.pieces.lengths], 1),
        }
        cosines = self.resemblance(posts)
        for name, scorer in self._each():
            own = (
                scorer.encode_compared(posts, cosines)
                if isinstance(scorer, Comparing)
                else scorer.encode(posts)
            )
            encoded |= {f"{name}.{key}": value for key, value in own.items()}
        return encoded

    def _own(self, encoded: Encoded, name: str) -> Encoded:
        """What the scorer `name` encoded."""
        head = f"{name}."
        return {k.removeprefix(head): v for k, v in encoded.items() if k.startswith(head)}

    def shortlisted(self, encoded: Encoded, among: Tensor | None = None) -> Shortlisted:
        """The fused ranking, its best hashtags (`among` (H,) some), what the trees see of these."""
        nearest = [part.nearest(self._own(encoded, name)) for name, part in self._voting()]
        found: Shortlisted = self.shortlisting(
            [scores_of(scorer, self._own(encoded, name)) for name, scorer in self._each()],
            nearest,
            encoded["users"],
            encoded["own"],
            encoded["lengths"],
            min(self.config.candidates, self.sizes.hashtags),
            among,
        )
        return found

    def score_all(self, encoded: Encoded) -> Tensor:
        found = self.shortlisted(encoded)
        fused = found.fused.whole()
        encoded[_FIRST] = found.first
        if not self.trees.grown:
            return fused
        last = self._finalists(found)
        encoded |= {_FINALISTS: last.candidates, _FEATURES: last.features}
        ordered = self.chances(self.trees(last.features))
        return fused.sub_(1).scatter_(1, last.candidates, ordered)

    def _finalists(self, found: Shortlisted) -> Shortlisted:
        """The candidates that all trees put in order."""
        best = self.trees.best(found.features, self.config.early, self.config.finalists)
        wide = best.unsqueeze(2).expand(-1, -1, found.features.shape[2])
        candidates, features = found.candidates.gather(1, best), found.features.gather(1, wide)
        return replace(found, candidates=candidates, features=features)

    @torch.no_grad()
    def contributions(self, encoded: Encoded, hashtags: Tensor) -> Contributions:
        """Of the trees' output; of what is no finalist, or where no tree is grown, of `fused`.

        The groups are the scorers; `agreement` (the fused score as the trees see it), `history`
        and `popular` (counts), and `post` (what is the same for all hashtags of the post).
        """
        names, hashtags = list(self.scorers), hashtags.cpu()
        columns = [group for group, _ in self.columns()]
        groups = tuple(dict.fromkeys(columns))
        if _FIRST not in encoded:
            self.score_all(encoded)
        votes = self.shortlisting.votes(encoded[_FIRST], hashtags.to(self.device))[1]
        values = torch.zeros(*hashtags.shape, len(groups), dtype=torch.float64)
        wide = hashtags.unsqueeze(2)
        values[..., : len(names)] = votes.permute(1, 2, 0).cpu().double() / len(names)
        values[..., groups.index("popular")] = self.shortlisting.little().cpu()[hashtags].double()
        base = values.new_zeros(hashtags.shape)
        if self.trees.grown:
            inside, place = (encoded[_FINALISTS].cpu().unsqueeze(1) == wide).max(2)
            rows = place.unsqueeze(2).expand(-1, -1, len(columns))
            parts = self.trees.contributions(encoded[_FEATURES].cpu().gather(1, rows))
            of = torch.tensor([groups.index(group) for group in columns])
            grouped = torch.zeros_like(values).index_add_(2, of, parts[..., :-1])
            values = torch.where(inside.unsqueeze(2), grouped, values)
            base = torch.where(inside, parts[..., -1], base)
        return Contributions(groups, values, base)

    @torch.no_grad()
    def facts_by_group(
        self,
        posts: PostBatch,
        encoded: Encoded,
        hashtags: Tensor,
        groups: Collection[str] | None = None,
    ) -> dict[str, list[Facts]]:
        """The scorers' own facts; counts; and how many scorers have a hashtag among their first."""
        said = {
            name: scorer.facts(posts, self._own(encoded, name), hashtags)
            for name, scorer in self._each()
            if isinstance(scorer, Explaining) and (groups is None or name in groups)
        }
        if _FIRST not in encoded:
            self.score_all(encoded)
        first, users, own = encoded[_FIRST], encoded["users"], encoded["own"]
        return said | self.shortlisting.facts(first, users, own, hashtags)

    @torch.no_grad()
    def choose(self, posts: Iterable[tuple[PostBatch, Ragged]], judge: Judge) -> None:
        """Grow the trees on the candidates of validation posts that have a right one."""
        learner, used = self._rehearsed or (self, None)
        learner, self._rehearsed = learner.to(self.device), None
        used = None if used is None else used.to(self.device)
        features, answers = [], []
        for batch, positives in posts:
            found = learner.shortlisted(learner.encode(batch), among=used)
            right = positives.dense(self.sizes.hashtags).gather(1, found.candidates)
            features.append(found.features.cpu())
            answers.append(right.cpu())
        if not any(bool(right.any()) for right in answers):
            return
        seen, right = torch.cat(features), torch.cat(answers)
        self.trees = self._grown(seen, right)
        half = torch.arange(len(right)) % 2 == 0
        if right[half].any() and right[~half].any():
            raw = torch.empty(right.shape)
            for part in (half, ~half):
                raw[part] = self._grown(seen[~part], right[~part])(seen[part])
            self.chances.fit(raw, right)
            self.chances.to(self.device)

    def _grown(self, features: Tensor, right: Tensor) -> RankingTrees:
        """Trees that learned from features (n, C, F) and what is right (n, C)."""
        c, trees = self.config, RankingTrees()
        some = right.any(1)
        trees.grow(
            features[some],
            right[some].to(torch.uint8),
            c.rounds,
            seed=c.seed,
            num_leaves=c.leaves,
            learning_rate=c.learning_rate,
            min_data_in_leaf=c.least_rows,
            lambda_l2=5.0,
            feature_fraction=0.5,
            bagging_fraction=0.8,
            bagging_freq=1,
            lambdarank_truncation_level=20,
        )
        return trees.to(self.device)

    @property
    def refits(self) -> bool:
        return self.config.refit and self.trees.grown

    def refitted(self, training: TrainingSet) -> House:
        config = self.config.model_copy(update={"scorers": tuple(self.scorers)})
        other = House(config, Sizes.of(training))._with_parts_of(self)
        other._fit(training)
        other.trees.text = self.trees.text.cpu().clone()
        other.chances.line = self.chances.line.cpu().clone()
        return other

    def bytes_per_post(self) -> int:
        # All scores are kept, lists of them next to nothing, but what makes them only while one
        # scorer is at work.
        tables = sum(not isinstance(scorer, Listing) for scorer in self.scorers.values())
        own = (4 * tables + 16) * self.sizes.hashtags
        return super().bytes_per_post() + own + max(s.bytes_per_post() for _, s in self._each())

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        self.votes.grow(self.sizes.hashtags)
        self.shortlisting.grow(self.sizes.users, self.sizes.hashtags)
        for _, scorer in self._each():
            scorer.grow(users, hashtags)

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        self.resemblance.observe(posts)
        self.votes.observe(hashtags)
        self.shortlisting.observe(posts.users, hashtags)
        compare = partial(self.resemblance, posts)
        for _, scorer in self._each():
            if isinstance(scorer, Comparing):
                scorer.observe_compared(posts, hashtags, compare)
            else:
                scorer.observe(posts, hashtags)
