"""UHMAN against an independent NumPy reading of its equations, and against torch's attention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from reeltag.data.batches import Steps
from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.feature import Manifest, ragged
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import ConfigError, MissingFeatureError
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.layers.guided_attention import GuidedAttention
from reeltag.models.layers.warp import margin_loss, warp_loss
from reeltag.models.layers.wide_linear import WideLinear
from reeltag.models.registry import build
from reeltag.models.uhman import Uhman
from tests.conftest import make_dataset
from tests.models.contract import TrainedContract

REGIONS, CHANNELS = 6, 5


def with_grid(path: Path) -> Dataset:
    """The small dataset with 0 to 3 frames of 6 regions a post, and two fields a user."""
    small = make_dataset(path.with_name(f"{path.name}-posts"))
    rng = np.random.default_rng(4)
    entries = [
        None if n % 11 == 0 else rng.standard_normal((1 + n % 3, REGIONS, CHANNELS))
        for n in range(small.counts["posts"])
    ]
    manifest = Manifest(
        "visual-grid", "visual", "test", "grid", (REGIONS, CHANNELS), "float16", "clip",
        options={"frames": 3},
    )  # fmt: skip
    users = small.users.select(
        "user",
        pl.Series("gender", ["f", "m", None, "f"] * 2),
        pl.Series("age", [17, 23, 41, None, 30, 28, 19, 60]),
    )
    made = Dataset.create(
        path,
        small.posts,
        source={"format": "generated"},
        features=[ragged(manifest, entries)],
        users=users,
    )
    make_split(made, "main", SplitRecipe())
    return made


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The small dataset with regions, as UHMAN reads it."""
    return open_corpus(with_grid(tmp_path_factory.mktemp("grid") / "data"), "main", reads="grid")


def built(corpus: Corpus, **settings: Any) -> Uhman:
    torch.manual_seed(5)
    settings = {"dim": 8, "predictive": 6, "heads": 2, **settings}
    model = build("uhman", settings, Sizes.of(corpus.training))
    assert isinstance(model, Uhman)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    model.fit(corpus.training)
    return model.eval()


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def norm(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    scaled = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def attend(
    w: dict[str, np.ndarray], prefix: str, heads: int, u: np.ndarray, rows: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 1-4, entry by entry and head by head: the vector, and the mean attention."""
    w = {k.removeprefix(f"{prefix}."): v for k, v in w.items() if k.startswith(f"{prefix}.")}
    q, d = w["query.weight"] @ u + w["query.bias"], len(u) // heads
    heard, shares = np.zeros(len(u)), np.zeros(len(rows))
    for h in range(heads):
        part = slice(h * d, (h + 1) * d)
        if not rows:
            continue
        logits = np.array([q[part] @ (w["key.weight"] @ r)[part] / np.sqrt(d) for r in rows])
        share = softmax(logits)
        shares += share / heads
        for a, r in zip(share, rows, strict=True):
            heard[part] += a * (w["value.weight"] @ r + w["value.bias"])[part]
    gamma = norm(w["out.weight"] @ heard + w["out.bias"] + u, w, "after_attention")
    hidden = np.maximum(0, w["first.weight"] @ gamma + w["first.bias"])
    network = w["second.weight"] @ hidden + w["second.bias"]
    return norm(network + gamma, w, "after_network"), shares


def reference(model: Uhman, corpus: Corpus, rows: list[int]) -> np.ndarray:
    """Scores of test posts for every hashtag, from the weights, the posts and the users."""
    w = {k: v.double().numpy() for k, v in model.state_dict().items()}
    c, train = model.config, corpus.training
    feature = corpus.dataset.feature("visual-grid")
    history: dict[int, set[int]] = {}
    for k, j in zip(*(t.tolist() for t in train.triples), strict=True):
        history.setdefault(int(train.posts.users[k]), set()).add(j)
    posts = corpus.part("test")
    scores = np.zeros((len(rows), len(corpus.hashtags)))
    for at, row in enumerate(rows):
        user = int(posts.users[row])
        multi = np.zeros(len(corpus.hashtags))
        multi[sorted(history.get(user, set()))] = 1
        parts = [
            w[f"user.parts.fields.{f}.weight"][int(posts.fields[row, f])]
            for f in range(posts.fields.shape[1])
        ]
        parts.append(w["user.parts.history.weight"] @ multi + w["user.parts.history.bias"])
        hidden = np.maximum(
            0, w["user.first.weight"] @ np.concatenate(parts) + w["user.first.bias"]
        )
        u = w["user.second.weight"] @ hidden + w["user.second.bias"]
        frames = []
        for frame in feature.row(int(posts.rows[row])).astype(float):
            regions = []
            for region in frame:
                x = (region - w["regions.mean"]) * w["regions.scale"]
                hidden = np.maximum(0, w["regions.first.weight"] @ x + w["regions.first.bias"])
                regions.append(w["regions.second.weight"] @ hidden + w["regions.second.bias"])
            if c.region_attention:
                frames.append(attend(w, "over_regions", c.heads, u, regions)[0])
            else:
                frames.append(np.mean(regions, axis=0))
        if c.frame_attention:
            video = attend(w, "over_frames", c.heads, u, frames)[0]
        else:
            video = np.mean(frames, axis=0) if frames else np.zeros(c.dim)
        query = w["post_out.weight"] @ np.concatenate([u, video])
        for j in range(len(corpus.hashtags)):
            scores[at, j] = query @ (w["hashtag_out.weight"] @ w["hashtag"][j])
    return scores


@pytest.mark.parametrize("regions", [True, False])
@pytest.mark.parametrize("frames", [True, False])
def test_equations_against_numpy(corpus: Corpus, regions: bool, frames: bool) -> None:
    model = built(corpus, region_attention=regions, frame_attention=frames)
    posts = corpus.part("test")
    absent = (
        ~torch.from_numpy(corpus.dataset.feature("visual-grid").present)[posts.rows]
    ).nonzero()
    rows = [0, 1, 2, 3, int(absent[0])]
    with torch.no_grad():
        scores = model.scored(corpus.batch(posts, torch.tensor(rows))).numpy()
    np.testing.assert_allclose(scores, reference(model, corpus, rows), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_torchs(masked: bool) -> None:
    """Folding keys and values into the one query changes nothing."""
    torch.manual_seed(0)
    B, n, K, heads = 7, 9, 12, 3
    ours, theirs = (
        GuidedAttention(K, heads),
        torch.nn.MultiheadAttention(K, heads, batch_first=True),
    )
    with torch.no_grad():
        theirs.in_proj_weight.copy_(
            torch.cat([ours.query.weight, ours.key.weight, ours.value.weight])
        )
        # A key's bias cancels in the softmax: any will do.
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.randn(K), ours.value.bias]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    query, entries = torch.randn(B, K), torch.randn(B, n, K)
    mask = torch.rand(B, n) < 0.6
    mask[:, 0] = True
    expected, shares = theirs(
        query.unsqueeze(1), entries, entries, key_padding_mask=~mask if masked else None
    )
    found, attention = ours.multi_head(
        query, entries.unsqueeze(1), mask.unsqueeze(1) if masked else None
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(attention, shares, rtol=1e-4, atol=1e-5)


def test_attention_is_over_what_is_there(corpus: Corpus) -> None:
    model = built(corpus)
    posts = corpus.batch(corpus.part("test"), torch.arange(12))
    mask = posts.steps["visual-grid"].mask
    looked = model.attention(posts)
    assert looked.regions.shape == (*mask.shape, REGIONS)
    torch.testing.assert_close(looked.regions.sum(2), mask.float())
    torch.testing.assert_close(looked.frames.sum(1), mask.any(1).float())
    assert not looked.frames[~mask].any()


def test_two_users_look_elsewhere(corpus: Corpus) -> None:
    model = built(corpus)
    posts = corpus.batch(corpus.part("test"), torch.arange(6))
    other = replace(posts, users=(posts.users + 3) % len(corpus.users))
    assert not torch.allclose(model.attention(posts).regions, model.attention(other).regions)


def test_padding_changes_nothing(corpus: Corpus) -> None:
    model = built(corpus)
    posts = corpus.batch(corpus.part("test"), torch.arange(6))
    steps = posts.steps["visual-grid"]
    shape = (len(posts), 2, *steps.values.shape[2:])
    longer = Steps(
        torch.cat([steps.values, torch.full(shape, 7.0, dtype=torch.float16)], 1),
        torch.cat([steps.mask, torch.zeros(len(posts), 2, dtype=torch.bool)], 1),
    )
    padded = replace(posts, steps={"visual-grid": longer})
    torch.testing.assert_close(model.scored(posts), model.scored(padded))


def test_a_post_is_not_in_its_own_history(corpus: Corpus) -> None:
    model = built(corpus)
    training = corpus.training
    posts = training.batch(torch.arange(20))
    uses = model.user.parts.uses(posts.users, posts.own)
    expected = torch.zeros_like(uses)
    for row, user in enumerate(posts.users.tolist()):
        for k, j in zip(*(t.tolist() for t in training.triples), strict=True):
            if int(training.posts.users[k]) == user and k != row:
                expected[row, j] += 1
    assert torch.equal(uses, expected)


def test_every_field_moves_the_scores(corpus: Corpus) -> None:
    model = built(corpus)
    posts = corpus.batch(corpus.part("test"), torch.arange(4))
    assert posts.fields.shape == (4, 2)
    for at in range(2):
        fields = posts.fields.clone()
        fields[:, at] = (fields[:, at] + 1) % model.sizes.fields[at]
        assert not torch.allclose(model.scored(posts), model.scored(replace(posts, fields=fields)))


def test_wide_rows_in_blocks_have_the_same_product_and_gradient() -> None:
    torch.manual_seed(0)
    layer = WideLinear(3000, 4)
    rows = torch.randn(3, 500, 3000).half()
    found = layer(rows)
    found.square().sum().backward()
    assert layer.weight.grad is not None
    gradient, layer.weight.grad = layer.weight.grad.clone(), None
    expected = rows.float() @ layer.weight.T + layer.bias
    expected.square().sum().backward()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    away = (gradient - layer.weight.grad).norm() / layer.weight.grad.norm()
    assert float(away) < 1e-5


def test_losses_against_a_loop() -> None:
    torch.manual_seed(0)
    positive, negatives, H, m = torch.randn(40), torch.randn(40, 4), 50, 0.1
    weighted, plain = 0.0, 0.0
    for s, others in zip(positive.tolist(), negatives.tolist(), strict=True):
        plain += sum(max(0.0, m - s + other) for other in others)
        for trial, other in enumerate(others, start=1):
            if other + m > s:
                rank = (H - 1) // trial
                weighted += sum(1 / r for r in range(1, rank + 1)) * (m - s + other)
                break
    torch.testing.assert_close(margin_loss(positive, negatives, m), torch.tensor(plain / 40))
    torch.testing.assert_close(warp_loss(positive, negatives, H, m), torch.tensor(weighted / 40))


def test_refuses_two_grids_and_odd_heads(corpus: Corpus) -> None:
    manifest = corpus.training.manifests["visual-grid"]
    two = {"visual-grid": manifest, "other": replace(manifest, name="other")}
    with pytest.raises(MissingFeatureError, match="expected one grid"):
        build("uhman", {}, Sizes(4, 5, two))
    with pytest.raises(ConfigError, match="multiple of heads"):
        build("uhman", {"dim": 9, "heads": 2}, Sizes(4, 5, {"visual-grid": manifest}))


class RegionContract(TrainedContract):
    """The contract on data with regions: fixtures and inputs of this file."""

    def test_has_finite_gradients(self, corpus: Corpus) -> None:
        torch.manual_seed(0)
        model = build(self.name, self.settings, Sizes.of(corpus.training))
        assert isinstance(model, Uhman)
        model.fit(corpus.training)
        own = corpus.training.posts.hashtags.select(torch.arange(16))
        batch = TrainingBatch(
            corpus.training.batch(torch.arange(16)),
            own.values,
            torch.zeros(len(own.values), 3, dtype=torch.int64),
            own.row_of_value,
        )
        loss = model.loss(batch)
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


class TestUhman(RegionContract):
    name = "uhman"
    settings = {"dim": 8, "heads": 2}  # noqa: RUF012


class TestUhmanA(RegionContract):
    name = "uhman-a"
    settings = {"dim": 8, "heads": 2, "loss": "margin"}  # noqa: RUF012


class TestUhmanB(RegionContract):
    name = "uhman-b"
    settings = {"dim": 8, "heads": 2}  # noqa: RUF012
