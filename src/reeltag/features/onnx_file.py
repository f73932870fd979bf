"""A network of the user's own: an ONNX file and its sidecar go in, an extractor comes out.

Beside `FILE.onnx` may stand `FILE.toml`; every key is optional:

    size = 224               frames: side in pixels; else read from the model's input
    layout = "NCHW"          frames: or NHWC; else read from the model's input
    mean = [0.5, 0.5, 0.5]   frames: subtracted after division by 255
    std = [0.5, 0.5, 0.5]    frames: divided by
    colour = "RGB"           frames: or BGR
    fit = "crop"             frames: or squash
    frames = 8               frames: how many of a clip; with fps, at most so many
    fps = 5                  frames: so many a second instead
    input = "waveform"       sound: (samples,); or "log-mel": (n, patch, 64), VGGish's
    rate = 16000             sound: samples a second
    seconds = 60             sound: at most so many
    patch = 96               sound: log-mel frames of one patch
    output = "features"      name of the output; else the first
    pool = "mean"            one vector a clip; "none": a sequence of rows; "regions", frames
                             alone: a grid, a row for each place of the network's last map
    project = 128            frames, with "regions": a random projection of each row
    licence = "..."
The file is copied into the user's cache under its hash, and the settings into the
feature's manifest, so that a run finds the very same network again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.checksums import check_file
from reeltag.data.feature import Kind
from reeltag.errors import ConfigError
from reeltag.features.acoustic import MELS, RATE, log_mel
from reeltag.features.backbones.cache import keep_model, kept_model
from reeltag.features.backbones.session import Network, network
from reeltag.features.base import ClipExtractor
from reeltag.features.projection import SEED, project
from reeltag.features.visual import frames_wanted, stored_frames
from reeltag.media.decode import Decoded
from reeltag.media.request import Request, Sound
from reeltag.storage import read_toml

VISUAL = {
    "size", "layout", "mean", "std", "colour", "fit", "frames", "fps", "output", "pool",
    "project", "project_seed", "licence",
}  # fmt: skip
ACOUSTIC = {"input", "rate", "seconds", "patch", "output", "pool", "licence"}
KINDS: dict[str, Kind] = {"mean": "vector", "none": "sequence", "regions": "grid"}
"""What each way to pool gives."""


class _OnnxFile(ClipExtractor):
    keys: set[str]
    pools: tuple[str, ...]

    def __init__(self, stem: str, digest: str, options: Mapping[str, Any], threads: int) -> None:
        super().__init__()
        unknown = set(options) - self.keys
        if unknown:
            raise ConfigError(
                f"Got {', '.join(sorted(unknown))} for the model {stem}, "
                f"expected {', '.join(sorted(self.keys))}."
            )
        file = kept_model(digest)
        if not file.is_file():
            raise ConfigError(
                f"The model {stem} (SHA-256 {digest}) is not in the cache. "
                f"Expected it at {file}: copy the ONNX file there."
            )
        check_file(file, digest, ConfigError, "Remove it, and extract with the file you have.")
        self.name, self.weights_sha256 = f"onnx:{stem}", digest
        self.licence = str(options.get("licence", ""))
        self._network = network(file, threads)
        output = str(options.get("output", self._network.outputs[0]))
        if output not in self._network.outputs:
            raise ConfigError(
                f"Got output {output!r} for the model {stem}, "
                f"expected one of {', '.join(self._network.outputs)}."
            )
        pool = str(options.get("pool", "mean"))
        if pool not in self.pools:
            raise ConfigError(
                f"Got pool {pool!r} for the model {stem}, expected {' or '.join(self.pools)}."
            )
        self.options = {"output": output, "pool": pool}
        self.kind = KINDS[pool]

    def _rows(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """The network's answer as (rows, dim): maps are averaged over their places."""
        found = self._network.run(batch, self.options["output"]).astype(np.float32)
        if found.ndim == 1:
            return found[None]
        return np.asarray(found.reshape(*found.shape[:2], -1).mean(axis=2))

    def _pooled(self, rows: NDArray[np.float32]) -> NDArray[Any]:
        return self.check(rows.mean(axis=0) if self.kind == "vector" else rows)


class OnnxVisual(_OnnxFile):
    """Frames through the user's network: (dim,), (frames, dim) or (frames, regions, dim)."""

    modality, keys, pools = "visual", VISUAL, tuple(KINDS)

    def __init__(self, stem: str, digest: str, options: Mapping[str, Any], threads: int) -> None:
        super().__init__(stem, digest, options, threads)
        layout, size = _layout(self._network, options, stem)
        self.options |= {
            "size": size,
            "layout": layout,
            "mean": [float(v) for v in options.get("mean", (0.5, 0.5, 0.5))],
            "std": [float(v) for v in options.get("std", (0.5, 0.5, 0.5))],
            "colour": str(options.get("colour", "RGB")),
            **stored_frames(frames_wanted(options, size)),
        }
        if len(self.options["mean"]) != 3 or len(self.options["std"]) != 3:
            raise ConfigError(f"The model {stem}: expected three values of mean and of std.")
        if 0 in self.options["std"] or self.options["colour"] not in ("RGB", "BGR"):
            raise ConfigError(f"The model {stem}: expected colour RGB or BGR, and std not 0.")
        if "project" in options:
            if self.kind != "grid":
                raise ConfigError(
                    f'The model {stem}: project is for regions; say pool = "regions".'
                )
            self.options["project"] = int(options["project"])
            self.options["project_seed"] = int(options.get("project_seed", SEED))
        self.request = Request(frames_wanted(self.options, size))
        blank = self._batch(np.zeros((1, size, size, 3), np.uint8))
        if self.kind == "grid":
            self.shape, self.dtype = self._grid(blank).shape[1:], "float16"
        else:
            self.shape = (self._rows(blank).shape[-1],)

    def extract(self, decoded: Decoded) -> NDArray[Any] | None:
        """(dim,), (frames, dim) or (frames, regions, dim), None without pictures."""
        if decoded.frames is None:
            return None
        if self.kind == "grid":
            grids = [self._grid(self._batch(frame[None])) for frame in decoded.frames]
            return self.check(np.concatenate(grids))
        each = [self._rows(self._batch(frame[None])) for frame in decoded.frames]
        return self._pooled(np.concatenate(each))

    def _grid(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """The network's answer as (frames, regions, dim).

        A map has its channels where the input has them: (n, dim, h, w) or (n, h, w, dim). Three
        axes are (n, regions, dim), what a network of patches gives.
        """
        found = self._network.run(batch, self.options["output"]).astype(np.float32)
        if found.ndim not in (3, 4):
            raise ConfigError(
                f"The model {self.name} gives {found.shape}, expected a map of each frame: "
                "(n, dim, h, w), (n, h, w, dim) or (n, regions, dim)."
            )
        if found.ndim == 4:
            if self.options["layout"] == "NCHW":
                found = found.transpose(0, 2, 3, 1)
            found = found.reshape(len(found), -1, found.shape[-1])
        if "project" in self.options:
            found = project(found, self.options["project"], self.options["project_seed"])
        return np.ascontiguousarray(found)

    def _batch(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = frames[..., ::-1] if self.options["colour"] == "BGR" else frames
        scaled = values.astype(np.float32) / 255
        scaled = (scaled - np.float32(self.options["mean"])) / np.float32(self.options["std"])
        if self.options["layout"] == "NCHW":
            scaled = scaled.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(scaled, dtype=np.float32)


class OnnxAcoustic(_OnnxFile):
    """Sound through the user's network: (dim,), or (steps, dim) unpooled."""

    modality, keys, pools = "acoustic", ACOUSTIC, ("mean", "none")

    def __init__(self, stem: str, digest: str, options: Mapping[str, Any], threads: int) -> None:
        super().__init__(stem, digest, options, threads)
        self.options |= {
            "input": str(options.get("input", "waveform")),
            "rate": int(options.get("rate", RATE)),
            "seconds": float(options.get("seconds", 60)),
            "patch": int(options.get("patch", 96)),
        }
        if self.options["input"] not in ("waveform", "log-mel"):
            raise ConfigError(f"The model {stem}: expected input waveform or log-mel.")
        if self.options["input"] == "log-mel" and self.options["rate"] != RATE:
            raise ConfigError(f"The model {stem}: log-mel input is made at {RATE} Hz.")
        self.request = Request(sound=Sound(self.options["rate"], self.options["seconds"]))
        quiet = np.zeros(self.options["rate"], np.float32)
        self.shape = (self._rows(self._batch(quiet)).shape[-1],)

    def extract(self, decoded: Decoded) -> NDArray[Any] | None:
        """(dim,) or (steps, dim), None without sound."""
        if decoded.sound is None:
            return None
        return self._pooled(self._rows(self._batch(decoded.sound)))

    def _batch(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        rank = len(self._network.input_shape)
        if self.options["input"] == "waveform":
            least = self.options["rate"]  # networks of a second's window fail on less
            sound = np.pad(sound, (0, max(0, least - len(sound))))
            return np.ascontiguousarray(sound.reshape((1,) * (rank - 1) + (-1,)))
        mel, patch = log_mel(sound), self.options["patch"]
        mel = np.pad(mel, ((0, max(0, patch - len(mel))), (0, 0)), mode="edge")
        patches = mel[: len(mel) // patch * patch].reshape(-1, patch, MELS)
        return np.ascontiguousarray(patches[:, None] if rank == 4 else patches)


def from_file(modality: str, file: Path, threads: int = 1) -> ClipExtractor:
    """The extractor of an ONNX file and the sidecar beside it. Raises `ConfigError`."""
    digest = keep_model(file)
    sidecar = file.with_suffix(".toml")
    options = read_toml(sidecar, ConfigError) if sidecar.is_file() else {}
    return from_cache(modality, file.stem, digest, options, threads)


def from_cache(
    modality: str, stem: str, digest: str, options: Mapping[str, Any], threads: int = 1
) -> ClipExtractor:
    """The extractor a manifest describes, from the cached file. Raises `ConfigError`."""
    if modality == "visual":
        return OnnxVisual(stem, digest, options, threads)
    if modality == "acoustic":
        return OnnxAcoustic(stem, digest, options, threads)
    raise ConfigError(f"Got an ONNX file for {modality} features, expected visual or acoustic.")


def _layout(model: Network, options: Mapping[str, Any], stem: str) -> tuple[str, int]:
    shape = model.input_shape
    if len(shape) != 4:
        raise ConfigError(f"The model {stem} has input {shape}, expected four axes of frames.")
    layout = str(options.get("layout", "NHWC" if shape[3] == 3 else "NCHW"))
    if layout not in ("NCHW", "NHWC"):
        raise ConfigError(f"Got layout {layout!r} for the model {stem}, expected NCHW or NHWC.")
    size = options.get("size", shape[2])
    if not isinstance(size, int):
        raise ConfigError(
            f"The model {stem} takes frames of any size; say which in {stem}.toml: size = 224"
        )
    return layout, size
