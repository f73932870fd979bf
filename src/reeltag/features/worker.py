"""A clip's path goes in, its hash and its entry of every clip feature come out: one process' work.

`ClipWorker` is what any pool runs (processes here, others elsewhere): it owns a decoder child
and the networks, and is made from manifests, which travel anywhere.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from reeltag.data.feature import Manifest
from reeltag.errors import ClipError, ConfigError, ReelTagError
from reeltag.features.base import ClipExtractor
from reeltag.features.contents import clip_content
from reeltag.features.registry import of_manifest
from reeltag.media.decode import Decoder
from reeltag.media.limits import Limits

Values = dict[str, NDArray[Any] | None]
Reading = tuple[bytes, Values | str]
"""The SHA-256 of what was read, and its entries by feature or the reason it could not be."""
StartWorker = Callable[[], AbstractContextManager[Callable[..., Any]]]
"""Makes, where it is called, what answers tasks; must be able to travel to another process."""


class ClipWorker:
    """Extracts clip features; a clip needed by several extractors is decoded once."""

    def __init__(self, manifests: Sequence[Manifest], limits: Limits | None = None) -> None:
        self._extractors: dict[str, ClipExtractor] = {}
        for manifest in manifests:
            extractor = of_manifest(manifest)
            if not isinstance(extractor, ClipExtractor):
                raise ConfigError(f"{manifest.name} is not read from clips.")
            self._extractors[manifest.name] = extractor
        self._limits = limits or Limits()
        self._decoder = Decoder(self._limits)

    def __enter__(self) -> ClipWorker:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def __call__(self, path: Path | str, names: Sequence[str] | None = None) -> Reading:
        """The clip's content, and entries of the features `names` (default: all)."""
        wanted = list(self._extractors) if names is None else list(names)
        extractors = [self._extractors[name] for name in wanted]
        content = clip_content(path, self._limits)
        try:
            decoded = self._decoder.decode_many(path, [e.request for e in extractors])
        except ClipError as fault:
            return content, fault.reason
        return content, {
            name: extractor.extract(answer)
            for name, extractor, answer in zip(wanted, extractors, decoded, strict=True)
        }

    def close(self) -> None:
        """End the decoder's child."""
        self._decoder.close()


def serve(pipe: Connection, start: StartWorker) -> None:
    """Say ("ready", None) or ("fatal", message), then to arguments what `answer` does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    try:
        made = start()
    except ReelTagError as fault:
        pipe.send(("fatal", str(fault)))
        return
    with made as worker:
        try:
            pipe.send(("ready", None))
            while True:
                pipe.send(answer(worker, pipe.recv()))
        except (EOFError, OSError):
            return


def answer(worker: Callable[..., Any], arguments: Sequence[Any]) -> tuple[str, Any]:
    """("values", what a worker answers), or ("failed", reason)."""
    try:
        return "values", worker(*arguments)
    except ClipError as fault:
        return "failed", fault.reason
    except Exception as fault:  # one task must not end the job
        return "failed", f"{type(fault).__name__}: {str(fault)[:300]}"
