"""Which scorers take part in the house model, and that a run keeps its trees."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reeltag.data.corpus import Corpus
from reeltag.errors import ConfigError, MissingExtraError
from reeltag.evaluation.metrics import judge_scores
from reeltag.experiments.judge import corpus_of
from reeltag.experiments.train import train_run
from reeltag.models import tag_meaning
from reeltag.models.contract import Sizes
from reeltag.models.house import House
from reeltag.models.house_config import SCORERS
from reeltag.models.layers.trees import RankingTrees
from reeltag.models.registry import build
from reeltag.training.run import load_run
from tests.models.captioned import captioned
from tests.models.test_house import SMALL


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return captioned(tmp_path_factory.mktemp("house") / "data", posts=200)


@pytest.mark.parametrize(
    ("lacking", "gone"),
    [
        ("users", {"own-knn", "ease"}),
        ("features", {"content-knn"}),
        ("words", {"text-knn", "caption-words", "tag-names", "related"}),
    ],
)
def test_scorers_that_cannot_work_are_left_out(
    corpus: Corpus, lacking: str, gone: set[str]
) -> None:
    absent = {"users": {"users": 0}, "features": {"manifests": {}}, "words": {"words": 0}}
    training = corpus.training
    posts = corpus.part("test")
    if lacking == "users":
        nobody = torch.full_like(training.posts.users, -1)
        training = replace(training, posts=replace(training.posts, users=nobody))
        posts = replace(posts, users=torch.full_like(posts.users, -1))
    model = build("reeltag", SMALL, replace(Sizes.of(training), **absent[lacking]))
    assert isinstance(model, House)
    # These captions are no vectors: no name can be read by what read them.
    assert set(SCORERS) - set(model.scorers) == gone | {"tag-meaning"}
    model.fit(training)
    index = torch.arange(len(posts))
    model.choose([(corpus.batch(posts, index), posts.hashtags)], judge_scores)
    assert torch.isfinite(model.scored(corpus.batch(posts, index))).all()


def test_a_scorer_whose_extra_is_missing_is_left_out(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(*_: object) -> None:
        raise MissingExtraError("sentence-transformers", "text")

    monkeypatch.setattr(tag_meaning, "caption_feature", absent)
    model = build("reeltag", SMALL, Sizes.of(corpus.training))
    assert isinstance(model, House)
    assert set(SCORERS) - set(model.scorers) == {"tag-meaning"}
    said = " ".join(capsys.readouterr().err.split())
    assert "tag-meaning takes no part: sentence-transformers is not installed" in said


def test_scorers_may_be_chosen_and_are_checked(corpus: Corpus) -> None:
    sizes = Sizes.of(corpus.training)
    model = build("reeltag", {"scorers": "bll,ridge"}, sizes)
    assert isinstance(model, House)
    assert list(model.scorers) == ["bll", "ridge"]
    for wrong in ("bll,blend", ["bll", "bll"], []):
        with pytest.raises(ConfigError, match="expected"):
            build("reeltag", {"scorers": wrong}, sizes)


def test_a_run_keeps_the_trees(tmp_path: Path) -> None:
    dataset = captioned(tmp_path / "data", posts=120).dataset
    train_run(dataset, "main", "reeltag", SMALL, tmp_path / "run")
    assert "figures flatter it" in (tmp_path / "run" / "README.md").read_text()
    run = load_run(tmp_path / "run")
    assert isinstance(run.model, House)
    assert run.model.trees.grown
    corpus = corpus_of(run, dataset)
    known = run.description["sizes"]["training_posts"]
    assert known == len(corpus.training.posts) + len(corpus.part("validation"))
    posts = corpus.part("test")
    assert run.model.scored(corpus.batch(posts, torch.arange(3))).max() > 0


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtraError, match=r"reeltag\[house\]"):
        RankingTrees().grow(torch.zeros(2, 3, 4), torch.zeros(2, 3), 1)
