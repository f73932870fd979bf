"""Work and items in, results in order out: several threads, each of one core.

Loops that numba compiled and operators of torch let Python's other threads go on, so threads that
do whole items side by side are worth more than threads that meet at the end of every operator.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""Items a thread that are taken before their results are asked for."""


def abreast(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """`work` of each item, in order, by `threads` threads; one: here, each when it is asked for.

    torch's settings of a thread (`no_grad`) do not reach the others: `work` makes its own.
    """
    if threads == 1:
        yield from map(work, items)
        return
    before = torch.get_num_threads()
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # part of the setting is the process's
