"""Raw scores with right and wrong in, the chance of being right for each raw score out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_STEPS, _FINE = 100, 1e-10


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
        """Fit a and b to raw scores (m,) and whether each was right (m,), by Newton's method."""
        x, wanted = raw.double().flatten(), right.flatten()
        R, W = int(wanted.sum()), int((~wanted).sum())
        if not R or not W:
            return
        y = torch.where(wanted, (R + 1) / (R + 2), 1 / (W + 2)).double()
        rows = torch.stack([x, torch.ones_like(x)], 1)
        line = torch.stack([x.new_tensor(0.0), torch.logit(y.mean())])
        ridge = 1e-9 * torch.eye(2, dtype=torch.float64, device=x.device)
        for _ in range(_STEPS):
            chance = torch.sigmoid(rows @ line)
            slope = rows.T @ (chance - y)
            bend = rows.T @ (rows * (chance * (1 - chance)).unsqueeze(1)) + ridge * len(x)
            step = torch.linalg.solve(bend, slope)
            line = line - step
            if float(step.abs().max()) < _FINE:
                break
        if bool(line.isfinite().all()) and float(line[0]) > 0:
            self.line = line.float()

    def forward(self, raw: Tensor) -> Tensor:
        """Chances, shaped and typed like `raw`."""
        a, b = self.line.to(raw)
        return torch.sigmoid(a * raw + b)
