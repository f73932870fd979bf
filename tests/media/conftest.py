"""One decoder for the tests of a module."""

from __future__ import annotations

import pytest

from reeltag.media.decode import Decoder


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as decoder:
        yield decoder
