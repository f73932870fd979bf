"""A process that writes posts until it is killed: `python -m tests.serving.store.writer URL NAME`.

Each post that was acknowledged is printed, as its number and its id, in one write.
"""

from __future__ import annotations

import os
import sys
from threading import Thread

from reeltag.serving.store import Store
from tests.serving.store.posts import post, shown

THREADS = 4


def main(url: str, name: str) -> None:
    """Write from several threads, also recommendations and failures; never returns."""
    store = Store.open(url)

    def write(thread: int) -> None:
        n = 0
        while True:
            mine = f"{name}-{thread}-{n}"
            store.save_recommendation(shown(id=mine))
            number = store.save_post(post(post=mine, recommendation=mine, user=f"u{thread}"))
            os.write(1, f"{number} {mine}\n".encode())
            store.save_failure("acme", 0, "decode", mine)
            n += 1

    for thread in [Thread(target=write, args=(n,)) for n in range(THREADS)]:
        thread.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
