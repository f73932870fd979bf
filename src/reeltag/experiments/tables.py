"""A comparison in; its tables, free of any markup, out: what HTML and Markdown both show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reeltag.evaluation.protocols import SAMPLED_NEGATIVES
from reeltag.evaluation.significance import LEVEL, RESAMPLES, PairedTest
from reeltag.experiments.compare import Comparison
from reeltag.experiments.outcomes import Outcome, Result, Spread
from reeltag.experiments.papers.procedure import PaperTable

LIKE_BEST = "≈"
PROTOCOLS = {
    "full": "full ranking of every hashtag",
    "sampled": "among 1,000 sampled hashtags, as GCN-PHR (Wei et al., MM 2019, §4.1) did",
    "leave-one-out": "each hashtag alone among 100 sampled, as LOGO (Cao et al., KBS 2020) did",
    "replay": "full ranking in order of time; each post is observed once judged",
}


@dataclass(frozen=True)
class Cell:
    """One entry: a number with its deviation, or words."""

    text: str
    deviation: str = ""
    best: bool = False
    mark: str = ""
    number: bool = True


@dataclass(frozen=True)
class Row:
    """A name and its cells; grey rows are a paper's."""

    name: str
    cells: tuple[Cell, ...]
    grey: bool = False


@dataclass(frozen=True)
class Table:
    """A titled table; `name` heads the first column."""

    title: str
    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())


def tables_of(found: Comparison, paper: PaperTable | None = None) -> list[Table]:
    """Every table of a report, in reading order: those of quality first, one a protocol."""
    tables = [*of_quality(found, paper), kinds(found), histories(found), captions(found)]
    tables.append(costs(found))
    if found.failures:
        tables.append(failures(found))
    return tables


def of_quality(found: Comparison, paper: PaperTable | None = None) -> list[Table]:
    """The tables of quality, then those of the tests."""
    protocols = found.plan.protocols
    tables = [
        quality(found, protocol, paper if number == 0 else None)
        for number, protocol in enumerate(protocols)
    ]
    return tables + [table for protocol in protocols for table in significance(found, protocol)]


def quality(found: Comparison, protocol: str, paper: PaperTable | None = None) -> Table:
    """The main table of one protocol; with `paper`, in its columns and above its numbers."""
    contrasts = found.contrasts[protocol]
    outcomes = found.outcomes
    first = next(iter(outcomes.values())).results[protocol]
    metrics = paper.columns if paper else tuple(first.metrics)
    headings = paper.headings if paper else metrics
    rows: list[Row] = []
    for name, outcome in outcomes.items():
        cells = tuple(
            spread_cell(
                outcome.results[protocol].metrics[metric],
                best=contrasts.best[metric] == name,
                mark=LIKE_BEST if name in contrasts.like_best[metric] else "",
            )
            for metric in metrics
        )
        rows.append(Row(name, cells))
        for data, numbers in paper.of(name).items() if paper else ():
            rows.append(Row(f"paper, {data}", tuple(Cell(f"{n:.4f}") for n in numbers), grey=True))
    notes = [
        f"{first.posts:,} test {unit_of(protocol)}, {first.skipped:,} posts skipped (no hashtag "
        f"known from training), {first.hashtags:,} hashtags. Bold: the best mean. {LIKE_BEST}: "
        f"cannot be told from the best (paired t test over {unit_of(protocol)}, Holm-corrected "
        f"p ≥ {LEVEL})."
    ]
    if _deviating(found):
        notes.append(f"±: standard deviation over {len(found.plan.seeds)} seeds.")
    if first.hashtags <= SAMPLED_NEGATIVES.get(protocol, 0):
        notes.append(
            f"The catalogue has no {SAMPLED_NEGATIVES[protocol]:,} other hashtags to sample, so "
            "all of them are ranked: the numbers are those of the full ranking."
        )
    fixed = [name for name, o in outcomes.items() if not o.results[protocol].observes]
    if protocol == "replay" and fixed:
        notes.append(f"Cannot observe, so judged as in full ranking: {', '.join(fixed)}.")
    if paper:
        notes += [f"Grey: {paper.source}. {paper.why_not}", *([paper.note] if paper.note else [])]
    title = f"Quality, {PROTOCOLS[protocol]}"
    if protocol == "full":
        title += " (headline)"
    return Table(title, found.rows, tuple(headings), tuple(rows), tuple(notes))


def unit_of(protocol: str) -> str:
    """What a protocol takes the mean over."""
    return "interactions" if protocol == "leave-one-out" else "posts"


def significance(found: Comparison, protocol: str) -> list[Table]:
    """The tests of the headline metric: the best model's, then each reference's."""
    contrasts = found.contrasts[protocol]
    note = (
        f"Over the same posts, each model's value averaged over its seeds. Interval: 95 % "
        f"percentile bootstrap, {RESAMPLES:,} resamples of posts. p values corrected by Holm "
        "within the table; the verdict is the t test's. Uncorrected ones are in the JSON report."
    )
    best = contrasts.best[contrasts.metric]
    where = f"{contrasts.metric}, {protocol}"
    tables = []
    if contrasts.against_best:
        rows = [_test_row(test.second, test) for test in contrasts.against_best]
        tables.append(
            Table(
                f"How far ahead {best} is ({where})", f"{best} minus", _TESTS, tuple(rows), (note,)
            )
        )
    for reference, tests in contrasts.against_reference.items():
        if reference == best or protocol != "full":
            continue
        rows = [_test_row(test.first, test) for test in tests]
        title = f"Against {reference} ({where})"
        tables.append(Table(title, f"minus {reference}", _TESTS, tuple(rows), (note,)))
    return tables


_TESTS = ("difference", "95 % interval", "p (t)", "p (Wilcoxon)", "verdict")


def kinds(found: Comparison) -> Table:
    """Recall on hashtags new to the user and by popularity, in the first protocol."""
    values = {
        name: {"new to the user": result.new_to_user, **result.by_popularity}
        for name, result in _first_results(found).items()
    }
    note = (
        "Recall over some of a post's hashtags alone. New to the user: never used by that user in "
        "training or validation. Popular: more than 27 training uses; relative: 10 to 27; "
        "unpopular: 1 to 9; unseen: none."
    )
    return _sliced(found, f"recall@{max(found.plan.tops)}", "by kind of hashtag", values, note)


def histories(found: Comparison) -> Table:
    """NDCG by how many training posts the post's user has, in the first protocol."""
    values = {name: result.by_history for name, result in _first_results(found).items()}
    what = "by how many posts the user had in training"
    note = "Posts of nobody count as posts of a user with 0."
    return _sliced(found, f"ndcg@{max(found.plan.tops)}", what, values, note)


def captions(found: Comparison) -> Table:
    """NDCG on posts whose caption a training post has too and on others, likewise."""
    values = {name: result.by_caption for name, result in _first_results(found).items()}
    note = (
        "Repeated: a training post has the same caption but for hashtags, case and white space; "
        "an empty caption is always new."
    )
    return _sliced(found, f"ndcg@{max(found.plan.tops)}", "by caption", values, note)


def _first_results(found: Comparison) -> dict[str, Result]:
    return {name: o.results[found.plan.protocols[0]] for name, o in found.outcomes.items()}


def _sliced(
    found: Comparison,
    metric: str,
    what: str,
    values: Mapping[str, Mapping[str, Mapping[str, Spread]]],
    note: str,
) -> Table:
    """One metric of each model (model, group, metric), a column a group that has posts."""
    first = next(iter(values.values()))
    groups = [group for group in first if first[group]["posts"].mean]
    best = {
        group: max(values, key=lambda name: values[name][group][metric].mean) for group in groups
    }
    rows = [
        Row(name, tuple(
            spread_cell(own[group][metric], best=best[group] == name) for group in groups
        ))
        for name, own in values.items()
    ]  # fmt: skip
    protocol = found.plan.protocols[0]
    sizes = "; ".join(
        f"{group}: {first[group]['posts'].mean:,.0f} {unit_of(protocol)}, "
        f"{first[group]['uses'].mean:,.0f} uses"
        for group in groups
    )
    notes = (f"{note} Judged: {sizes}.",)
    return Table(f"{metric} {what} ({protocol})", found.rows, tuple(groups), tuple(rows), notes)


def costs(found: Comparison) -> Table:
    """Time and size of each model, and its validation score."""
    metric = found.metric if found.metric in _validated(found) else "recall@10"
    speed = found.plan.protocols[0]
    rows = [
        Row(
            name,
            (
                Cell(_seconds(outcome.fit_seconds.mean), _deviation(outcome.fit_seconds, 1)),
                Cell(", ".join(map(str, outcome.epochs)) if outcome.training else "counts"),
                Cell(f"{outcome.results[speed].posts_per_second.mean:,.0f}"),
                Cell(f"{outcome.parameters:,}"),
                Cell(f"{outcome.stored_bytes / (1 << 20):,.1f}"),
                spread_cell(outcome.validation[metric]),
            ),
        )
        for name, outcome in found.outcomes.items()
    ]
    columns = ("fit, s", "epochs", "judged posts/s", "parameters", "stored, MiB",
               f"validation {metric}")  # fmt: skip
    note = "Times are those of the machine named at the end; a fit includes its validation."
    return Table("What it costs", found.rows, columns, tuple(rows), (note,))


def failures(found: Comparison) -> Table:
    """Models that could not take part."""
    rows = [Row(name, (Cell(why, number=False),)) for name, why in found.failures.items()]
    return Table("Left out", found.rows, ("reason",), tuple(rows))


def spread_cell(spread: Spread, *, best: bool = False, mark: str = "") -> Cell:
    """A mean with four digits and its deviation where there are several seeds."""
    return Cell(f"{spread.mean:.4f}", _deviation(spread, 4), best, mark)


def settings_lines(outcome: Outcome) -> list[str]:
    """`key = value` of every setting a model was fitted with."""
    return [
        *(f"{key} = {value}" for key, value in outcome.settings.items()),
        *(f"training.{key} = {value}" for key, value in outcome.training.items()),
    ]


def p_text(p: float) -> str:
    """A p value as people read it."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def _test_row(name: str, test: PairedTest) -> Row:
    if not test.significant:
        verdict = "no difference shown"
    else:
        verdict = "better" if test.difference > 0 else "worse"
    return Row(
        name,
        (
            Cell(f"{test.difference:+.4f}"),
            Cell(f"{test.low:+.4f} … {test.high:+.4f}"),
            Cell(p_text(test.t_holm)),
            Cell(p_text(test.wilcoxon_holm)),
            Cell(verdict, number=False),
        ),
    )


def _deviation(spread: Spread, digits: int) -> str:
    return f"± {spread.deviation:.{digits}f}" if len(spread.values) > 1 else ""


def _deviating(found: Comparison) -> bool:
    return any(len(outcome.seeds) > 1 for outcome in found.outcomes.values())


def _validated(found: Comparison) -> Sequence[str]:
    return list(next(iter(found.outcomes.values())).validation)


def _seconds(value: float) -> str:
    return f"{value:,.1f}"
