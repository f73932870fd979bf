"""`reeltag models` and `reeltag extractors`: what there is to choose from."""

from __future__ import annotations

from typing import Any

import typer

from reeltag.cli.show import print_json, print_table


def models(json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Every model: where it comes from, what it needs, its settings."""
    from reeltag.models.contract import Trained
    from reeltag.models.registry import REGISTRY

    found: list[dict[str, Any]] = [
        {
            "name": name,
            "source": entry.source,
            "trained": issubclass(entry.model, Trained),
            "needs_users": entry.model.needs_users,
            "needs_features": entry.model.needs_features,
            "settings": {
                key: field.default for key, field in entry.model.Config.model_fields.items()
            },
        }
        for name, entry in REGISTRY.items()
    ]
    if json:
        print_json({"models": found})
        return
    print_table(
        "Models",
        ["name", "source", "needs", "settings"],
        [
            [
                m["name"],
                m["source"],
                " ".join(w for w in ("users", "features") if m[f"needs_{w}"]) or "nothing",
                " ".join(f"{k}={v}" for k, v in m["settings"].items()),
            ]
            for m in found
        ],
    )


def extractors(json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Every feature extractor: whether it works here, and if not, why."""
    from reeltag.features.registry import available

    found = available()
    if json:
        print_json({"extractors": [vars(e) for e in found]})
        return
    print_table(
        "Extractors",
        ["modality", "name", "usable", "note"],
        [[e.modality, e.name, e.usable, e.why or e.summary] for e in found],
    )
