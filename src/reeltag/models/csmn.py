"""CSMN: a context sequence memory network that writes hashtags (Park et al., CVPR 2017)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, pad, relu

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, Factorised, ModelConfig, Sizes, Trained, TrainingBatch
from reeltag.models.layers.characteristic import CharacteristicTags
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.layers.share import drawn

_WINDOWS = (3, 4, 5)


class CsmnConfig(ModelConfig):
    """Settings of `Csmn`."""

    dim: int = Field(64, ge=1)
    """Width of a memory slot, of the query and of each convolution's output."""
    user_slots: int = Field(30, ge=1)
    """Slots of the user memory: the user's most characteristic past hashtags."""
    output_slots: int = Field(8, ge=1)
    """Slots of the word-output memory: the latest hashtags written so far."""
    order: Literal["random", "stored"] = "random"
    """The order in which a training post's hashtags are written."""


class Csmn(Factorised, Trained):
    """Content, the user's habits and what is written so far, read by attention and a CNN.

    Slots are rows e of one input each: the post's features (1 slot), the user's hashtags of
    largest TF-IDF, the hashtags written so far. Every memory has an input and an output side:

        m^a = ReLU(W^a e + b^a),  m^c = ReLU(W^c e + b^c)
        q_t = ReLU(W_q x_t + b_q),  x_t the vector of the last hashtag (a start mark at first)
        α = softmax over the slots of all memories (m^a · q_t),  o = α m^c
        c = ReLU(W_i o_content);  max over slots of ReLU(conv_{3,4,5}(o_user)), same for o_output
        h_t = ReLU(W_o [c_content; c_user; c_output] + b_o),  p(next) = softmax(W_f h_t + b_f)

    Loss: teacher forcing, -ln p(hashtag of the triple | those of the post before it). Score of
    the catalogue: ln p(first hashtag) up to a constant, so nothing is written before it.

    Departures from the paper: hashtags alone are written and remembered, no words. Hashtags
    are a set, so by default their order is drawn anew for each triple: the first step then
    learns each hashtag's share of the post. With `order="stored"` (the caption's order, the
    paper's setting) the first step learns what is written first. Beam search writes one
    list and scores no catalogue; it is not offered. A user's memory never holds uses by the
    training post asked about. A user never seen in training has an empty memory, a post
    without features an empty content slot (attention skips both; the content slot stays if
    nothing else is there).
    """

    name = "csmn"
    Config = CsmnConfig
    needs_features = True
    training_defaults: ClassVar[dict[str, Any]] = {"learning_rate": 1e-3, "batch_size": 256}
    config: CsmnConfig

    def __init__(self, config: CsmnConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        D = config.dim
        self.input = ModalityInput(sizes.manifests)
        self.habits = CharacteristicTags(sizes.users, sizes.hashtags)
        # The last row is the start mark.
        self.hashtag = nn.Parameter(torch.randn(sizes.hashtags + 1, D) * 0.1)
        self.content_memory = nn.Linear(self.input.width, 2 * D)
        self.user_memory = nn.Linear(D, 2 * D)
        self.output_memory = nn.Linear(D, 2 * D)
        self.ask = nn.Linear(D, D)
        self.read_content = nn.Linear(D, D)
        self.read_slots = nn.ModuleList(nn.Conv1d(D, D, window) for window in _WINDOWS)
        self.state = nn.Linear(D * (1 + 2 * len(_WINDOWS)), D)
        self.out = nn.Linear(D, sizes.hashtags)

    def fit(self, training: TrainingSet) -> None:
        self.input.fit(training)
        self.habits.fit(training)

    def step(self, posts: PostBatch, written: Tensor) -> Tensor:
        """State h_t (B, D) after `written` (B, L) hashtags, oldest first, -1 in front."""
        D, H = self.config.dim, self.sizes.hashtags
        mine = self.habits(posts.users, posts.own, self.config.user_slots)
        rows = [
            relu(self.content_memory(self.input(posts))).unsqueeze(1),
            relu(self.user_memory(embedding(mine.clamp(min=0), self.hashtag))),
            relu(self.output_memory(embedding(written.clamp(min=0), self.hashtag))),
        ]
        seen = torch.stack([posts.own < -1, *posts.present.values()]).any(0).unsqueeze(1)
        there = torch.cat([seen, mine >= 0, written >= 0], 1)
        there[:, 0] |= ~there.any(1)
        memory = torch.cat(rows, 1)
        last = written[:, -1]
        query = relu(self.ask(embedding(torch.where(last >= 0, last, H), self.hashtag)))
        match = torch.einsum("bsd,bd->bs", memory[..., :D], query)
        share = match.masked_fill(~there, -torch.inf).softmax(1)
        output = share.unsqueeze(2) * memory[..., D:]
        edge = 1 + mine.shape[1]
        users, words = output[:, 1:edge], output[:, edge:]
        parts = [relu(self.read_content(output[:, 0]))]
        parts += [self._convolve(slots, layer) for slots in (users, words)
                  for layer in self.read_slots]  # fmt: skip
        return relu(self.state(torch.cat(parts, 1)))

    @staticmethod
    def _convolve(slots: Tensor, layer: nn.Module) -> Tensor:
        """Largest response (B, D) of windows over `slots` (B, S, D), padded to a window."""
        assert isinstance(layer, nn.Conv1d)
        taps = layer.weight.permute(2, 1, 0)
        signal = pad(slots, (0, 0, 0, max(0, len(taps) - slots.shape[1])))
        count = signal.shape[1] - len(taps) + 1
        # The convolution as a product a tap: several times faster on a CPU than conv1d.
        total = sum(signal[:, n : n + count] @ tap for n, tap in enumerate(taps))
        return relu(total + layer.bias).amax(1)

    def encode(self, posts: PostBatch) -> Encoded:
        nothing = posts.users.new_full((len(posts), self.config.output_slots), -1)
        state = self.step(posts, nothing)
        return {"query": torch.cat([state, state.new_ones(len(state), 1)], 1)}

    def hashtag_vectors(self) -> Tensor:
        # The bias is the factor of a constant 1 at the end of the query.
        return torch.cat([self.out.weight, self.out.bias.unsqueeze(1)], 1)

    def before(self, own: Tensor, hashtags: Tensor) -> Tensor:
        """What is written on posts `own` (B,) before `hashtags` (B,): (B, L), -1 in front."""
        uses = self.habits.uses
        carried = Ragged(uses.own_tags, uses.own_offsets).select(own).padded()
        place = torch.arange(carried.shape[1], device=carried.device, dtype=torch.float32)
        place = place.expand(carried.shape)
        if self.config.order == "random":
            place = drawn(place.shape, place)
        turn = place.masked_fill(carried != hashtags.unsqueeze(1), torch.inf).amin(1, keepdim=True)
        earlier = (carried >= 0) & (place < turn)
        order = torch.argsort(place.masked_fill(~earlier, -1.0), dim=1, stable=True)
        written = carried.masked_fill(~earlier, -1).gather(1, order)
        slots = self.config.output_slots
        return pad(written, (max(0, slots - written.shape[1]), 0), value=-1)[:, -slots:]

    def loss(self, batch: TrainingBatch) -> Tensor:
        written = self.before(batch.posts.own, batch.positives)
        return cross_entropy(self.out(self.step(batch.posts, written)), batch.positives)
