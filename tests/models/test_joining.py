"""Trained models among the scorers of the house model: trained once, then as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from reeltag.data.corpus import Corpus, TrainingSet, open_corpus
from reeltag.data.ragged import Ragged
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import ConfigError, MissingFeatureError, RunError
from reeltag.evaluation.metrics import judge_scores
from reeltag.evaluation.protocols import Judged
from reeltag.experiments import train as training_runs
from reeltag.experiments.judge import corpus_of
from reeltag.experiments.train import train_run
from reeltag.models.contract import Model, Sizes, Trained
from reeltag.models.house import House
from reeltag.models.house_config import SCORERS
from reeltag.models.joining import Joined
from reeltag.models.registry import REGISTRY, build
from reeltag.models.trained import TRAINED
from reeltag.training.config import TrainingConfig
from reeltag.training.loop import train
from reeltag.training.run import load_run
from tests.models.captioned import captioned
from tests.models.observing import ObservingContract

SMALL = {"rounds": 20, "least_rows": 3, "candidates": 12}


def taught(model: Model, training: TrainingSet) -> House:
    """The house model with parts that a trainer saw through one epoch."""
    assert isinstance(model, House)
    for part in model.parts.values():
        part.fit(training)
        config = TrainingConfig(**{**part.training_defaults, "epochs": 1})
        with TemporaryDirectory() as folder:
            train(
                part,
                training,
                config,
                lambda _, select=config.select: {select: 1.0},
                settings={},
                checkpoint=Path(folder) / "checkpoint.safetensors",
            )
        part.eval()
    model.fit(training)
    return model.eval()


def house(corpus: Corpus, *parts: str) -> House:
    """A small one with two scorers and these trained models, taught."""
    settings = {**SMALL, "scorers": ["bll", "text-knn", *parts]}
    return taught(build("reeltag", settings, Sizes.of(corpus.training)), corpus.training)


def joined(model: House, name: str) -> Joined:
    part = model.scorers[name]
    assert isinstance(part, Joined)
    return part


class JoiningContract(ObservingContract):
    """All promises of the house model; what a part learned is held where others observe."""

    name = "reeltag"
    words = "count"
    part: str

    @property
    def settings(self) -> dict[str, Any]:  # type: ignore[override]
        return {**SMALL, "scorers": ["popularity", "bll", "text-knn", self.part]}

    @pytest.fixture
    def corpus(self, tmp_path: Path) -> Corpus:
        return captioned(tmp_path / "data", posts=120)

    def fit(self, model: Model, training: TrainingSet) -> None:
        taught(model, training)


class TestHouseWithGcnPhr(JoiningContract):
    part = "gcn-phr"


class TestHouseWithUhman(JoiningContract):
    part = "uhman"


class TestHouseWithRsdae(JoiningContract):
    part = "rsdae"
    uses_features = False


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return captioned(tmp_path_factory.mktemp("joining") / "data", posts=120)


def test_every_trained_model_can_join() -> None:
    assert set(TRAINED) == {n for n, e in REGISTRY.items() if issubclass(e.model, Trained)}


@pytest.mark.parametrize("part", ["gcn-phr-i", "utm"])
def test_its_score_is_how_far_above_the_lowest(made: Corpus, part: str) -> None:
    model = joined(house(made, part), part)
    posts = made.batch(made.part("test"), torch.arange(6))
    raw = model.model.scored(posts)
    torch.testing.assert_close(model.scored(posts), raw - raw.min(1, keepdim=True).values)
    assert model.model.name == part


def test_what_came_later_is_unknown_to_it(made: Corpus) -> None:
    model = joined(house(made, "gcn-phr"), "gcn-phr")
    posts = made.batch(made.part("test"), torch.arange(6))
    nobody = model.scored(replace(posts, users=torch.full_like(posts.users, -1)))
    before = model.scored(posts)
    model.grow(2, ["new", "newer"])
    somebody = replace(posts, users=torch.full_like(posts.users, len(made.users) + 1))
    tags = len(made.hashtags)
    model.observe(somebody, Ragged.from_lists([[tags]] * 6))
    assert torch.equal(model.scored(somebody)[:, :tags], nobody)
    assert torch.equal(model.scored(posts)[:, :tags], before)
    assert (model.scored(posts)[:, tags:] == 0).all()


def test_hidden_hashtags_are_lowest_in_the_rehearsal(tmp_path: Path) -> None:
    warm = captioned(tmp_path / "data", posts=200)
    make_split(warm.dataset, "cold", SplitRecipe(cold_hashtags=0.3))
    corpus = open_corpus(warm.dataset, "cold", words="count", pieces=True)
    model = house(corpus, "gcn-phr")
    assert model._rehearsed is not None
    twin, used = model._rehearsed
    assert twin.parts["gcn-phr"] is model.parts["gcn-phr"]
    hidden = (twin.shortlisting.popular[0] == 0) & used
    posts = corpus.batch(corpus.part("validation"), torch.arange(6))
    own, rehearsed = (joined(m, "gcn-phr").scored(posts) for m in (model, twin))
    assert (own[:, ~used] == 0).all()
    assert (rehearsed[:, ~used | hidden] == 0).all()
    assert (own[:, hidden] > 0).any()
    assert torch.equal(own[:, used & ~hidden], rehearsed[:, used & ~hidden])


def test_the_last_fit_takes_it_as_it_is(tmp_path: Path) -> None:
    """Users and words that only the validation posts have are unknown to it, ids mean the same."""
    corpus = captioned(tmp_path / "data", posts=120)
    corpus.users.names = corpus.users.names[:-1]
    corpus.words.names = corpus.words.names[:-2]
    model = house(corpus, "gcn-phr", "rsdae", "contagnet")
    wider = corpus.with_validation(keep=True)
    other = model.refitted(wider.training).eval()
    assert other.sizes.users == model.sizes.users + 1
    assert other.sizes.words == model.sizes.words + 2
    index = torch.arange(10)
    before = corpus.batch(corpus.part("test"), index)
    after = wider.batch(wider.part("test"), index)
    assert (after.users == model.sizes.users).any()
    for name in model.parts:
        assert other.parts[name] is model.parts[name]
        assert torch.equal(joined(other, name).scored(after), joined(model, name).scored(before))
    # A run of these sizes finds room for the smaller parts.
    save_file(other.tensors(), tmp_path / "model.safetensors")
    loaded = build("reeltag", other.config.model_dump(), other.sizes).eval()
    loaded.load_tensors(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(loaded.scored(after), other.scored(after))


def test_in_a_run_it_is_what_it_is_alone(tmp_path: Path) -> None:
    dataset = captioned(tmp_path / "data", posts=120).dataset
    training = {"epochs": 2, "seed": 3}
    for part in ("gcn-phr", "rsdae"):
        train_run(dataset, "main", part, training, tmp_path / part)
    settings = {**SMALL, **training, "scorers": "bll,rsdae,gcn-phr"}
    train_run(dataset, "main", "reeltag", settings, tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert isinstance(run.model, House)
    assert run.model.trees.grown
    for name, part in run.model.parts.items():
        alone = load_run(tmp_path / name).model.tensors()
        assert all(torch.equal(value, alone[key]) for key, value in part.tensors().items())
        folder = tmp_path / "run" / "scorers" / name
        assert [file.name for file in folder.iterdir()] == ["history.json"]
    corpus = corpus_of(run, dataset)
    scores = run.model.scored(corpus.batch(corpus.part("test"), torch.arange(3)))
    assert scores.max() > 0


def test_a_run_killed_in_a_part_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = captioned(tmp_path / "data").dataset
    settings = {**SMALL, "epochs": 3, "scorers": "bll,utm,gcn-phr"}
    judged: list[str] = []
    real = training_runs.judge

    def killing(model: Model, *rest: Any, **named: Any) -> Judged:
        judged.append(model.name)
        if len(judged) == killed_at:
            raise KeyboardInterrupt
        return real(model, *rest, **named)

    monkeypatch.setattr(training_runs, "judge", killing)
    killed_at = 0
    train_run(dataset, "main", "reeltag", settings, tmp_path / "whole")
    assert judged == ["utm"] * 3 + ["gcn-phr"] * 3
    judged.clear()
    killed_at = 5
    with pytest.raises(KeyboardInterrupt):
        train_run(dataset, "main", "reeltag", settings, tmp_path / "killed")
    with pytest.raises(RunError, match="--resume"):
        load_run(tmp_path / "killed")
    judged.clear()
    killed_at = 0
    train_run(dataset, "main", "reeltag", settings, tmp_path / "killed", resume=True)
    assert judged == ["gcn-phr"] * 2
    whole, killed = (tmp_path / n / "model.safetensors" for n in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()


def test_contributions_and_facts_know_of_it(made: Corpus) -> None:
    model = house(made, "gcn-phr")
    held = made.part("validation")
    index = torch.arange(len(held))
    model.choose([(made.batch(held, index), held.hashtags)], judge_scores)
    posts = made.batch(made.part("test"), torch.arange(1))
    encoded, asked = model.encode(posts), torch.arange(len(made.hashtags))
    parts = model.contributions(encoded, asked.unsqueeze(0))
    assert "gcn-phr" in parts.groups
    assert torch.isfinite(parts.values).all()
    found = model.shortlisted(encoded)
    total = (parts.base + parts.values.sum(2)).float().gather(1, found.candidates)
    torch.testing.assert_close(total, model.trees(found.features))
    facts = model.facts_by_group(posts, encoded, asked)
    assert "gcn-phr" not in facts
    assert facts["agreement"][0]["of"] == 3


def test_scorers_join_and_leave_by_signs() -> None:
    def named(value: object) -> list[str]:
        return list(House.Config(scorers=value).model_dump()["scorers"])

    assert named("+gcn-phr") == [*SCORERS, "gcn-phr"]
    assert named(["-ridge", "-ease"]) == [n for n in SCORERS if n not in ("ridge", "ease")]
    assert named("+uhman, -bll, +logo") == [*(n for n in SCORERS if n != "bll"), "uhman", "logo"]
    assert named("bll,gcn-phr") == ["bll", "gcn-phr"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("+gcn-phr,bll", "all have a sign"),
        ("bll,-ease", "all have a sign"),
        ("-gcn-phr", "expected after - one of popularity"),
        ("+strange", "not 'strange'"),
        ("+bll", "not one twice"),
        ("+logo,+logo", "not one twice"),
        ("+reeltag", "not 'reeltag'"),
        (",".join(f"-{name}" for name in SCORERS), "not none"),
        ("", "not ''"),
        ("+", "not ''"),
    ],
)
def test_names_that_make_no_sense_are_refused(made: Corpus, value: str, said: str) -> None:
    with pytest.raises(ConfigError, match="expected") as refused:
        build("reeltag", {"scorers": value}, Sizes.of(made.training))
    assert said in str(refused.value)


def test_one_that_cannot_work_with_the_data_is_refused(made: Corpus) -> None:
    """By its name somebody asked for it: leaving it out would be no answer."""
    without = replace(Sizes.of(made.training), manifests={})
    with pytest.raises(MissingFeatureError, match="gcn-phr"):
        build("reeltag", {"scorers": "+gcn-phr"}, without)
