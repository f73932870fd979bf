"""Caption words against their definition, one word and one hashtag at a time."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Sizes
from reeltag.models.registry import build
from tests.models.observing import ObservingContract


def rows_of(ragged: Ragged) -> list[list[int]]:
    bounds = ragged.offsets.tolist()
    return [ragged.values[a:b].tolist() for a, b in pairwise(bounds)]


class TestCaptionWords(ObservingContract):
    name = "caption-words"
    uses_features = False
    uses_users = False
    words = "count"

    @pytest.fixture
    def corpus(self, dataset: Dataset) -> Corpus:
        return open_corpus(dataset, "main", words="count")

    def test_scores_are_the_weighted_mean_over_words(self, corpus: Corpus) -> None:
        m = 0.7
        training = corpus.training
        model = build("caption-words", {"smoothing": m}, Sizes.of(training))
        model.fit(training)
        words, tags = rows_of(training.posts.words), rows_of(training.posts.hashtags)
        N, H = len(words), len(corpus.hashtags)
        for posts in (self.posts(corpus, 3), training.batch(torch.arange(3))):
            scores = model.scored(posts).numpy()
            for row, own in enumerate(posts.own.tolist()):
                for j in range(H):
                    p = sum(j in carried for carried in tags) / N
                    top, bottom = p, 1.0
                    for w in rows_of(posts.words)[row]:
                        everywhere = sum(w in caption for caption in words)
                        idf = math.log(N / everywhere)
                        others = [k for k in range(N) if k != own and w in words[k]]
                        both = sum(j in tags[k] for k in others)
                        top += idf * (both + m * p) / (len(others) + m)
                        bottom += idf
                    np.testing.assert_allclose(scores[row, j], top / bottom, rtol=1e-4, atol=1e-6)

    def test_a_caption_without_known_words_gets_the_popular_hashtags(self, corpus: Corpus) -> None:
        posts = self.posts(corpus, 2)
        silent = replace(posts, words=Ragged(torch.zeros(0).long(), torch.zeros(3).long()))
        model = self.fitted(corpus)
        torch.testing.assert_close(model.scored(silent)[1], model.popular)

    def test_refuses_captions_without_words(self, corpus: Corpus) -> None:
        with pytest.raises(MissingFeatureError, match="no word"):
            build("caption-words", {}, Sizes(3, 4, {}))
