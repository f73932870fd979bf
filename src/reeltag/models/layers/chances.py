"""Raw scores with right and wrong in, the chance of being right for each raw score out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor, nn


class Chances(nn.Module):
    """chance = σ(a·raw + b), a and b by maximum likelihood (Platt, 1999), a > 0.

    Higher raw scores have higher chances. Right ones count as (R + 1)/(R + 2) right and wrong ones
    as 1/(W + 2), R and W being how many there are: no chance is certain, and few posts do not
    draw a steep line. Fit it on raw scores of posts that whoever gave the
    scores has not learned from: scores of learned posts are too sure of themselves. Unfitted, or
    where all are right or all are wrong, a = 1 and b = 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.line: Tensor
        self.register_buffer("line", torch.tensor([1.0, 0.0]))

    def fit(self, raw: Tensor, right: Tensor) -> None:
        """Fit a and b to raw scores (m,) and whether each was right (m,)."""
        x = raw.detach().double().cpu().flatten().numpy()
        wanted = right.cpu().flatten().numpy()
        R, W = int(wanted.sum()), int((~wanted).sum())
        if not R or not W:
            return
        y = np.where(wanted, (R + 1) / (R + 2), 1 / (W + 2))

        def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            z = line[0] * x + line[1]
            off = expit(z) - y
            slope = np.array([(off * x).mean(), off.mean()])
            return float((np.logaddexp(0, z) - y * z).mean()), slope

        found = minimize(loss, [1.0, float(np.log(R / W))], jac=True, method="BFGS")
        if np.isfinite(found.x).all() and found.x[0] > 0:
            self.line = torch.from_numpy(found.x).float()

    def forward(self, raw: Tensor) -> Tensor:
        """Chances, shaped and typed like `raw`."""
        a, b = self.line.to(raw)
        return torch.sigmoid(a * raw + b)
