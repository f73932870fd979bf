"""Rows of features with grades in, boosted trees out, kept as bytes among a model's tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from reeltag.errors import MissingExtraError
from reeltag.models.layers.fused import available
from reeltag.models.layers.tree_masks import TreeMasks

if TYPE_CHECKING:
    from lightgbm import Booster


class RankingTrees(nn.Module):
    """LambdaMART (Burges, 2010) by LightGBM: trees that put a group's good rows first.

    The trees are stored as LightGBM's own text in a buffer of bytes, so that they lie in the
    run's one file of tensors and are read without running any code from it. Equal rows give
    equal trees: the seed is fixed, and so is the order in which numbers are added up.

    Shapes: features (n, C, F) and grades (n, C) in to learn, features in, (n, C) out;
    `contributions` of features (n, C, F + 1), `best` of features (n, most) positions.
    Raises `MissingExtraError` where LightGBM is needed and not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.text: Tensor
        self.register_buffer("text", torch.zeros(0, dtype=torch.uint8))
        self._read: tuple[Tensor, Booster, TreeMasks | None] | None = None

    @property
    def grown(self) -> bool:
        """Whether there are any trees."""
        return len(self.text) > 0

    def grow(self, features: Tensor, grades: Tensor, rounds: int, **settings: Any) -> None:
        """Learn `rounds` trees from n groups of C rows each."""
        lightgbm = _lightgbm()
        n, C, F = features.shape
        rows = lightgbm.Dataset(
            features.reshape(n * C, F).cpu().numpy(),
            label=grades.reshape(n * C).cpu().numpy(),
            group=np.full(n, C),
            params={"verbose": -1},
        )
        fixed = {
            "objective": "lambdarank",
            "seed": 0,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": torch.get_num_threads(),
            "verbose": -1,
        }
        grown = lightgbm.train({**fixed, **settings}, rows, rounds)
        stored = grown.model_to_string().encode()
        self.text = torch.frombuffer(bytearray(stored), dtype=torch.uint8)

    def _readable(self) -> tuple[Booster, TreeMasks | None]:
        # What is stored may be replaced at any time: trees are read again when it was.
        if self._read is None or self._read[0] is not self.text:
            text = self.text.cpu().numpy().tobytes().decode()
            booster = _lightgbm().Booster(model_str=text)
            masks = TreeMasks.of(booster.dump_model()) if available() else None
            self._read = self.text, booster, masks
        return self._read[1:]

    def forward(self, features: Tensor) -> Tensor:
        return self._sums(features).to(features)

    def best(self, features: Tensor, rounds: int, most: int) -> Tensor:
        """Which `most` of a group's C rows the first `rounds` trees put first; of C, if fewer.

        Most rows are settled by few trees: all trees need look at the best of them alone.
        """
        n, C, _ = features.shape
        if most >= C:
            return torch.arange(C, device=features.device).expand(n, C)
        early = self._sums(features, rounds)
        order = torch.argsort(early, dim=1, descending=True, stable=True)
        return order[:, :most].sort(1).values.to(features.device)

    def contributions(self, features: Tensor) -> Tensor:
        """What each feature adds, and last the mean: they sum to the output. Float64, on the CPU.

        SHAP values, exact for trees (Lundberg et al., Nature Machine Intelligence 2020).
        """
        return self._predict(features, features.shape[2] + 1, pred_contrib=True)

    def _sums(self, features: Tensor, rounds: int | None = None) -> Tensor:
        """Of all trees or the first `rounds` (n, C), float64, on the CPU."""
        masks = self._readable()[1]
        if masks is None or features.dtype != torch.float32:
            return self._predict(features, 1, num_iteration=rounds).squeeze(2)
        return torch.from_numpy(masks.sums(features.contiguous().cpu().numpy(), rounds))

    def _predict(self, features: Tensor, width: int, **how: Any) -> Tensor:
        n, C, F = features.shape
        if not n * C:
            return torch.zeros(n, C, width, dtype=torch.float64)
        rows = features.reshape(n * C, F).cpu().numpy()
        found = self._readable()[0].predict(rows, num_threads=torch.get_num_threads(), **how)
        return torch.from_numpy(np.asarray(found)).view(n, C, width)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except (ImportError, OSError) as fault:  # OSError: installed without its libgomp.so.1
        raise MissingExtraError("lightgbm (the second stage of reeltag)", "house") from fault
    return lightgbm
