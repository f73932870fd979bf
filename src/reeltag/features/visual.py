"""Frames of a clip go in; a vector, a sequence of frames or a grid of regions comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.features.backbones import efficientnet_lite as lite
from reeltag.features.base import ClipExtractor, option
from reeltag.media.decode import Decoded
from reeltag.media.request import Frames, Request


class _Lite(ClipExtractor):
    modality = "visual"
    licence = lite.LICENCE

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        super().__init__()
        self.options = {
            "frames": int(option(options, "frames", 8)),
            "fit": str(option(options, "fit", "crop")),
        }
        self.weights_sha256 = lite.weights_sha256()
        self.request = Request(
            frames=Frames(self.options["frames"], lite.SIZE, fit=self.options["fit"])
        )
        self._network = lite.shared(threads)

    def prepare(self) -> None:
        """Export the network, once a machine."""
        lite.onnx_file()

    def _regions(self, decoded: Decoded) -> NDArray[np.float32] | None:
        return None if decoded.frames is None else self._network.regions(decoded.frames)


class LiteVector(_Lite):
    """`efficientnet-lite1`: mean over regions and frames, (1280,)."""

    name, kind, shape = "efficientnet-lite1", "vector", (lite.DIM,)

    def extract(self, decoded: Decoded) -> NDArray[Any] | None:
        """(1280,), None without pictures."""
        regions = self._regions(decoded)
        return None if regions is None else self.check(regions.mean(axis=(0, 1)))


class LiteFrames(_Lite):
    """`efficientnet-lite1-frames`: mean over regions, (frames, 1280)."""

    name, kind, shape, dtype = "efficientnet-lite1-frames", "sequence", (lite.DIM,), "float16"

    def extract(self, decoded: Decoded) -> NDArray[Any] | None:
        """(frames, 1280), None without pictures."""
        regions = self._regions(decoded)
        return None if regions is None else self.check(regions.mean(axis=1))


class LiteRegions(_Lite):
    """`efficientnet-lite1-regions`: 8 x 8 regions of each frame, (frames, 64, 1280)."""

    name, kind, dtype = "efficientnet-lite1-regions", "grid", "float16"
    shape = (lite.REGIONS, lite.DIM)

    def extract(self, decoded: Decoded) -> NDArray[Any] | None:
        """(frames, 64, 1280), None without pictures."""
        regions = self._regions(decoded)
        return None if regions is None else self.check(regions)
