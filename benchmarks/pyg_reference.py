"""GCN-PHR the straightforward way, on PyTorch Geometric: what the fast path is compared with.

Written from the paper: every step projects the features of all posts and sends every message
of the whole graph, gathers and scatters them, then scores its batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, logsigmoid
from torch_geometric.utils import scatter, softmax


class Side(nn.Module):
    """Equations 1-7 for one side, over all nodes, pairs and uses."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.neighbour = nn.Linear(dim, dim, bias=False)
        self.similarity_post = nn.Linear(width, dim, bias=False)
        self.similarity = nn.Linear(2 * dim, 1)
        self.message = nn.Linear(width, dim, bias=False)
        self.fuse = nn.Linear(2 * dim, dim)

    def forward(
        self,
        neighbours: Tensor,
        features: Tensor,
        node: Tensor,
        neighbour: Tensor,
        use_pair: Tensor,
        post: Tensor,
        nodes: int,
    ) -> Tensor:
        near = scatter(self.neighbour(neighbours)[neighbour], node, 0, nodes, "mean")
        both = torch.cat([neighbours[neighbour][use_pair], self.similarity_post(features)[post]], 1)
        alpha = softmax(leaky_relu(self.similarity(both)).squeeze(1), use_pair)
        messages = self.message(features)[post] * alpha.unsqueeze(1)
        total = scatter(messages, node[use_pair], 0, nodes, "sum")
        pairs = torch.bincount(node, minlength=nodes).clamp(min=1).unsqueeze(1)
        fused = torch.cat([leaky_relu(total / pairs), leaky_relu(near)], 1)
        return leaky_relu(self.fuse(fused))


class FullGraph(nn.Module):
    """Embeddings, both sides, scoring by the MLP over [v; u] and [h; u]."""

    def __init__(self, users: int, hashtags: int, features: Tensor, dim: int) -> None:
        super().__init__()
        self.features = features
        width = features.shape[1]
        self.users = nn.Parameter(torch.randn(users, dim) * 0.1)
        self.hashtags = nn.Parameter(torch.randn(hashtags, dim) * 0.1)
        self.user_side, self.hashtag_side = Side(width, dim), Side(width, dim)
        self.post = nn.Sequential(nn.Linear(width + dim, dim), nn.LeakyReLU(), nn.Linear(dim, dim))
        self.tag = nn.Sequential(nn.Linear(2 * dim, dim), nn.LeakyReLU(), nn.Linear(dim, dim))

    def loss(
        self, uses: tuple[Tensor, Tensor, Tensor], batch: tuple[Tensor, Tensor, Tensor, Tensor]
    ) -> Tensor:
        """BPR over (user, post, hashtag on it, hashtag not on it)."""
        user, tag, post = uses
        H = len(self.hashtags)
        keys, use_pair = torch.unique(user * H + tag, return_inverse=True)
        pair_user, pair_tag = keys // H, keys % H
        u = self.user_side(
            self.hashtags, self.features, pair_user, pair_tag, use_pair, post, len(self.users)
        )
        h = self.hashtag_side(self.users, self.features, pair_tag, pair_user, use_pair, post, H)
        owner, k, positive, negative = batch
        v = self.post(torch.cat([self.features[k], u[owner]], 1))
        scores = [
            (v * self.tag(torch.cat([h[j], u[owner]], 1))).sum(1) for j in (positive, negative)
        ]
        return -logsigmoid(scores[0] - scores[1]).mean()
