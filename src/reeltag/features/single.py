"""One raw clip and caption go in, the features a run was trained on come out.

The same extractors do the work as in `reeltag.features.job`, made again from the run's
manifests. What cannot be had becomes a missing modality and a warning, never an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.data.feature import Manifest
from reeltag.errors import ClipError, ReelTagError
from reeltag.features.base import CaptionExtractor, ClipExtractor, Extractor
from reeltag.features.registry import cached
from reeltag.media.decode import Decoded, Decoder
from reeltag.media.limits import Limits
from reeltag.media.request import Frames, Request

FILMSTRIP = Request(Frames(count=8, size=96))
"""Frames for people to look at, where no visual extractor asked for any."""


@dataclass
class Extracted:
    """The features of one clip and caption."""

    values: dict[str, NDArray[Any] | None]
    """By the manifests' names; None: the modality is missing."""
    warnings: list[str] = field(default_factory=list)
    timing_ms: dict[str, float] = field(default_factory=dict)
    """decode, features."""
    frames: NDArray[np.uint8] | None = None
    """The frames used, (n, size, size, 3) RGB."""
    frame_times: tuple[float, ...] = ()
    """Their seconds in the clip."""
    duration: float = 0.0
    fault: ClipError | None = None
    """Why nothing of the clip could be read; None where something could, or there is none."""


def features_of(
    manifests: Sequence[Manifest],
    clip: Path | str | None = None,
    caption: str | None = None,
    limits: Limits | None = None,
    *,
    decoder: Decoder | None = None,
    tell: Callable[[str], object] = lambda stage: None,
) -> Extracted:
    """Extract the features that `manifests` describe from one clip and caption.

    Args:
        decoder: one to use again and again (a server's); its own limits hold then.
        tell: called with `decode` and `features` as these begin.
    Raises `MissingExtraError` where a library is absent, and nothing else for bad input.
    """
    found = Extracted({manifest.name: None for manifest in manifests})
    started = time.perf_counter()
    extractors = _extractors(manifests, found)
    spent = time.perf_counter() - started
    started = time.perf_counter()
    if clip is not None:
        tell("decode")
    decoded = _decode(extractors, clip, limits, decoder, found)
    found.timing_ms["decode"] = (time.perf_counter() - started) * 1000
    started = time.perf_counter()
    tell("features")
    for name, extractor in extractors.items():
        if isinstance(extractor, CaptionExtractor):
            found.values[name] = extractor.extract([caption or ""])[0]
        elif name in decoded and isinstance(extractor, ClipExtractor):
            try:
                found.values[name] = extractor.extract(decoded[name])
            except ReelTagError as fault:
                found.warnings.append(f"{name}: {fault} Scored with that modality missing.")
    found.timing_ms["features"] = (time.perf_counter() - started + spent) * 1000
    return found


def _extractors(manifests: Sequence[Manifest], found: Extracted) -> dict[str, Extractor]:
    made: dict[str, Extractor] = {}
    for manifest in manifests:
        try:
            made[manifest.name] = cached(manifest)
        except ReelTagError as fault:
            if fault.exit_code != 2:
                raise
            reason = str(fault).rstrip(".")
            found.warnings.append(f"{reason}; scored with that modality missing")
    return made


def _decode(
    extractors: Mapping[str, Extractor],
    clip: Path | str | None,
    limits: Limits | None,
    decoder: Decoder | None,
    found: Extracted,
) -> dict[str, Decoded]:
    """Each clip extractor's share of the clip; the frames and warnings go to `found`."""
    if clip is None:
        return {}
    requests = {n: e.request for n, e in extractors.items() if isinstance(e, ClipExtractor)}
    if not any(r.frames for r in requests.values()):
        requests[""] = FILMSTRIP
    own = None if decoder is not None else Decoder(limits)
    try:
        answers = (decoder or own or Decoder()).decode_many(clip, list(requests.values()))
    except ClipError as fault:
        found.warnings.append(f"the clip was not read: {fault.reason}")
        found.fault = fault
        return {}
    finally:
        if own is not None:
            own.close()
    decoded = dict(zip(requests, answers, strict=True))
    for answer in answers:
        found.duration = answer.duration
        found.warnings += [w for w in answer.warnings if w not in found.warnings]
        if answer.frames is not None and found.frames is None:
            found.frames, found.frame_times = answer.frames, answer.frame_times
    return decoded
