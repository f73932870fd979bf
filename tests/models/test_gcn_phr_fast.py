"""GCN-PHR's fast paths and what they share with the plain one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from reeltag.data.corpus import Corpus
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.gcn_phr import GcnPhr, _score
from reeltag.models.layers import fused
from reeltag.models.layers.stored import StoredFeatures
from reeltag.models.registry import build
from tests.models.contract import TrainedContract


class TestGcnPhrFast(TrainedContract):
    """The fast path: sampled neighbours, delayed products, features in float16."""

    name = "gcn-phr"
    settings = {  # noqa: RUF012
        "dim": 6,
        "neighbours": 3,
        "projections": 2,
        "half_features": True,
    }

    def test_has_finite_gradients(self, corpus: Corpus) -> None:
        model = built(corpus, self.settings)
        batch = batch_of(corpus)
        model.loss(batch).backward()
        model.after_backward(last=True)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def built(corpus: Corpus, settings: dict[str, Any]) -> GcnPhr:
    torch.manual_seed(5)
    model = build("gcn-phr", {"dim": 4, **settings}, Sizes.of(corpus.training))
    assert isinstance(model, GcnPhr)
    model.fit(corpus.training)
    return model


def batch_of(corpus: Corpus) -> TrainingBatch:
    posts, hashtags = corpus.training.triples
    index = torch.arange(0, 40, 2)
    negatives = torch.randint(
        len(corpus.hashtags), (20, 1), generator=torch.Generator().manual_seed(0)
    )
    return TrainingBatch(corpus.training.batch(posts[index], False), hashtags[index], negatives)


@pytest.mark.parametrize("layers", [1, 2])
def test_delayed_products_have_the_exact_gradients(corpus: Corpus, layers: int) -> None:
    """One step's share of the delayed gradient is the exact gradient."""
    exact = built(corpus, {"layers": layers})
    delayed = built(corpus, {"layers": layers, "projections": 1})
    batch = batch_of(corpus)
    for model in (exact, delayed):
        loss = model.loss(batch)
        loss.backward()
        model.after_backward(last=True)
    for (name, one), (_, two) in zip(
        exact.named_parameters(), delayed.named_parameters(), strict=True
    ):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_delayed_products_pass_on_the_mean_of_the_steps(corpus: Corpus) -> None:
    model = built(corpus, {"projections": 1})
    weight = model.user_side[0].message.weight  # type: ignore[union-attr]
    gradients = []
    for last in (False, True):
        model.zero_grad(set_to_none=True)
        model.loss(batch_of(corpus)).backward()
        model.after_backward(last)
        gradients.append(weight.grad)
    assert gradients[0] is None
    exact = built(corpus, {})
    exact.loss(batch_of(corpus)).backward()
    expected = exact.user_side[0].message.weight.grad  # type: ignore[union-attr]
    torch.testing.assert_close(gradients[1], expected, rtol=1e-3, atol=1e-6)


def test_many_neighbours_are_all_neighbours(corpus: Corpus) -> None:
    exact, wide = (
        built(corpus, {}),
        built(corpus, {"neighbours": 60, "neighbour_posts": 60}),
    )
    batch = batch_of(corpus)
    torch.testing.assert_close(exact.loss(batch), wide.loss(batch))


def test_variant_one_is_a_plain_mean(corpus: Corpus) -> None:
    """Without attention, each post of a pair weighs the same."""
    from reeltag.graph import incoming

    model = built(corpus, {"post_attention": False})
    graph = model._graph
    assert graph is not None
    edges = incoming(graph.users, torch.arange(len(corpus.users)))
    layer: Any = model.user_side[0]
    alpha = layer.attention(edges.neighbours.unsqueeze(1).float(), edges.use_pair, torch.zeros(0))
    uses = torch.bincount(edges.use_pair)
    torch.testing.assert_close(alpha, (1 / uses)[edges.use_pair])


@pytest.mark.parametrize(
    ("side", "setting"), [("user", "hashtag_guided"), ("hashtag", "user_guided")]
)
def test_guidance_moves_the_attention(corpus: Corpus, side: str, setting: str) -> None:
    """Eq. 3: with its activation, the neighbour changes how the posts of a pair are weighed."""
    logits = torch.tensor([[-1.0], [1.0]])
    pair = torch.zeros(2, dtype=torch.int64)
    for guided in (True, False):
        layer: Any = getattr(built(corpus, {setting: guided}), f"{side}_side")[0]
        if guided:
            layer.similarity.weight.data[0, :4] = 1.0
        low, high = (
            layer.attention(torch.full((1, 4), value), pair, logits) for value in (-3.0, 3.0)
        )
        assert torch.allclose(low, high) is not guided


class TestGcnPhrUnfused(TrainedContract):
    """Scored with torch alone, as on an accelerator or without numba."""

    name = "gcn-phr"
    settings = {"dim": 6}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def unfused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fused, "available", lambda: False)


@pytest.mark.parametrize("posts", [1, 3, 40])
def test_fused_scores_are_the_blocked_ones(posts: int) -> None:
    pytest.importorskip("numba")
    torch.manual_seed(0)
    A, B, c = torch.randn(501, 16), torch.randn(posts, 16), torch.randn(posts, 16)
    k, candidates = torch.randn(posts), torch.randint(501, (posts, 30))
    expected = _score(A, B, c) + k.unsqueeze(1)
    torch.testing.assert_close(fused.score_all(A, B, c, k), expected, rtol=1e-5, atol=1e-5)
    found = fused.score_pairs(A, B, c, k, candidates)
    assert torch.equal(found, fused.score_all(A, B, c, k).gather(1, candidates))


RESIDENT: list[dict[str, Any]] = [
    {},
    {"layers": 2},
    {"aggregation": "max", "fusion": "transform"},
    {"post_attention": False},
    {"projections": 2},
    {"neighbours": 60, "neighbour_posts": 60},
    {"neighbours": 60, "neighbour_posts": 60, "layers": 2, "mask_own_post": True},
]


@pytest.mark.parametrize("settings", RESIDENT)
def test_steps_of_known_size_are_the_same_steps(
    corpus: Corpus, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an accelerator takes them (all nodes, padded samples): equal losses and gradients."""
    plain, resident = built(corpus, settings), built(corpus, settings)
    loss = plain.loss(batch_of(corpus))
    loss.backward()
    plain.after_backward(last=True)
    monkeypatch.setattr(GcnPhr, "_resident", True)
    same = resident.loss(batch_of(corpus))
    same.backward()
    resident.after_backward(last=True)
    torch.testing.assert_close(loss, same)
    for (name, one), (_, two) in zip(
        plain.named_parameters(), resident.named_parameters(), strict=True
    ):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("settings", [*RESIDENT, {"neighbours": 3, "mask_own_post": True}])
def test_no_step_waits_for_the_device(corpus: Corpus, settings: dict[str, Any]) -> None:
    """On the meta device tensors have shapes and no values: reading one, or a size that
    depends on one, is an error. So whatever runs there never makes an accelerator wait."""
    model = built(corpus, settings).to("meta")
    batch = batch_of(corpus)
    moved = TrainingBatch(
        batch.posts.to("meta"), batch.positives.to("meta"), batch.negatives.to("meta")
    )
    model.loss(moved).backward()
    model.after_backward(last=True)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_late_matrices_step_further(corpus: Corpus) -> None:
    uses = len(corpus.training.triples[0])
    factors = built(corpus, {"projections": 2}).step_factors(uses // 10)
    assert set(factors) == {
        f"{side}_side.0.{layer}.weight"
        for side in ("user", "hashtag")
        for layer in ("message", "similarity_post")
    }
    assert all(4.9 < factor < 5.2 for factor in factors.values())
    assert set(built(corpus, {"projections": 2}).step_factors(1).values()) == {10.0}
    assert not built(corpus, {}).step_factors(4)


@pytest.mark.parametrize("settings", [{}, {"projections": 2}, {"neighbours": 2}, {"layers": 2}])
def test_features_in_their_files_and_vectors_in_blocks_change_nothing(
    corpus: Corpus, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    training, found = corpus.training, []
    tags = torch.tensor([row[0] for row in training.posts.hashtags.padded().tolist()[:20]])
    index = torch.arange(20)[tags >= 0]
    batch = TrainingBatch(training.batch(index, False), tags[index], (1 - tags[index])[:, None] % 5)
    for kept, at_once in ((1536, 1 << 20), (0, 16)):
        monkeypatch.setattr("reeltag.models.gcn_phr._USES_AT_ONCE", at_once)
        torch.manual_seed(1)
        sizes = Sizes.of(training)
        model = build("gcn-phr", {"dim": 5, **settings, "kept_features": kept}, sizes)
        assert isinstance(model, GcnPhr)
        model.fit(training)
        assert isinstance(model._projection.features, StoredFeatures) == (kept == 0)
        torch.manual_seed(2)
        loss = model.loss(batch)
        loss.backward()
        model.after_backward(last=True)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        model.refresh()
        with torch.no_grad():
            found.append([loss, *gradients, model.user_vectors, model.hashtag_vectors])
    for kept_one, stored_one in zip(*found, strict=True):
        torch.testing.assert_close(stored_one, kept_one)
