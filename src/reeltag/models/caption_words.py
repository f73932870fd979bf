"""Caption words in, the hashtags that went with them in training out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import NAMED, Explaining, Facts
from reeltag.models.layers.growing import with_pairs
from reeltag.models.layers.list_sums import ListSums
from reeltag.models.observing import Observing


class CaptionWordsConfig(ModelConfig):
    """Settings of `CaptionWords`."""

    smoothing: float = Field(3.0, gt=0)
    """m: how many posts' worth of belief in plain popularity each word starts with."""


class CaptionWords(Explaining, Observing):
    """score = the mean of p(j | word) over the caption's words, rare words counting more.

        p(j)     = posts with j / posts
        p(j | w) = (posts with w and j + m p(j)) / (posts with w + m)
        score    = (p(j) + Σ_w idf(w) p(j | w)) / (1 + Σ_w idf(w)),  idf = ln(posts / posts with w)

    The prior is Dirichlet smoothing towards popularity: a word seen m times is half
    believed, one seen a hundred times nearly always, and a hashtag that never went with a
    word keeps its popular order. p(j) itself votes as a word that every caption has, so a
    post without known words gets the popular hashtags. A word on every post has idf 0.

    A training post's own words and hashtags are taken off the counts of p(j | w) when that
    post is asked about; p(j) and idf are of all training posts.

    Raises `MissingFeatureError` where the training captions hold no words.
    """

    name = "caption-words"
    Config = CaptionWordsConfig
    needs_words = True
    config: CaptionWordsConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        if not sizes.words:
            raise MissingFeatureError(
                "caption-words reads captions, but no word is in two or more of the training "
                "captions. Models that read no captions: popularity, user-history, content-knn."
            )
        self._sums = ListSums()
        whole = torch.int64
        self.buffer("popular", torch.zeros(sizes.hashtags))
        self.buffer("word_posts", torch.ones(sizes.words))
        self.buffer("idf", torch.zeros(sizes.words))
        self.buffer("pair_offsets", torch.zeros(sizes.words + 1, dtype=whole))
        self.buffer("pair_tags", torch.zeros(0, dtype=whole))
        self.buffer("pair_posts", torch.zeros(0))
        self.buffer("own_offsets", torch.zeros(1, dtype=whole))
        self.buffer("own_tags", torch.zeros(0, dtype=whole))

    def fit(self, training: TrainingSet) -> None:
        H, count = self.sizes.hashtags, len(training.posts)
        words, tags = training.posts.words, training.posts.hashtags
        self.own_offsets, self.own_tags = tags.offsets, tags.values
        self.popular = self._shares()
        self.word_posts = torch.bincount(words.values, minlength=self.sizes.words).float()
        self.idf = (count / self.word_posts.clamp(min=1)).log()
        where, word = tags.positions(words.row_of_value)
        keys, together = torch.unique(words.values[word] * H + tags.values[where],
                                      return_counts=True)  # fmt: skip
        pairs = Ragged.from_pairs(keys // H, keys % H, self.sizes.words)
        self.pair_offsets, self.pair_tags = pairs.offsets, pairs.values
        self.pair_posts = together.float()

    def _shares(self) -> Tensor:
        """p(j) of every hashtag (H,)."""
        uses = torch.bincount(self.own_tags, minlength=self.sizes.hashtags)
        return (uses.double() / max(1, len(self.own_offsets) - 1)).float()

    def encode(self, posts: PostBatch) -> Encoded:
        # Rows of one width, as everything encoded is; -1 marks the end of a caption.
        return {"words": posts.words.padded(), "own": posts.own}

    def score_all(self, encoded: Encoded) -> Tensor:
        padded, own = encoded["words"], encoded["own"]
        B = len(padded)
        row, place = (padded >= 0).nonzero(as_tuple=True)
        word = padded[row, place]
        itself = (own >= 0)[row].float()
        weight = self.idf[word] / (self.word_posts[word] - itself + self.config.smoothing)
        zeros = weight.new_zeros(B)
        prior = 1 + self.config.smoothing * zeros.index_add(0, row, weight)
        pairs = Ragged(self.pair_tags, self.pair_offsets)
        scores = self._sums(pairs, self.pair_posts, self.sizes.hashtags, B, row, word, weight)
        scores.addcmul_(self.popular, prior.unsqueeze(1))
        inside = (own >= 0).nonzero().squeeze(1)
        where, of = Ragged(self.own_tags, self.own_offsets).positions(own[inside])
        total = zeros.index_add(0, row, weight)[inside]
        scores[inside[of], self.own_tags[where]] -= total[of]
        return scores.div_((1 + zeros.index_add(0, row, self.idf[word])).unsqueeze(1))

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """`words` that add most to the score: the `word`, `posts` of the `of` with it carry it."""
        words = posts.words.values
        own, H = int(posts.own[0]), self.sizes.hashtags
        where, of = Ragged(self.pair_tags, self.pair_offsets).positions(words)
        together = self.idf.new_zeros(len(words), H)
        together[of, self.pair_tags[where]] = self.pair_posts[where]
        if own >= 0:
            together[:, self.own_tags[slice(*self.own_offsets[own : own + 2].tolist())]] -= 1
        with_word = self.word_posts[words] - float(own >= 0)
        weight = self.idf[words] / (with_word + self.config.smoothing)
        added = weight.unsqueeze(1) * together[:, hashtags]
        said: list[Facts] = []
        for mine, tag in zip(added.T, hashtags.tolist(), strict=True):
            best = torch.argsort(mine, descending=True, stable=True)[:NAMED]
            spoken = [
                {"word": int(words[w]), "posts": int(together[w, tag]), "of": int(with_word[w])}
                for w in best[mine[best] > 0].tolist()
            ]
            said.append({"words": spoken} if spoken else {})
        return said

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        self.popular = self._shares()

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        own = Ragged(self.own_tags, self.own_offsets).joined(hashtags)
        self.own_tags, self.own_offsets = own.values, own.offsets
        self.popular = self._shares()
        words = posts.words
        self.word_posts = self.word_posts + torch.bincount(words.values, minlength=len(self.idf))
        where, word = hashtags.positions(words.row_of_value)
        pairs, self.pair_posts = with_pairs(
            Ragged(self.pair_tags, self.pair_offsets),
            self.pair_posts,
            words.values[word],
            hashtags.values[where],
        )
        self.pair_tags, self.pair_offsets = pairs.values, pairs.offsets
