"""Training posts in, the user - hashtag - post graph out, as CSR index tensors.

An edge of the graph is a *use*: user i put hashtag j on post k. Uses are grouped twice:

    user side      for each user, the hashtags used (pairs); for each pair, the posts
    hashtag side   for each hashtag, the users who use it (pairs); for each pair, the posts

Posts without a user have no place in this graph: they pass no message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.runtime import generator_of


@dataclass(frozen=True)
class Subgraph:
    """The edges that send messages to some nodes, n of them.

    neighbours (p,): neighbour id of each pair, pair_node (p,): position of the pair's node;
    posts (e,): training post of each use, use_pair (e,): position of the use's pair.
    A pair with pair_node n and a use with use_pair p are empty places: they send nothing.
    """

    nodes: int
    neighbours: Tensor
    pair_node: Tensor
    posts: Tensor
    use_pair: Tensor

    def of_nodes(self, places: Tensor) -> Subgraph:
        """The edges of the nodes at `places` (n,), different ones; numbers and order as in those.

        For a graph without empty places.
        """
        nobody = len(places)
        node_of = places.new_full((self.nodes,), nobody)
        node_of[places] = torch.arange(nobody, device=places.device)
        node = node_of[self.pair_node]
        pairs = node < nobody
        uses = pairs[self.use_pair]
        pair_of = torch.cumsum(pairs, 0) - 1
        return Subgraph(
            nobody,
            self.neighbours[pairs],
            node[pairs],
            self.posts[uses],
            pair_of[self.use_pair[uses]],
        )

    def to(self, device: torch.device | str) -> Subgraph:
        """The same on another device."""
        tensors = (self.neighbours, self.pair_node, self.posts, self.use_pair)
        return Subgraph(self.nodes, *(tensor.to(device) for tensor in tensors))


@dataclass(frozen=True)
class Side:
    """One side's view: node → pairs (node, neighbour) → posts.

    pairs: Ragged over nodes; its values are the neighbours (p,).
    posts: Ragged over pairs; its values are training posts (e,), e = all uses.

    Numbers are int32, half the memory of what is read out of them: int64.
    """

    pairs: Ragged
    posts: Ragged

    @cached_property
    def whole(self) -> Subgraph:
        """The edges into every node, in order; kept, once they were asked for."""
        return Subgraph(
            len(self.pairs),
            self.pairs.values.long(),
            self.pairs.row_of_value,
            self.posts.values.long(),
            self.posts.row_of_value,
        )

    def edges(
        self, pairs: Tensor, pair_node: Tensor, uses: Tensor, use_pair: Tensor, nodes: int
    ) -> Subgraph:
        """The edges at positions `pairs` (p,) and `uses` (e,), with whose they are."""
        neighbours, posts = self.pairs.values[pairs].long(), self.posts.values[uses].long()
        return Subgraph(nodes, neighbours, pair_node, posts, use_pair)

    def blocks(self, most: int) -> Iterator[Tensor]:
        """All nodes in order, in stretches of about `most` uses; a node's uses stay together."""
        first_use = self.posts.offsets[self.pairs.offsets[:-1]]
        _, lengths = torch.unique_consecutive(first_use // most, return_counts=True)
        nodes = torch.arange(len(first_use), device=first_use.device)
        yield from torch.split(nodes, lengths.tolist())

    def to(self, device: torch.device | str) -> Side:
        """The same on another device."""
        return Side(self.pairs.to(device), self.posts.to(device))


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
        posts, tags, users = posts[known].int(), tags[known].int(), users[known].int()
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
    keys, pair_of_use = torch.unique(nodes.long() * width + neighbours, return_inverse=True)
    small = torch.int32 if len(keys) < 1 << 31 else torch.int64
    pair_of_use = pair_of_use.to(small)
    order = torch.randperm(len(keys), generator=generator_of("graph", "pairs"))
    order = order[torch.argsort((keys // width)[order], stable=True)]
    renumbered = torch.empty(len(order), dtype=small)
    renumbered[order] = torch.arange(len(order), dtype=small)
    keys = keys[order]
    pairs = Ragged.from_pairs(keys // width, (keys % width).int(), count)
    return Side(pairs, Ragged.from_pairs(renumbered[pair_of_use], posts, len(keys)))


def incoming(side: Side, nodes: Tensor | None = None) -> Subgraph:
    """All edges into `nodes` (n,), or into every node."""
    if nodes is None:
        return side.whole
    pairs, pair_node = side.pairs.positions(nodes)
    uses, use_pair = side.posts.positions(pairs)
    return side.edges(pairs, pair_node, uses, use_pair, len(nodes))


def sampled(
    side: Side, nodes: Tensor | None, pairs_each: int, posts_each: int, padded: bool = False
) -> Subgraph:
    """The edges of at most `pairs_each` random pairs a node and `posts_each` posts a pair.

    `padded`: with empty places instead of sizes that depend on the draw (`Ragged.sampled`).
    """
    if nodes is None:
        nodes = torch.arange(len(side.pairs), device=side.pairs.offsets.device)
    pairs, pair_node = side.pairs.sampled(nodes, pairs_each, padded)
    uses, use_pair = side.posts.sampled(pairs, posts_each, padded)
    if padded:
        # Places of an empty pair are empty too.
        use_pair = _emptied(use_pair, pair_node == len(nodes))
    return side.edges(pairs, pair_node, uses, use_pair, len(nodes))


def without_own(graph: Subgraph, own: Tensor) -> Subgraph:
    """`graph` with the uses of post `own[n]` at node n (n,) made empty; -1: none is.

    A pair that loses its last use goes with it: the node never used that neighbour but
    in the post left out.
    """
    pairs = len(graph.neighbours)
    post_of_pair = torch.cat([own, own.new_full((1,), -1)])[graph.pair_node]
    post_of_pair = torch.cat([post_of_pair, own.new_full((1,), -1)])
    kept = graph.posts != post_of_pair[graph.use_pair]
    use_pair = torch.where(kept, graph.use_pair, graph.use_pair.new_full((), pairs))
    uses = own.new_zeros(pairs + 1).index_add(0, use_pair, torch.ones_like(use_pair))
    nobody = graph.pair_node.new_full((), graph.nodes)
    pair_node = torch.where(uses[:pairs] > 0, graph.pair_node, nobody)
    return Subgraph(graph.nodes, graph.neighbours, pair_node, graph.posts, use_pair)


def _emptied(owner: Tensor, empty: Tensor) -> Tensor:
    """`owner` with every place of an `empty` (n,) owner made empty (n)."""
    count = len(empty)
    gone = torch.cat([empty, empty.new_ones(1)])[owner]
    return torch.where(gone, owner.new_full((), count), owner)
