"""Settings of a training run; every one can be set from TOML and with `--set` by its name."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainingConfig(BaseModel):
    """How a trained model is fitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    """Start of every random stream: weights, batch order, negatives."""
    epochs: int = Field(60, ge=1)
    """Most passes over the training triples."""
    patience: int = Field(5, ge=1)
    """Stop after so many epochs without a better validation score."""
    batch_size: int = Field(1024, ge=1)
    """Triples (post, hashtag on it, hashtag not on it) a step; posts, for a model by posts."""
    negatives: int = Field(1, ge=1)
    """Hashtags not on the post drawn for each that is."""
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    """adam: weight decay as an L2 term in the gradient, as the papers' code has it."""
    learning_rate: float = Field(1e-3, gt=0)
    """Step size."""
    plateau: int | None = Field(None, ge=1)
    """Divide the step size by 10 after every so many epochs without a better validation score;
    None never does."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 weight (adam, sgd) or decoupled decay (adamw)."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of sgd alone."""
    select: Literal["recall@10", "ndcg@10", "precision@10", "mrr"] = "recall@10"
    """Validation metric (full ranking) that chooses the epoch that is kept."""
    judged: int | None = Field(None, ge=1)
    """Judge at most so many of the validation posts, drawn once and the same for every model and
    seed; None judges all."""
    reasons: bool = True
    """Keep the words and features of training posts that reasons are read from. Without them a
    run is smaller and gives reasons from its counts and its users' past alone."""
    tensorboard: bool = False
    """Write loss and validation curves to RUN/tensorboard."""
