"""Runs the trials of a search, each a training of its own, and keeps the best as a recipe."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mosi_e2e.config import RunConfig
from mosi_e2e.experiments.execute import LOG, last_line, run_command
from mosi_e2e.experiments.search_space import SearchConfig, propose
from preprocessing.errors import UserError, make_folder
from preprocessing.settings import dump_config, load_config

if TYPE_CHECKING:
    from optuna import Study

SEEDED = 0  # seed of the sampler: the same search proposes the same settings


def run_trials(config: SearchConfig) -> "Study":
    """Run the trials that are still to do; returns all of them, at least one of which is complete.

    Raises:
        UserError: Optuna is missing, the space is empty or names no setting, or every trial failed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError("the search needs Optuna; type: pip install 'mosi_e2e[search]'") from error
    if not config.space or not config.seeds:
        raise UserError("a search needs a space and seeds; see configs/search.yaml")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out = Path(config.out)
    make_folder(out)
    backend = optuna.storages.journal.JournalFileBackend(str(out / "trials.log"))
    study = optuna.create_study(
        study_name="search",
        storage=optuna.storages.JournalStorage(backend),
        sampler=optuna.samplers.TPESampler(seed=SEEDED),
        load_if_exists=True,
    )
    done = len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))

    def try_one(trial: optuna.Trial) -> float:
        settings = [f"{name}={propose(trial, name, given)}" for name, given in config.space.items()]
        losses = [train_trial(config, trial.number, seed, settings) for seed in config.seeds]
        if None in losses:
            raise optuna.TrialPruned
        return sum(losses) / len(losses)

    study.optimize(try_one, n_trials=max(0, config.trials - done), show_progress_bar=True)
    complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    if not complete:
        raise UserError(f"every trial failed; see {out}/trial*/seed*/{LOG}")
    return study


def train_trial(config: SearchConfig, number: int, seed: int, settings: Sequence[str]) -> float | None:
    """The best valid result of one run, by the metric that training watches; None where it failed.

    A metric that is better when higher (UAR) counts negatively: the search minimises.
    """
    out = Path(config.out) / f"trial{number}"
    own = [f"out={out}", f"name=seed{seed}", f"seed={seed}"]
    settings = [*config.set, *settings, *own]
    load_config(RunConfig, config.base, settings)  # a mistyped setting ends the search, not each trial
    launch = [sys.executable, "-m", "accelerate.commands.launch", *config.launch]
    words = [*launch, "-m", "mosi_e2e.train", "--config", config.base, *settings]
    folder = out / f"seed{seed}"
    if run_command(words, folder / LOG, {}):
        print(f"failed: {folder}: {last_line(folder / LOG)}", file=sys.stderr)
        return None
    metrics = json.loads((folder / "metrics_valid.json").read_text())
    if metrics["task"] == "classes":
        return -metrics["metrics"]["uar"]
    return metrics["metrics"]["mae" if metrics["task"] == "regression" else "nll"]


def write_best(config: SearchConfig, study: "Study") -> Path:
    """Write the table of all trials, and the best of them as a recipe; returns the recipe."""
    out = Path(config.out)
    study.trials_dataframe(("number", "value", "params", "state", "duration")).to_csv(
        out / "trials.csv", index=False
    )
    recipe = out / "best.yaml"
    best = load_config(RunConfig, config.base, [*config.set, *list_settings(study)])
    recipe.write_text(dump_config(best))
    return recipe


def list_settings(study: "Study") -> list[str]:
    """What the best trial sets, as one would type it."""
    return [f"{name}={value}" for name, value in study.best_trial.params.items()]
