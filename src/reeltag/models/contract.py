"""What a model is: posts by users in, a score for every hashtag out, in one of two forms.

    Factorised   score(post, j) = query(post) · vector(j): the catalogue is one matrix product
    Pairwise     the score needs the pair; the model still scores the catalogue in blocks

and in one of three ways to learn:

    Counted      `fit` looks at the training posts once
    Trained      `fit` prepares (graphs, normalisers), then a trainer minimises `loss`
    Validated    `fit` counts, then `choose` sets a few numbers by the validation posts;
                 one that is `Refitting` then counts once more, with these posts

One of which parts are trained names them (`Composed`), one that weighs what it sees tells so
(`Attentive`), and one that takes in posts after `fit` too (`reeltag.models.observing`).

The rest of the system sees only `encode`, `score_all` and `score_pairs`. All state lives
in parameters and registered buffers, so one safetensors file stores any model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn.functional import embedding

from reeltag.data.batches import NO_TIME, PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.feature import Kind, Manifest
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingFeatureError, RunError
from reeltag.models.layers.share import Share

Judge = Callable[[Tensor, Ragged, str], Tensor]
"""(scores (B, H), hashtags of each post, metric such as "recall@10") → values (B,)."""
Encoded = dict[str, Tensor]
"""What a model keeps of a batch of posts; every tensor's first dimension is the batch."""


class ModelConfig(BaseModel):
    """Settings of a model; every one can be set from TOML and with `--set` by its name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Sizes:
    """What a model must know to be built: enough to build it again without the data."""

    users: int
    hashtags: int
    manifests: Mapping[str, Manifest]
    """Features by name, in the order in which batches carry them."""
    words: int = 0
    """Caption words known; 0 for models that read none."""
    fields: tuple[int, ...] = ()
    """Codes of each field of the users (`reeltag.data.profiles`)."""
    contexts: tuple[int, int] = (0, 0)
    """How many kinds of music and how many places are known."""
    timed: bool = False
    """Whether any training post has a time."""

    @staticmethod
    def of(training: TrainingSet) -> Sizes:
        """The sizes of a training set."""
        return Sizes(
            len(training.users),
            len(training.hashtags),
            training.manifests,
            len(training.words),
            training.fields.widths,
            training.contexts.widths,
            bool((training.posts.times != NO_TIME).any()),
        )


@dataclass(frozen=True)
class TrainingBatch:
    """One step's examples: m hashtags on B posts, for each one n that its post does not carry.

    owner (m,): position in the batch of the post that carries the hashtag; positives (m,),
    negatives (m, n). With one example a post (m = B) owner may be left out.

    share: what these are of the step's examples, where processes train together; None: all.
    """

    posts: PostBatch
    positives: Tensor
    negatives: Tensor
    examples_of: Tensor | None = None
    share: Share | None = None

    @property
    def owner(self) -> Tensor:
        """The post of each example (m,)."""
        if self.examples_of is None:
            return torch.arange(len(self.positives), device=self.positives.device)
        return self.examples_of

    def to(self, device: torch.device | str) -> TrainingBatch:
        """The same on another device."""
        examples = None if self.examples_of is None else self.examples_of.to(device)
        return TrainingBatch(
            self.posts.to(device),
            self.positives.to(device),
            self.negatives.to(device),
            examples,
            self.share,
        )


class Model(nn.Module, ABC):
    """Base of all models. Subclasses set the class variables and name their paper."""

    name: str
    """As registered."""
    Config: ClassVar[type[ModelConfig]] = ModelConfig
    needs_users: ClassVar[bool] = False
    needs_features: ClassVar[bool] = False
    reads: ClassVar[Kind] = "vector"
    """The kind of feature it is for (`choose_features`)."""
    needs_words: ClassVar[bool] = False
    """The model reads the words of captions (`PostBatch.words`)."""
    needs_pieces: ClassVar[bool] = False
    """The model reads what those words are made of (`PostBatch.pieces`)."""
    seeded: ClassVar[bool] = False
    """A run's seed changes what is fitted."""
    probable: ClassVar[bool] = False
    """Scores above 0 are chances that a hashtag is right, if validation posts were there."""
    reentrant: ClassVar[bool] = False
    """Several threads may score posts at once, which is faster than all of them the same ones."""

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.sizes = config, sizes
        if self.needs_users and not sizes.users:
            raise MissingFeatureError(
                f"{self.name} learns a vector for each user, but no training post has a user. "
                "Expected a user column (reeltag import --map user=COL). "
                "Models that work without users: popularity, content-knn."
            )
        if self.needs_features and not sizes.manifests:
            raise MissingFeatureError(
                f"{self.name} reads what posts contain, but the dataset has no vector feature. "
                "Make one: reeltag extract DATASET --visual efficientnet-lite1 "
                "--acoustic logmel --textual minilm"
            )

    @abstractmethod
    def fit(self, training: TrainingSet) -> None:
        """Take in the training posts: counts, graphs, normalisers. Never anything else."""

    @abstractmethod
    def encode(self, posts: PostBatch) -> Encoded:
        """What scoring needs of a batch of B posts."""

    @abstractmethod
    def score_all(self, encoded: Encoded) -> Tensor:
        """Scores of the whole catalogue (B, H); larger is better."""

    def score_pairs(self, encoded: Encoded, candidates: Tensor) -> Tensor:
        """Scores of each post's own `candidates` (B, C): (B, C)."""
        return self.score_all(encoded).gather(1, candidates)

    def bytes_per_post(self) -> int:
        """Memory that `score_all` takes for one post, for blocks under a budget."""
        return 3 * 4 * self.sizes.hashtags

    def refresh(self) -> None:
        """Recompute what is cached for scoring from the parameters (after training)."""

    @torch.no_grad()
    def scored(self, posts: PostBatch) -> Tensor:
        """Shorthand: `score_all(encode(posts))`, without gradients."""
        return self.score_all(self.encode(posts))

    def tensors(self) -> dict[str, Tensor]:
        """All state by name, contiguous, on the CPU: what a run stores."""
        return {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take state stored by `tensors`; buffers may have any length, parameters may not.

        Raises `RunError` where names or shapes do not fit.
        """
        own = self.state_dict()
        if set(own) != set(tensors):
            raise RunError(
                f"{self.name}: the stored tensors differ from the model's: "
                f"missing {sorted(set(own) - set(tensors))}, "
                f"unknown {sorted(set(tensors) - set(own))}."
            )
        parameters, device = dict(self.named_parameters()), self.device
        for key, value in tensors.items():
            if key in parameters:
                if parameters[key].shape != value.shape:
                    raise RunError(
                        f"{self.name}: {key} has shape {tuple(value.shape)}, "
                        f"expected {tuple(parameters[key].shape)}."
                    )
                parameters[key].data.copy_(value)
            else:
                path, _, leaf = key.rpartition(".")
                owner = self.get_submodule(path)
                owner._buffers[leaf] = value.to(device, copy=True)

    def buffer(self, name: str, value: Tensor) -> None:
        """Register state that is counted rather than trained."""
        self.register_buffer(name, value)

    def unshare(self) -> None:
        """Give every buffer memory of its own: stored tensors share none."""
        for owner in self.modules():
            owner._buffers |= {k: b.clone() for k, b in owner._buffers.items() if b is not None}

    @property
    def device(self) -> torch.device:
        """Where the model's state lies."""
        first = next(chain(self.buffers(), self.parameters()), None)
        return torch.device("cpu") if first is None else first.device


class Factorised(Model):
    """score = query · vector: subclasses give `hashtag_vectors`, `encode` gives "query"."""

    @abstractmethod
    def hashtag_vectors(self) -> Tensor:
        """One vector a hashtag (H, D)."""

    def score_all(self, encoded: Encoded) -> Tensor:
        return encoded["query"] @ self.hashtag_vectors().T

    def score_pairs(self, encoded: Encoded, candidates: Tensor) -> Tensor:
        # Not [...]: its gradient is added up in an order that depends on thread timing.
        vectors = embedding(candidates, self.hashtag_vectors())
        return torch.einsum("bd,bcd->bc", encoded["query"], vectors)


class Trained(Model):
    """A model that a trainer fits by gradient steps on `loss`."""

    seeded = True
    training_defaults: ClassVar[Mapping[str, Any]] = {}
    """Preset of `reeltag.training.config.TrainingConfig` for this model."""
    by_post: ClassVar[bool] = False
    """A batch is so many posts with all hashtags of each, worked out once a post; else it is
    so many (post, hashtag) examples."""
    keeps_features: ClassVar[bool] = False
    """`fit` keeps the features of the training posts: batches for `loss` come without them."""

    @abstractmethod
    def loss(self, batch: TrainingBatch) -> Tensor:
        """Mean loss of a batch over its examples, a scalar with a gradient.

        What is no such mean, and what is drawn at random, goes through
        `reeltag.models.layers.share`, so that a batch may be split among processes.
        """

    def step_factors(self, batch_size: int) -> Mapping[str, float]:
        """Parameters, by name, whose step size is multiplied by a number; the others' is not."""
        return {}

    def after_backward(self, last: bool) -> None:
        """Called between the backward pass and the optimiser; `last` of the epoch's steps."""


class Composed(Model):
    """A model with parts that a trainer fits, each by itself, before its own `fit`."""

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Trained]:
        """These parts by their registered names; none, it may be."""


class Validated(Model):
    """A model that is counted, with a few numbers chosen on validation posts after `fit`."""

    @abstractmethod
    def choose(self, posts: Iterable[tuple[PostBatch, Ragged]], judge: Judge) -> None:
        """Set what is chosen. Blocks of validation posts with the hashtags each carries."""


class Refitting(Validated):
    """A validated model that, once chosen, can learn from the validation posts as well."""

    @property
    @abstractmethod
    def refits(self) -> bool:
        """Whether its settings ask for it."""

    @abstractmethod
    def refitted(self, training: TrainingSet) -> Model:
        """A model fitted on `training`, with what this one chose on validation posts."""


@dataclass(frozen=True)
class Attention:
    """Where a model looked: regions (B, T, R), the parts of each frame; frames (B, T)."""

    regions: Tensor
    frames: Tensor


class Attentive(Model):
    """A model that weighs the frames of a clip, and the regions of each."""

    @abstractmethod
    def attention(self, posts: PostBatch) -> Attention:
        """Where it looks for these users in these posts; zeros where nothing is there."""


class Heeding(Model):
    """A model whose every hashtag weighs the steps of a post's modalities for itself."""

    @abstractmethod
    def attention_of(self, posts: PostBatch, hashtags: Tensor) -> dict[str, Tensor]:
        """How much each post's `hashtags` (B, k) heed each step: (B, k, T) by modality.

        Steps are the stored feature's; zeros where there is none. Empty for a variant whose
        hashtags heed nothing.
        """
