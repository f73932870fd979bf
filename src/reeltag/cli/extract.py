"""`reeltag extract`: features from clips and captions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from reeltag.cli.show import print_table

if TYPE_CHECKING:
    from reeltag.features.job import FeatureReport


def command(
    dataset: Path = typer.Argument(..., help="Dataset folder."),
    visual: list[str] = typer.Option(
        [],
        help="efficientnet-lite1 (vector), -frames, -regions, onnx:FILE; options after a colon: "
        "efficientnet-lite1-regions:fps=5,frames=60,project=128; may be repeated.",
    ),
    acoustic: list[str] = typer.Option(
        [], help="logmel (vector), spectrogram (6 × 512), onnx:FILE."
    ),
    textual: list[str] = typer.Option(
        [], help="minilm (vector), sif (vector), glove, tokens, word2vec:FILE (text or binary)."
    ),
    workers: int | None = typer.Option(None, help="Workers; default one a core."),
    executor: str = typer.Option(
        "local", help="local (processes of this machine) or ray (the cluster at $RAY_ADDRESS)."
    ),
) -> None:
    """Compute features; done ones are skipped, a killed extraction goes on where it was.

    A clip that was replaced since it was read is read again.

    Example: reeltag extract clips --visual efficientnet-lite1 --acoustic logmel --textual minilm
    """
    from reeltag.data.dataset import Dataset
    from reeltag.errors import ConfigError
    from reeltag.features.job import extract
    from reeltag.scale.executors import pool_on

    if not (visual or acoustic or textual):
        raise ConfigError(
            "Nothing to extract. Name an extractor: --visual efficientnet-lite1, "
            "--acoustic logmel, --textual minilm (`reeltag extractors` lists them)."
        )
    report = extract(
        Dataset.open(dataset),
        visual=visual,
        acoustic=acoustic,
        textual=textual,
        workers=workers,
        pool=pool_on(executor),
    )
    print_table(
        f"{dataset}: {report.clips_read:,} clips read in {report.seconds:.1f} s, "
        f"{report.clips_failed:,} unreadable",
        ["feature", "posts", "present", "unreadable", "state"],
        [[f.name, f.posts, f.present, f.failed, _state(f)] for f in report.features],
        note="Reasons: features/NAME/failures.parquet" if report.clips_failed else "",
    )


def _state(feature: FeatureReport) -> str:
    if feature.skipped:
        return "was there"
    if feature.changed:
        return f"was there; changed clips read again: {feature.changed:,}"
    if feature.discarded:
        return f"made; unfinished parts that no longer held: {feature.discarded:,}"
    return "made"
