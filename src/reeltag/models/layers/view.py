"""One modality's steps in, its vector in the common space for any hashtag out (LOGO §3.2-3.3)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reeltag.models.layers.common_space import Tower
from reeltag.models.layers.hashtag_attention import HashtagAttention

Pooling = Literal["attention", "mean", "max", "last"]


class View(nn.Module):
    """LSTM, pooling and tower of one modality.

    `encode` runs the LSTM once a post and keeps, with attention, what a hashtag asks (`key`)
    and what it is answered with (`step`, the tower's first layer of every step); with another
    pooling, the vector itself. `pairs` then gives the vectors, with a gradient; `Catalogue` scores
    whole catalogues from the same.

    Sequences are padded on the right: an LSTM that reads forwards has not seen the padding
    when it is at a valid step, and nothing else is used.
    """

    def __init__(
        self, width: int, hidden: int, dim: int, pooling: Pooling, attention: int, dropout: float
    ) -> None:
        super().__init__()
        self.pooling: Pooling = pooling
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.attention: HashtagAttention | None = None
        if pooling == "attention":
            self.attention = HashtagAttention(hidden, dim, attention, dropout)
        self.tower = Tower(hidden, dim)

    def encode(self, values: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What to keep of posts: values (B, T, width), mask (B, T)."""
        hidden = self.states(values)
        if self.attention is not None:
            return {"key": self.attention.keys(hidden), "step": self.tower.first(hidden),
                    "mask": mask}  # fmt: skip
        pooled = pool(hidden, mask, self.pooling)
        return {"vector": self.tower.rest(self.tower.first(pooled)), "mask": mask}

    def states(self, values: Tensor) -> Tensor:
        """The LSTM's output at every step (B, T, hidden); of no meaning where there is none."""
        return states_of(self.lstm, values)

    def pairs(self, kept: dict[str, Tensor], hashtags: Tensor) -> Tensor:
        """Vectors (m, C, dim) of m posts for each one's own hashtags (m, C, dim)."""
        if self.attention is None:
            return kept["vector"].unsqueeze(1).expand_as(hashtags)
        if kept["mask"].shape[1] == 1:  # one step: every hashtag heeds it alone
            alone = kept["step"].squeeze(1) * kept["mask"]
            return self.tower.rest(alone).unsqueeze(1).expand_as(hashtags)
        weights = self.attention.pairs(kept["key"], self.attention.queries(hashtags), kept["mask"])
        return self.tower.rest(weights @ kept["step"])


def states_of(lstm: nn.LSTM, values: Tensor) -> Tensor:
    """The output of `lstm` at every step of `values` (B, T, width): (B, T, hidden)."""
    if values.device.type == "cpu":
        return recurrence(lstm, values)
    padded: Tensor = lstm(values)[0]
    return padded


def recurrence(lstm: nn.LSTM, values: Tensor) -> Tensor:
    """What `lstm` gives for `values` (B, T, width), a step at a time (Eq. 1).

    For the CPU, where torch's own arranges its weights anew at every call: wide as they are here,
    that takes longer than a post does, and a third of a training step.
    """
    of_input, of_state, bias, other_bias = lstm.all_weights[0]
    gates = nn.functional.linear(values, of_input, bias + other_bias)
    state = memory = values.new_zeros(len(values), lstm.hidden_size)
    states = []
    for step in gates.unbind(1):
        i, f, g, o = (step + state @ of_state.T).chunk(4, 1)
        memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
        state = o.sigmoid() * memory.tanh()
        states.append(state)
    return torch.stack(states, 1)


def pool(hidden: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """Mean, maximum or last of the valid steps of (B, T, hidden), zeros where there are none."""
    shown = mask.unsqueeze(2)
    if how == "mean":
        return (hidden * shown).sum(1) / shown.sum(1).clamp(min=1)
    if how == "max":
        lowest = torch.finfo(hidden.dtype).min
        return hidden.masked_fill(~shown, lowest).amax(1) * shown.any(1)
    last = (mask.sum(1) - 1).clamp(min=0)[:, None, None].expand(-1, 1, hidden.shape[2])
    return hidden.gather(1, last).squeeze(1) * shown.any(1)
