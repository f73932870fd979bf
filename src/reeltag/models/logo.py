"""LOGO: sequences of three modalities, attention by the candidate hashtag (Cao et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, embedding

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.models.contract import Encoded, Heeding, ModelConfig, Sizes, Trained, TrainingBatch
from reeltag.models.layers.catalogue import Asking, Catalogue, Remembered, kept_of
from reeltag.models.layers.common_space import view_loss
from reeltag.models.layers.hashtag_attention import HashtagAttention
from reeltag.models.layers.interaction import Interaction
from reeltag.models.layers.sequences import ModalitySequences
from reeltag.models.layers.share import everyones
from reeltag.models.layers.shortlist import SAMPLE, Shortlist, settled
from reeltag.models.layers.view import Pooling, View


class LogoConfig(ModelConfig):
    """Settings of `Logo`; the defaults are the paper's preset."""

    dim: int = Field(150, ge=1)
    """Width c of the common space, and of a hashtag."""
    hidden_visual: int = Field(500, ge=1)
    """Width of the LSTM over frames."""
    hidden_acoustic: int = Field(300, ge=1)
    """Width of the LSTM over pieces of sound."""
    hidden_textual: int = Field(80, ge=1)
    """Width of the LSTM over words."""
    pooling: Pooling = "attention"
    """How steps become one vector; all but `attention` are the paper's variants A, M and L."""
    words: int = Field(300, ge=1)
    """Width of a word's vector where captions come as ids (`tokens`) and the model learns it."""
    attention: int = Field(64, ge=1)
    """Hidden width of the attention; the paper gives none."""
    layers: int = Field(3, ge=1, le=6)
    """Hidden layers of the NCF, each half as wide as the one before."""
    interaction: int | None = Field(None, ge=1)
    """Width of the NCF's first hidden layer; None: `dim`, the size of what it multiplies."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share dropped of p_0 and of the hidden layers of the attention and the NCF."""
    view_weight: float = Field(0.05, ge=0)
    """λ: weight in L_view of posts with the same hashtag against modalities of the same post."""
    alternate: bool = True
    """A step on L_view, then one on L_network, as in the paper; False: their sum every step."""
    shortlist: int | None = Field(None, ge=1)
    """Hashtags a post that are scored exactly, out of a guess of all; None: every hashtag."""


class Logo(Heeding, Trained):
    """Each hashtag asks every modality's sequence for itself.

        h_1 … h_S = LSTM_m(steps of modality m)                    Eq. 1
        h^m = Σ_s α(s, j) h_s, α asked by y_j                      Eq. 2-3
        x^m = f_m(h^m)                                             Eq. 4
        z = w_p · NCF([x^v ⊙ y_j; x^a ⊙ y_j; x^t ⊙ y_j])           Eq. 6-8

    Loss: L_view (Eq. 5, `view_loss`) on odd steps, the log loss of hashtags on the post and
    those drawn (Eq. 9) on even ones. The count of steps is state of the model, so that a
    resumed run goes on with the right one. Half of an epoch's batches teach the NCF: an epoch
    is a whole pass with `alternate=false` alone. Scores are logits; only their order counts.

    Departures from the paper: features are standardised on training posts. The forget gate has
    weights of its own (Eq. 1 reprints the input gate's). x^m depends on the candidate, so in
    L_view a post's own hashtag asks. L_view is made of means, not sums (`view_loss` says why).
    The log loss is a mean over pairs. The NCF's first hidden layer is as wide as the embeddings it
    multiplies: "the input embedding size" of §4.1.4 may also be p_0's (`interaction`). Layers start
    from another deviation (`_initialise`). A missing modality is not zeros that vote: its block of
    p_0 is zero and L_view leaves it out.

    `shortlist` (the attribute) may be changed on a model whose setting has a number: None gives
    every score exactly, another number another length.
    """

    name = "logo"
    Config = LogoConfig
    needs_users = False
    needs_features = True
    reads = "sequence"
    by_post = True
    training_defaults: ClassVar[dict[str, Any]] = {
        "optimiser": "adam",
        "learning_rate": 3e-3,
        "negatives": 6,
        "batch_size": 128,
        "epochs": 120,
        "patience": 8,
    }
    config: LogoConfig

    def __init__(self, config: LogoConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.input = ModalitySequences(sizes.manifests, config.words)
        self.modalities = self.input.modalities
        self.views = nn.ModuleDict(
            {
                modality: View(
                    self.input.widths[modality],
                    getattr(config, f"hidden_{modality}"),
                    config.dim,
                    config.pooling,
                    config.attention,
                    config.dropout,
                )
                for modality in self.modalities
            }
        )
        self.interaction = Interaction(
            len(self.modalities),
            config.dim,
            config.interaction or config.dim,
            config.layers,
            config.dropout,
        )
        self.hashtag = nn.Parameter(torch.empty(sizes.hashtags, config.dim))
        self.shortlist = config.shortlist
        self.guess = None if config.shortlist is None else Shortlist(sizes.hashtags)
        self.steps_done: Tensor
        self.buffer("steps_done", torch.zeros((), dtype=torch.int64))
        self._steps: int | None = 0  # steps_done on the host; None: not yet read
        self._training: TrainingSet | None = None
        self._everyone = Remembered()
        self._initialise()

    def _initialise(self) -> None:
        """Gaussians of mean 0: hashtags of deviation 0.1, layers of √(2 / inputs).

        The paper has 0.1 for both (§4.1.4). Its widths give 0.06 to 0.16 here; at smaller ones,
        0.1 would let nothing through. LSTMs start as torch has them.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear | Interaction | HashtagAttention):
                inputs = module.weight.shape[-1]
                nn.init.normal_(module.weight, std=float((2 / inputs) ** 0.5))
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.hashtag, std=0.1)

    def fit(self, training: TrainingSet) -> None:
        self.input.fit(training)
        self._training = training

    def encode(self, posts: PostBatch) -> Encoded:
        """Every LSTM once a post: what its hashtags are answered with, by `<modality>.<what>`."""
        encoded: Encoded = {}
        for modality, (values, mask) in self.input(posts).items():
            for what, tensor in self._view(modality).encode(values, mask).items():
                encoded[f"{modality}.{what}"] = tensor
        return encoded

    def _view(self, modality: str) -> View:
        view = self.views[modality]
        assert isinstance(view, View)
        return view

    def _pairs(self, encoded: Encoded, hashtags: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (m, C, M, dim) of posts for each one's hashtags (m, C, dim); there (m, M)."""
        kept = kept_of(encoded)
        vectors = [self._view(name).pairs(kept[name], hashtags) for name in self.modalities]
        return torch.stack(vectors, 2), self._there(encoded)

    def _there(self, encoded: Encoded) -> Tensor:
        """Which modalities each post has (B, M)."""
        return torch.stack([encoded[f"{name}.mask"].any(1) for name in self.modalities], 1)

    def _logits(self, vectors: Tensor, there: Tensor, hashtags: Tensor) -> Tensor:
        """Logits (m, C) from vectors (m, C, M, dim) and hashtags (m, C, dim)."""
        products = vectors * hashtags.unsqueeze(2) * there[:, None, :, None]
        logits: Tensor = self.interaction(products)
        return logits

    @torch.no_grad()
    def score_all(self, encoded: Encoded) -> Tensor:
        """Every hashtag of every post: exactly, or with a shortlist, its hashtags exactly and
        the others below them in the order of the guess."""
        everyone, guess, length = self._asking(), self.guess, self.shortlist
        if length is None or length >= len(self.hashtag) or guess is None or not guess.fitted:
            return self._exact(encoded, everyone)
        guessed = guess.guess(self._exact(encoded, everyone.some(guess.landmarks)))
        # Without any modality all hashtags score alike: the first are the best, as in a sort.
        nothing = ~self._there(encoded).any(1, keepdim=True)
        guessed = guessed.where(~nothing, -torch.arange(len(self.hashtag), device=self.device))
        chosen = guessed.topk(length, 1).indices
        return settled(guessed, chosen, self.score_pairs(encoded, chosen))

    @torch.no_grad()
    def score_pairs(self, encoded: Encoded, candidates: Tensor) -> Tensor:
        return self._catalogue().pairs(
            kept_of(encoded), self._there(encoded), self._asking(), candidates
        )

    def _exact(self, encoded: Encoded, asking: Asking) -> Tensor:
        return self._catalogue().all(kept_of(encoded), self._there(encoded), asking)

    def _catalogue(self) -> Catalogue:
        return Catalogue(self._views(), self.interaction)

    def _asking(self) -> Asking:
        return self._everyone.of(self.hashtag, self._views())

    def _views(self) -> dict[str, View]:
        return {name: self._view(name) for name in self.modalities}

    @torch.no_grad()
    def refresh(self) -> None:
        """Fit the guess of the shortlist on training posts, evenly spaced."""
        self._everyone.forget()
        if self.guess is None or self._training is None:
            return
        was, count = self.training, len(self._training.posts)
        self.eval()
        sample = torch.arange(0, count, max(1, -(-count // SAMPLE)))
        scores = [
            self._exact(self.encode(self._training.batch(index).to(self.device)), self._asking())
            for index in torch.split(sample, 32)
        ]
        self.guess.fit(torch.cat(scores))
        self.train(was)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        super().load_tensors(tensors)
        self._steps = None
        self._everyone.forget()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._steps = None
        self._everyone.forget()

    @torch.no_grad()
    def attention_of(self, posts: PostBatch, hashtags: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        kept, asked = kept_of(self.encode(posts)), embedding(hashtags, self.hashtag)
        for modality, view in self._views().items():
            if view.attention is not None:
                own = kept[modality]
                queries = view.attention.queries(asked)
                shares = view.attention.pairs(own["key"], queries, own["mask"])
                found[modality] = self.input.in_place(modality, shares, posts)
        return found

    def loss(self, batch: TrainingBatch) -> Tensor:
        """L_view or L_network by the count of steps, or their sum."""
        self._everyone.forget()  # a fused optimiser changes parameters without a trace
        encoded, owner = self.encode(batch.posts), batch.owner
        encoded = {key: tensor.index_select(0, owner) for key, tensor in encoded.items()}
        if self._steps is None:  # once after loading: reading it waits for an accelerator
            self._steps = int(self.steps_done)
        turn = self._steps % 2 if self.config.alternate else None
        loss = self.hashtag.new_zeros(())
        if turn != 1:
            loss = loss + self.view_loss(encoded, batch.positives)
        if turn != 0:
            loss = loss + self.network_loss(encoded, batch)
        return loss

    def view_loss(self, encoded: Encoded, positives: Tensor) -> Tensor:
        """Eq. 5 over the examples of a batch; `encoded` has a row for each example."""
        vectors, there = self._pairs(encoded, embedding(positives, self.hashtag).unsqueeze(1))
        rows = (everyones(vectors.squeeze(1)), everyones(there), everyones(positives))
        return view_loss(*rows, self.config.view_weight)

    def network_loss(self, encoded: Encoded, batch: TrainingBatch) -> Tensor:
        """Eq. 9, the mean over all pairs; `encoded` has a row for each example."""
        candidates = torch.cat([batch.positives.unsqueeze(1), batch.negatives], 1)
        hashtags = embedding(candidates, self.hashtag)
        logits = self._logits(*self._pairs(encoded, hashtags), hashtags)
        target = torch.zeros_like(logits)
        target[:, 0] = 1
        return binary_cross_entropy_with_logits(logits, target)

    def after_backward(self, last: bool) -> None:
        self.steps_done += 1
        if self._steps is not None:
            self._steps += 1

    def bytes_per_post(self) -> int:
        """Scores, the rows as read and standardised, and what is kept of every step."""
        kept = sum(
            self.input.steps_of(modality)
            * (
                2 * self.input.widths[modality]
                + 2 * self._view(modality).lstm.hidden_size
                + self.config.attention
            )
            for modality in self.modalities
        )
        tables = 1 if self.shortlist is None else 2  # the guess beside the scores
        return tables * super().bytes_per_post() + 4 * kept
