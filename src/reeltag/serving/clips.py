"""Clips and captions in; what the run's extractors read from them out, a few at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch

from reeltag.data.feature import Manifest
from reeltag.errors import DeadlineError, OverloadedError
from reeltag.features.single import Extracted, features_of
from reeltag.media.decode import Decoder
from reeltag.media.limits import Limits

Tell = Callable[[str], object]


class Reader:
    """Threads that read posts, each with a decoder of its own; a child that dies is replaced.

    Args:
        threads: posts that are read at once.
        queue: posts that may wait for a thread; more are refused at once.
        limits: what one clip may cost.
        deadline: seconds after which a post that still waits is dropped.
    """

    def __init__(self, threads: int, queue: int, limits: Limits, deadline: float) -> None:
        self.most, self.deadline = threads + queue, deadline
        self._limits, self._lock, self._held = limits, threading.Lock(), 0
        self._own, self._decoders = threading.local(), list[Decoder]()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")

    @property
    def depth(self) -> int:
        """Posts that are read or wait for it."""
        return self._held

    def read(
        self,
        manifests: Sequence[Manifest],
        clip: Path | None,
        caption: str | None,
        tell: Tell = lambda stage: None,
    ) -> Future[Extracted]:
        """The features of a post.

        Raises `OverloadedError` at once where too many wait. The future fails with `ClipError`
        where nothing of the clip can be read, `DeadlineError` where it waited too long.
        """
        with self._lock:
            if self._held >= self.most:
                raise OverloadedError(f"{self._held} posts wait to be read already.", 2)
            self._held += 1
        due = time.monotonic() + self.deadline
        try:
            future = self._pool.submit(self._read, manifests, clip, caption, tell, due)
        except RuntimeError:  # it was closed
            self._leave(None)
            raise OverloadedError("The service is about to stop.", 1) from None
        future.add_done_callback(self._leave)
        return future

    def close(self) -> None:
        """Read what was accepted, then end all decoders."""
        self._pool.shutdown()
        for decoder in self._decoders:
            decoder.close()

    def _leave(self, _: object) -> None:
        with self._lock:
            self._held -= 1

    def _read(
        self,
        manifests: Sequence[Manifest],
        clip: Path | None,
        caption: str | None,
        tell: Tell,
        due: float,
    ) -> Extracted:
        if time.monotonic() >= due:
            raise DeadlineError("The post waited for longer than it may, and was not read.")
        with torch.no_grad():
            found = features_of(
                manifests, clip, caption, decoder=None if clip is None else self._decoder, tell=tell
            )
        if found.fault is not None:
            raise found.fault
        return found

    @property
    def _decoder(self) -> Decoder:
        """This thread's."""
        if not hasattr(self._own, "decoder"):
            self._own.decoder = Decoder(self._limits)
            with self._lock:
                self._decoders.append(self._own.decoder)
        made: Decoder = self._own.decoder
        return made


def readers(
    decoders: int, clips: int, captions: int, limits: Limits, deadline: float
) -> tuple[Reader, Reader]:
    """A reader for `clips` clips at most, and one for captions, which never wait for clips."""
    made = partial(Reader, limits=limits, deadline=deadline)
    return made(decoders, max(0, clips - decoders)), made(1, captions)
