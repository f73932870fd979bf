"""A model whose scores are chances in; how often hashtags of each chance are right, out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reeltag.evaluation.metrics import hits_of
from reeltag.evaluation.ranking import block_size, blocks_of
from reeltag.experiments.compare import compare
from reeltag.experiments.judge import corpus_of
from reeltag.experiments.order import Order
from reeltag.experiments.page import Page
from reeltag.experiments.plan import run_path
from reeltag.experiments.plots import Plot, bare_axes, both, matplotlib_figure
from reeltag.experiments.report import fact_lines, write_page
from reeltag.experiments.tables import Cell, Row, Table
from reeltag.models.layers.top import top_k
from reeltag.progress import track
from reeltag.training.run import load_run

BINS = 10
_COLOURS = {"light": ("#0b6e4f", "#9aa1ab", "#1f2328"), "dark": ("#4cc38a", "#6b7078", "#e6e8eb")}


def show_calibration(order: Order) -> dict[str, Any]:
    """Fit the procedure's model, write the page; returns `report.json`'s object."""
    (model,) = order.procedure.models
    plan = order.plan(order.seeds[:1])
    found = compare(order.dataset, plan, order.out, command=order.command)
    chances, right = judged_chances(order, run_path(order.out, model, plan.seeds[0]))
    bins = reliability(chances, right)
    lead = (
        *order.procedure.lead,
        f"The {max(plan.tops)} best hashtags of each of {len(chances):,} test posts, "
        f"{right.mean():.1%} of them right, {chances.mean():.1%} by their chances. Brier score "
        f"{brier(chances, right):.4f} ({brier(np.full_like(chances, right.mean()), right):.4f} if "
        f"every hashtag had the mean chance); expected calibration error "
        f"{calibration_error(bins):.4f}.",
    )
    page = Page(order.title, lead, (_plot(bins), _table(bins)), tuple(fact_lines(found.facts)))
    values = {
        "procedure": order.procedure.name,
        "title": order.title,
        "bins": [{key: float(value[n]) for key, value in bins.items()} for n in range(BINS)],
        "brier": brier(chances, right),
        "calibration_error": calibration_error(bins),
        **found.facts,
    }
    write_page(page, order.out, values)
    return values


def judged_chances(order: Order, path: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The scores of each test post's best hashtags and whether they are right, (n, k) each."""
    run = load_run(path, order.device)
    corpus = corpus_of(run, order.dataset)
    posts = corpus.part("test")
    posts = posts.select((posts.hashtags.lengths > 0).nonzero().squeeze(1))
    k = max(order.procedure.tops)
    scores, hits = [], []
    with track("judging chances", len(posts)) as progress, torch.no_grad():
        for index, batch in blocks_of(run.model, corpus, posts, block_size(run.model)):
            found = run.model.scored(batch).cpu()
            best = top_k(found, k)
            scores.append(found.gather(1, best))
            hits.append(hits_of(best, posts.hashtags.select(index), len(corpus.hashtags)))
            progress.advance(len(index))
    return torch.cat(scores).double().numpy(), torch.cat(hits).numpy()


def reliability(
    chances: NDArray[np.float64], right: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """`BINS` bins of equal width: how many hashtags, their mean chance, the share that is right."""
    flat, hit = chances.ravel(), right.ravel().astype(np.float64)
    place = np.clip((flat * BINS).astype(np.int64), 0, BINS - 1)
    count = np.bincount(place, minlength=BINS).astype(np.float64)
    least = np.maximum(count, 1)
    return {
        "hashtags": count,
        "chance": np.bincount(place, flat, BINS) / least,
        "right": np.bincount(place, hit, BINS) / least,
    }


def brier(chances: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Mean square of chance minus outcome (Brier, 1950); 0 is best."""
    return float(np.mean((chances - right) ** 2))


def calibration_error(bins: Mapping[str, NDArray[np.float64]]) -> float:
    """Mean over hashtags of how far a bin's mean chance is from the share that is right."""
    gaps = np.abs(bins["chance"] - bins["right"])
    return float((gaps * bins["hashtags"]).sum() / max(1.0, bins["hashtags"].sum()))


def _label(number: int) -> str:
    return f"{number / BINS:.0%} to {(number + 1) / BINS:.0%}"


def _table(bins: Mapping[str, NDArray[np.float64]]) -> Table:
    rows = tuple(
        Row(
            _label(n),
            (
                Cell(f"{bins['hashtags'][n]:,.0f}"),
                Cell(f"{bins['chance'][n]:.3f}"),
                Cell(f"{bins['right'][n]:.3f}"),
            ),
        )
        for n in range(BINS)
        if bins["hashtags"][n]
    )
    return Table("Chances and outcomes", "chance", ("hashtags", "mean chance", "right"), rows)


def _plot(bins: Mapping[str, NDArray[np.float64]]) -> Plot:
    some = bins["hashtags"] > 0
    size = 30 + 270 * np.sqrt(bins["hashtags"][some] / bins["hashtags"].max())

    def draw(ink: str) -> Any:
        mark, line, word = _COLOURS[ink]
        figure = matplotlib_figure()(figsize=(5.2, 4.4), layout="constrained")
        axes = bare_axes(figure, ink, grid="both")
        axes.plot([0, 1], [0, 1], color=line, linewidth=1.2, linestyle="--")
        axes.plot(bins["chance"][some], bins["right"][some], color=mark, linewidth=1.6)
        axes.scatter(bins["chance"][some], bins["right"][some], s=size, color=mark, alpha=0.85)
        axes.set_xlabel("chance the model gives", color=word, fontsize=9)
        axes.set_ylabel("share that is right", color=word, fontsize=9)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        return figure

    spoken = "; ".join(
        f"{_label(n)}: {bins['right'][n]:.2f} right" for n in range(BINS) if bins["hashtags"][n]
    )
    light, dark = both(draw)
    title = "Share of right hashtags by their chance; larger dots are more hashtags"
    return Plot("calibration", title, f"Reliability diagram. {spoken}.", light, dark)
