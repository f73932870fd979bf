"""GCN-PHR against an independent NumPy reading of equations 1-11."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from reeltag.data.corpus import Corpus
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.gcn_phr import GcnPhr, _score
from reeltag.models.layers import fused
from reeltag.models.layers.stored import StoredFeatures
from reeltag.models.registry import build
from tests.models.contract import TrainedContract


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.01 * x)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def join(rows: list[np.ndarray], how: str, size: int, dim: int) -> np.ndarray:
    if not rows:
        return np.zeros(dim)
    if how == "max":
        return np.max(rows, axis=0)
    return np.sum(rows, axis=0) / (size if how == "mean" else 1)


def side(
    weights: dict[str, np.ndarray],
    uses: list[tuple[int, int, int]],
    below: np.ndarray,
    features: np.ndarray,
    nodes: int,
    how: str,
    fusion: str,
) -> np.ndarray:
    """Equations 1-8 for one side; uses are (node, neighbour, post), read one by one."""
    dim = below.shape[1]
    out = np.zeros((nodes, dim))
    for node in range(nodes):
        mine = [(n, k) for i, n, k in uses if i == node]
        near = sorted({n for n, _ in mine})
        by_neighbours = leaky(
            join([weights["neighbour.weight"] @ below[n] for n in near], how, len(near), dim)
        )
        message: dict[int, np.ndarray] = {}
        for n in near:
            posts = [k for m, k in mine if m == n]
            logits = np.array(
                [
                    leaky(
                        weights["similarity.weight"][0]
                        @ np.concatenate(
                            [below[n], weights["similarity_post.weight"] @ features[k]]
                        )
                        + weights["similarity.bias"][0]
                    )
                    for k in posts
                ]
            )
            for share, k in zip(softmax(logits), posts, strict=True):
                message[k] = message.get(k, 0) + share * (weights["message.weight"] @ features[k])
        by_posts = leaky(join(list(message.values()), how, len(near), dim))
        if fusion == "network":
            both = np.concatenate([by_posts, by_neighbours])
            out[node] = leaky(weights["fuse.weight"] @ both + weights["fuse.bias"])
        else:
            out[node] = (
                weights["fuse_posts.weight"] @ by_posts
                + weights["fuse_neighbours.weight"] @ by_neighbours
            )
    return out


def reference(model: GcnPhr, corpus: Corpus, posts: Any) -> np.ndarray:
    """Scores of `posts` for every hashtag, from the weights by name and nothing else."""
    w = {k: v.double().numpy() for k, v in model.state_dict().items()}
    config = model.config
    train = corpus.training
    features = model.input(train.batch(torch.arange(len(train.posts)))).double().numpy()
    owner, tags = (t.tolist() for t in train.triples)
    users = train.posts.users.tolist()
    uses = [(users[k], j, k) for k, j in zip(owner, tags, strict=True)]
    U, H = w["user_embedding"], w["hashtag_embedding"]
    for layer in range(config.layers):
        part = {
            name: {
                k.split(f"{name}.{layer}.")[1]: v for k, v in w.items() if f"{name}.{layer}." in k
            }
            for name in ("user_side", "hashtag_side")
        }
        how, fusion = config.aggregation, config.fusion
        U, H = (
            side(part["user_side"], uses, H, features, len(U), how, fusion),
            side(
                part["hashtag_side"],
                [(j, i, k) for i, j, k in uses],
                U,
                features,
                len(H),
                how,
                fusion,
            ),
        )
    v = model.input(posts).double().numpy()
    scores = np.zeros((len(v), len(H)))
    for row, user in enumerate(posts.users.tolist()):
        u = U[user] if user >= 0 else U.mean(0)
        post = leaky(w["post_in.weight"] @ v[row] + w["post_user.weight"] @ u + w["post_in.bias"])
        if config.scoring == "cat":
            post = w["post_out.weight"] @ post + w["post_out.bias"]
        for j in range(len(H)):
            tag = leaky(
                w["hashtag_in.weight"] @ H[j] + w["hashtag_user.weight"] @ u + w["hashtag_in.bias"]
            )
            if config.scoring == "cat":
                tag = w["hashtag_out.weight"] @ tag + w["hashtag_out.bias"]
            scores[row, j] = tag @ post
    return scores


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scoring": "full"},
        {"aggregation": "add", "fusion": "transform"},
        {"aggregation": "max"},
        {"layers": 2, "scoring": "full", "fusion": "transform"},
    ],
)
def test_equations_against_numpy(corpus: Corpus, settings: dict[str, Any]) -> None:
    torch.manual_seed(1)
    model = build("gcn-phr", {"dim": 5, **settings}, Sizes.of(corpus.training))
    assert isinstance(model, GcnPhr)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    model.fit(corpus.training)
    model.refresh()
    posts = corpus.batch(corpus.part("test"), torch.arange(3))
    posts.users[2] = -1
    with torch.no_grad():
        scores = model.scored(posts).numpy()
    np.testing.assert_allclose(scores, reference(model, corpus, posts), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_loss_is_bpr_over_the_scores(corpus: Corpus, masked: bool) -> None:
    torch.manual_seed(2)
    model = build("gcn-phr", {"dim": 4, "mask_own_post": masked}, Sizes.of(corpus.training))
    model.fit(corpus.training)
    model.refresh()
    posts, hashtags = corpus.training.triples
    index = torch.arange(0, 30, 3)
    negatives = torch.randint(len(corpus.hashtags), (10, 2))
    batch = TrainingBatch(corpus.training.batch(posts[index]), hashtags[index], negatives)
    scores = model.scored(batch.posts)
    positive = scores.gather(1, batch.positives.unsqueeze(1))
    expected = torch.nn.functional.softplus(scores.gather(1, negatives) - positive).mean()
    loss = model.loss(batch).detach()
    assert (abs(float(loss) - float(expected)) < 1e-5) is not masked


def test_own_post_sends_no_message_when_masked(corpus: Corpus) -> None:
    """Masked, changing a post's own features changes nothing on the graph's side."""
    torch.manual_seed(3)
    model = build("gcn-phr", {"dim": 4, "mask_own_post": True}, Sizes.of(corpus.training))
    assert isinstance(model, GcnPhr)
    model.fit(corpus.training)
    posts, hashtags = corpus.training.triples
    post, user = posts[:1], corpus.training.posts.users[posts[:1]]
    own = (post, post)
    before = model.propagate(user, hashtags[:1], 1, own)
    unmasked = model.propagate(user, hashtags[:1], 1)
    model._projection.features[post] += 10
    after = model.propagate(user, hashtags[:1], 1, own)
    changed = model.propagate(user, hashtags[:1], 1)
    torch.testing.assert_close(before, after)
    assert not torch.equal(unmasked[0], changed[0])


def test_attention_sums_to_one_over_the_posts_of_a_pair(corpus: Corpus) -> None:
    from reeltag.graph import incoming

    model = build("gcn-phr", {"dim": 4}, Sizes.of(corpus.training))
    assert isinstance(model, GcnPhr)
    model.fit(corpus.training)
    graph = model._graph
    assert graph is not None
    edges = incoming(graph.users, torch.arange(len(corpus.users)))
    layer: Any = model.user_side[0]
    projected = model._projection.exact(edges.posts, layer.matrix())
    alpha = layer.attention(
        model.hashtag_embedding[edges.neighbours], edges.use_pair, projected[:, -1:]
    )
    total = torch.zeros(len(edges.neighbours)).index_add(0, edges.use_pair, alpha)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_refuses_data_without_users(corpus: Corpus) -> None:
    with pytest.raises(MissingFeatureError, match="no training post has a user"):
        build("gcn-phr", {}, Sizes(0, 4, corpus.training.manifests))


class TestGcnPhr(TrainedContract):
    name = "gcn-phr"
    settings = {"dim": 6}  # noqa: RUF012


class TestGcnPhrFull(TrainedContract):
    name = "gcn-phr"
    settings = {  # noqa: RUF012
        "dim": 6,
        "scoring": "full",
        "aggregation": "max",
        "fusion": "transform",
        "layers": 2,
    }


class TestVariantOne(TrainedContract):
    name = "gcn-phr-i"
    settings = {"dim": 6}  # noqa: RUF012


class TestVariantTwo(TrainedContract):
    name = "gcn-phr-ii"
    settings = {"dim": 6}  # noqa: RUF012


class TestVariantThree(TrainedContract):
    name = "gcn-phr-iii"
    settings = {"dim": 6}  # noqa: RUF012


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
