"""One model in; how good it is with each of several settings, side by side, out.

OUT/variants/<name>/    a comparison each; finished ones are kept
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


def show_variants(order: Order) -> dict[str, Any]:
    """Fit the procedure's model as each variant; returns `report.json`'s object.

    A variant that cannot be fitted on this dataset is listed with its reason.
    """
    procedure = order.procedure
    (model,) = procedure.models
    given = order.settings()[model]
    for key in {key for own in procedure.variants.values() for key in own}:
        if key in given:
            raise ConfigError(f"{procedure.name} chooses {key} itself; leave out --set {key}.")
    outcomes: dict[str, Outcome] = {}
    failures: dict[str, str] = {}
    for name in procedure.variants:
        say(f"{model}, {name}")
        try:
            outcomes[name] = _fit(order, model, name)
        except RunError:  # the folder holds something else: nobody's result
            raise
        except ReelTagError as fault:
            failures[name] = str(fault)
    if not outcomes:
        raise ReelTagError(f"No variant could be fitted. {next(iter(failures.values()))}")
    facts = facts_of(order.dataset, open_split(order.dataset, order.split), order.command)
    found = Comparison.of(order.plan(), outcomes, failures, facts, procedure.rows)
    values = write_report(found, order.out, order.title, procedure.paper, procedure.lead)
    return {"procedure": procedure.name, **values}


def _fit(order: Order, model: str, name: str) -> Outcome:
    plan = order.plan()
    settings = {model: {**plan.settings[model], **order.procedure.variants[name]}}
    folder = order.out / "variants" / name.replace(",", "+").replace(" ", "-")
    found = compare(order.dataset, replace(plan, settings=settings), folder, command=order.command)
    return replace(found.outcomes[model], model=name)
