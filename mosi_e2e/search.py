"""`python -m mosi_e2e.search`: hyper-parameters chosen on valid; test is never looked at."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mosi_e2e.config import RunConfig
from mosi_e2e.experiments.execute import LOG, last_line, run_command
from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command, make_folder
from preprocessing.settings import dump_config, load_config

SEEDED = 0  # seed of the sampler: the same search proposes the same settings


@dataclass(frozen=True)
class RangeConfig:
    """What one setting may be: numbers from `low` to `high`, or one of `choices`.

    Attributes:
        low, high: bounds, both included.
        log: drawn evenly on a logarithmic scale.
        whole: whole numbers only.
        choices: values instead of bounds.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    choices: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class SearchConfig:
    """A search.

    Attributes:
        base: recipe.
        out: folder of the trials (`trial<k>`), of their record and of the best recipe.
        set: settings `a.b=c` of all trials.
        trials: how many in all; a search that is started again goes on to this number.
        seeds: each trial is the mean over runs with these seeds, so that luck is not chosen.
        launch: words for `accelerate launch`.
        space: setting → range.
    """

    base: str = "configs/crossmodal.yaml"
    out: str = "runs/search"
    set: list[str] = field(default_factory=list)
    trials: int = 30
    seeds: list[int] = field(default_factory=lambda: [0])
    launch: list[str] = field(default_factory=list)
    space: dict[str, RangeConfig] = field(default_factory=dict)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Search, and write the best recipe."""
    parser = Parser(
        prog="python -m mosi_e2e.search",
        description="Look for good hyper-parameters on the valid split (Optuna's TPE sampler).",
        epilog="example: python -m mosi_e2e.search --config configs/search.yaml trials=50",
    )
    parser.add_argument("--config", required=True, help="YAML file; see configs/search.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the file")
    args = parser.parse_intermixed_args(argv)
    search(load_config(SearchConfig, args.config, args.overrides))
    return 0


def search(config: SearchConfig) -> Path:
    """Run the trials that are still to do; returns the recipe of the best.

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
    return report(config, study)


def propose(trial, name: str, given: RangeConfig):
    """One value out of a range."""
    if given.choices:
        return trial.suggest_categorical(name, given.choices)
    if given.low is None or given.high is None:
        raise UserError(f"space.{name} needs low and high, or choices")
    if given.whole:
        return trial.suggest_int(name, int(given.low), int(given.high), log=given.log)
    return trial.suggest_float(name, given.low, given.high, log=given.log)


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


def report(config: SearchConfig, study) -> Path:
    """Write all trials and the best one as a recipe, and say what was found."""
    out = Path(config.out)
    study.trials_dataframe(("number", "value", "params", "state", "duration")).to_csv(
        out / "trials.csv", index=False
    )
    best = study.best_trial
    settings = [f"{name}={value}" for name, value in best.params.items()]
    recipe = out / "best.yaml"
    recipe.write_text(dump_config(load_config(RunConfig, config.base, [*config.set, *settings])))
    print(f"best of {len(study.trials)} trials: {abs(best.value):.4f} on valid with {' '.join(settings)}")
    print(
        "the best of many trials looks better on valid than it is; score it on test once: "
        f"accelerate launch -m mosi_e2e.train --config {recipe} --score test"
    )
    return recipe


if __name__ == "__main__":
    sys.exit(main())
