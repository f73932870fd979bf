"""An ONNX file goes in, a network to run on arrays comes out; one session a file and process."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.errors import ConfigError, MissingExtraError


class Network:
    """A loaded network with one input.

    Args:
        path: the ONNX file; external data beside it is allowed.
        threads: threads of one call. With a process a core, one is best.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        if importlib.util.find_spec("onnxruntime") is None:
            raise MissingExtraError("ONNX Runtime (onnxruntime)", "media")
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), settings, providers=["CPUExecutionProvider"]
            )
        except Exception as fault:  # ONNX Runtime has no common base that is public
            raise ConfigError(f"{path} is no ONNX model that can be run: {fault}") from fault
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ConfigError(f"{path} has {len(inputs)} inputs, expected a network with one.")
        self.path = path
        self.input_name: str = inputs[0].name
        self.input_shape: list[Any] = list(inputs[0].shape)
        self.input_type: str = inputs[0].type
        self.outputs: list[str] = [output.name for output in self._session.get_outputs()]

    def run(self, batch: NDArray[Any], output: str = "") -> NDArray[Any]:
        """The network's output (the first, or the one named) for a batch."""
        names = [output or self.outputs[0]]
        return np.asarray(self._session.run(names, {self.input_name: batch})[0])


@lru_cache(maxsize=8)
def network(path: Path, threads: int = 1) -> Network:
    """The network of a file, loaded once a process."""
    return Network(path, threads)
