"""GCN-PHR: graph convolution over users, hashtags and posts (Wei et al., ACM MM 2019)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, logsigmoid

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.graph import Side, Subgraph, TagGraph, incoming, sampled, without_own
from reeltag.models.contract import Encoded, ModelConfig, Sizes, Trained, TrainingBatch
from reeltag.models.layers import fused
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.layers.post_messages import NodeConvolution
from reeltag.models.layers.projection import FeatureProjection
from reeltag.models.layers.segments import Aggregation
from reeltag.models.layers.share import everyones_nodes, examples_of_step, shared
from reeltag.models.layers.stored import StoredFeatures

_MOST_AT_ONCE = 10.0
"""Largest factor on the step size of matrices that are changed once in many steps."""
_USES_AT_ONCE = 1 << 20
"""Uses whose messages are worked out at once where all nodes are."""
_BLOCK_BYTES = 64 << 20
"""What the elementwise part of a block of scores may take where it is not fused."""


class GcnPhrConfig(ModelConfig):
    """Settings of `GcnPhr`; the defaults are the paper's preset."""

    dim: int = Field(64, ge=1)
    """Latent width D (the paper's default)."""
    layers: int = Field(1, ge=1, le=4)
    """Graph convolutions L stacked; layer l reads layer l-1."""
    aggregation: Aggregation = "mean"
    """How messages are joined: mean (Eq. 2), add (Eq. 6 as printed) or max."""
    fusion: Literal["network", "transform"] = "network"
    """Eq. 7 or Eq. 8."""
    scoring: Literal["cat", "full"] = "cat"
    """`full` is Eq. 9-10 as printed; `cat`, the released default, an MLP with one hidden layer."""
    post_attention: bool = True
    """False: a plain mean over posts on both sides (the paper's Variant I)."""
    user_guided: bool = True
    """False: users do not guide the messages from posts to hashtags (Variant II)."""
    hashtag_guided: bool = True
    """False: hashtags do not guide the messages from posts to users (Variant III)."""
    neighbours: int | None = Field(None, ge=1)
    """In a training step, at most so many random neighbours of a node; None takes all with all
    their posts. Scoring always takes all."""
    neighbour_posts: int = Field(16, ge=1)
    """Where `neighbours` is set: at most so many random posts of each neighbour in a step."""
    projections: int | None = Field(None, ge=1)
    """So many products an epoch of all features with the message matrices, shared by the steps
    between them (`FeatureProjection`); None makes one in every step, which is exact."""
    half_features: bool = False
    """Keep the features of training posts in float16 while training."""
    kept_features: int = Field(1536, ge=0)
    """MiB that they may take; more stay in their files and are read as they are needed."""
    mask_own_post: bool = False
    """Beyond the paper: a training post's own uses send no message to its own user and
    hashtags in its own step (in the last layer; with more layers, two hops away they do)."""


class GcnPhr(Trained):
    """User-specific post and hashtag vectors, ranked by their inner product.

    Equations 1-8 (`NodeConvolution`) give u_i and h_j, then

        v̄ = φ(W_v v_k + W_uv u_i + b)      (Eq. 9)
        h̄ = φ(W_h h_j + W_u u_i + b')      (Eq. 10)
        score = h̄ · v̄,   loss = mean -ln σ(s+ - s-)   (Eq. 11; weight decay in the optimiser)

    with φ = leaky ReLU. Both scorings have the form  c_k · φ(A_j + B_i) + d_k,  so the
    catalogue is scored in blocks of the elementwise part.

    Departures from the paper: features are standardised on the training posts; a user
    never seen in training gets the mean user vector; a hashtag vector exists for each
    hashtag of the vocabulary even if only posts without a user carry it.

    The released weight decay of 0.1 is not the default: it was found with embeddings that
    never trained. As an L2 term on embeddings that do train it pulls every vector to zero and
    leaves the popular hashtags; 0 was the best of 0, 1e-5 and 1e-4 on validation.

    A step touches only the posts, users and hashtags that send messages to its batch. On an
    accelerator no size depends on the data, so that no step waits for the host: a step works
    out all nodes, or padded samples. One setting has no such form, `mask_own_post` with all
    neighbours; its steps do wait.
    """

    name = "gcn-phr"
    Config = GcnPhrConfig
    needs_users = True
    needs_features = True
    keeps_features = True
    training_defaults: ClassVar[dict[str, float]] = {
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "batch_size": 512,
    }
    config: GcnPhrConfig

    def __init__(self, config: GcnPhrConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        D = config.dim
        self.input = ModalityInput(sizes.manifests)
        V = self.input.width
        self.user_embedding = nn.Parameter(torch.randn(sizes.users, D) * 0.1)
        self.hashtag_embedding = nn.Parameter(torch.randn(sizes.hashtags, D) * 0.1)
        self.user_side = nn.ModuleList(
            self._convolution(config.hashtag_guided) for _ in range(config.layers)
        )
        self.hashtag_side = nn.ModuleList(
            self._convolution(config.user_guided) for _ in range(config.layers)
        )
        self.post_in = nn.Linear(V, D)
        self.post_user = nn.Linear(D, D, bias=False)
        self.hashtag_in = nn.Linear(D, D)
        self.hashtag_user = nn.Linear(D, D, bias=False)
        if config.scoring == "cat":
            self.post_out = nn.Linear(D, D)
            self.hashtag_out = nn.Linear(D, D)
        self.buffer("user_vectors", torch.zeros(sizes.users, D))
        self.buffer("hashtag_vectors", torch.zeros(sizes.hashtags, D))
        self.buffer("nobody", torch.zeros(D))
        self._graph: TagGraph | None = None
        self._seen = 0
        self._projection = FeatureProjection(torch.zeros(0, V))

    def _convolution(self, guided: bool) -> NodeConvolution:
        c = self.config
        return NodeConvolution(
            self.input.width, c.dim, c.aggregation, c.fusion, c.post_attention, guided
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        moved = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._graph is not None:
            self._graph = self._graph.to(self.device)
            self._projection = FeatureProjection(self._projection.features.to(self.device))
        return moved

    def fit(self, training: TrainingSet) -> None:
        self.input.fit(training)
        self._graph = TagGraph.build(training)
        kind = torch.float16 if self.config.half_features else torch.float32
        size = len(training.posts) * self.input.width * kind.itemsize
        kept = size <= self.config.kept_features << 20
        self._projection = FeatureProjection(
            self.input.all(training, kind) if kept else StoredFeatures(training, self.input)
        )

    def propagate(
        self,
        users: Tensor | None,
        hashtags: Tensor | None,
        layer: int,
        own: tuple[Tensor, Tensor] | None = None,
        step: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Vectors of `users` (n,) and `hashtags` (m,), or of all, after `layer` convolutions.

        `own` = (posts (n,), posts (m,)): training posts whose uses send no message there.
        `step`: in a training step, where `neighbours` and `projections` count.
        """
        if layer == 0:
            U: Tensor = self.user_embedding
            H: Tensor = self.hashtag_embedding
            return (
                U if users is None else U.index_select(0, users),
                H if hashtags is None else H.index_select(0, hashtags),
            )
        if self._graph is None:
            raise RuntimeError("fit the model before propagating over its graph")
        to_users = self._edges(self._graph.users, users, step, own)
        to_hashtags = self._edges(self._graph.hashtags, hashtags, step, own)
        if own is not None:
            to_users = without_own(to_users, own[0])
            to_hashtags = without_own(to_hashtags, own[1])
        of_users, of_hashtags = self._projected(to_users.posts, to_hashtags.posts, layer, step)
        U, H = self._neighbours(to_hashtags.neighbours, to_users.neighbours, layer - 1, step)
        return (
            self.user_side[layer - 1](H, to_users, of_users),
            self.hashtag_side[layer - 1](U, to_hashtags, of_hashtags),
        )

    def _neighbours(
        self, users: Tensor, hashtags: Tensor, layer: int, step: bool
    ) -> tuple[Tensor, Tensor]:
        """As `propagate`, for ids that repeat: each is worked out once."""
        if layer == 0:
            return self.propagate(users, hashtags, 0)
        some_users, user_of = self._distinct(users)
        some_hashtags, hashtag_of = self._distinct(hashtags)
        U, H = self.propagate(some_users, some_hashtags, layer, step=step)
        return U.index_select(0, user_of), H.index_select(0, hashtag_of)

    @property
    def _resident(self) -> bool:
        """On an accelerator: sizes must not depend on the data, or every step waits for them."""
        return self.device.type != "cpu"

    def _edges(
        self,
        side: Side,
        nodes: Tensor | None,
        step: bool,
        own: tuple[Tensor, Tensor] | None = None,
    ) -> Subgraph:
        c = self.config
        if not step or c.neighbours is None:
            return incoming(side, nodes)
        if shared() and nodes is not None and not self._resident:
            # Drawn for the nodes of the whole step in its order, kept for one's own.
            if own is None:
                whole = torch.unique(everyones_nodes([nodes])[0])
                places = torch.searchsorted(whole, nodes)
            else:
                split = [len(own[0]), len(nodes) - len(own[0])]
                whole, places = everyones_nodes(torch.split(nodes, split))
            return sampled(side, whole, c.neighbours, c.neighbour_posts).of_nodes(places)
        return sampled(side, nodes, c.neighbours, c.neighbour_posts, padded=self._resident)

    def _distinct(self, ids: Tensor) -> tuple[Tensor | None, Tensor]:
        """Ids to work out once and where each of `ids` lies among them.

        None stands for all there are: more work than the distinct ones, but of a known size.
        """
        return (None, ids) if self._resident else torch.unique(ids, return_inverse=True)

    def _projected(
        self, of_users: Tensor, of_hashtags: Tensor, layer: int, step: bool
    ) -> tuple[Tensor, Tensor]:
        """Features of the posts of both sides' uses times the matrix of each side."""
        if step and self._delayed:
            first = 2 * (layer - 1)
            return (
                self._projection.delayed(of_users, first, self._matrices),
                self._projection.delayed(of_hashtags, first + 1, self._matrices),
            )
        posts, post_of = self._distinct(torch.cat([of_users, of_hashtags]))
        product = self._projection.exact(posts, torch.cat(self._pair(layer - 1)))
        half, split = product.shape[1] // 2, len(of_users)
        return (
            product[:, :half].index_select(0, post_of[:split]),
            product[:, half:].index_select(0, post_of[split:]),
        )

    @property
    def _delayed(self) -> bool:
        # A product in every step, all posts at once, is exact and needs no copy of features.
        return self.config.projections is not None or self._resident

    def _matrices(self) -> list[Tensor]:
        """What features are multiplied by: of the user side, then the hashtag side, by layer."""
        return [m for number in range(self.config.layers) for m in self._pair(number)]

    def _pair(self, number: int) -> list[Tensor]:
        sides = (self.user_side[number], self.hashtag_side[number])
        return [cast(NodeConvolution, side).matrix() for side in sides]

    def step_factors(self, batch_size: int) -> dict[str, float]:
        """k, at most 10, for matrices changed once in k steps by the mean of k gradients.

        Without it they stay behind the rest of the model: on the news set (k = 3.4) recall@10
        fell by .01 to .02.
        """
        if self.config.projections is None or self._graph is None:
            return {}
        steps = len(self._graph.users.posts.values) / (self.config.projections * batch_size)
        late = ("message.weight", "similarity_post.weight")
        return {
            name: min(max(1.0, steps), _MOST_AT_ONCE)
            for name, _ in self.named_parameters()
            if name.endswith(late)
        }

    def after_backward(self, last: bool) -> None:
        if not self._delayed:
            return
        often, graph = self.config.projections, self._graph
        uses = 0 if graph is None else len(graph.users.posts.values)
        due = last or often is None or self._seen * often >= uses
        self._projection.after_backward(due, self._matrices)
        if due:
            self._seen = 0

    def refresh(self) -> None:
        """Cache u_i and h_j of every user and hashtag, from the full graph."""
        if self._graph is None:
            return
        with torch.no_grad():
            if len(self._graph.users.posts.values) <= _USES_AT_ONCE:
                vectors = self.propagate(None, None, self.config.layers)
            else:
                vectors = self._propagated(self._graph)
            self.user_vectors, self.hashtag_vectors = vectors
            self.nobody = self.user_vectors.mean(0)

    def _propagated(self, graph: TagGraph) -> tuple[Tensor, Tensor]:
        """As `propagate` of all nodes, without gradients: layer by layer, some nodes at a time."""
        U: Tensor = self.user_embedding
        H: Tensor = self.hashtag_embedding
        for to_users, to_hashtags in zip(self.user_side, self.hashtag_side, strict=True):
            U, H = (
                self._in_blocks(cast(NodeConvolution, to_users), graph.users, H),
                self._in_blocks(cast(NodeConvolution, to_hashtags), graph.hashtags, U),
            )
        return U, H

    def _in_blocks(self, convolution: NodeConvolution, side: Side, below: Tensor) -> Tensor:
        parts, matrix = [], convolution.matrix()
        for nodes in side.blocks(_USES_AT_ONCE):
            edges = incoming(side, nodes)
            posts, post_of = torch.unique(edges.posts, return_inverse=True)
            of_uses = self._projection.exact(posts, matrix).index_select(0, post_of)
            parts.append(convolution(below.index_select(0, edges.neighbours), edges, of_uses))
        return torch.cat(parts)

    def _post_side(self, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(c, B, d) of  score = c · φ(A_j + B) + d  for posts v (n, V) by users u (n, D)."""
        hidden = leaky_relu(self.post_in(v) + self.post_user(u))
        B = self.hashtag_user(u)
        if self.config.scoring == "full":
            return hidden, B, hidden.new_zeros(len(hidden))
        query = self.post_out(hidden)
        return query @ self.hashtag_out.weight, B, query @ self.hashtag_out.bias

    def loss(self, batch: TrainingBatch) -> Tensor:
        own, n = batch.posts.own, batch.negatives.shape[1]
        self._seen += examples_of_step(len(own))
        owners = batch.posts.users
        wanted = torch.cat([batch.positives, batch.negatives.reshape(-1)])
        if self.config.mask_own_post:
            own_of_tags = torch.cat([own, own.repeat_interleave(n)])
            u, h = self.propagate(owners, wanted, self.config.layers, (own, own_of_tags), step=True)
        elif self._resident and self.config.neighbours is not None:
            u, h = self.propagate(owners, wanted, self.config.layers, step=True)
        else:
            users, user_of = self._distinct(owners)
            hashtags, hashtag_of = self._distinct(wanted)
            U, H = self.propagate(users, hashtags, self.config.layers, step=True)
            u, h = U.index_select(0, user_of), H.index_select(0, hashtag_of)
        c, B, d = self._post_side(self._projection.rows(own), u)
        A = self.hashtag_in(h)
        positive, negative = A[: len(own)], A[len(own) :].view(len(own), n, -1)
        s_positive = (c * leaky_relu(positive + B)).sum(1) + d
        s_negative = torch.einsum("bd,bnd->bn", c, leaky_relu(negative + B.unsqueeze(1)))
        s_negative = s_negative + d.unsqueeze(1)
        return -logsigmoid(s_positive.unsqueeze(1) - s_negative).mean()

    def encode(self, posts: PostBatch) -> Encoded:
        known = (posts.users >= 0).unsqueeze(1)
        u = torch.where(known, self.user_vectors[posts.users.clamp(min=0)], self.nobody)
        c, B, d = self._post_side(self.input(posts), u)
        return {"c": c, "B": B, "d": d}

    @torch.no_grad()
    def score_all(self, encoded: Encoded) -> Tensor:
        """One fused pass on the CPU (`layers.fused`); elsewhere in blocks of hashtags."""
        c, B, d = encoded["c"], encoded["B"], encoded["d"]
        A = self.hashtag_in(self.hashtag_vectors)
        if A.device.type == "cpu" and fused.available():
            return fused.score_all(A, B, c, d)
        block = max(1, _BLOCK_BYTES // (4 * max(1, len(c)) * self.config.dim))
        scores = [_score(A[at : at + block], B, c) for at in range(0, len(A), block)]
        return torch.cat(scores, 1) + d.unsqueeze(1)

    @torch.no_grad()
    def score_pairs(self, encoded: Encoded, candidates: Tensor) -> Tensor:
        c, B, d = encoded["c"], encoded["B"], encoded["d"]
        A = self.hashtag_in(self.hashtag_vectors)
        if A.device.type == "cpu" and fused.available():
            return fused.score_pairs(A, B, c, d, candidates)
        return _score(A[candidates], B, c) + d.unsqueeze(1)

    def bytes_per_post(self) -> int:
        return 4 * 4 * self.sizes.hashtags


def _score(A: Tensor, B: Tensor, c: Tensor) -> Tensor:
    """c · φ(A + B) for A (m, D) or (n, m, D), B and c (n, D): (n, m)."""
    return torch.einsum("bd,bjd->bj", c, leaky_relu(A + B.unsqueeze(1)))
