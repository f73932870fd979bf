"""Attention asked by hashtags: the same fused and not, in blocks, and pair by pair."""

from __future__ import annotations

import pytest
import torch

from reeltag.models.layers import fused, hashtag_attention
from reeltag.models.layers.hashtag_attention import HashtagAttention


def test_attention_is_the_same_fused_and_not(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    attention = HashtagAttention(7, 6, 8, 0.0).eval()
    with torch.no_grad():
        attention.weight.normal_()
        keys, queries = torch.randn(3, 5, 8), torch.randn(9, 8)
        mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [False] * 5])
        every = queries.expand(3, -1, -1)
        found = [attention.catalogue(keys, each, mask) for each in (queries[None], every)]
        monkeypatch.setattr(fused, "available", lambda: False)
        found += [attention.catalogue(keys, each, mask) for each in (queries[None], every)]
        monkeypatch.setattr(hashtag_attention, "_ELEMENTS", 200)  # a hashtag at once
        found.append(attention.catalogue(keys, queries[None], mask))
        found = [each.transpose(1, 2) for each in found]
        found.append(attention.pairs(keys, every, mask))
    for other in found[1:]:
        torch.testing.assert_close(found[0], other)
    torch.testing.assert_close(found[0].sum(2), torch.tensor([[1.0], [1.0], [0.0]]).expand(-1, 9))
