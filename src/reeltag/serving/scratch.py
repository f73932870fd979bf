"""A folder that is ours alone: made under a name that nobody foresees, gone when we are.

Whoever is killed cannot tidy up: the next service that starts does it. A folder in use is locked,
and the lock goes with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "reeltag-uploads-"


class Scratch:
    """A new private folder (mode 0700) in the system's temporary one.

    Raises `OSError` where it cannot be made.
    """

    def __init__(self) -> None:
        sweep()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            lock = _locked(self.path)
            if lock is not None and self.path.exists():
                self._lock = lock
                return
            if lock is not None:  # another one that starts swept it before we could lock it
                os.close(lock)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep() -> None:
    """Remove what killed services of this user left."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        lock = _locked(left)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the lock of a folder of ours; None where another one has it."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    with suppress(OSError):
        if os.fstat(held).st_uid == os.geteuid():
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return held
    os.close(held)
    return None
