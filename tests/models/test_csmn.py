"""CSMN against its equations, one slot, window and hashtag at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.csmn import Csmn
from reeltag.models.layers.characteristic import CharacteristicTags
from reeltag.models.registry import build
from tests.models.contract import TrainedContract

SETTINGS = {"dim": 4, "user_slots": 6, "output_slots": 5}


def characteristic(corpus: Corpus, user: int, own: int, slots: int) -> list[int]:
    """The user's hashtags by TF-IDF, counted one use at a time."""
    training = corpus.training
    owner, tags = (t.tolist() for t in training.triples)
    users = training.posts.users.tolist()
    mine: dict[int, int] = {}
    who: dict[int, set[int]] = {}
    for post, tag in zip(owner, tags, strict=True):
        who.setdefault(tag, set()).add(users[post])
        if users[post] == user and post != own:
            mine[tag] = mine.get(tag, 0) + 1
    value = {j: n * math.log((1 + len(corpus.users)) / (1 + len(who[j]))) for j, n in mine.items()}
    return sorted((j for j in value if value[j] > 1e-6), key=lambda j: (-value[j], j))[:slots]


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def reference(model: Csmn, corpus: Corpus, posts: PostBatch, written: list[list[int]]):
    """Logits of the next hashtag of each post after `written`."""
    w = {k: v.double().numpy() for k, v in model.state_dict().items()}
    D, c = model.config.dim, model.config
    inputs = model.input(posts).double().numpy()

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    logits = []
    for row, user in enumerate(posts.users.tolist()):
        own = int(posts.own[row])
        mine = characteristic(corpus, user, own, c.user_slots) if user >= 0 else []
        E = w["hashtag"]
        slots = []
        has_content = any(bool(p[row]) for p in posts.present.values())
        if has_content or not (mine or written[row]):
            slots.append(("content", 0, relu(layer("content_memory", inputs[row]))))
        for n, j in enumerate(mine):
            slots.append(("user", n, relu(layer("user_memory", E[j]))))
        start = c.output_slots - len(written[row])
        for n, j in enumerate(written[row]):
            slots.append(("output", start + n, relu(layer("output_memory", E[j]))))
        last = written[row][-1] if written[row] else len(corpus.hashtags)
        q = relu(layer("ask", E[last]))
        match = np.array([np.dot(m[:D], q) for _, _, m in slots])
        share = np.exp(match) / np.exp(match).sum()
        room = {"content": np.zeros((1, D)), "user": np.zeros((c.user_slots, D)),
                "output": np.zeros((c.output_slots, D))}  # fmt: skip
        for a, (kind, n, m) in zip(share, slots, strict=True):
            room[kind][n] = a * m[D:]
        parts = [relu(layer("read_content", room["content"][0]))]
        for kind in ("user", "output"):
            for k, window in enumerate((3, 4, 5)):
                W, b = w[f"read_slots.{k}.weight"], w[f"read_slots.{k}.bias"]
                responses = []
                for at in range(len(room[kind]) - window + 1):
                    patch = room[kind][at : at + window]
                    responses.append([relu((W[d] * patch.T).sum() + b[d]) for d in range(D)])
                parts.append(np.max(responses, axis=0))
        logits.append(layer("out", relu(layer("state", np.concatenate(parts)))))
    return np.array(logits)


def model_of(corpus: Corpus, **settings: object) -> Csmn:
    torch.manual_seed(6)
    model = build("csmn", {**SETTINGS, **settings}, Sizes.of(corpus.training))
    assert isinstance(model, Csmn)
    model.fit(corpus.training)
    with torch.no_grad():
        model.hashtag.mul_(10)  # so that the memories differ by much
    return model


class TestCsmn(TrainedContract):
    name = "csmn"
    settings = SETTINGS

    def test_first_step_is_the_equations(self, corpus: Corpus) -> None:
        model = model_of(corpus)
        posts = self.posts(corpus, 5)
        posts.users[3] = -1
        posts = replace(posts, present={k: p.clone() for k, p in posts.present.items()})
        for present in posts.present.values():
            present[4] = False
        scores = model.scored(posts).numpy()
        expected = reference(model, corpus, posts, [[]] * 5)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)

    def test_loss_is_teacher_forcing_in_stored_order(self, corpus: Corpus) -> None:
        model = model_of(corpus, order="stored")
        owner, hashtags = (t[:14] for t in corpus.training.triples)
        posts = corpus.training.batch(owner)
        batch = TrainingBatch(posts, hashtags, torch.zeros(14, 1).long())
        tags = corpus.training.posts.hashtags
        written = []
        for post, target in zip(owner.tolist(), hashtags.tolist(), strict=True):
            carried = tags.values[tags.offsets[post] : tags.offsets[post + 1]].tolist()
            written.append(carried[: carried.index(target)])
        assert any(written)
        total = 0.0
        for row, logits in enumerate(reference(model, corpus, posts, written)):
            total -= math.log(math.exp(logits[hashtags[row]]) / np.exp(logits).sum())
        np.testing.assert_allclose(float(model.loss(batch).detach()), total / 14, rtol=1e-4)

    @pytest.mark.parametrize("order", ["random", "stored"])
    def test_nothing_is_written_that_is_to_be_guessed(self, corpus: Corpus, order: str) -> None:
        model = model_of(corpus, order=order, output_slots=2)
        owner, hashtags = corpus.training.triples
        written = model.before(owner, hashtags)
        assert written.shape == (len(owner), 2)
        assert not (written == hashtags.unsqueeze(1)).any()
        carried = corpus.training.posts.hashtags.select(owner).padded()
        for row in range(len(owner)):
            there = [j for j in written[row].tolist() if j >= 0]
            assert set(there) <= set(carried[row].tolist())
            assert written[row].tolist() == [-1] * (2 - len(there)) + there

    def test_random_order_writes_each_length_alike(self, corpus: Corpus) -> None:
        model = model_of(corpus)
        lengths = corpus.training.posts.hashtags.lengths
        post = (lengths == 3).nonzero().squeeze(1)[:1]
        target = corpus.training.posts.hashtags.select(post).values[:1]
        torch.manual_seed(0)
        written = model.before(post.repeat(3000), target.repeat(3000))
        shares = torch.bincount((written >= 0).sum(1), minlength=3) / 3000
        torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.03, rtol=0)


def test_characteristic_hashtags_leave_the_own_post_out(corpus: Corpus) -> None:
    layer = CharacteristicTags(len(corpus.users), len(corpus.hashtags))
    layer.fit(corpus.training)
    index = torch.arange(10)
    users = corpus.training.posts.users[index].clone()
    users[9] = -1
    for own in (index, torch.full_like(index, -1)):
        found = layer(users, own, 4).tolist()
        for row in range(9):
            expected = characteristic(corpus, int(users[row]), int(own[row]), 4)
            assert [j for j in found[row] if j >= 0] == expected
        assert found[9] == [-1] * 4
