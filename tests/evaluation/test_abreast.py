"""Items done side by side: in order, a few ahead, each by a thread of one core."""

from __future__ import annotations

import threading

import pytest
import torch

from reeltag.evaluation.abreast import abreast


@pytest.fixture(autouse=True)
def _two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order(threads):
    assert list(abreast(lambda n: n * n, range(50), threads)) == [n * n for n in range(50)]
    assert torch.get_num_threads() == 2


def test_threads_have_one_core_and_work_side_by_side():
    both = threading.Barrier(2, timeout=60)

    def work(_):
        both.wait()  # each waits for the other: one alone would never pass
        return torch.get_num_threads()

    assert list(abreast(work, range(6), 2)) == [1] * 6


def test_one_thread_waits_until_it_is_asked():
    begun = []
    results = abreast(begun.append, range(3), 1)
    next(results)
    assert begun == [0]


def test_items_are_taken_a_few_ahead():
    taken = []
    results = abreast(str, (taken.append(n) or n for n in range(100)), 2)
    next(results)
    assert len(taken) < 10
    results.close()


def test_what_fails_is_told():
    with pytest.raises(ZeroDivisionError):
        list(abreast(lambda n: 1 // (n - 3), range(9), 2))
    assert torch.get_num_threads() == 2
