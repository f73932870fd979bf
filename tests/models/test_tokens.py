"""Words by ids: vectors that are learned, ids that training does not have, Chinese captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from reeltag.data.batches import Steps
from reeltag.data.corpus import open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import ConfigError, MissingFeatureError
from reeltag.evaluation.evaluate import evaluate
from reeltag.experiments.train import train_run
from reeltag.features.job import extract
from reeltag.features.registry import make
from reeltag.models.contract import Sizes
from reeltag.models.layers.sequences import ModalitySequences
from reeltag.models.layers.tokens import TokenTable
from reeltag.recommend import Recommender
from reeltag.training.run import load_run

TOPICS = {"跳舞": "dance", "做饭": "food", "风景": "travel", "猫咪": "cat"}
SMALL = {"dim": 12, "hidden_textual": 12, "words": 16, "attention": 8}


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Chinese captions whose topic is the hashtag, without users; ids instead of vectors."""
    rng = np.random.default_rng(0)
    topics = list(TOPICS)
    drawn = [topics[n] for n in rng.integers(len(topics), size=240)]
    filler = list("今天我们一起去看了很多好东西")
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(240)],
            "user": pl.Series([None] * 240, dtype=pl.Utf8),
            "caption": [
                "" if n % 20 == 7 else f"{''.join(rng.choice(filler, 4))}{topic}！"
                for n, topic in enumerate(drawn)
            ],
            "hashtags": [[TOPICS[topic]] for topic in drawn],
        }
    )
    path = tmp_path_factory.mktemp("captions") / "data"
    made = Dataset.create(path, posts, source={"format": "generated"})
    make_split(made, "main", SplitRecipe(by="random"))
    extract(made, textual=["tokens:buckets=512,max_words=12"])
    return Dataset.open(path)


def test_unknown_ids_are_left_out_and_the_rest_moves_up() -> None:
    table = TokenTable(8, 3)
    table.observe(Steps(torch.tensor([[2, 5, 7]]), torch.tensor([[True, True, False]])))
    ids = torch.tensor([[7, 2, 3, 5], [6, 6, 1, 1], [5, 5, 0, 0]])
    mask = torch.tensor([[True] * 4, [True] * 4, [True, True, False, False]])
    values, kept = table(Steps(ids, mask))
    assert kept.tolist() == [[True, True, False, False], [False] * 4, [True, True, False, False]]
    torch.testing.assert_close(values[0, :2], table.weight[[2, 5]])
    torch.testing.assert_close(values[2, :2], table.weight[[5, 5]])
    assert not values[~kept].any()
    values.sum().backward()  # type: ignore[no-untyped-call]
    assert table.weight.grad is not None
    assert table.weight.grad.abs().sum(1).nonzero().flatten().tolist() == [2, 5]


def test_only_training_posts_make_an_id_known(captions: Dataset) -> None:
    training = open_corpus(captions, "main", reads="sequence").training
    read = ModalitySequences(Sizes.of(training).manifests, 4)
    read.fit(training)
    feature = captions.feature("textual-tokens")
    assert feature.offsets is not None
    known: set[int] = set()
    for row in training.posts.rows.tolist():
        known |= set(feature.values[feature.offsets[row] : feature.offsets[row + 1]].tolist())
    seen = read.tables["textual"].seen
    assert isinstance(seen, torch.Tensor)
    assert set(seen.nonzero().flatten().tolist()) == known


def test_shares_go_back_to_where_the_words_stand(captions: Dataset) -> None:
    corpus = open_corpus(captions, "main", reads="sequence")
    read = ModalitySequences(Sizes.of(corpus.training).manifests, 4)
    read.fit(corpus.training)
    posts = corpus.batch(corpus.part("test"), torch.arange(6))
    seen = read.tables["textual"].seen
    assert isinstance(seen, torch.Tensor)
    ids = posts.steps["textual-tokens"]
    seen[ids.values[0, 1].long()] = False  # the second word of the first post
    _, mask = read(posts)["textual"]
    shares = torch.arange(1.0, mask.shape[1] + 1).expand(6, 2, -1) * mask.unsqueeze(1)
    back = read.in_place("textual", shares, posts)
    assert back[0, 0, :4].tolist() == [1, 0, 2, 3]
    torch.testing.assert_close(back.sum(2), shares.sum(2))


def test_logo_learns_chinese_captions_of_nobody(captions: Dataset, tmp_path: Path) -> None:
    settings = {
        **SMALL, "epochs": 60, "patience": 60, "batch_size": 32, "learning_rate": 3e-3,
        "dropout": 0, "alternate": False, "select": "mrr",
    }  # fmt: skip
    train_run(captions, "main", "logo", settings, tmp_path / "run")
    run = load_run(tmp_path / "run", "cpu")
    corpus = open_corpus(captions, "main", reads="sequence")
    assert evaluate(run.model, corpus, tops=(1,)).metrics["recall@1"] > 0.8
    recommender = Recommender(run)
    for topic, hashtag in TOPICS.items():
        assert recommender.recommend(caption=f"今天一起{topic}！")[0].hashtag == hashtag
    # Words nobody knows, or none at all: a missing modality, not an error.
    for caption in ("龘靐", None):
        assert len(recommender.recommend(caption=caption)) == len(TOPICS)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="expected 2 or more"):
        make("textual", "tokens:buckets=1")
    with pytest.raises(ConfigError, match="buckets=VALUE, max_words=VALUE"):
        make("textual", "tokens:size=3")


def test_numbers_that_are_no_ids_are_refused(captions: Dataset) -> None:
    manifest = captions.feature("textual-tokens").manifest
    for other in (
        {**vars(manifest), "options": {}},
        {**vars(manifest), "dtype": "float16"},
    ):
        with pytest.raises(MissingFeatureError, match="the ids of --textual tokens"):
            ModalitySequences({"textual-tokens": type(manifest)(**other)})
