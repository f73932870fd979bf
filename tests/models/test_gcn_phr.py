"""GCN-PHR against an independent NumPy reading of equations 1-11."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from reeltag.data.corpus import Corpus
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.gcn_phr import GcnPhr
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
