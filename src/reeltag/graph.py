"""Training posts in, the user - hashtag - post graph out, as CSR index tensors.

An edge of the graph is a *use*: user i put hashtag j on post k. Uses are grouped twice:

    user side      for each user, the hashtags used (pairs); for each pair, the posts
    hashtag side   for each hashtag, the users who use it (pairs); for each pair, the posts

Posts without a user have no place in this graph: they pass no message.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.runtime import generator_of


@dataclass(frozen=True)
class Side:
    """One side's view: node → pairs (node, neighbour) → posts.

    pairs: Ragged over nodes; its values are the neighbours (p,).
    posts: Ragged over pairs; its values are training posts (e,), e = all uses.
    """

    pairs: Ragged
    posts: Ragged

    def to(self, device: torch.device | str) -> Side:
        """The same on another device."""
        return Side(self.pairs.to(device), self.posts.to(device))


@dataclass(frozen=True)
class Subgraph:
    """The edges that send messages to some nodes.

    neighbours (p,): neighbour id of each pair, pair_node (p,): position of the pair's node;
    posts (e,): training post of each use, use_pair (e,): position of the use's pair.
    """

    neighbours: Tensor
    pair_node: Tensor
    posts: Tensor
    use_pair: Tensor


@dataclass(frozen=True)
class TagGraph:
    """The whole graph: `users` and `hashtags` are its two sides."""

    users: Side
    hashtags: Side

    @staticmethod
    def build(training: TrainingSet) -> TagGraph:
        """Build from training posts with a user. O(uses log uses), no Python loop."""
        posts, tags = training.triples
        users = training.posts.users[posts]
        known = users >= 0
        posts, tags, users = posts[known], tags[known], users[known]
        return TagGraph(
            _side(users, tags, posts, len(training.users), len(training.hashtags)),
            _side(tags, users, posts, len(training.hashtags), len(training.users)),
        )

    def to(self, device: torch.device | str) -> TagGraph:
        """The same on another device."""
        return TagGraph(self.users.to(device), self.hashtags.to(device))


def _side(nodes: Tensor, neighbours: Tensor, posts: Tensor, count: int, width: int) -> Side:
    # Shuffled once (always alike), so that a stretch of a long row is a random sample of it.
    mixed = torch.randperm(len(nodes), generator=generator_of("graph"))
    nodes, neighbours, posts = nodes[mixed], neighbours[mixed], posts[mixed]
    keys, pair_of_use = torch.unique(nodes * width + neighbours, return_inverse=True)
    order = torch.randperm(len(keys), generator=generator_of("graph", "pairs"))
    order = order[torch.argsort((keys // width)[order], stable=True)]
    renumbered = torch.empty_like(order)
    renumbered[order] = torch.arange(len(order))
    pairs = Ragged.from_pairs(keys[order] // width, keys[order] % width, count)
    return Side(pairs, Ragged.from_pairs(renumbered[pair_of_use], posts, len(keys)))


def incoming(side: Side, nodes: Tensor, most: int | None = None) -> Subgraph:
    """The edges into `nodes` (n,): all, or those of at most `most` random pairs a node.

    Sampled, each pair in turn keeps at most `most` of its uses.
    """
    if most is None:
        pairs, pair_node = side.pairs.positions(nodes)
        uses, use_pair = side.posts.positions(pairs)
    else:
        pairs, pair_node = side.pairs.sampled(nodes, most)
        uses, use_pair = side.posts.sampled(pairs, most)
    return Subgraph(side.pairs.values[pairs], pair_node, side.posts.values[uses], use_pair)


def without_own(graph: Subgraph, own: Tensor) -> Subgraph:
    """`graph` less the uses of post `own[n]` at node n (n,), -1: nothing is left out.

    A pair that loses its last use goes with it: the node never used that neighbour but
    in the post left out.
    """
    keep = graph.posts != own[graph.pair_node[graph.use_pair]]
    left = torch.zeros(len(graph.neighbours), dtype=torch.int64, device=keep.device)
    left.index_add_(0, graph.use_pair, keep.long())
    alive = left > 0
    renumbered = torch.cumsum(alive.long(), 0) - 1
    return Subgraph(
        graph.neighbours[alive],
        graph.pair_node[alive],
        graph.posts[keep],
        renumbered[graph.use_pair[keep]],
    )
