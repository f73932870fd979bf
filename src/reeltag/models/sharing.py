"""Models that can share a layer: one of them, or whoever is made of them, fits and stores it."""

from __future__ import annotations

from torch import nn

from reeltag.models.observing import Observing


class Sharing(Observing):
    """A model of layers that others need too.

    Who `borrow`s a layer neither fits, grows, shows posts to nor stores it; the lender does that,
    before the borrower's turn.
    """

    def borrow(self, name: str, lent: nn.Module) -> None:
        """Use somebody else's layer for one's own of that name."""
        delattr(self, name)
        self.__dict__[name] = lent  # unregistered: none of this model's state

    def owns(self, name: str) -> bool:
        """Whether there is such a layer and it is this model's own."""
        return name in self._modules
