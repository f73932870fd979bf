"""What a process may use is decided once, and stays."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import torch
from reeltag.runtime import set_threads
assert set_threads(1) == 1
import numba, numpy as np

@numba.njit(parallel=True)
def sums(values):
    found = 0.0
    for at in numba.prange(len(values)):
        found += values[at]
    return found

sums(np.ones(100))
print(torch.get_num_threads(), numba.get_num_threads())
"""


def test_the_first_compiled_kernel_leaves_torch_its_one_thread():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]
