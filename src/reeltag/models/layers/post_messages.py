"""One node's convolution in GCN-PHR: neighbours and posts in, the node's new vector out."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from reeltag.graph import Subgraph
from reeltag.models.layers.segments import (
    Aggregation,
    aggregate,
    segment_sizes,
    segment_softmax,
    segment_sum,
)


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
    their product with it, a row a use, needs the features no more.

    Shapes: neighbours (p, D) and that product (e, D + 1) of the edges in `graph`; returns
    (n, D). `guided=False` drops the neighbour's share of Eq. 3 and
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

    def forward(self, neighbours: Tensor, graph: Subgraph, of_uses: Tensor) -> Tensor:
        from_neighbours = leaky_relu(self._from_neighbours(neighbours, graph))
        dim = self.message.out_features
        attention = self.attention(neighbours, graph.use_pair, of_uses[:, dim:])
        messages = of_uses[:, :dim] * attention.unsqueeze(1)
        from_posts = leaky_relu(self._from_posts(messages, graph))
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
            uses = segment_sizes(use_pair, pairs + 1).to(neighbours.dtype)
            return (1 / uses).index_select(0, use_pair)
        logits = of_post.squeeze(1) + self.similarity.bias
        if self.guided:
            of_neighbour = neighbours @ self.similarity.weight[0, : neighbours.shape[1]]
            # Empty places belong to the pair after the last one.
            logits = logits + pad(of_neighbour, (0, 1)).index_select(0, use_pair)
        return segment_softmax(leaky_relu(logits), use_pair, pairs + 1)

    def _from_neighbours(self, neighbours: Tensor, graph: Subgraph) -> Tensor:
        """agg_j W n_j (n, D); sums and means of W n_j are W times those of n_j."""
        count = graph.nodes + 1
        if self.aggregation == "max":
            of_pairs = self.neighbour(neighbours)
            return aggregate(of_pairs, graph.pair_node, count, "max")[:-1]
        joined = aggregate(neighbours, graph.pair_node, count, self.aggregation)[:-1]
        out: Tensor = self.neighbour(joined)
        return out

    def _from_posts(self, messages: Tensor, graph: Subgraph) -> Tensor:
        """agg over the posts k of Σ_j messages (n, D)."""
        count, empty = graph.nodes + 1, graph.pair_node.new_full((1,), graph.nodes)
        use_node = torch.cat([graph.pair_node, empty]).index_select(0, graph.use_pair)
        if self.aggregation == "max":
            # Eq. 5 first: a post's message to a node is the sum over their common pairs.
            order = torch.argsort(graph.posts, stable=True)
            order = order[torch.argsort(use_node[order], stable=True)]
            node, post = use_node[order], graph.posts[order]
            new = (node[1:] != node[:-1]) | (post[1:] != post[:-1])
            at = pad(torch.cumsum(new.long(), 0), (1, 0))
            summed = segment_sum(messages[order], at, len(at))
            node_of = torch.full_like(node, graph.nodes).index_copy(0, at, node)
            return aggregate(summed, node_of, count, "max")[:-1]
        pairs = segment_sizes(graph.pair_node, count)
        return aggregate(messages, use_node, count, self.aggregation, sizes=pairs)[:-1]
