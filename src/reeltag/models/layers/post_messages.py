"""One node's convolution in GCN-PHR: neighbours and posts in, the node's new vector out."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from reeltag.models.layers.segments import Aggregation, aggregate, segment_softmax


class NodeConvolution(nn.Module):
    """Equations 1-8 of GCN-PHR for one side (users; hashtags by symmetry).

    For node i with neighbours j (a *pair* each) and, for each pair, posts k (a *use* each):

        u^h = φ(agg_j W n_j)                                     Eq. 1-2
        s_jk = φ(a · n_j + b · W' v_k + c)                       Eq. 3, one linear layer, φ
        α_jk = softmax of s over the posts of the pair           Eq. 4
        u^v = φ(agg over the posts k of Σ_j α_jk W'' v_k)        Eq. 5-6
        u   = φ(W [u^v; u^h] + b)  or  W_1 u^v + W_2 u^h         Eq. 7 or 8

    Eq. 3: the paper's "fully connected layer" g must not be purely linear. With a linear g
    the neighbour's share a · n_j is the same for all posts of a pair and cancels in Eq. 4,
    so the hashtag would guide nothing; with its activation φ it does not cancel.

    `mean` divides Eq. 6 by the number of neighbours: each contributes one convex combination.

    The features enter only through `matrix` (D + 1, V): the rows W'' and b W'. Whoever has
    their product with it (m, D + 1) for the m distinct posts needs the features no more.

    Shapes: neighbours (p, D), pair_node (p,), use_pair (e,), projected (m, D + 1), post_of (e,)
    into it; returns (nodes, D). `guided=False` drops the neighbour's share of Eq. 3 and
    `attend=False` replaces Eq. 3-4 by a plain mean over the posts of a pair.
    """

    def __init__(
        self,
        width: int,
        dim: int,
        aggregation: Aggregation,
        fusion: Literal["network", "transform"],
        attend: bool = True,
        guided: bool = True,
    ) -> None:
        super().__init__()
        self.aggregation, self.fusion = aggregation, fusion
        self.attend, self.guided = attend, guided
        self.neighbour = nn.Linear(dim, dim, bias=False)
        if attend:
            self.similarity_post = nn.Linear(width, dim, bias=False)
            self.similarity = nn.Linear(2 * dim if guided else dim, 1)
        self.message = nn.Linear(width, dim, bias=False)
        if fusion == "network":
            self.fuse = nn.Linear(2 * dim, dim)
        else:
            self.fuse_posts = nn.Linear(dim, dim, bias=False)
            self.fuse_neighbours = nn.Linear(dim, dim, bias=False)

    def matrix(self) -> Tensor:
        """What the features of posts are multiplied by (D + 1, V), or (D, V) without attention."""
        if not self.attend:
            return self.message.weight
        # b · (W' v) = (b W') · v: one number a post instead of D.
        of_post = self.similarity.weight[:, -self.message.out_features :]
        return torch.cat([self.message.weight, of_post @ self.similarity_post.weight])

    def forward(
        self,
        neighbours: Tensor,
        pair_node: Tensor,
        use_pair: Tensor,
        projected: Tensor,
        post_of: Tensor,
        nodes: int,
    ) -> Tensor:
        from_neighbours = leaky_relu(
            aggregate(self.neighbour(neighbours), pair_node, nodes, self.aggregation)
        )
        dim = self.message.out_features
        of_uses = projected.index_select(0, post_of)
        attention = self.attention(neighbours, use_pair, of_uses[:, dim:])
        messages = of_uses[:, :dim] * attention.unsqueeze(1)
        use_node = pair_node[use_pair]
        from_posts = leaky_relu(self._join(messages, use_node, post_of, pair_node, nodes))
        if self.fusion == "network":
            return leaky_relu(self.fuse(torch.cat([from_posts, from_neighbours], 1)))
        out: Tensor = self.fuse_posts(from_posts) + self.fuse_neighbours(from_neighbours)
        return out

    def attention(self, neighbours: Tensor, use_pair: Tensor, of_post: Tensor) -> Tensor:
        """α of every use (e,), Eq. 3-4: sums to 1 over the posts of each pair.

        of_post (e, 1) is b W' v of each use's post; unused where attention is off.
        """
        pairs = len(neighbours)
        if not self.attend:
            uses = torch.bincount(use_pair, minlength=pairs).to(neighbours.dtype)
            return (1 / uses)[use_pair]
        logits = of_post.squeeze(1) + self.similarity.bias
        if self.guided:
            of_neighbour = neighbours @ self.similarity.weight[0, : neighbours.shape[1]]
            logits = logits + of_neighbour.index_select(0, use_pair)
        return segment_softmax(leaky_relu(logits), use_pair, pairs)

    def _join(
        self, messages: Tensor, use_node: Tensor, post_of: Tensor, pair_node: Tensor, nodes: int
    ) -> Tensor:
        if self.aggregation == "max":
            # Eq. 5 first: a post's message to a node is the sum over their common pairs.
            width = int(post_of.max()) + 1 if len(post_of) else 1
            keys, at = torch.unique(use_node * width + post_of, return_inverse=True)
            summed = aggregate(messages, at, len(keys), "add")
            return aggregate(summed, keys // width, nodes, "max")
        pairs = torch.bincount(pair_node, minlength=nodes)
        return aggregate(messages, use_node, nodes, self.aggregation, sizes=pairs)
