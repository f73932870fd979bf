"""What a model that observes must do besides; its test file inherits this class."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import load_file, save_file

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus, TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.caption_words import CaptionWords
from reeltag.models.contract import Model, Sizes
from reeltag.models.ease import Ease
from reeltag.models.joining import Joined
from reeltag.models.layers.resemblance import Resemblance
from reeltag.models.observing import Observing
from reeltag.models.registry import build
from reeltag.models.related import Related
from reeltag.models.tag_meaning import TagMeaning
from reeltag.models.tag_names import TagNames
from tests.models.contract import ModelContract

LATE = 25
"""Training posts that are observed rather than fitted."""


def part_of(training: TrainingSet, index: torch.Tensor) -> TrainingSet:
    """Some of the training posts, in the numbering of all."""
    captions = training.captions.gather(index.numpy())
    return replace(training, posts=training.posts.select(index), read_captions=lambda: captions)


def observe(model: Observing, training: TrainingSet, index: torch.Tensor) -> None:
    """Show training posts at `index` to a model that has not seen them."""
    posts = training.batch(index)
    model.observe(
        replace(posts, own=torch.full_like(index, -1)), training.posts.hashtags.select(index)
    )


def hold(whole: Model, first: Model, training: TrainingSet) -> None:
    """Give a model fitted on all posts what another measured or solved on the first of them."""
    for mine, held in zip(whole.modules(), first.modules(), strict=True):
        if isinstance(mine, Resemblance) and isinstance(held, Resemblance):
            for part in ("words", "pieces"):
                index, other = getattr(mine, part), getattr(held, part)
                if index is not None:
                    index.terms, index.idf = other.terms, other.idf
                    rows = getattr(training.posts, part)
                    index.store(len(rows), *index._weighed(rows))
            if mine.input is not None and held.input is not None:
                mine.input.mean, mine.input.scale = held.input.mean, held.input.scale
                mine.vectors = mine._unit(training.batch(torch.arange(len(training.posts))))
        if isinstance(mine, Ease) and isinstance(held, Ease):
            mine.chosen, mine.between = held.chosen, held.between
        if isinstance(mine, CaptionWords) and isinstance(held, CaptionWords):
            mine.idf = held.idf
        if isinstance(mine, TagNames) and isinstance(held, TagNames):
            mine.words.weights = held.words.weights
        if isinstance(mine, TagMeaning) and isinstance(held, TagMeaning):
            mine.mean = held.mean
            mine._gather(training)
        if isinstance(mine, Joined) and isinstance(held, Joined):
            mine.share(held)
        if isinstance(mine, Related) and isinstance(held, Related):
            mine.relatedness = held.relatedness


class ObservingContract(ModelContract):
    """Every promise of `Observing`, besides those of a model."""

    rounding: ClassVar[float] = 0.0
    """What rounding at each observed post may add to a score."""

    def halves(self, corpus: Corpus) -> tuple[TrainingSet, torch.Tensor]:
        """The training posts that are fitted, and the positions of the others."""
        count = len(corpus.training.posts)
        fitted = part_of(corpus.training, torch.arange(count - LATE))
        return fitted, torch.arange(count - LATE, count)

    def begun(self, corpus: Corpus) -> Observing:
        """A model fitted on the first training posts."""
        model = build(self.name, self.settings, Sizes.of(corpus.training)).eval()
        self.fit(model, self.halves(corpus)[0])
        assert isinstance(model, Observing)
        return model

    def observed(self, corpus: Corpus) -> Observing:
        """The same after it observed the others one by one."""
        model = self.begun(corpus)
        for index in self.halves(corpus)[1].split(1):
            observe(model, corpus.training, index)
        return model

    def asked(self, corpus: Corpus) -> list[PostBatch]:
        """Posts from outside, by somebody and by nobody, and all training posts."""
        outside = self.posts(corpus)
        nobody = replace(outside, users=torch.full_like(outside.users, -1))
        return [outside, nobody, corpus.training.batch(torch.arange(len(corpus.training.posts)))]

    def test_observing_is_fitting_with_the_posts_too(self, corpus: Corpus) -> None:
        whole = self.fitted(corpus)
        hold(whole, self.begun(corpus), corpus.training)
        model = self.observed(corpus)
        for posts in self.asked(corpus):
            torch.testing.assert_close(
                model.scored(posts), whole.scored(posts), rtol=1e-5, atol=1e-7 + self.rounding
            )

    def test_posts_observed_together_are_observed_one_by_one(self, corpus: Corpus) -> None:
        one_by_one, together = self.observed(corpus), self.begun(corpus)
        observe(together, corpus.training, self.halves(corpus)[1])
        for posts in self.asked(corpus):
            torch.testing.assert_close(
                together.scored(posts),
                one_by_one.scored(posts),
                rtol=1e-4,
                atol=1e-4 + self.rounding,
            )

    def test_what_was_observed_is_stored(self, corpus: Corpus, tmp_path: Path) -> None:
        model = self.begun(corpus)
        model.grow(2, ["newname"])
        observe(model, corpus.training, self.halves(corpus)[1])
        save_file(model.tensors(), tmp_path / "model.safetensors")
        other = build(self.name, self.settings, model.sizes).eval()
        other.load_tensors(load_file(tmp_path / "model.safetensors"))
        for posts in self.asked(corpus):
            assert torch.equal(other.scored(posts), model.scored(posts))
        # And it goes on observing where the other stopped.
        assert isinstance(other, Observing)
        for going in (model, other):
            observe(going, corpus.training, torch.arange(2))
        assert torch.equal(other.scored(posts), model.scored(posts))

    def test_a_new_user_is_nobody_until_the_first_post(self, corpus: Corpus) -> None:
        model, posts = self.begun(corpus), self.posts(corpus, 5)
        nobody = replace(posts, users=torch.full_like(posts.users, -1))
        somebody = replace(posts, users=torch.full_like(posts.users, len(corpus.users)))
        before = model.scored(nobody)
        model.grow(users=1)
        assert torch.equal(model.scored(nobody), before)
        assert torch.equal(model.scored(somebody), before)
        hashtags = corpus.part("test").hashtags.select(torch.arange(5))
        model.observe(somebody, hashtags)
        assert torch.isfinite(model.scored(somebody)).all()
        if self.uses_users:
            assert not torch.equal(model.scored(somebody), model.scored(nobody))

    def test_a_new_hashtag_is_scored_at_once(self, corpus: Corpus) -> None:
        model, posts, new = self.begun(corpus), self.posts(corpus, 1), len(corpus.hashtags)
        old = model.scored(posts)
        model.grow(hashtags=["brandnew", "zzzz"])
        before = model.scored(posts)
        assert before.shape == (1, new + 2)
        if self.name != "reeltag":  # where ranks are fused
            torch.testing.assert_close(before[:, :new], old)
        model.observe(posts, Ragged(torch.tensor([0, new]), torch.tensor([0, 2])))
        after = model.scored(posts)
        assert torch.isfinite(after).all()
        assert after[0, new] > before[0, new]
        assert after[0, new] > after[0, new + 1]

    def test_a_copy_observes_alone(self, corpus: Corpus) -> None:
        model, posts = self.begun(corpus), self.posts(corpus)
        observe(model, corpus.training, torch.arange(3))
        expected = model.scored(posts)
        other = copy.deepcopy(model)
        observe(other, corpus.training, torch.arange(3, 6))
        assert torch.equal(model.scored(posts), expected)
        observe(model, corpus.training, torch.arange(3, 6))
        assert torch.equal(model.scored(posts), other.scored(posts))
