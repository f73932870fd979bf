"""A tenant's recommender is its own: what it learns, and whom it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reeltag import Recommender
from reeltag.data.corpus import Corpus
from reeltag.errors import InputError
from reeltag.experiments.train import train_run
from reeltag.models.observing import Observing
from reeltag.serving.records import Published
from reeltag.serving.tenants import Tenant, erased_users, private_copy
from tests.models.captioned import captioned
from tests.serving.ledger import MemoryLedger


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return captioned(tmp_path_factory.mktemp("tenants") / "data")


@pytest.fixture(scope="module", params=["ridge", "own-knn", "ease", "user-additive"])
def run(corpus: Corpus, request: pytest.FixtureRequest) -> Path:
    settings = {"dim": 4, "epochs": 1} if request.param == "user-additive" else {}
    out = corpus.dataset.path.parent / request.param
    train_run(corpus.dataset, "main", request.param, settings, out)
    return out


def test_it_learns_alone(run: Path) -> None:
    base = Recommender.load(run)
    tensors = {name: tensor.clone() for name, tensor in base.run.model.tensors().items()}
    posts, words = base.evidence.posts.clone(), base.evidence.words.clone()
    counts = base.run.hashtags.counts.copy(), base.run.users.counts.copy()
    near = len(base.evidence.nearest.resemblance.vectors) if base.evidence.nearest else 0
    ledger = MemoryLedger()
    for n in range(3):
        tags = ["rare", f"new{n}"]
        ledger.save_post(Published("default", f"n{n}", f"u{n}", n, "sunset goal", tags))
    first, second = (Tenant("default", base, ledger) for _ in range(2))
    first.catch_up(ledger)
    learns = isinstance(base.run.model, Observing)
    assert first.observes is learns
    assert first.seen == (3 if learns else 0)
    assert first.recommender.evidence.posts.height == posts.height + first.seen
    for untouched in (base, second.recommender):
        assert untouched.evidence.posts.equals(posts)
        assert untouched.evidence.words.equals(words)
        assert untouched.run.hashtags.counts.tolist() == counts[0].tolist()
        assert untouched.run.users.counts.tolist() == counts[1].tolist()
        if untouched.evidence.nearest is not None:
            assert len(untouched.evidence.nearest.resemblance.vectors) == near
        for name, tensor in untouched.run.model.tensors().items():
            assert torch.equal(tensor, tensors[name])
    # Parameters, and a whole model that cannot change, are not kept twice.
    mine, its = first.recommender.run.model, base.run.model
    assert (mine is its) is not learns
    assert all(a is b for a, b in zip(mine.parameters(), its.parameters(), strict=True))
    if isinstance(mine, Observing):
        assert all(mine.get_buffer(name) is its.get_buffer(name) for name in mine.lasting)


def test_whom_it_does_not_know(run: Path) -> None:
    base = Recommender.load(run)
    user = base.run.users.id_of("u1")
    some, nobody = private_copy(base, ["u1"]), private_copy(base, None)
    assert some.run.users.id_of("u1") == -1
    assert some.run.users.id_of("u2") == base.run.users.id_of("u2")
    assert not nobody.run.users.index
    assert nobody.evidence.posts["post"].null_count() == base.evidence.posts.height
    named = some.evidence.posts.filter(some.evidence.posts["user"] == user)["post"]
    assert named.null_count() == len(named) > 0
    assert some.evidence.posts["post"].null_count() == len(named)


def test_the_erased_are_found_by_their_tombstones(run: Path) -> None:
    class Strict(MemoryLedger):
        def tombstone(self, tenant: str, user: str) -> bytes:
            if user == "u2":
                raise InputError("Got a user that cannot be stored.")
            return super().tombstone(tenant, user)

    ledger, base = Strict(), Recommender.load(run)
    assert erased_users(ledger, "default", base) == set()
    ledger.erase_user("default", "u1")
    ledger.erase_user("other", "u3")
    assert erased_users(ledger, "default", base) == {"u1"}
