"""A run's description in, its model card (Markdown) out."""

from __future__ import annotations

from typing import Any

from reeltag.models.contract import Validated
from reeltag.models.registry import entry_of

_LEARNED = (
    "The model was adjusted to these very posts, so these figures flatter it: "
    "`reeltag evaluate` on the test part judges it."
)
_UNJUDGED = (
    "Not judged: it learned from all posts but those of the test part, by which `reeltag evaluate` "
    "judges it."
)
_ORDER = "Scores order hashtags for one post; they are no probabilities."
_PROBABLE = (
    "Scores above 0 are estimated chances that a hashtag is right for the post, as often as on the "
    "validation posts; those of other posts, users or times may be further off."
)


def _results(on: str, metrics: dict[str, float]) -> list[str]:
    if not metrics:
        return ["## Results", "", _UNJUDGED, ""]
    return [
        f"## Results on {on} (full ranking)",
        "",
        "| metric | value |",
        "| --- | --- |",
        *(f"| {name} | {value:.4f} |" for name, value in metrics.items()),
        "",
    ]


def model_card(run: dict[str, Any]) -> str:
    """What was trained, on what, how well it did and what it must not be used for."""
    data, split, sizes, results = run["dataset"], run["split"], run["sizes"], run["results"]
    on, metrics = results["on"], results["metrics"]
    features = run["features"]
    model = entry_of(run["model"]).model
    chosen = issubclass(model, Validated)
    lines = [
        f"# {run['model']} on {data['name']}",
        "",
        f"Source of the method: {entry_of(run['model']).source}.",
        "",
        "| | |",
        "| --- | --- |",
        f"| training posts | {sizes['training_posts']:,} |",
        f"| hashtags it can recommend | {sizes['hashtags']:,} |",
        f"| users it knows | {sizes['users']:,} |",
        f"| parameters | {sizes['parameters']:,} |",
        f"| split | {split['name']} (by {split['by']}, seed {split['seed']}) |",
        f"| epochs | {results['epochs']}, kept epoch {results['best_epoch']} |",
        f"| training time | {results['seconds']:.1f} s |",
        "",
        *_results(on, metrics),
        *([_LEARNED, ""] if on == "validation" and chosen else []),
        "## Features it reads",
        "",
        *(f"* {f['name']}: {f['extractor']} ({f['source']}, {f['shape']})" for f in features),
        *([] if features else ["None."]),
        "",
        "## Settings",
        "",
        *(f"* {key} = {value!r}" for key, value in run["settings"].items()),
        *(f"* training.{key} = {value!r}" for key, value in run["training"].items()),
        "",
        "## Limits",
        "",
        "It recommends hashtags of its training posts only, and it repeats their habits and "
        f"biases. {_PROBABLE if model.probable else _ORDER}",
        "",
    ]
    return "\n".join(lines)
