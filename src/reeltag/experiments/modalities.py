"""One model in; how good it is on every combination of modalities, side by side, out.

OUT/combinations/<visual+textual>/    a comparison each; finished ones are kept
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reeltag.data.splits import open_split
from reeltag.errors import ConfigError, ReelTagError, RunError
from reeltag.experiments.compare import Comparison, compare
from reeltag.experiments.facts import facts_of
from reeltag.experiments.order import Order
from reeltag.experiments.outcomes import Outcome
from reeltag.experiments.report import write_report
from reeltag.progress import say


def show_modalities(order: Order) -> dict[str, Any]:
    """Fit the procedure's model on each combination; returns `report.json`'s object."""
    procedure = order.procedure
    (model,) = procedure.models
    if "features" in order.settings()[model]:
        raise ConfigError(
            f"{procedure.name} chooses the features itself; leave out --set features."
        )
    assert procedure.paper is not None
    outcomes: dict[str, Outcome] = {}
    failures: dict[str, str] = {}
    for names in procedure.paper.rows:
        say(f"{model} on {names}")
        try:
            outcomes[names] = _fit(order, model, names)
        except RunError:  # the folder holds something else: nobody's result
            raise
        except ReelTagError as fault:
            failures[names] = str(fault)
    if not outcomes:
        raise ReelTagError(f"No combination could be fitted. {next(iter(failures.values()))}")
    facts = facts_of(order.dataset, open_split(order.dataset, order.split), order.command)
    found = Comparison.of(order.plan(), outcomes, failures, facts, rows="modalities")
    values = write_report(found, order.out, order.title, procedure.paper, procedure.lead)
    return {"procedure": procedure.name, **values}


def _fit(order: Order, model: str, names: str) -> Outcome:
    plan = order.plan()
    settings = {model: {**plan.settings[model], "features": names}}
    folder = order.out / "combinations" / names.replace(",", "+")
    found = compare(order.dataset, replace(plan, settings=settings), folder, command=order.command)
    return replace(found.outcomes[model], model=names)
