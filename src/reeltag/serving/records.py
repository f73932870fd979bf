"""What the engine is asked, and what it reads from the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from reeltag.features.single import Extracted
from reeltag.recommend.posts import Values
from reeltag.serving.store.records import Published, UserHistory

__all__ = ["DEFAULT", "Asked", "Ledger", "Published", "UserHistory"]

DEFAULT = "default"
"""The tenant to whom the run's users belong, and everybody where there are no keys."""


class Ledger(Protocol):
    """What the engine needs of a store; every method may be called from any thread."""

    def posts(self, after: int = 0, tenant: str | None = None) -> Iterator[tuple[int, Published]]:
        """Published posts with larger numbers, in their order; none is ever skipped."""

    def tombstone(self, tenant: str, user: str) -> bytes:
        """The hash that stands for a user once erased; `InputError` where there can be none."""

    def erased_hashes(self) -> frozenset[bytes]:
        """Of all erased users."""


@dataclass(frozen=True)
class Asked:
    """One request for hashtags, by somebody of a tenant."""

    tenant: str = DEFAULT
    user: str | None = None
    caption: str | None = None
    """Hashtags in it are taken out, as they were in training."""
    values: Values | None = None
    """The post's features by name; what is absent is scored as missing."""
    music: str | None = None
    place: str | None = None
    at: int | None = None
    """When it is published, in seconds since 1970; default now."""
    k: int = 10
    explain: bool = True
    profile: Mapping[str, Any] | None = None
    extracted: Extracted | None = field(default=None, repr=False)
    """What was read from a clip and a caption, in place of `values`: with frames and warnings."""
    seconds: float = 0.0
    """What was spent on reading them."""
