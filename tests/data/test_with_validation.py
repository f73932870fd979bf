"""The validation posts may join the training posts for a last fit."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.models.captioned import captioned


def test_ids_stay_and_counts_are_taken_anew(tmp_path: Path) -> None:
    corpus = captioned(tmp_path / "data", posts=120)
    joined = corpus.with_validation()
    assert joined.hashtags.names == corpus.hashtags.names
    assert joined.users.names[: len(corpus.users)] == corpus.users.names
    train, held = corpus.training.posts, corpus.part("validation")
    assert set(joined.training.posts.rows.tolist()) == {*train.rows.tolist(), *held.rows.tolist()}
    uses = torch.cat([train.hashtags.values, held.hashtags.values])
    assert joined.hashtags.counts.tolist() == torch.bincount(
        uses, minlength=len(corpus.hashtags)
    ).tolist()  # fmt: skip
    assert len(joined.part("validation")) == 0
    assert joined.part("test").rows.tolist() == corpus.part("test").rows.tolist()


def test_users_of_validation_posts_alone_follow(tmp_path: Path) -> None:
    corpus = captioned(tmp_path / "data", posts=120)
    known = corpus.users
    gone = known.names[-2:]
    known.names = known.names[:-2]
    joined = corpus.with_validation()
    assert joined.users.names[: len(known)] == known.names
    assert sorted(joined.users.names[len(known) :]) == sorted(gone)
    assert int(joined.training.posts.users.min()) >= 0


def test_ids_of_words_and_fields_are_kept_on_demand(tmp_path: Path) -> None:
    corpus = captioned(tmp_path / "data", posts=120)
    words = corpus.words
    words.names, gone = words.names[:-2], words.names[-2:]
    joined = corpus.with_validation(keep=True)
    assert joined.words.names[:-2] == words.names
    assert sorted(joined.words.names[-2:]) == sorted(gone)
    assert joined.words.counts.min() >= 2
    assert joined.fields is corpus.fields
    anew = corpus.with_validation()
    assert sorted(anew.words.names) == sorted(joined.words.names)
    assert anew.fields is not corpus.fields
