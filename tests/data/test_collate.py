"""Posts put together are what they were alone; features that cannot be are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reeltag.data.batches import PostBatch, collate, single_post
from reeltag.data.feature import Manifest
from reeltag.data.vocabulary import UNKNOWN, Vocabulary
from reeltag.errors import MissingFeatureError


def manifest(name: str, kind: str, *shape: int) -> Manifest:
    return Manifest(name, "visual", "test", kind, shape, "float16", "columns")  # type: ignore[arg-type]


MANIFESTS = {"v": manifest("v", "vector", 3), "s": manifest("s", "sequence", 2)}


def post(user: int, steps: int, words: list[int]) -> PostBatch:
    values = {"v": np.full(3, user), "s": np.full((steps, 2), user) if steps else None}
    fields = torch.tensor([user, 1])
    return single_post(user, values, MANIFESTS, 7 * user, np.array(words), fields, words * 2)


def test_each_post_stays_what_it_is() -> None:
    alone = [post(1, 4, [3, -1, 5]), post(2, 0, []), post(3, 2, [8])]
    for parts in ([*alone], [collate(alone[:2]), alone[2]], [alone[0], collate(alone[1:])]):
        batch = collate(parts)
        assert batch.users.tolist() == [1, 2, 3]
        assert batch.times.tolist() == [7, 14, 21]
        assert batch.fields.tolist() == [[1, 1], [2, 1], [3, 1]]
        assert batch.contexts.shape == (3, 2)
        assert batch.own.tolist() == [-1] * 3
        for row, one in enumerate(alone):
            assert torch.equal(batch.vectors["v"][row], one.vectors["v"][0])
            assert batch.present["s"][row] == one.present["s"][0]
            mine, its = batch.steps["s"], one.steps["s"]
            assert mine.values.dtype == its.values.dtype
            assert torch.equal(mine.values[row][mine.mask[row]], its.values[0][its.mask[0]])
            assert not mine.values[row][~mine.mask[row]].any()
            for name in ("words", "pieces"):
                picked = getattr(batch, name).select(torch.tensor([row]))
                assert torch.equal(picked.values, getattr(one, name).values)
        again = batch.select(torch.tensor([2, 0]))
        assert again.users.tolist() == [3, 1]
        assert again.words.values.tolist() == [8, 3, 5]
        assert torch.equal(again.steps["s"].mask, batch.steps["s"].mask[[2, 0]])
    assert collate(alone[:1]) is alone[0]


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.zeros(4), "got shape"), (np.array([0, np.nan, 1]), "not finite")],
)
def test_what_is_no_feature_is_refused(value: np.ndarray, said: str) -> None:
    with pytest.raises(MissingFeatureError, match=f"'v'.*{said}"):
        single_post(0, {"v": value}, MANIFESTS)


def test_a_concealed_name_is_unknown() -> None:
    whole = Vocabulary(["a", "b", "c"], [3, 2, 1])
    some, none = whole.concealed(["b", "x"]), whole.concealed()
    assert [some.id_of(name) for name in ("a", "b", "c", "")] == [0, UNKNOWN, 2, UNKNOWN]
    assert len(some) == len(none) == 3
    assert not none.index
    # It may come back, as somebody else.
    assert some.grown(["b"]).id_of("b") == 3
    some.counts[0] = 9
    assert whole.counts[0] == 3
