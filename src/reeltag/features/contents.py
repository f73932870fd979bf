"""What features are read from goes in, its SHA-256 comes out: a clip's bytes, a caption's text.

Parts of a feature are named by these, so a clip that was replaced under its name is never taken for
the one that was read. It is always the content that decides and never a file's size or time, which
tell nothing for sure: hashing costs a hundredth of decoding. The worker that is about to decode
a clip hashes it, so it comes from the disk once; before the clip is decoded, so one that is
replaced meanwhile is read again later rather than missed.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reeltag.data.dataset import Dataset
from reeltag.media.limits import Limits

SIZE = hashlib.sha256().digest_size
NOTHING = bytes(SIZE)
"""The content of a clip that is not there, or that the decoder does not open."""


def clip_content(path: Path | str, limits: Limits) -> bytes:
    """SHA-256 of a clip, (32) bytes; `NOTHING` for what is no file or larger than is read."""
    path = Path(path)
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > limits.max_file_mb << 20:
            return NOTHING
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except (OSError, ValueError):
        return NOTHING


def caption_contents(captions: Sequence[str]) -> NDArray[np.uint8]:
    """SHA-256 of each caption, (captions, 32)."""
    return _rows([hashlib.sha256(caption.encode()).digest() for caption in captions])


class ClipContents:
    """The contents of a dataset's clips as they are now, each of which is hashed once."""

    def __init__(self, dataset: Dataset, limits: Limits) -> None:
        self._dataset, self._limits = dataset, limits
        self._found = np.zeros((dataset.counts["posts"], SIZE), np.uint8)
        self._known = np.zeros(len(self._found), bool)

    def __call__(self, posts: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Contents of the clips of `posts` (n), which all have one: (n, 32)."""
        new = posts[~self._known[posts]]
        if len(new):
            clips = self._dataset.posts["clip"].gather(new).to_list()
            with ThreadPoolExecutor() as threads:  # hashing and reading leave the interpreter
                self._found[new] = _rows(list(threads.map(self._of, clips)))
            self._known[new] = True
        return self._found[posts]

    def _of(self, clip: str) -> bytes:
        return clip_content(self._dataset.clip_path(clip), self._limits)


def _rows(digests: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, SIZE)
