"""What scorers say of their scores, against counts made one post at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus
from reeltag.models.contract import Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.house_config import SCORERS
from reeltag.models.registry import build
from reeltag.words import pieces
from tests.models.captioned import captioned, rows_of
from tests.models.lists import listed


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return captioned(tmp_path_factory.mktemp("explaining") / "data", read=True)


def fitted(corpus: Corpus, name: str, **settings: object) -> Explaining:
    model = build(name, settings, Sizes.of(corpus.training))
    assert isinstance(model, Explaining)
    model.fit(corpus.training)
    return model.eval()


def said(model: Explaining, posts: PostBatch, hashtags: int) -> list[Facts]:
    with torch.no_grad():
        return model.facts(posts, model.encode(posts), torch.arange(hashtags))


def asked(corpus: Corpus) -> list[PostBatch]:
    """Test posts, training posts, and a test post by somebody unknown."""
    test = [corpus.batch(corpus.part("test"), torch.tensor([n])) for n in range(4)]
    train = [corpus.training.batch(torch.tensor([n])) for n in (0, 7, 30)]
    return [*test, *train, replace(test[0], users=torch.tensor([-1]))]


class Known:
    """The training posts as lists, those that a post asked about may be compared with."""

    def __init__(self, corpus: Corpus, posts: PostBatch) -> None:
        training = corpus.training.posts
        self.others = [n for n in range(len(training)) if n != int(posts.own)]
        self.users = training.users.tolist()
        self.tags, self.words = rows_of(training.hashtags), rows_of(training.words)
        user = int(posts.users)
        self.mine = [n for n in self.others if user >= 0 and self.users[n] == user]

    def uses(self, rows: list[int], tag: int) -> int:
        return sum(tag in self.tags[n] for n in rows)


@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_has_facts_for_each_hashtag(corpus: Corpus, name: str) -> None:
    model, H = fitted(corpus, name), len(corpus.hashtags)
    for posts in asked(corpus):
        facts = said(model, posts, H)
        assert len(facts) == H
        alone = model.facts(posts, model.encode(posts), torch.tensor([3]))
        assert [about.keys() for about in alone] == [facts[3].keys()]
    assert any(any(said(model, posts, H)) for posts in asked(corpus))


def test_counts_of_everybody_and_of_the_user(corpus: Corpus) -> None:
    H = len(corpus.hashtags)
    popularity, history = fitted(corpus, "popularity"), fitted(corpus, "user-history")
    for posts in asked(corpus):
        known = Known(corpus, posts)
        for tag, (everybody, user) in enumerate(
            zip(said(popularity, posts, H), said(history, posts, H), strict=True)
        ):
            assert everybody == {"uses": known.uses(range(len(known.tags)), tag)}  # type: ignore[arg-type]
            uses = known.uses(known.mine, tag)
            assert user == ({"uses": uses} if uses else {})


def test_the_last_use_is_so_many_posts_ago(corpus: Corpus) -> None:
    model, H = fitted(corpus, "bll"), len(corpus.hashtags)
    for posts in asked(corpus)[:4]:  # they come after all training posts: no post has a time
        known = Known(corpus, posts)
        for tag, facts in enumerate(said(model, posts, H)):
            carrying = [tag in known.tags[n] for n in reversed(known.mine)]
            uses = sum(carrying)
            expected = {"uses": uses, "ago": 1 + carrying.index(True)} if uses else {}
            assert facts == expected
    nobody = asked(corpus)[-1]
    assert said(model, nobody, H) == [{}] * H


def test_a_post_among_the_users_posts_looks_both_ways(corpus: Corpus) -> None:
    model, H = fitted(corpus, "bll"), len(corpus.hashtags)
    posts = corpus.training.batch(torch.tensor([30]))
    known = Known(corpus, posts)
    place = sum(n < 30 for n in known.mine)
    ages = [place - n if n < place else n + 1 - place for n in range(len(known.mine))]
    for tag, facts in enumerate(said(model, posts, H)):
        own = [age for n, age in zip(known.mine, ages, strict=True) if tag in known.tags[n]]
        if own:
            nearer = sum(age < min(own) for age in ages)
            assert facts == {"uses": len(own), "ago": 1 + nearer}
        else:
            assert facts == {}


@pytest.mark.parametrize(
    ("name", "most"), [("text-knn", 100), ("content-knn", 50), ("own-knn", 10)]
)
def test_neighbours_are_those_that_vote(corpus: Corpus, name: str, most: int) -> None:
    model, H = fitted(corpus, name), len(corpus.hashtags)
    for posts in asked(corpus):
        known = Known(corpus, posts)
        cosines = model.likeness(model.resemblance(posts))[0].tolist()  # type: ignore[operator]
        among = known.mine if name == "own-knn" else known.others
        near = sorted(among, key=lambda n: (-cosines[n], n))[:most]
        near = [n for n in near if cosines[n] > 1e-6]
        for tag, facts in enumerate(said(model, posts, H)):
            carriers = [n for n in near if tag in known.tags[n]]
            if not carriers:
                assert facts == {}
                continue
            assert (facts["count"], facts["of"]) == (len(carriers), len(near))
            assert facts["cosines"] == pytest.approx([cosines[n] for n in carriers[:3]], abs=1e-3)
            assert set(facts["positions"]) <= set(carriers)


def test_the_words_that_add_most(corpus: Corpus) -> None:
    model, H = fitted(corpus, "caption-words"), len(corpus.hashtags)
    for posts in asked(corpus):
        known, n = Known(corpus, posts), len(corpus.training.posts)
        for tag, facts in enumerate(said(model, posts, H)):
            found = []
            for word in posts.words.values.tolist():
                with_word = [p for p in known.others if word in known.words[p]]
                both = known.uses(with_word, tag)
                idf = np.log(n / sum(word in row for row in known.words))
                found.append((idf * both / (len(with_word) + 3), word, both, len(with_word)))
            best = sorted((f for f in found if f[0] > 0), key=lambda f: -f[0])[:3]
            told = facts.get("words", [])
            assert [f[0] for f in best] == pytest.approx(
                [next(f[0] for f in found if f[1] == t["word"]) for t in told]
            )
            for spoken in told:
                assert (spoken["word"], spoken["posts"], spoken["of"]) in [f[1:] for f in found]


def test_what_the_caption_spells(corpus: Corpus) -> None:
    model, names = fitted(corpus, "tag-names"), corpus.hashtags.names
    posts = corpus.part("test")
    for n in range(6):
        words = [corpus.words.names[w] for w in rows_of(posts.words)[n]]
        terms = set(rows_of(posts.pieces)[n])
        batch = corpus.batch(posts, torch.tensor([n]))
        for name, facts in zip(names, said(model, batch, len(names)), strict=True):
            caption = corpus.dataset.posts["caption"][int(posts.rows[n])].split()
            runs = [
                "".join(caption[a:b]) for a in range(len(caption)) for b in (a + 1, a + 2, a + 3)
            ]
            common = terms & set(pieces(name))
            assert bool(facts) == bool(common)
            if facts:
                assert facts["whole"] == (name in runs)
                assert (facts["pieces"] == pytest.approx(1)) == (set(pieces(name)) <= terms)
                told = [corpus.words.names[w] for w in facts["words"]]
                assert set(told) == {w for w in words if w in name} or len(told) == 3


def test_the_hashtags_it_goes_with(corpus: Corpus) -> None:
    model, H = fitted(corpus, "ease"), len(corpus.hashtags)
    n, users = len(corpus.training.posts), len(corpus.users)
    for posts in asked(corpus):
        known = Known(corpus, posts)
        table = np.zeros((users, H))
        for p in range(n):
            table[known.users[p], known.tags[p]] += 1
        inverse = np.linalg.inv(np.sqrt(table).T @ np.sqrt(table) + 10 * np.eye(H))
        between = -inverse / np.diag(inverse)
        np.fill_diagonal(between, 0)
        mine = np.sqrt([known.uses(known.mine, tag) for tag in range(H)])
        for tag, facts in enumerate(said(model, posts, H)):
            added = mine * between[:, tag]
            best = [t for t in np.argsort(-added, kind="stable")[:3] if added[t] > 1e-6]
            assert facts.get("weights", []) == pytest.approx(added[best].tolist(), abs=1e-5)
            assert all(mine[t] for t in facts.get("hashtags", []))


def test_ridge_is_a_sum_of_whose_posts_speak(corpus: Corpus) -> None:
    model, H = fitted(corpus, "ridge"), len(corpus.hashtags)
    for posts in asked(corpus):
        known, facts = Known(corpus, posts), said(model, posts, H)
        if int(posts.own) < 0:
            scores = model.scored(posts)[0].tolist()
            sums = [about["own"] + about["alike"] + about["all"] for about in facts]
            assert sums == pytest.approx(scores, abs=1e-4)
        if int(posts.users) < 0:
            assert all(about["own"] == 0 for about in facts)
        r = model.likeness(model.resemblance(posts))[0].tolist()  # type: ignore[operator]
        near = sorted(known.others, key=lambda n: -r[n])[:30]
        near = [n for n in near if r[n] > 0]
        for tag, about in enumerate(facts):
            uses = known.uses(near, tag)
            assert about.get("count", 0) == uses
            assert about.get("of", len(near)) == len(near)


def test_ridge_of_landmarks_compares_with_them_alone(corpus: Corpus) -> None:
    model = fitted(corpus, "ridge", exact=0, landmarks=20)
    posts = asked(corpus)[0]
    facts = said(model, posts, len(corpus.hashtags))
    sums = [about["own"] + about["alike"] + about["all"] for about in facts]
    assert sums == pytest.approx(model.scored(posts)[0].tolist(), abs=1e-4)
    landmarks = model.landmarks.tolist()  # type: ignore[operator]
    named = {position for about in facts for position in about.get("positions", [])}
    assert named
    assert named <= set(landmarks)


def test_related_names_the_hashtags_that_spread_most(corpus: Corpus) -> None:
    """What the named ones add is all that is spread where there are few of them."""
    model, H = fitted(corpus, "related"), len(corpus.hashtags)
    posts = asked(corpus)[0]
    encoded = model.encode(posts)
    first = model._first(encoded).whole()[0]  # type: ignore[operator]
    graph = model.relatedness(listed(torch.eye(H))).numpy()  # type: ignore[operator]
    for tag, about in enumerate(said(model, posts, H)):
        added = first.numpy() * graph[:, tag]
        order = [n for n in np.argsort(-added, kind="stable")[:3] if added[n] > 0]
        assert about == ({} if not order else about)
        if order:
            np.testing.assert_allclose(about["weights"], added[order], rtol=1e-4)
            assert set(about["hashtags"]) <= set(np.flatnonzero(added > 0))


def test_tag_meaning_says_how_near_and_of_how_many_posts(corpus: Corpus) -> None:
    model, H = fitted(corpus, "tag-meaning", power=1.0), len(corpus.hashtags)
    for posts in asked(corpus):
        known = Known(corpus, posts)
        scores = model.scored(posts)[0]
        there = corpus.training.batch(torch.arange(len(corpus.training.posts))).present
        captioned_posts = [n for n in known.others if bool(there["textual-sif"][n])]
        for tag, about in enumerate(said(model, posts, H)):
            if about:
                assert about["posts"] == known.uses(captioned_posts, tag)
                if int(posts.own) < 0:
                    assert about["cosine"] == pytest.approx(float(scores[tag]), abs=1e-5)
