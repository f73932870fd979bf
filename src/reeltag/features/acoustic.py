"""Sound goes in; statistics of its log-mel spectrogram or LOGO's six spectra come out.

The front ends are NumPy, checked in the tests against librosa: importing librosa and its
compiler costs each worker seconds and saves nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from reeltag.features.base import ClipExtractor, option
from reeltag.media.decode import Decoded
from reeltag.media.request import Request, Sound

RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512
MELS, LOW, HIGH = 64, 125.0, 7500.0
_BLOCK = 4096

_Array = NDArray[np.float32]


def spectra(sound: _Array, window: int, hop: int, fft: int) -> _Array:
    """Magnitudes (frames, fft // 2 + 1) of Hann windows, no padding at the ends.

    Sound shorter than one window is padded with zeros to one.
    """
    if len(sound) < window:
        sound = np.pad(sound, (0, window - len(sound)))
    taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(sound, window)[::hop]
    out = np.empty((len(frames), fft // 2 + 1), np.float32)
    for at in range(0, len(frames), _BLOCK):
        out[at : at + _BLOCK] = np.abs(np.fft.rfft(frames[at : at + _BLOCK] * taper, fft))
    return out


@cache
def mel_filters(rate: int, fft: int, mels: int, low: float, high: float) -> _Array:
    """Triangular filters (mels, fft // 2 + 1) evenly spaced on the HTK mel scale, peak 1."""
    edges = np.linspace(_mel(low), _mel(high), mels + 2)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    bins = np.fft.rfftfreq(fft, 1 / rate)
    rise = (bins[None] - hertz[:-2, None]) / np.diff(hertz)[:-1, None]
    fall = (hertz[2:, None] - bins[None]) / np.diff(hertz)[1:, None]
    return np.maximum(0, np.minimum(rise, fall)).astype(np.float32)


def log_mel(sound: _Array) -> _Array:
    """VGGish's and YAMNet's front end: (frames, 64) of log(mel + 0.01).

    16 kHz sound, 25 ms windows every 10 ms, 64 HTK mel bands from 125 to 7500 Hz over
    magnitudes. The triangles are straight over hertz, as librosa's are, where VGGish's are
    straight over mel. Hershey et al.: CNN Architectures for Large-Scale Audio Classification,
    ICASSP 2017.
    """
    magnitudes = spectra(sound, WINDOW, HOP, FFT)
    # Sparse, not BLAS: its sums must not depend on the number of threads.
    mel = np.ascontiguousarray((_sparse_filters() @ magnitudes.T).T)
    return np.asarray(np.log(mel + np.float32(0.01)), dtype=np.float32)


class LogMel(ClipExtractor):
    """`logmel`: mean, deviation, maximum and mean absolute change of each band, (256,)."""

    name, modality, kind, shape = "logmel", "acoustic", "vector", (4 * MELS,)

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        super().__init__()
        self.options = {"rate": RATE, "mels": MELS}
        self.request = Request(sound=Sound(RATE))

    def extract(self, decoded: Decoded) -> NDArray[Any] | None:
        """(256,), None without sound."""
        if decoded.sound is None:
            return None
        mel = log_mel(decoded.sound)
        change = np.abs(np.diff(mel, axis=0)).mean(axis=0) if len(mel) > 1 else np.zeros(MELS)
        return self.check(np.concatenate([mel.mean(0), mel.std(0), mel.max(0), change]))


class Spectrogram(ClipExtractor):
    """`spectrogram`: LOGO's acoustic units, (6, 512).

    The sound is cut into six equal parts; each is described by its spectrogram with a
    46 ms window (1024 samples at 22.05 kHz) and 50 % overlap: log(1 + magnitude), averaged
    over time, the constant bin left out, gives 512 values. The paper (Section 3.1) names
    the window, overlap, parts and width; scale and averaging are our reading of it.
    """

    name, modality, kind, shape = "spectrogram", "acoustic", "sequence", (512,)
    dtype = "float16"

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        super().__init__()
        self.options = {"rate": 22_050, "parts": int(option(options, "parts", 6)), "window": 1024}
        self.request = Request(sound=Sound(22_050))

    def extract(self, decoded: Decoded) -> NDArray[Any] | None:
        """(6, 512), None without sound."""
        if decoded.sound is None:
            return None
        parts = np.array_split(decoded.sound, self.options["parts"])
        rows = [np.log1p(spectra(part, 1024, 512, 1024)[:, 1:]).mean(axis=0) for part in parts]
        return self.check(np.stack(rows))


@cache
def _sparse_filters() -> Any:
    return csr_array(mel_filters(RATE, FFT, MELS, LOW, HIGH))


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))
