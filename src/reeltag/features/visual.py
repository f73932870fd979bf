"""Frames of a clip go in; a vector, a sequence of frames or a grid of regions comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reeltag.features.backbones import efficientnet_lite as lite
from reeltag.features.base import ClipExtractor, option
from reeltag.features.projection import SEED, project, projection
from reeltag.media.decode import Decoded
from reeltag.media.request import Frames, Request

FRAMES = 8
"""Frames of a clip by count."""
FRAMES_BY_RATE = 60
"""Most frames of a clip by rate, unless `frames` says another: 12 s at UHMAN's 5 a second."""


def frames_wanted(options: Mapping[str, Any], size: int) -> Frames:
    """Frames as `frames`, `fps` and `fit` say. With `fps`, `frames` is the most there may be."""
    fps = option(options, "fps", None)
    count = int(option(options, "frames", FRAMES if fps is None else FRAMES_BY_RATE))
    fit = option(options, "fit", "crop")
    return Frames(count, size, fps=None if fps is None else float(fps), fit=fit)


def stored_frames(frames: Frames) -> dict[str, Any]:
    """What `frames_wanted` makes the same frames from; a rate only where there is one."""
    rate = {} if frames.fps is None else {"fps": frames.fps}
    return {"frames": frames.count, "fit": frames.fit, **rate}


class _Lite(ClipExtractor):
    modality = "visual"
    licence = lite.LICENCE
    settable: ClassVar[Mapping[str, Callable[[str], Any]]] = {
        "fps": float,
        "frames": int,
        "fit": str,
    }

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        super().__init__()
        frames = frames_wanted(options, lite.SIZE)
        self.options = stored_frames(frames)
        usual = stored_frames(frames_wanted({"fps": frames.fps}, lite.SIZE)) | {"fps": None}
        self.unusual = {k: v for k, v in self.options.items() if v != usual[k]}
        self.weights_sha256 = lite.weights_sha256()
        self.request = Request(frames=frames)
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
    """`efficientnet-lite1-regions`: 8 x 8 regions of each frame, (frames, 64, 1280).

    With `project`, each region is reduced to so many numbers by `reeltag.features.projection`.
    """

    name, kind, dtype = "efficientnet-lite1-regions", "grid", "float16"
    settable: ClassVar[Mapping[str, Callable[[str], Any]]] = {**_Lite.settable, "project": int}

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        super().__init__(options, threads)
        dim = option(options, "project", None)
        self.shape = (lite.REGIONS, lite.DIM if dim is None else int(dim))
        if dim is not None:
            seed = int(option(options, "project_seed", SEED))
            projection(lite.DIM, int(dim), seed)
            self.unusual["project"] = int(dim)
            self.options |= {"project": int(dim), "project_seed": seed}

    def extract(self, decoded: Decoded) -> NDArray[Any] | None:
        """(frames, 64, 1280 or as many as projected to), None without pictures."""
        regions = self._regions(decoded)
        if regions is not None and "project" in self.options:
            regions = project(regions, self.options["project"], self.options["project_seed"])
        return None if regions is None else self.check(regions)
