"""Modalities of different widths in, vectors in one space out, and how far apart they are."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from reeltag.models.layers.segments import segment_sum
from reeltag.models.layers.share import mean


class Tower(nn.Module):
    """f_m of LOGO Eq. 4: three layers from a modality's width to the common one.

    The first layer is as wide as its input (§4.1.4), the second half of it but never narrower
    than the common space, the third is the common space; ReLU between them.

    The first layer is linear, and attention only mixes steps with weights that sum to one:
    W Σ_s α_s h_s + b = Σ_s α_s (W h_s + b). So `first` of every step can be worked out before
    anybody asks, and `rest` takes the mixture, which it overwrites.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        middle = max(width // 2, dim)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, middle)
        self.third = nn.Linear(middle, dim)

    def rest(self, mixed: Tensor) -> Tensor:
        """The vector in the common space (..., dim) from a mixture (..., width) of `first`."""
        vectors: Tensor = self.third(self.second(mixed.relu_()).relu_())
        return vectors


def view_loss(vectors: Tensor, there: Tensor, hashtags: Tensor, weight: float) -> Tensor:
    """L_view (LOGO Eq. 5): a post's modalities close together, and so are those of a hashtag.

        mean over pairs of modalities of a post of |x^m - x^m'|² / c
        + weight · mean over pairs of posts with the same hashtag of |x_r^m - x_r'^m|² / c

    The paper's sums are means here, over coordinates too, so that `weight` (λ) and the step size
    keep their meaning whatever the batch and the width: as a sum, it draws all vectors to one
    point before the hashtags are learned. Pairs of posts are never formed: Σ_{r<r'} |x_r - x_r'|²
    = n Σ |x_r|² - |Σ x_r|², taken about the mean of the n, where the second term is zero
    (nothing cancels when they lie close). A missing modality is in no pair.

    Shapes: vectors (m, M, c) of m examples and M modalities, there (m, M), hashtags (m,).
    Returns a scalar, 0 with a gradient where there is no pair.
    """
    views = vectors.shape[1]
    apart, pairs = vectors.sum() * 0, there.new_zeros((), dtype=vectors.dtype)
    for one, other in itertools.combinations(range(views), 2):
        both = (there[:, one] & there[:, other]).to(vectors.dtype)
        apart = apart + ((vectors[:, one] - vectors[:, other]).square().sum(1) * both).sum()
        pairs = pairs + both.sum()
    related = same_hashtag_loss(vectors, there, hashtags)
    return (apart / pairs.clamp(min=1) + weight * related) / vectors.shape[2]


def same_hashtag_loss(vectors: Tensor, there: Tensor, hashtags: Tensor) -> Tensor:
    """Mean |x_r - x_r'|² over all pairs of examples with one hashtag, all modalities.

    Shapes and the identity that spares the pairs are those of `view_loss`.
    """
    group, known = _groups(hashtags), len(hashtags)
    present = there.to(vectors.dtype)
    shown = vectors * present.unsqueeze(2)
    count = segment_sum(present, group, known)
    middle = segment_sum(shown, group, known) / count.clamp(min=1).unsqueeze(2)
    offset = shown - middle.index_select(0, group) * present.unsqueeze(2)
    total = (count * segment_sum(offset.square().sum(2), group, known)).sum()
    return total / (count * (count - 1) / 2).sum().clamp(min=1)


def _groups(hashtags: Tensor) -> Tensor:
    """A number below m for each of m hashtags, the same for the same one.

    As `torch.unique` numbers them, which would wait for the device to tell how many there are.
    """
    ordered, order = hashtags.sort(stable=True)
    numbers = torch.cat(
        [torch.zeros_like(ordered[:1]), (ordered[1:] != ordered[:-1]).long()]
    ).cumsum(0)
    return torch.empty_like(numbers).scatter_(0, order, numbers)


def consensus(vectors: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """The vector nearest to all modalities of each post, and how far they lie from it.

    The nearest in the sum of squares is the mean over the modalities the post has. Shapes:
    vectors (B, M, c), there (B, M); returns (B, c), zeros for a post without any, and the mean
    over posts and modalities of |x^m - mean|², a scalar.
    """
    present = there.to(vectors.dtype).unsqueeze(2)
    shown = vectors * present
    nearest = shown.sum(1) / present.sum(1).clamp(min=1)
    apart = ((shown - nearest.unsqueeze(1)) * present).square().sum()
    return nearest, mean(apart, present.sum())
