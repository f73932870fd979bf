"""A dataset and a model's name in; the settings that are best on validation out.

OUT/study.log     every trial, as lines of JSON (Optuna's journal): a killed search goes on
OUT/trials.json   the same for people, with the space that was searched
OUT/best.toml     for `reeltag train --config`
OUT/tuning.png    scores by trial and by setting

Test posts are never read. Trial n is a pure function of the seed and of the trials before
it, so a search that was killed and resumed ends as one that was not.
"""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from reeltag.data.dataset import Dataset
from reeltag.data.splits import open_split
from reeltag.errors import ConfigError, InputError, MissingExtraError, ReelTagError, RunError
from reeltag.evaluation.protocols import judge
from reeltag.experiments.facts import facts_of
from reeltag.experiments.plots import matplotlib_figure
from reeltag.experiments.report import finite
from reeltag.experiments.search_space import Choice, Range, is_training, search_space
from reeltag.experiments.train import fit, prepare
from reeltag.experiments.tuning_plot import tuning_plot
from reeltag.models.registry import entry_of
from reeltag.progress import say
from reeltag.runtime import seed_of
from reeltag.storage import write_bytes, write_text
from reeltag.training.settings import divide_settings

METRICS = ("recall@10", "ndcg@10", "precision@10", "mrr")


@dataclass(frozen=True)
class Search:
    """What is searched."""

    model: str
    split: str = "main"
    metric: str = "recall@10"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Settings that every trial has."""
    seed: int = 0
    prune: bool = False
    """Stop a trial whose epochs are below the median of the earlier trials'."""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ConfigError(
                f"Got --metric {self.metric!r}, expected one of {', '.join(METRICS)}."
            )
        divide_settings(self.model, self.fixed)

    def settings(self, varied: Mapping[str, Any]) -> dict[str, Any]:
        """Everything one trial is trained with."""
        # A model may have a setting `select` of its own.
        own = "select" in entry_of(self.model).model.Config.model_fields
        choosing = {} if own else {"select": self.metric}
        return {**choosing, "seed": self.seed, **self.fixed, **varied}


def tune(
    dataset: Dataset, search: Search, trials: int, out: Path, *, device: str = "auto"
) -> dict[str, Any]:
    """Search until `out` holds `trials` finished trials; returns what `trials.json` holds.

    Raises `RunError` where `out` holds another search, `InputError` where the model cannot be
    built on this dataset or has nothing to vary, `ReelTagError` where every trial failed.
    """
    optuna = _optuna()
    matplotlib_figure()
    space = search_space(search.model, search.fixed)
    if not space:
        raise InputError(f"{search.model} has no setting to vary, so there is nothing to tune.")
    corpus, _ = prepare(dataset, search.split, search.model, search.settings({}))
    posts = corpus.part("validation")
    if not bool((posts.hashtags.lengths > 0).any()):
        raise InputError(
            f"Split {search.split!r} has no validation post with a known hashtag to tune on. "
            "Make one with three parts: reeltag split --ratio 8:1:1"
        )
    study = _open_study(optuna, out, _identity(dataset, search, space), search)
    distributions = {name: _distribution(optuna, found) for name, found in space.items()}
    while (done := _finished(study)) < trials:
        study.sampler = optuna.samplers.TPESampler(seed=seed_of(search.seed, done) % (1 << 32))
        trial = study.ask(distributions)
        start = time.perf_counter()
        try:
            score = _score(optuna, trial, dataset, search, out / "trial", device)
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except ReelTagError as fault:
            trial.set_user_attr("reason", str(fault))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, score)
        _tell(study, search, done + 1, trials, time.perf_counter() - start)
    return _finish(study, dataset, search, space, out)


def _score(
    optuna: Any, trial: Any, dataset: Dataset, search: Search, scratch: Path, device: str
) -> float:
    """The validation metric of one trial's settings; its checkpoints are thrown away."""
    settings = search.settings(trial.params)
    corpus, model = prepare(dataset, search.split, search.model, settings)
    epochs: list[float] = []

    def watch(metrics: dict[str, float]) -> None:
        epochs.append(metrics[search.metric])
        trial.report(epochs[-1], len(epochs))
        if search.prune and trial.should_prune():
            raise optuna.TrialPruned

    shutil.rmtree(scratch, ignore_errors=True)
    start = time.perf_counter()
    try:
        trainee = fit(corpus, model, search.model, settings, scratch, device=device, watch=watch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        trial.set_user_attr("seconds", round(time.perf_counter() - start, 3))
        trial.set_user_attr("epochs", len(epochs))
    judged = judge(trainee.model, corpus, corpus.part("validation"), tops=(10,))
    return float(judged.values[search.metric].mean())


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("Optuna, which searches settings,", "report") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _open_study(optuna: Any, out: Path, identity: dict[str, Any], search: Search) -> Any:
    """The study of `out`, new or continued."""
    out.mkdir(parents=True, exist_ok=True)
    pruner = optuna.pruners.MedianPruner() if search.prune else optuna.pruners.NopPruner()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # journals were long marked experimental
        journal = optuna.storages.journal
        storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(out / "study.log")))
        study = optuna.create_study(
            storage=storage,
            study_name="tune",
            direction="maximize",
            pruner=pruner,
            load_if_exists=True,
        )
    stored = study.user_attrs.get("identity")
    if stored is None:
        study.set_user_attr("identity", identity)
    elif stored != identity:
        other = [key for key in identity if stored.get(key) != identity[key]]
        raise RunError(
            f"{out} holds a search with other {', '.join(other)}. "
            "Choose another --out, or remove that folder."
        )
    for trial in study.get_trials(deepcopy=False):
        if trial.state == optuna.trial.TrialState.RUNNING:  # killed in it
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def _identity(dataset: Dataset, search: Search, space: Mapping[str, Range]) -> dict[str, Any]:
    """What must be equal for a search to go on."""
    found = {
        "model": search.model,
        "split": search.split,
        "metric": search.metric,
        "settings": dict(search.fixed),
        "seed": search.seed,
        "prune": search.prune,
        "posts": dataset.description["sha256"]["posts.parquet"],
        "space": {name: asdict(found) for name, found in space.items()},
    }
    return dict(json.loads(json.dumps(found)))


def _distribution(optuna: Any, found: Range) -> Any:
    if isinstance(found, Choice):
        return optuna.distributions.CategoricalDistribution(found.values)
    if found.whole:
        return optuna.distributions.IntDistribution(int(found.low), int(found.high), log=found.log)
    return optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)


def _counts(trial: Any) -> bool:
    """Whether a trial came to an end; a killed one did not, and is made again."""
    return trial.state.name in ("COMPLETE", "PRUNED") or "reason" in trial.user_attrs


def _finished(study: Any) -> int:
    return sum(_counts(trial) for trial in study.get_trials(deepcopy=False))


def _tell(study: Any, search: Search, done: int, trials: int, seconds: float) -> None:
    last = study.get_trials(deepcopy=False)[-1]
    scored = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    best = f"best {max(t.value for t in scored):.4f}" if scored else "none scored yet"
    value = f"{last.value:.4f}" if last.state.name == "COMPLETE" else last.state.name.lower()
    left = f", about {seconds * (trials - done):.0f} s left" if done < trials else ""
    say(f"trial {done} of {trials}: {search.metric} {value} ({best}){left}")


def _finish(
    study: Any, dataset: Dataset, search: Search, space: Mapping[str, Range], out: Path
) -> dict[str, Any]:
    """Write what was found."""
    trials = [
        {
            "number": number,
            "value": trial.value if trial.state.name == "COMPLETE" else None,
            "state": trial.state.name.lower(),
            "settings": dict(trial.params),
            "seconds": trial.user_attrs.get("seconds"),
            "epochs": trial.user_attrs.get("epochs"),
            **({"reason": trial.user_attrs["reason"]} if "reason" in trial.user_attrs else {}),
        }
        for number, trial in enumerate(filter(_counts, study.get_trials(deepcopy=False)))
    ]
    scored = [trial for trial in trials if trial["value"] is not None]
    if not scored:
        raise ReelTagError(
            f"None of {len(trials)} trials of {search.model} could be scored; the last one: "
            f"{trials[-1].get('reason', trials[-1]['state'])}"
        )
    best = max(scored, key=lambda trial: trial["value"])
    settings = {**search.fixed, **best["settings"]}
    found = {
        "model": search.model,
        "metric": search.metric,
        "on": "validation",
        "seed": search.seed,
        "fixed": dict(search.fixed),
        "space": {name: asdict(each) for name, each in space.items()},
        "best": {**best, "settings": settings},
        "trials": trials,
        **facts_of(dataset, open_split(dataset, search.split)),
    }
    write_text(
        out / "trials.json",
        json.dumps(finite(found), ensure_ascii=False, indent=1, allow_nan=False) + "\n",
    )
    write_text(out / "best.toml", tomli_w.dumps(best_toml(settings)))  # people may edit it
    write_bytes(out / "tuning.png", tuning_plot(trials, space, search.metric, search.model))
    return found


def best_toml(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the tables that `reeltag train --config` reads."""
    tables: dict[str, Any] = {k: v for k, v in settings.items() if k == "features"}
    rest = {key: value for key, value in settings.items() if key != "features"}
    tables["model"] = {key: value for key, value in rest.items() if not is_training(key)}
    tables["training"] = {key: value for key, value in rest.items() if is_training(key)}
    return tables
