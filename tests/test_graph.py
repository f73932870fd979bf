"""The graph against the training posts, use by use; samples are fair parts of it."""

from __future__ import annotations

from collections import Counter

import torch

from reeltag.data.corpus import Corpus
from reeltag.graph import TagGraph, incoming, sampled, without_own


def uses_of(corpus: Corpus) -> set[tuple[int, int, int]]:
    """(user, hashtag, post) of every use."""
    posts, tags = (t.tolist() for t in corpus.training.triples)
    users = corpus.training.posts.users.tolist()
    return {(users[k], j, k) for k, j in zip(posts, tags, strict=True)}


def test_both_sides_hold_every_use_once(corpus: Corpus) -> None:
    graph = TagGraph.build(corpus.training)
    users = incoming(graph.users, torch.arange(len(corpus.users)))
    pair = users.use_pair
    found = zip(
        users.pair_node[pair].tolist(), users.neighbours[pair].tolist(), users.posts.tolist(),
        strict=True,
    )  # fmt: skip
    assert Counter(found) == Counter(uses_of(corpus))
    tags = incoming(graph.hashtags, torch.arange(len(corpus.hashtags)))
    pair = tags.use_pair
    found = zip(
        tags.neighbours[pair].tolist(), tags.pair_node[pair].tolist(), tags.posts.tolist(),
        strict=True,
    )  # fmt: skip
    assert Counter(found) == Counter(uses_of(corpus))


def test_blocks_are_all_nodes_in_order_with_their_uses_together(corpus: Corpus) -> None:
    graph = TagGraph.build(corpus.training)
    for side in (graph.users, graph.hashtags):
        assert side.pairs.values.dtype == side.posts.values.dtype == torch.int32
        whole, most = side.whole, int(side.pairs.lengths.max())
        for size in (1, 7, 10**6):
            blocks = list(side.blocks(size))
            assert torch.equal(torch.cat(blocks), torch.arange(len(side.pairs)))
            parts = [incoming(side, nodes) for nodes in blocks]
            assert torch.equal(torch.cat([part.posts for part in parts]), whole.posts)
            assert torch.equal(torch.cat([part.neighbours for part in parts]), whole.neighbours)
        assert len(blocks) == 1
        uses = [len(incoming(side, nodes).posts) for nodes in side.blocks(7)]
        one = [len(incoming(side, torch.tensor([node])).posts) for node in range(len(side.pairs))]
        assert max(uses) <= 7 + max(one) >= most


def test_own_uses_can_be_left_out(corpus: Corpus) -> None:
    graph = TagGraph.build(corpus.training)
    posts, _ = corpus.training.triples
    users = corpus.training.posts.users[posts[:5]]
    left = without_own(incoming(graph.users, users), posts[:5])
    alive = left.use_pair < len(left.neighbours)
    pair = left.use_pair[alive]
    node, kept = left.pair_node[pair], left.posts[alive]
    assert not (kept == posts[:5][node]).any()
    expected = {
        (n, j, k)
        for n, (user, own) in enumerate(zip(users.tolist(), posts[:5].tolist(), strict=True))
        for i, j, k in uses_of(corpus)
        if i == user and k != own
    }
    found = zip(node.tolist(), left.neighbours[pair].tolist(), kept.tolist(), strict=True)
    assert set(found) == expected
    some = set((left.pair_node < 5).nonzero().flatten().tolist())
    assert set(pair.tolist()) == some


def test_padded_samples_are_samples_with_empty_places(corpus: Corpus) -> None:
    graph = TagGraph.build(corpus.training)
    for side in (graph.users, graph.hashtags):
        torch.manual_seed(3)
        plain = sampled(side, None, 3, 2)
        torch.manual_seed(3)
        padded = sampled(side, None, 3, 2, padded=True)
        assert len(padded.neighbours) == 3 * len(side.pairs)
        assert len(padded.posts) == 2 * len(padded.neighbours)
        pairs, uses = padded.pair_node < padded.nodes, padded.use_pair < len(padded.neighbours)
        assert torch.equal(padded.pair_node[pairs], plain.pair_node)
        assert torch.equal(padded.neighbours[pairs], plain.neighbours)
        # The second draw, of posts, differs: there are more places to draw for.
        assert torch.equal(padded.use_pair[uses].unique(), pairs.nonzero().flatten())
        owner = padded.pair_node[padded.use_pair[uses]]
        found = set(
            zip(
                owner.tolist(),
                padded.neighbours[padded.use_pair[uses]].tolist(),
                padded.posts[uses].tolist(),
                strict=True,
            )
        )
        everything = side.whole
        pair = everything.use_pair
        assert found <= set(
            zip(
                everything.pair_node[pair].tolist(),
                everything.neighbours[pair].tolist(),
                everything.posts.tolist(),
                strict=True,
            )
        )


def test_samples_are_parts_of_the_graph(corpus: Corpus) -> None:
    torch.manual_seed(0)
    graph = TagGraph.build(corpus.training)
    nodes = torch.arange(len(corpus.hashtags))
    all_pairs = graph.hashtags.pairs.lengths[nodes]
    part = sampled(graph.hashtags, nodes, 2, 2)
    counts = torch.bincount(part.pair_node, minlength=len(nodes))
    assert torch.equal(counts, all_pairs.clamp(max=2))
    pair = part.use_pair
    found = list(
        zip(part.neighbours[pair].tolist(), part.pair_node[pair].tolist(), part.posts.tolist(),
            strict=True)
    )  # fmt: skip
    assert len(set(found)) == len(found)
    assert set(found) <= uses_of(corpus)
    assert int(torch.bincount(part.use_pair).max()) <= 2


def test_every_neighbour_is_as_likely_as_any_other(corpus: Corpus) -> None:
    torch.manual_seed(1)
    graph = TagGraph.build(corpus.training)
    node = graph.hashtags.pairs.lengths.argmax()
    count = int(graph.hashtags.pairs.lengths[node])
    draws = 3000
    part = sampled(graph.hashtags, node.repeat(draws), 2, 2)
    shares = torch.bincount(part.neighbours)[part.neighbours.unique()] / draws
    assert len(shares) == count
    torch.testing.assert_close(shares, torch.full_like(shares, 2 / count), rtol=0.15, atol=0)


def test_the_edges_of_some_nodes_are_those_of_a_larger_graph(corpus: Corpus) -> None:
    side = TagGraph.build(corpus.training).hashtags
    places = torch.tensor([4, 0, 7])
    some, alone = incoming(side).of_nodes(places), incoming(side, places)
    assert some.nodes == 3
    for node in range(3):
        own, expected = (
            [(g.neighbours[p], g.posts[g.use_pair == p]) for p in (g.pair_node == node).nonzero()]
            for g in (some, alone)
        )
        assert [(int(n), p.tolist()) for n, p in own] == [(int(n), p.tolist()) for n, p in expected]
