"""The house model: scorers that fit the data, fusion, trees from validation posts alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.ragged import Ragged
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.evaluation.metrics import judge_scores
from reeltag.evaluation.protocols import judge
from reeltag.models.contract import Sizes
from reeltag.models.house import House
from reeltag.models.house_config import SCORERS
from reeltag.models.layers import list_sums, scores, top, trees
from reeltag.models.layers.chances import Chances
from reeltag.models.registry import REGISTRY, build
from tests.models.captioned import captioned
from tests.models.observing import ObservingContract, hold, observe

SMALL = {"rounds": 20, "least_rows": 3, "candidates": 12}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return captioned(tmp_path_factory.mktemp("house") / "data", posts=200)


def held(corpus: Corpus, part: str = "validation", block: int = 9) -> Iterator[
    tuple[PostBatch, Ragged]
]:  # fmt: skip
    posts = corpus.part(part)
    for index in torch.split(torch.arange(len(posts)), block):
        yield corpus.batch(posts, index), posts.hashtags.select(index)


class TestHouse(ObservingContract):
    name = "reeltag"
    words = "count"
    settings = SMALL

    @pytest.fixture
    def corpus(self, made: Corpus) -> Corpus:
        return made

    def chosen(self, corpus: Corpus, **settings: object) -> House:
        model = build("reeltag", {**SMALL, **settings}, Sizes.of(corpus.training))
        assert isinstance(model, House)
        model.fit(corpus.training)
        model.choose(held(corpus), judge_scores)
        return model.eval()

    def test_observing_is_fitting_with_the_posts_too(
        self, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.without_ridge(monkeypatch)
        super().test_observing_is_fitting_with_the_posts_too(corpus)

    def test_posts_observed_together_are_observed_one_by_one(
        self, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.without_ridge(monkeypatch)
        super().test_posts_observed_together_are_observed_one_by_one(corpus)

    def without_ridge(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its last digits may change places of hashtags; it has tests of its own."""
        others = [name for name in SCORERS if name != "ridge"]
        monkeypatch.setattr(self, "settings", {**SMALL, "scorers": others})

    def test_trees_see_what_was_observed(self, corpus: Corpus) -> None:
        """The candidates' features are those of a model fitted with the posts too."""
        others = tuple(name for name in SCORERS if name != "ridge")
        model, whole = (self.chosen(corpus, scorers=others) for _ in range(2))
        trees = model.trees.text
        first, late = self.halves(corpus)
        model.fit(first)
        hold(whole, model, corpus.training)
        for index in late.split(1):
            observe(model, corpus.training, index)
        assert model.trees.text is trees
        for posts in self.asked(corpus):
            found, expected = (m.shortlisted(m.encode(posts)) for m in (model, whole))
            assert torch.equal(found.candidates, expected.candidates)
            torch.testing.assert_close(found.features, expected.features, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(model.scored(posts), whole.scored(posts))

    def test_every_scorer_is_a_registered_model(self) -> None:
        for name, scorer in SCORERS.items():
            assert REGISTRY[name].model is scorer

    def test_without_validation_posts_ranks_are_fused(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        assert isinstance(model, House)
        model.choose([], judge_scores)
        posts, fused = self.posts(corpus), 0.0
        for name in model.scorers:
            scorer = build(name, {}, Sizes.of(corpus.training))
            scorer.fit(corpus.training)
            scores = scorer.scored(posts).numpy()
            order = np.argsort(-scores, axis=1, kind="stable")
            ranks = np.empty_like(order)
            for row in range(len(order)):
                ranks[row, order[row]] = 1 + np.arange(order.shape[1])
            fused += 6 / (5 + ranks) / len(model.scorers)
        popular = np.log1p(corpus.hashtags.counts)
        fused += 1e-4 * popular / popular.max()
        np.testing.assert_allclose(model.scored(posts).numpy(), fused, rtol=1e-4)

    def test_the_trees_order_the_best_and_leave_the_rest(self, corpus: Corpus) -> None:
        model = self.chosen(corpus)
        encoded = model.encode(self.posts(corpus))
        scores, found = model.score_all(encoded), model.shortlisted(encoded)
        inside = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, found.candidates, True)
        assert inside.sum(1).tolist() == [12] * 12
        assert 0 < scores[inside].min() <= scores[inside].max() < 1
        torch.testing.assert_close(scores[~inside], found.fused.whole()[~inside] - 1)
        assert (scores[~inside] < 0).all()
        # The fused order is that of the candidates.
        best = torch.argsort(found.fused.whole(), dim=1, descending=True, stable=True)[:, :12]
        assert torch.equal(best, found.candidates)

    def test_chances_come_of_trees_that_have_not_seen_the_post(self, corpus: Corpus) -> None:
        model = self.chosen(corpus)
        batches = list(held(corpus))
        found = [model.shortlisted(model.encode(batch)) for batch, _ in batches]
        features = torch.cat([one.features for one in found])
        right = torch.cat([
            positives.dense(len(corpus.hashtags)).gather(1, one.candidates)
            for (_, positives), one in zip(batches, found, strict=True)
        ])  # fmt: skip
        half = torch.arange(len(right)) % 2 == 0
        raw = torch.empty(right.shape)
        for part in (half, ~half):
            raw[part] = model._grown(features[~part], right[~part])(features[part])
        expected = Chances()
        expected.fit(raw, right)
        assert torch.equal(model.chances.line, expected.line)
        assert not torch.equal(expected.line, torch.tensor([1.0, 0.0]))

    def test_seeds_draw_other_trees(self, corpus: Corpus) -> None:
        first, again, other = (self.chosen(corpus, seed=seed) for seed in (0, 0, 1))
        assert torch.equal(first.trees.text, again.trees.text)
        assert not torch.equal(first.trees.text, other.trees.text)

    def test_features_are_what_they_say(self, corpus: Corpus) -> None:
        model = self.chosen(corpus)
        training, posts = corpus.training, self.posts(corpus, 3)
        found = model.shortlisted(model.encode(posts))
        scorers = list(model.scorers)
        n = len(scorers)
        assert found.features.shape == (3, 12, 3 * n + 10 + 3)
        users, tags = training.posts.users, training.posts.hashtags
        for row, user in enumerate(posts.users.tolist()):
            own = (users == user).nonzero().squeeze(1).tolist()
            used = torch.zeros(len(corpus.hashtags))
            for post in own:
                used[tags.values[tags.offsets[post] : tags.offsets[post + 1]]] += 1
            for place, tag in enumerate(found.candidates[row].tolist()):
                values = found.features[row, place]
                others = values[3 * n :]
                expected = [
                    found.fused.whole()[row, tag], used[tag], used[tag] / len(own),
                    np.log1p(corpus.hashtags.counts[tag]), others[4], *others[5:8], len(own),
                    (used > 0).sum(), used.max(), posts.words.lengths[row],
                    posts.pieces.lengths[row],
                ]  # fmt: skip
                np.testing.assert_allclose(others, np.array(expected, np.float32), rtol=1e-5)
                scores = model.scorers[scorers[0]].scored(posts)[row]  # type: ignore[operator]
                assert values[0] == scores[tag]
                assert values[2 * n] == pytest.approx(float(scores[tag] / scores.max()))

    def test_every_feature_has_a_column(self, corpus: Corpus) -> None:
        model = self.chosen(corpus)
        columns = model.columns()
        found = model.shortlisted(model.encode(self.posts(corpus)))
        assert len(set(columns)) == found.features.shape[2]
        assert {"score", "rank", "share"} == {name for group, name in columns if group == "bll"}

        def column(group: str, name: str) -> torch.Tensor:
            return found.features[..., columns.index((group, name))]

        bll, text = (model.scorers[name].scored(self.posts(corpus)) for name in ("bll", "text-knn"))  # type: ignore[operator]
        assert torch.equal(column("bll", "score"), bll.gather(1, found.candidates))
        assert torch.equal(column("text-knn", "score"), text.gather(1, found.candidates))
        assert torch.equal(column("agreement", "fused"), found.fused.at(found.candidates))
        assert (column("post", "pieces") == self.posts(corpus).pieces.lengths.unsqueeze(1)).all()

    def test_contributions_sum_to_what_orders(self, corpus: Corpus) -> None:
        model = self.chosen(corpus)
        encoded = model.encode(self.posts(corpus))
        scores, found = model.score_all(encoded), model.shortlisted(encoded)
        everything = torch.arange(len(corpus.hashtags)).expand(12, -1)
        parts = model.contributions(encoded, everything)
        assert parts.groups == (*model.scorers, "agreement", "history", "popular", "post")
        total = parts.base + parts.values.sum(2)
        inside = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, found.candidates, True)
        a, b = model.chances.line.double()
        torch.testing.assert_close(torch.logit(scores[inside]).double(), a * total[inside] + b,
                                   rtol=1e-4, atol=1e-4)  # fmt: skip
        raw = model.trees(found.features)
        torch.testing.assert_close(total.gather(1, found.candidates).float(), raw)
        # All start from one place, and what lies below is ordered by its votes.
        assert parts.base[inside].unique().numel() == 1  # type: ignore[no-untyped-call]
        torch.testing.assert_close(total[~inside].float(), found.fused.whole()[~inside])
        assert (parts.base[~inside] == 0).all()

    def test_contributions_without_trees_are_votes(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        assert isinstance(model, House)
        posts = self.posts(corpus)
        encoded, asked = model.encode(posts), torch.tensor([[3, 1]] * 12)
        parts = model.contributions(encoded, asked)
        torch.testing.assert_close(parts.values.sum(2).float(),
                                   model.score_all(encoded).gather(1, asked))  # fmt: skip
        bll = model.scorers["bll"].scored(posts)  # type: ignore[operator]
        order = torch.argsort(bll, dim=1, descending=True, stable=True)
        place = (order.unsqueeze(1) == asked.unsqueeze(2)).int().argmax(2)
        votes = 6 / (6 + place.double()) / len(model.scorers)
        torch.testing.assert_close(parts.values[..., parts.groups.index("bll")], votes)
        assert (parts.values[..., parts.groups.index("history")] == 0).all()

    def test_facts_of_groups_are_counted(self, corpus: Corpus) -> None:
        model, training = self.chosen(corpus), corpus.training.posts
        tags = training.hashtags.dense(len(corpus.hashtags))
        asked = torch.arange(len(corpus.hashtags))
        known, nobody = self.posts(corpus, 1), corpus.training.batch(torch.tensor([4]))
        nobody = replace(nobody, users=torch.tensor([-1]))
        for posts in (known, corpus.training.batch(torch.tensor([4])), nobody):
            encoded = model.encode(posts)
            facts = model.facts_by_group(posts, encoded, asked)
            assert set(facts) == {*model.scorers, "agreement", "history", "popular"}
            mine = (training.users == posts.users) & (torch.arange(len(training)) != posts.own)
            orders = [
                torch.argsort(scorer.scored(posts)[0], descending=True, stable=True)[:10]  # type: ignore[operator]
                for scorer in model.scorers.values()
            ]
            for tag in asked.tolist():
                uses = int(tags[mine, tag].sum())
                counted = {"uses": uses, "posts": int(mine.sum())} if uses else {}
                assert facts["history"][tag] == counted
                users = len(set(training.users[tags[:, tag]].tolist()))
                assert facts["popular"][tag] == {"users": users}
                count = sum(tag in order.tolist() for order in orders)
                assert facts["agreement"][tag] == {"count": count, "of": len(orders), "first": 10}

    def test_the_trees_are_the_same_every_time(self, corpus: Corpus) -> None:
        first, second = self.chosen(corpus).tensors(), self.chosen(corpus).tensors()
        assert all(torch.equal(value, second[name]) for name, value in first.items())

    def test_the_trees_are_stored_with_the_tensors(self, corpus: Corpus, tmp_path: Path) -> None:
        model, posts = self.chosen(corpus), self.posts(corpus)
        save_file(model.tensors(), tmp_path / "model.safetensors")
        other = build("reeltag", SMALL, Sizes.of(corpus.training)).eval()
        other.load_tensors(load_file(tmp_path / "model.safetensors"))
        assert torch.equal(other.scored(posts), model.scored(posts))
        assert isinstance(other, House)
        assert other.trees.grown

    def test_a_post_scores_alone_as_in_a_batch_with_trees(self, corpus: Corpus) -> None:
        model, posts = self.chosen(corpus), corpus.part("test")
        together = model.scored(corpus.batch(posts, torch.arange(12)))
        alone = torch.cat([model.scored(corpus.batch(posts, torch.tensor([n]))) for n in range(12)])
        torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-4)

    def test_threads_that_rank_side_by_side_rank_alike(self, corpus: Corpus) -> None:
        model, posts = self.chosen(corpus), corpus.part("test")
        before, found = torch.get_num_threads(), []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(judge(model, corpus, posts, budget=7 * model.bytes_per_post()))
        torch.set_num_threads(before)
        alone, abreast = found
        assert torch.equal(abreast.ranked, alone.ranked)
        assert all(torch.equal(abreast.values[name], value) for name, value in alone.values.items())

    def test_it_needs_no_compiled_loop(
        self, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Scores are the same to rounding where numba is not installed."""
        model = self.chosen(corpus)
        posts = self.posts(corpus, 12)
        compiled = model.scored(posts)
        for module in (scores, top, trees, list_sums):
            monkeypatch.setattr(module, "available", lambda: False)
        model.trees._read = None
        torch.testing.assert_close(model.scored(posts), compiled, rtol=1e-4, atol=1e-4)

    def test_it_learns_whom_to_believe(self, corpus: Corpus) -> None:
        """Trees grown on validation posts rank the test posts better than fusion does."""
        model = self.chosen(corpus, rounds=60)
        posts = corpus.part("test")
        batch = corpus.batch(posts, torch.arange(len(posts)))
        found = model.shortlisted(model.encode(batch))
        fused = judge_scores(found.fused.whole(), posts.hashtags, "ndcg@10").mean()
        assert judge_scores(model.scored(batch), posts.hashtags, "ndcg@10").mean() > fused

    def test_hashtags_never_used_are_rehearsed(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Trees that saw names alone be right believe them where counts are silent."""
        warm = captioned(tmp_path_factory.mktemp("rehearsed") / "data", posts=300, read=True)
        make_split(warm.dataset, "cold", SplitRecipe(cold_hashtags=0.3))
        corpus = open_corpus(warm.dataset, "cold", words="count", pieces=True)
        unused = torch.from_numpy(corpus.hashtags.counts == 0)
        wide = {**SMALL, "candidates": 60, "rounds": 60}
        model, without = (build("reeltag", wide, Sizes.of(corpus.training)) for _ in range(2))
        assert isinstance(model, House)
        assert isinstance(without, House)
        model.fit(corpus.training)
        assert model._rehearsed is not None
        twin, used = model._rehearsed
        assert torch.equal(used, ~unused)
        hidden = (twin.shortlisting.popular[0] == 0) & used
        assert 0 < hidden.sum() < used.sum() / 2
        shown = twin.shortlisted(twin.encode(self.posts(corpus)), among=used)
        assert used[shown.candidates].all()
        names = set(model.tensors())
        model.choose(held(corpus), judge_scores)
        assert model._rehearsed is None
        assert set(model.tensors()) == names
        without._fit(corpus.training)
        without.choose(held(corpus), judge_scores)
        posts = corpus.part("test")
        tags = posts.hashtags
        cold = unused[tags.values]
        right = Ragged.from_pairs(tags.row_of_value[cold], tags.values[cold], len(posts))
        some = (right.lengths > 0).nonzero().squeeze(1)
        batch = corpus.batch(posts, some)
        found, lost = (
            judge_scores(m.scored(batch), right.select(some), "recall@5").mean()
            for m in (model, without)
        )
        assert found > lost + 0.1

    def test_without_hashtags_never_used_nothing_is_rehearsed(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        assert isinstance(model, House)
        assert model._rehearsed is None

    def test_once_chosen_it_learns_from_validation_posts_too(self, corpus: Corpus) -> None:
        model, joined = self.chosen(corpus), corpus.with_validation()
        assert model.refits
        assert not self.chosen(corpus, refit=False).refits
        assert not self.fitted(corpus).refits  # type: ignore[attr-defined]
        other = model.refitted(joined.training)
        assert torch.equal(other.trees.text, model.trees.text)
        scorer = build("bll", {}, Sizes.of(joined.training))
        scorer.fit(joined.training)
        assert all(
            torch.equal(value, other.scorers["bll"].state_dict()[key])
            for key, value in scorer.tensors().items()
        )
