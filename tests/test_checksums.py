"""A flipped byte in any file of a dataset, a feature, a split, a run or a checkpoint is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from reeltag.checksums import SEAL, check_file, check_seal, sealed, signed, unsigned
from reeltag.data.dataset import Dataset
from reeltag.data.splits import open_split
from reeltag.errors import DatasetError, ReelTagError, RunError
from reeltag.experiments.train import train_run
from reeltag.features.contents import caption_contents
from reeltag.features.job import extract
from reeltag.features.registry import make
from reeltag.features.shards import Shards
from reeltag.storage import write_bytes
from reeltag.training.checkpoints import load_checkpoint
from reeltag.training.description import check_run
from reeltag.training.evidence import load_evidence
from reeltag.training.run import load_run
from tests.artefacts.make import SETTINGS, interrupted, interrupted_extraction, make_dataset

SAMPLED = 12
"""Bytes of each file that are flipped in turn."""


def use_dataset(folder: Path) -> None:
    dataset = Dataset.open(folder / "dataset")
    _ = dataset.posts, dataset.users
    for name in dataset.features:
        dataset.feature(name)
    for name in dataset.splits:
        open_split(dataset, name)


def use_run(folder: Path) -> None:
    run = load_run(folder / "gcn-phr", "cpu")
    check_run(run.path, run.description, evidence=True)
    load_evidence(run.path / "evidence", run.model.sizes)


def use_checkpoint(folder: Path) -> None:
    load_checkpoint(folder / "unfinished" / "checkpoint.safetensors", {})


def use_parts(folder: Path) -> None:
    dataset = Dataset.open(folder / "dataset")
    rows, captions = np.arange(dataset.counts["posts"]), dataset.posts["caption"]
    contents = caption_contents(captions.to_list()).__getitem__
    Shards(dataset, make("textual", "tokens").manifest(), rows, 512, contents).assemble()


USES: dict[str, Callable[[Path], None]] = {
    "dataset": use_dataset, "gcn-phr": use_run, "unfinished": use_checkpoint,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that is stored, in the formats of today."""
    folder = tmp_path_factory.mktemp("whole")
    dataset = make_dataset(folder / "dataset")
    extract(dataset, textual=["tokens"])
    train_run(dataset, "main", "gcn-phr", SETTINGS["gcn-phr"], folder / "gcn-phr", device="cpu")
    interrupted(dataset, folder / "unfinished")
    return folder


def flip(path: Path, at: int) -> None:
    """Change one byte; the file becomes another one, as a disk's fault would not show either."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << at % 8
    path.unlink()
    path.write_bytes(content)


def places(path: Path) -> list[int]:
    """Bytes that say something: not those of a checksum, nor of the name that leads to it."""
    content = path.read_bytes()
    start = content.index(b"\n") if path.suffix == ".toml" else 0
    said = set(range(start, len(content)))
    if b'"seal' in content:
        at = content.index(b'"seal')
        said -= set(range(at - 1, at + 80))
    drawn = np.random.default_rng(len(content)).choice(sorted(said), SAMPLED)
    return [min(said), max(said), *map(int, drawn)]


def test_every_flipped_byte_is_named(folder: Path, tmp_path: Path) -> None:
    files = [p.relative_to(folder) for p in sorted(folder.rglob("*")) if p.is_file()]
    kinds = {file.name for file in files}
    assert {"posts.parquet", "values.npy", "manifest.toml", "main.parquet", "run.toml"} <= kinds
    assert {"model.safetensors", "checkpoint.safetensors", "history.json"} <= kinds
    shutil.copytree(folder, tmp_path / "copy")
    for file in files:
        if file.name == "README.md":  # for people, who may write in it
            continue
        for at in places(folder / file):
            flip(tmp_path / "copy" / file, at)
            with pytest.raises(ReelTagError) as caught:
                USES[file.parts[0]](tmp_path / "copy")
            assert file.name in str(caught.value), (file, at)
            assert isinstance(caught.value, DatasetError | RunError)
            assert "damaged" in str(caught.value) or "not valid TOML" in str(caught.value)
            (tmp_path / "copy" / file).unlink()
            shutil.copy(folder / file, tmp_path / "copy" / file)
    for use in USES.values():
        use(tmp_path / "copy") if use is not use_checkpoint else None


def test_a_damaged_part_of_an_extraction_is_named(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    interrupted_extraction(dataset)
    (part,) = (dataset.path / "features" / ".textual-tokens.partial").iterdir()
    whole = part.read_bytes()
    for at in places(part):
        flip(part, at)
        with pytest.raises(DatasetError, match=rf"{part.name} is damaged"):
            use_parts(tmp_path)
        part.write_bytes(whole)
    use_parts(tmp_path)


def test_a_missing_file_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "dataset" / "features" / "visual-test" / "present.npy").unlink()
    with pytest.raises(DatasetError, match=r"present\.npy is missing"):
        use_dataset(tmp_path / "copy")
    (tmp_path / "copy" / "gcn-phr" / "evidence" / "words.parquet").unlink()
    with pytest.raises(RunError, match=r"words\.parquet is missing"):
        use_run(tmp_path / "copy")


def test_a_sealed_file_is_safetensors(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(5.0), "sha256": torch.zeros(0)}
    path = tmp_path / "it.safetensors"
    write_bytes(path, *sealed(save(tensors, metadata={"x": "0" * 64, **SEAL})))
    assert torch.equal(load_file(path)["a"], tensors["a"])
    check_seal(path)
    with pytest.raises(ValueError, match="no SEAL"):
        sealed(save(tensors))
    path.write_bytes(save(tensors))
    check_seal(path)  # of the first release


def test_signed_text_says_what_to_do_when_it_was_edited() -> None:
    assert unsigned(signed("x = 1\n")) == "x = 1\n"
    assert unsigned("x = 1\n") == "x = 1\n"
    with pytest.raises(ValueError, match="remove its first line"):
        unsigned(signed("x = 1\n").replace("1\n", "2\n"))


def test_what_has_no_checksum_is_taken_as_it_is(tmp_path: Path) -> None:
    check_file(tmp_path / "nothing", None, RunError, "")
