"""What every model must do; a model's test file inherits this class and names the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from reeltag.data.batches import PostBatch, Steps
from reeltag.data.corpus import Corpus, TrainingSet, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.ragged import Ragged
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.models.contract import Model, Sizes, Trained, TrainingBatch
from reeltag.models.registry import build, entry_of
from tests.conftest import caption_vectors, vector_feature


class ModelContract:
    """Inherit, set `name` (and `settings`), and every promise of a model is tested."""

    name: str
    settings: dict[str, Any] = {}  # noqa: RUF012 - overridden as a whole
    uses_features = True
    uses_users = True
    words: Literal["count", "none"] = "none"
    """`count` for models that read captions; their test file then overrides `corpus`."""
    reads_names = False
    """The model reads names by the extractor of the captions' vectors; so does `corpus` then."""

    def fit(self, model: Model, training: TrainingSet) -> None:
        """What comes before scoring."""
        model.fit(training)

    def fitted(self, corpus: Corpus, seed: int = 0) -> Model:
        torch.manual_seed(seed)
        model = build(self.name, self.settings, Sizes.of(corpus.training))
        self.fit(model, corpus.training)
        model.refresh()
        return model.eval()

    @pytest.fixture
    def model(self, corpus: Corpus) -> Model:
        return self.fitted(corpus)

    def posts(self, corpus: Corpus, count: int = 12) -> PostBatch:
        return corpus.batch(corpus.part("test"), torch.arange(count))

    def test_scores_every_hashtag_of_every_post(self, model: Model, corpus: Corpus) -> None:
        scores = model.scored(self.posts(corpus))
        assert scores.shape == (12, len(corpus.hashtags))
        assert torch.isfinite(scores).all()

    def test_pairs_score_as_the_catalogue_does(self, model: Model, corpus: Corpus) -> None:
        encoded = model.encode(self.posts(corpus))
        candidates = torch.randint(
            len(corpus.hashtags), (12, 7), generator=torch.Generator().manual_seed(0)
        )
        expected = model.score_all(encoded).gather(1, candidates)
        torch.testing.assert_close(model.score_pairs(encoded, candidates), expected)

    def test_a_post_scores_alone_as_in_a_batch(self, model: Model, corpus: Corpus) -> None:
        posts = corpus.part("test")
        together = model.scored(corpus.batch(posts, torch.arange(12)))
        alone = torch.cat([model.scored(corpus.batch(posts, torch.tensor([n]))) for n in range(12)])
        torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)

    def test_is_deterministic(self, corpus: Corpus) -> None:
        first = self.fitted(corpus).scored(self.posts(corpus))
        second = self.fitted(corpus).scored(self.posts(corpus))
        assert torch.equal(first, second)

    def test_saves_and_loads(self, model: Model, corpus: Corpus, tmp_path: Path) -> None:
        save_file(model.tensors(), tmp_path / "model.safetensors")
        torch.manual_seed(99)
        other = build(self.name, self.settings, Sizes.of(corpus.training)).eval()
        other.load_tensors(load_file(tmp_path / "model.safetensors"))
        posts = self.posts(corpus)
        assert torch.equal(other.scored(posts), model.scored(posts))

    def test_an_unknown_user_is_scored(self, model: Model, corpus: Corpus) -> None:
        posts = self.posts(corpus)
        cold = replace(posts, users=torch.full_like(posts.users, -1))
        scores = model.scored(cold)
        assert torch.isfinite(scores).all()
        if self.uses_users:
            assert not torch.equal(scores, model.scored(posts))

    def test_an_unused_hashtag_is_scored(self, model: Model, corpus: Corpus) -> None:
        """Hashtags of a stored vocabulary that no training post carries."""
        names = [*corpus.hashtags.names, "neverused"]
        vocabulary = type(corpus.hashtags)(names, [*corpus.hashtags.counts.tolist(), 0])
        features = list(corpus.reader.manifests)
        wider = Corpus(
            corpus.dataset, corpus.split, features, vocabulary, corpus.users, corpus.words,
            reads=entry_of(self.name).model.reads, pieces=corpus.reads_pieces,
        )  # fmt: skip
        scores = self.fitted(wider).scored(self.posts(wider))
        assert scores.shape[1] == len(names)
        assert torch.isfinite(scores).all()

    def test_a_missing_modality_is_scored(self, model: Model, corpus: Corpus) -> None:
        posts = self.posts(corpus)
        absent = {name: torch.zeros_like(p) for name, p in posts.present.items()}

        def filled(value: float) -> PostBatch:
            """The posts with no modality present and `value` behind every mask."""
            return replace(
                posts,
                vectors={name: torch.full_like(v, value) for name, v in posts.vectors.items()},
                present=absent,
                steps={
                    name: Steps(torch.full_like(s.values, value), torch.zeros_like(s.mask))
                    for name, s in posts.steps.items()
                },
            )

        with_garbage, with_zeros = model.scored(filled(1e3)), model.scored(filled(0.0))
        assert torch.isfinite(with_garbage).all()
        # What lies behind the mask must not be read.
        torch.testing.assert_close(with_garbage, with_zeros)
        if self.uses_features:
            assert not torch.equal(with_zeros, model.scored(posts))

    def test_learns_from_training_posts_alone(self, tmp_path: Path) -> None:
        """A planted leak: held-out posts change entirely, and nothing may change."""
        pieces = entry_of(self.name).model.needs_pieces
        corpora = [
            _planted(tmp_path / which, which == "b", self.words, pieces, self.reads_names)
            for which in "ab"
        ]
        fitted = [self.fitted(planted) for planted in corpora]
        first, second = (model.tensors() for model in fitted)
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert torch.equal(value, second[name]), name


class TrainedContract(ModelContract):
    """What a model trained by gradient steps must do besides."""

    def test_has_finite_gradients(self, corpus: Corpus) -> None:
        torch.manual_seed(0)
        model = build(self.name, self.settings, Sizes.of(corpus.training))
        assert isinstance(model, Trained)
        model.fit(corpus.training)
        posts, hashtags = corpus.training.triples
        batch = TrainingBatch(
            corpus.training.batch(posts[:16]),
            hashtags[:16],
            torch.zeros(16, 2, dtype=torch.int64),
        )
        loss = model.loss(batch)
        loss.backward()
        assert torch.isfinite(loss)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name

    def test_gradients_do_not_depend_on_thread_timing(self, corpus: Corpus) -> None:
        """Two threads add up the same gradients in the same order every time."""
        posts, hashtags = corpus.training.triples
        index = torch.randint(len(posts), (4000,), generator=torch.Generator().manual_seed(0))
        batch = TrainingBatch(
            corpus.training.batch(posts[index]), hashtags[index], hashtags[index.flip(0)][:, None]
        )
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            found = [self._gradients(corpus, batch) for _ in range(3)]
        finally:
            torch.set_num_threads(threads)
        for name, gradient in found[0].items():
            assert all(torch.equal(gradient, other[name]) for other in found[1:]), name

    def _gradients(self, corpus: Corpus, batch: TrainingBatch) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = build(self.name, self.settings, Sizes.of(corpus.training))
        assert isinstance(model, Trained)
        model.fit(corpus.training)
        model.loss(batch).backward()  # type: ignore[no-untyped-call]
        model.after_backward(last=True)
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _planted(
    path: Path,
    changed: bool,
    words: Literal["count", "none"] = "none",
    pieces: bool = False,
    read: bool = False,
) -> Corpus:
    """Equal training posts; with `changed`, other held-out posts: all that is known of them."""
    rng = np.random.default_rng(7)
    count, train = 60, 40
    users = [f"u{n % 5}" for n in range(count)]
    tags = [[f"t{n % 4}", f"s{n % 6}"] for n in range(count)]
    visual, textual = rng.standard_normal((count, 5)), rng.standard_normal((count, 3))
    if changed:
        users[train:] = [f"stranger{n}" for n in range(count - train)]
        tags[train:] = [["planted", f"t{n % 3}"] for n in range(count - train)]
        visual[train:], textual[train:] = 1e3, -1e3
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(count)],
            "user": users,
            "caption": [
                "held out" if changed and n >= train else f"word t{n % 4} w{n % 7}"
                for n in range(count)
            ],
            "hashtags": tags,
            "music": ["planted" if changed and n >= train else f"m{n % 3}" for n in range(count)],
            "time": pl.from_epoch(
                pl.Series([10_000 * n + 99 * (changed and n >= train) for n in range(count)])
            ),
            "part": ["train"] * train + ["validation"] * 10 + ["test"] * 10,
        }
    )
    dataset = Dataset.create(
        path,
        posts,
        source={"format": "generated"},
        features=[
            vector_feature("visual", visual),
            caption_vectors(posts["caption"].to_list())
            if read
            else vector_feature("textual", textual),
        ],
    )
    make_split(dataset, "main", SplitRecipe(by="column"))
    return open_corpus(dataset, "main", words=words, pieces=pieces)


def naive_counts(tags: Ragged, hashtags: int) -> np.ndarray:
    """How often each hashtag is used, counted one by one."""
    counts = np.zeros(hashtags)
    for tag in tags.values.tolist():
        counts[tag] += 1
    return counts
