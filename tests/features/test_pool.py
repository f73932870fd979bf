"""The pool of processes keeps to what pools keep to."""

from __future__ import annotations

import pytest
from tests.features.pool_contract import PoolContract

from reeltag.features.pool import ProcessPool


class TestProcessPool(PoolContract):
    @pytest.fixture
    def pool(self):
        return ProcessPool
