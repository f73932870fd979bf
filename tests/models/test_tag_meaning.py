"""What names and posts of hashtags mean, against NumPy; hashtags never used; what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import MissingExtraError, MissingFeatureError
from reeltag.features.registry import make
from reeltag.features.textual import MiniLM
from reeltag.hashtags import split_words
from reeltag.models.contract import Sizes
from reeltag.models.layers import naming
from reeltag.models.layers.naming import caption_feature, name_vectors
from reeltag.models.registry import build
from tests.models.captioned import captioned, rows_of
from tests.models.observing import ObservingContract

READ = "textual-sif"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return captioned(tmp_path_factory.mktemp("meaning") / "data", posts=120, read=True)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def expected(corpus: Corpus, own: list[int], asked: np.ndarray, m: float, p: float) -> np.ndarray:
    """The equation, hashtag by hashtag, for posts with centred unit vectors `asked`."""
    whole = corpus.training.batch(torch.arange(len(corpus.training.posts)))
    there = whole.present[READ].numpy()
    values = whole.vectors[READ].double().numpy()
    posts = unit(values - values[there].mean(0)) * there[:, None]
    read = make("textual", "sif").extract(  # type: ignore[attr-defined]
        [" ".join(split_words(name)) for name in corpus.hashtags.names]
    )
    known = np.array([row is not None for row in read])
    names = np.stack([np.zeros(50) if row is None else row.astype(float) for row in read])
    names[known] -= names[known].mean(0)
    names = unit(names)
    tags = rows_of(corpus.training.posts.hashtags)
    uses = np.array([sum(j in row and there[q] for q, row in enumerate(tags))
                     for j in range(len(names))])  # fmt: skip
    scores = np.zeros((len(asked), len(names)))
    for row, x in enumerate(asked):
        for j in range(len(names)):
            carry = [q for q, row_tags in enumerate(tags) if j in row_tags and q != own[row]]
            count = sum(there[q] for q in carry)
            t = (m * names[j] + posts[carry].sum(0)) / (m + count)
            scores[row, j] = x @ t / max(np.linalg.norm(t), 1e-6) ** p
    return scores + 1e-6 * uses / (1 + uses.max())


class TestTagMeaning(ObservingContract):
    name = "tag-meaning"
    uses_users = False
    reads_names = True

    @pytest.fixture
    def corpus(self, made: Corpus) -> Corpus:
        return made

    @pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
    def test_scores_are_those_of_the_equation(self, corpus: Corpus, power: float) -> None:
        model = build("tag-meaning", {"prior": 2.0, "power": power}, Sizes.of(corpus.training))
        model.fit(corpus.training)
        outside = corpus.batch(corpus.part("test"), torch.arange(5))
        for posts in (outside, corpus.training.batch(torch.arange(5))):
            asked = model.encode(posts)["vectors"].double().numpy()
            found = model.scored(posts).double().numpy()
            wanted = expected(corpus, posts.own.tolist(), asked, 2.0, power)
            np.testing.assert_allclose(found, wanted, atol=3e-3)

    def test_how_posts_are_batched_does_not_show(self, corpus: Corpus) -> None:
        model, posts = self.fitted(corpus), corpus.part("test")
        together = model.scored(corpus.batch(posts, torch.arange(12)))
        alone = torch.cat([model.scored(corpus.batch(posts, torch.tensor([n]))) for n in range(12)])
        assert torch.equal(alone, together)

    def test_a_hashtag_never_used_is_found_by_its_name(self, corpus: Corpus) -> None:
        make_split(corpus.dataset, "cold", SplitRecipe(cold_hashtags=0.4))
        cold = open_corpus(corpus.dataset, "cold")
        model, posts = self.fitted(cold), cold.part("test")
        scores = model.scored(cold.batch(posts, torch.arange(len(posts))))
        unused = torch.from_numpy(cold.hashtags.counts == 0)
        right = posts.hashtags.dense(len(cold.hashtags))[:, unused]
        assert right.any()
        mine = scores[:, unused]
        assert mine[right].mean() > mine[~right].mean() + 0.2

    def test_refuses_what_reads_no_names(self, corpus: Corpus) -> None:
        only = {k: m for k, m in corpus.reader.manifests.items() if k != READ}
        with pytest.raises(MissingFeatureError, match="--textual minilm"):
            build("tag-meaning", {}, Sizes(3, 4, only))
        other = replace(corpus.reader.manifests[READ], weights_sha256="other")
        with pytest.raises(MissingFeatureError, match="other weights"):
            build("tag-meaning", {}, Sizes(3, 4, {READ: other}))

    def test_the_missing_extra_is_named(
        self, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = MiniLM({}, 1).manifest()

        def absent(*_: object) -> None:
            raise MissingExtraError("sentence-transformers", "text")

        monkeypatch.setattr(naming, "cached", absent)
        with pytest.raises(MissingExtraError, match=r"reeltag\[text\]"):
            build("tag-meaning", {}, Sizes(3, 4, {manifest.name: manifest}))


def test_names_are_read_once(made: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = caption_feature(made.reader.manifests)
    first = name_vectors(manifest, ["harbourcooking", "🎉", "sunset"])
    assert first.norm(dim=1).tolist() == pytest.approx([1, 0, 1], abs=1e-5)
    monkeypatch.delattr(naming, "split_words")
    assert torch.equal(name_vectors(manifest, ["harbourcooking", "🎉", "sunset"]), first)
