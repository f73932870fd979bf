"""Clips every extractor test reads, decoded once, and one cache for exported networks."""

from __future__ import annotations

import pytest
from tests.media.clips import write_clip

from reeltag.features.registry import make
from reeltag.media.decode import Decoder


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("REELTAG_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Paths of clips by what is odd about them."""
    folder = tmp_path_factory.mktemp("clips")
    broken = folder / "broken.mp4"
    broken.write_bytes(b"this is no video\n" * 100)
    return {
        "usual": write_clip(folder / "usual.mp4", noise=1),
        "silent": write_clip(folder / "silent.mp4", tone=0.0),
        "video-only": write_clip(folder / "video-only.mp4", sound=None),
        "audio-only": write_clip(folder / "audio-only.m4a", frames=0, tone=800.0),
        "one-frame": write_clip(folder / "one-frame.mp4", frames=1, sound=0.01),
        "broken": broken,
    }


@pytest.fixture(scope="session")
def decoder():
    with Decoder() as decoder:
        yield decoder


@pytest.fixture(scope="session")
def decoded(clips, decoder, _cache):
    """Decoded clips for a request."""
    return lambda name, request: decoder.decode(clips[name], request)


@pytest.fixture(scope="session")
def made(_cache):
    """Registered extractors, made once."""
    kept = {}

    def of(modality, name):
        if (modality, name) not in kept:
            kept[modality, name] = make(modality, name)
        return kept[modality, name]

    return of
