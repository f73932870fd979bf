"""RSDAE: a relational denoising autoencoder of caption words (Wang, Shi, Yeung, AAAI 2015)."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Encoded, Factorised, ModelConfig, Sizes, Trained, TrainingBatch
from reeltag.models.layers.common_space import same_hashtag_loss
from reeltag.models.layers.share import drawn, everyones, mean

_FIRST = 0.3
"""Deviation of the first layer's initial weights."""


class RsdaeConfig(ModelConfig):
    """Settings of `Rsdae`."""

    dim: int = Field(50, ge=1)
    """K: width of the code layer and of a hashtag's factors."""
    hidden: int = Field(200, ge=1)
    """Width of the layers between words and code, on both sides."""
    layers: int = Field(1, ge=0, le=4)
    """How many such layers there are on each side."""
    noise: float = Field(0.3, ge=0, lt=1)
    """Share of a caption's words that is masked in a training step."""
    reconstruction: float = Field(1.0, ge=0)
    """λ_n: weight of the words' reconstruction."""
    relation: float = Field(1.0, ge=0)
    """λ_r: weight of the distance of codes that share a hashtag."""
    unused: float = Field(0.1, gt=0, le=1)
    """Confidence that a hashtag the post does not carry is no hashtag for it; 1 for one it does."""


class Rsdae(Factorised, Trained):
    """Words that were partly masked in, all words back out; the code in the middle scores.

        x ∈ {0, 1}^words, x̃ = x with a share of its words masked (in training)
        z = σ(W_E … σ(W_1 x̃ + b_1) … + b_E)            the code
        x̂ = σ(V_E … σ(V_1 z + e_1) … + e_E)
        score(j) = u_j · z + d_j

    Loss, the mean over posts (over pairs in the third term):

        ½ Σ_j c_j (y_j - score(j))² + ½ λ_n |x̂ - x|² + ½ λ_r |z - z'|²

    y_j is 1 for the post's hashtags and c_j 1, else y_j is 0 and c_j small (`unused`): the
    paper's confidence. z and z' are the codes of two posts in the batch with the same hashtag;
    pairs are never formed (`same_hashtag_loss`).

    It reads the caption's known words alone: no feature, no user. Words are those of
    `reeltag.words`, in Chinese a character each.

    Written from the authors' slides and the abstract, not from the paper itself. Departures: the
    paper's noise between layers (λ_s) goes to zero, so layers are functions; the relational
    prior on latent vectors s, tr(S L Sᵀ), and their pull on the codes are one term, the distance
    of the codes themselves, over the posts of a batch, and the relation is a shared hashtag,
    for posts have no other. A post's own latent vector is its code, not a free one near it, so
    training and serving read the same. All is learned at once by gradient steps, not in turns
    with closed forms for the u and without training layer by layer first. d_j, a hashtag's bias,
    is added; it and the bias of x̂ start from the shares of posts with the hashtag, the word.
    The weights and `unused` are ours, chosen on validation posts; K, the other widths and the
    share of noise are those common in that line of work. λ_w is the trainer's weight decay.

    Raises `MissingFeatureError` where the training captions hold no words.
    """

    name = "rsdae"
    Config = RsdaeConfig
    needs_words = True
    by_post = True
    keeps_features = True  # in the sense that it needs none in a batch
    training_defaults: ClassVar[dict[str, Any]] = {
        "learning_rate": 3e-3,
        "batch_size": 128,
        "epochs": 120,
        "patience": 25,  # sigmoid layers stand still for a dozen epochs before they learn
    }
    config: RsdaeConfig

    def __init__(self, config: RsdaeConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        if not sizes.words:
            raise MissingFeatureError(
                "rsdae reads captions, but no word is in two or more of the training captions. "
                "Models that read no captions: popularity, user-history, content-knn."
            )
        widths = [sizes.words, *[config.hidden] * config.layers, config.dim]
        self.encoder = _stack(widths)
        self.decoder = _stack(widths[::-1])
        self.hashtag = nn.Parameter(0.1 * torch.randn(sizes.hashtags, config.dim))
        self.bias = nn.Parameter(torch.zeros(sizes.hashtags))
        self._initialise()

    def _initialise(self) -> None:
        """Gaussians of deviation 4 / √inputs: what sigmoid layers need to let something through.

        The first is an exception: of its many inputs, ten or so are 1.
        """
        for layer in (*self.encoder, *self.decoder):
            assert isinstance(layer, nn.Linear)
            deviation = _FIRST if layer is self.encoder[0] else 4 * layer.in_features**-0.5
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    @torch.no_grad()
    def fit(self, training: TrainingSet) -> None:
        posts, words = training.posts, training.posts.words.values
        shares = [
            (torch.bincount(values, minlength=size).double() + 0.5) / (len(posts) + 1)
            for values, size in ((posts.hashtags.values, self.sizes.hashtags),
                                 (words, self.sizes.words))
        ]  # fmt: skip
        # The scores and the words that are best without knowing anything of a post.
        self.bias.copy_(shares[0] / (shares[0] + self.config.unused * (1 - shares[0])))
        last = self.decoder[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(shares[1].logit())

    def bag(self, posts: PostBatch, keep: Tensor | None = None) -> Tensor:
        """Which words each caption has (B, words); `keep`: a number for each of its words."""
        words = posts.words
        out = self.hashtag.new_zeros(len(words), self.sizes.words)
        shown = torch.ones_like(words.values, dtype=out.dtype) if keep is None else keep
        return out.index_put_((words.row_of_value, words.values), shown)

    def encode(self, posts: PostBatch) -> Encoded:
        return {"query": self._query(_through(self.encoder, self.bag(posts)))}

    @staticmethod
    def _query(code: Tensor) -> Tensor:
        return torch.cat([code, code.new_ones(len(code), 1)], 1)

    def hashtag_vectors(self) -> Tensor:
        # The bias is the factor of a constant 1 at the end of the query.
        return torch.cat([self.hashtag, self.bias.unsqueeze(1)], 1)

    def loss(self, batch: TrainingBatch) -> Tensor:
        config, posts, owner = self.config, batch.posts, batch.owner
        clean = self.bag(posts)
        noise = drawn((len(posts.words.values),), clean)
        code = _through(self.encoder, self.bag(posts, (noise >= config.noise).to(clean.dtype)))
        scores = self.score_all({"query": self._query(code)})
        one = scores.new_ones(())
        used = torch.zeros_like(scores).index_put_((owner, batch.positives), one)
        weight = config.unused + (1 - config.unused) * used
        count = clean.new_tensor(len(posts))
        loss = mean((weight * (used - scores).square()).sum(), count)
        back = _through(self.decoder, code)
        loss = loss + mean(config.reconstruction * (back - clean).square().sum(), count)
        codes = everyones(code.index_select(0, owner)).unsqueeze(1)
        there = torch.ones(codes.shape[:2], dtype=torch.bool, device=codes.device)
        related = same_hashtag_loss(codes, there, everyones(batch.positives))
        return (loss + config.relation * related) / 2

    def bytes_per_post(self) -> int:
        """Scores, and the bag of words."""
        return super().bytes_per_post() + 4 * self.sizes.words


def _stack(widths: list[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))


def _through(layers: nn.ModuleList, rows: Tensor) -> Tensor:
    for layer in layers:
        rows = torch.sigmoid(layer(rows))
    return rows
