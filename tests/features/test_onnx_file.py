"""A user's own ONNX file, made here, as an extractor."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.features.contract import ClipContract

from reeltag.errors import ConfigError
from reeltag.features.registry import make, of_manifest
from reeltag.media.decode import Decoded


def write_model(path, nodes, input_shape, constants=(), outputs=("y",)):
    """A tiny network from input `x` to `outputs`."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def mean_colour(path, *, layout="NCHW", size: int | str = 16):
    """Frames to their mean colour (n, 3)."""
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    shape = ["n", 3, size, size] if layout == "NCHW" else ["n", size, size, 3]
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=axes, keepdims=0)
    return write_model(path, [node], shape)


def waveform_energy(path):
    """Sound (samples,) to (1, 2): mean and mean square."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["x", "x"], ["xx"]),
        helper.make_node("ReduceMean", ["xx"], ["s"], axes=[0], keepdims=1),
        helper.make_node("Concat", ["m", "s"], ["ms"], axis=0),
        helper.make_node("Reshape", ["ms", "shape"], ["y"]),
    ]
    return write_model(path, nodes, ["samples"], [("shape", np.array([1, 2], np.int64))])


def test_a_damaged_copy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("REELTAG_CACHE", str(tmp_path / "cache"))
    file = mean_colour(tmp_path / "colour.onnx")
    make("visual", f"onnx:{file}")
    (kept,) = (tmp_path / "cache").iterdir()
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.unlink()
    kept.write_bytes(content)
    with pytest.raises(ConfigError, match=r"model-.*\.onnx is missing or damaged"):
        make("visual", f"onnx:{file}")


class TestOnnxVisual(ClipContract):
    lacking = "audio-only"

    @pytest.fixture
    def extractor(self, tmp_path):
        return make("visual", f"onnx:{mean_colour(tmp_path / 'colour.onnx')}")


class TestOnnxVisualSequence(ClipContract):
    lacking = "audio-only"

    @pytest.fixture
    def extractor(self, tmp_path):
        file = mean_colour(tmp_path / "colour.onnx", layout="NHWC", size="side")
        (tmp_path / "colour.toml").write_text(
            'size = 20\nframes = 3\npool = "none"\nfit = "squash"\noutput = "y"\nlicence = "MIT"\n'
        )
        return make("visual", f"onnx:{file}")


class TestOnnxRegions(ClipContract):
    """Frames themselves as a map of 3 channels: 8 x 8 regions."""

    lacking = "audio-only"

    @pytest.fixture
    def extractor(self, tmp_path):
        node = helper.make_node("Identity", ["x"], ["y"])
        file = write_model(tmp_path / "map.onnx", [node], ["n", 3, 8, 8])
        (tmp_path / "map.toml").write_text('pool = "regions"\nfps = 4\nframes = 5\n')
        return make("visual", f"onnx:{file}")

    def test_is_a_grid(self, extractor):
        manifest = extractor.manifest()
        assert (manifest.kind, manifest.shape, manifest.dtype) == ("grid", (64, 3), "float16")
        assert manifest.options["fps"] == 4
        assert manifest.options["frames"] == 5


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_regions_lie_row_by_row_whatever_the_layout(tmp_path, layout):
    shape = ["n", 3, 4, 4] if layout == "NCHW" else ["n", 4, 4, 3]
    node = helper.make_node("Identity", ["x"], ["y"])
    file = write_model(tmp_path / "map.onnx", [node], shape)
    (tmp_path / "map.toml").write_text('pool = "regions"\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n')
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    decoded = Decoded(frames, (0.0, 1.0), None, None, 2.0)
    entry = make("visual", f"onnx:{file}").extract(decoded)
    np.testing.assert_allclose(entry, frames.reshape(2, 16, 3) / 255, atol=1e-3)
    (tmp_path / "map.toml").write_text('pool = "regions"\nproject = 2\n')
    assert make("visual", f"onnx:{file}").extract(decoded).shape == (2, 16, 2)


class TestOnnxAcoustic(ClipContract):
    lacking = "video-only"

    @pytest.fixture
    def extractor(self, tmp_path):
        return make("acoustic", f"onnx:{waveform_energy(tmp_path / 'energy.onnx')}")


class TestOnnxLogMel(ClipContract):
    lacking = "video-only"

    @pytest.fixture
    def extractor(self, tmp_path):
        node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0)
        file = write_model(tmp_path / "mel.onnx", [node], ["n", 96, 64])
        (tmp_path / "mel.toml").write_text('input = "log-mel"\npool = "none"\n')
        return make("acoustic", f"onnx:{file}")


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_mean_std_and_colour_come_from_the_sidecar(tmp_path, colour):
    file = mean_colour(tmp_path / "colour.onnx")
    (tmp_path / "colour.toml").write_text(
        f'mean = [0.2, 0.2, 0.2]\nstd = [0.5, 1.0, 2.0]\ncolour = "{colour}"\n'
    )
    extractor = make("visual", f"onnx:{file}")
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    frames[..., 0] = 255
    entry = extractor.extract(Decoded(frames, (0.0, 1.0), None, None, 2.0))
    red = [0.8, -0.2, -0.2] if colour == "RGB" else [-0.2, -0.2, 0.8]
    np.testing.assert_allclose(entry, np.array(red) / [0.5, 1.0, 2.0], atol=1e-6)


def test_the_network_is_found_again_wherever_its_file_went(tmp_path):
    file = mean_colour(tmp_path / "colour.onnx")
    manifest = make("visual", f"onnx:{file}").manifest()
    assert manifest.extractor == "onnx:colour"
    assert manifest.name == "visual-colour"
    file.unlink()
    assert of_manifest(manifest).manifest() == manifest


@pytest.mark.parametrize(
    ("sidecar", "message"),
    [
        ("sise = 3", "Got sise for the model colour, expected colour"),
        ('output = "z"', "expected one of y"),
        ('pool = "max"', "expected mean or none or regions"),
        ('pool = "regions"', "expected a map of each frame"),
        ("project = 2", 'say pool = "regions"'),
        ("fps = 0", "0.0 frames a second"),
        ('layout = "CHWN"', "expected NCHW or NHWC"),
        ("std = [1.0]", "three values"),
        ("size = [", "not valid TOML"),
    ],
)
def test_a_wrong_sidecar_is_named(tmp_path, sidecar, message):
    file = mean_colour(tmp_path / "colour.onnx")
    (tmp_path / "colour.toml").write_text(sidecar)
    with pytest.raises(ConfigError, match=message):
        make("visual", f"onnx:{file}")


def test_a_wrong_file_is_named(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ConfigError, match="no ONNX model"):
        make("visual", f"onnx:{tmp_path / 'text.onnx'}")
    with pytest.raises(ConfigError, match="does not exist"):
        make("visual", f"onnx:{tmp_path / 'absent.onnx'}")
    with pytest.raises(ConfigError, match="visual or acoustic"):
        make("textual", f"onnx:{mean_colour(tmp_path / 'colour.onnx')}")
    with pytest.raises(ConfigError, match="any size"):
        make("visual", f"onnx:{mean_colour(tmp_path / 'free.onnx', size='side')}")
