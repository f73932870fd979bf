"""Token ids of a caption in, learned vectors of its words out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from reeltag.data.batches import Steps


class TokenTable(nn.Module):
    """A vector for each id (`tokens` of `reeltag.features.textual`), learned with the model.

    For captions in a language that no word vectors are at hand for. Ids that no training post
    has are left out, as word vectors leave out the words they do not know: the steps after
    them move up.

    Shapes: ids (B, T) in; values (B, T, width), zeros where there is no step; mask (B, T).
    """

    def __init__(self, buckets: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(buckets, width) * 0.1)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(buckets, dtype=torch.bool))

    def observe(self, steps: Steps) -> None:
        """Note the ids of training posts."""
        self.seen[steps.values[steps.mask].long()] = True

    def places(self, steps: Steps) -> tuple[Tensor, Tensor]:
        """Where each step of the output comes from (B, T), known ones first; their mask."""
        known = steps.mask & self.seen[steps.values.long()]
        order = torch.argsort((~known).byte(), dim=1, stable=True)
        return order, known.gather(1, order)

    def forward(self, steps: Steps) -> tuple[Tensor, Tensor]:
        order, mask = self.places(steps)
        ids = steps.values.long().gather(1, order) * mask
        return embedding(ids, self.weight) * mask.unsqueeze(2), mask
