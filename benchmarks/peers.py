"""Library peers on a dataset: LightFM (WARP) and implicit's ALS, judged as `reeltag evaluate` does.

    pip install rectools-lightfm==1.17.3 implicit==0.7.3
    python -m benchmarks.peers DATASET [--split main] [--seeds 3]

LightFM (Kula, 2015) factorises posts × hashtags, a post described by its user and the words of its
caption; ALS (Hu et al., 2008) users × hashtags. Width, epochs and the confidence in a use are
chosen by NDCG@10 on validation posts. Prints one line of JSON a peer.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from reeltag.data.corpus import Corpus, Posts, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.evaluation.metrics import hits_of, ranking_metrics
from reeltag.evaluation.protocols import Judged
from reeltag.evaluation.slices import new_to_user, of_hashtags
from reeltag.models.layers.top import top_k
from reeltag.progress import say

WIDTHS = (32, 64, 128)
EPOCHS = (20, 40, 60, 90, 120)
CONFIDENCES = (1.0, 10.0, 40.0)
TOP = 10
Scores = Callable[[Posts], NDArray[np.float32]]
"""Posts in, scores (n, H) out."""


def judged(corpus: Corpus, part: str, scores: Scores) -> dict[str, float]:
    """NDCG@10, recall@10, and recall@10 of hashtags new to the user, full ranking."""
    posts = corpus.part(part)
    there = (posts.hashtags.lengths > 0).nonzero().squeeze(1)
    kept = posts.select(there)
    H = len(corpus.hashtags)
    ranked = torch.cat(
        [top_k(torch.from_numpy(scores(kept.select(index))), TOP)
         for index in torch.arange(len(kept)).split(256)]
    )  # fmt: skip
    hits = hits_of(ranked, kept.hashtags, H)
    values = ranking_metrics(hits, kept.hashtags.lengths, (TOP,))
    found = Judged(there, ranked, hits, kept.hashtags, values, len(posts) - len(kept))
    fresh = of_hashtags(found, new_to_user(corpus, posts, found, part), (TOP,), H).means()
    return {
        "ndcg@10": float(values["ndcg@10"].mean()),
        "recall@10": float(values["recall@10"].mean()),
        "new@10": fresh["recall@10"],
    }


def uses_of(corpus: Corpus, by_post: bool) -> sp.csr_matrix:
    """How often each training post or user (n) used each hashtag (n, H)."""
    posts, (owner, tags) = corpus.training.posts, corpus.training.triples
    rows = owner if by_post else posts.users[owner]
    n = len(posts) if by_post else len(corpus.users)
    known = rows >= 0
    uses = sp.coo_matrix(
        (np.ones(int(known.sum()), np.float32), (rows[known].numpy(), tags[known].numpy())),
        shape=(n, len(corpus.hashtags)),
    )
    return uses.tocsr()


def described(corpus: Corpus, posts: Posts) -> sp.csr_matrix:
    """A row a post: 1 for its user, and 1 shared by the words of its caption."""
    users, words = len(corpus.users), len(corpus.words)
    known = posts.users >= 0
    row = np.concatenate([np.flatnonzero(known.numpy()), posts.words.row_of_value.numpy()])
    column = np.concatenate([posts.users[known].numpy(), users + posts.words.values.numpy()])
    share = (1 / posts.words.lengths.clamp(min=1))[posts.words.row_of_value]
    weight = np.concatenate([np.ones(int(known.sum())), share.numpy()]).astype(np.float32)
    return sp.csr_matrix((weight, (row, column)), shape=(len(posts), users + words))


def lightfm(corpus: Corpus, seed: int) -> Iterator[tuple[str, Scores]]:
    """A model after each number of epochs, width by width."""
    from lightfm import LightFM

    uses, train = uses_of(corpus, True).tocoo(), described(corpus, corpus.training.posts)
    for width in WIDTHS:
        model = LightFM(no_components=width, loss="warp", learning_rate=0.05, random_state=seed)
        done = 0
        for epochs in EPOCHS:
            model.fit_partial(uses, user_features=train, epochs=epochs - done)
            done = epochs

            def scores(posts: Posts, model: Any = model) -> NDArray[np.float32]:
                own_bias, own = model.get_user_representations(described(corpus, posts))
                bias, vectors = model.get_item_representations()
                return own @ vectors.T + bias + own_bias[:, None]

            yield f"width {width}, {epochs} epochs", scores


def als(corpus: Corpus, seed: int) -> Iterator[tuple[str, Scores]]:
    """A model for each width and each confidence in a use."""
    from implicit.als import AlternatingLeastSquares

    uses = uses_of(corpus, False)
    for width, alpha in itertools.product(WIDTHS, CONFIDENCES):
        model = AlternatingLeastSquares(
            factors=width, alpha=alpha, iterations=15, random_state=seed, num_threads=1
        )
        model.fit(uses, show_progress=False)
        own = np.concatenate([model.user_factors, np.zeros((1, width), np.float32)])

        def scores(
            posts: Posts, own: Any = own, vectors: Any = model.item_factors
        ) -> NDArray[np.float32]:
            return own[posts.users.numpy()] @ vectors.T

        yield f"width {width}, confidence {alpha}", scores


def best_of(corpus: Corpus, candidates: Iterator[tuple[str, Scores]]) -> dict[str, Any]:
    """Test figures of the candidate that is best on validation posts."""
    best: dict[str, Any] = {"validation": -1.0}
    for name, scores in candidates:
        quality = judged(corpus, "validation", scores)["ndcg@10"]
        if quality > best["validation"]:
            test = judged(corpus, "test", scores)  # now: the next epoch changes the model
            best = {"settings": name, "validation": quality, **test}
    return best


def main_of(dataset: Path, split: str, seeds: int) -> None:
    """Print one line of JSON a peer: means over seeds."""
    corpus = open_corpus(Dataset.open(dataset), split, [], words="count")
    peers: dict[str, Callable[[int], Iterator[tuple[str, Scores]]]] = {
        "lightfm-warp": lambda seed: lightfm(corpus, seed),
        "als": lambda seed: als(corpus, seed),
    }
    for name, candidates in peers.items():
        found = []
        for seed in range(seeds):
            say(f"{name}, seed {seed}")
            found.append(best_of(corpus, candidates(seed)))
        means = {
            key: round(float(np.mean([each[key] for each in found])), 4)
            for key in ("ndcg@10", "recall@10", "new@10")
        }
        print(json.dumps({"peer": name, **means, "settings": [f["settings"] for f in found]}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Library peers on a dataset.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="main")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    main_of(asked.dataset, asked.split, asked.seeds)
