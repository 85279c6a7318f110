"""One training run, from its settings to its folder."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.tracking import WandBTracker
from accelerate.utils import DistributedType, ProjectConfiguration, get_int_from_env, is_wandb_available

from mosi_e2e.config import TRACKERS, RunConfig
from mosi_e2e.engine.launch import adapt_to_machine, stop_with_launcher
from mosi_e2e.engine.loop import Stopped, Trainer, fit, predict_split
from mosi_e2e.engine.losses import Objective
from mosi_e2e.pages.tables import format_scores
from mosi_e2e.runs.assemble import build_trainer, valid_floor
from mosi_e2e.runs.checkpoint import count_parameters, load_model, save_model
from mosi_e2e.runs.ending import explain_end
from mosi_e2e.runs.evaluation import score_runs
from mosi_e2e.runs.resume import load_resume, save_resume
from mosi_e2e.runs.runlog import (
    RANKS,
    hold_run,
    open_run,
    place_run,
    record_length,
    resume_state,
    score_table,
    write_curves,
    write_history,
    write_split,
    write_start,
)
from preprocessing.cache.packed import open_store
from preprocessing.errors import UserError
from preprocessing.settings import check_choice

CURVES_EVERY_S = 10  # at most: drawing takes longer than a short epoch


def say_defaults(config: RunConfig) -> None:
    """A forgotten `--config` is no error, but seldom meant."""
    if get_int_from_env(RANKS, 0) == 0:
        print(
            f"note: without --config the default settings are used ({config.model.name} on "
            f"{config.data.cache}); a recipe is named like this: --config configs/{config.model.name}.yaml",
            file=sys.stderr,
        )


def train(config: RunConfig, resume: bool = False, score: str | None = None) -> Path:
    """Run to the end, score the split `score`, too, and return the run folder.

    Raises:
        UserError: the settings cannot be used, training diverged, or memory ran out.
        Stopped: SIGTERM came; the state is stored.
    """
    adapt_to_machine()
    stop_with_launcher()
    folder = place_run(config)
    with explain_end(config, folder), hold_run(folder), multiply_matrices(config.matmul):
        open_run(folder, config, resume)
        run(config, folder, resume, score)
    return folder


@contextmanager
def multiply_matrices(precision: str) -> Iterator[None]:
    """The precision of matrix products within the block; what was set before comes back."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def run(config: RunConfig, folder: Path, resume: bool, score: str | None) -> None:
    """Train into an opened folder."""
    accelerator = Accelerator(
        log_with=make_trackers(config, folder),
        project_config=ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder)),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    say = accelerator.print
    accelerator.wait_for_everyone()  # all have looked at the folder before the first one writes into it
    store = open_store(config.data.cache, config.data.source)
    objective, trainer, facts = build_trainer(config, store, accelerator)
    if accelerator.is_main_process and not resume:
        write_start(folder, config, store, accelerator)
    accelerator.init_trackers("tensorboard")  # its folder in the run folder
    floor = valid_floor(objective, trainer)
    say_size(trainer, config)
    if resume:
        go_on(trainer, folder, config)
    progress, drawn = trainer.progress, time.monotonic()

    def after_epoch(row: dict, is_best: bool) -> None:
        nonlocal drawn
        accelerator.log({key: value for key, value in row.items() if value is not None}, step=row["epoch"])
        weights = accelerator.get_state_dict(trainer.judged) if is_best else None  # sharded ones: by all
        if accelerator.is_main_process:
            if is_best:
                model = accelerator.unwrap_model(trainer.judged)
                save_model(folder / "best", model, config, facts, weights)
            write_history(folder, progress.history)
            is_last = progress.epoch == config.optim.epochs or trainer.stopping.should_stop
            if is_last or time.monotonic() - drawn >= CURVES_EVERY_S:
                write_curves(folder, progress.history, config, objective, floor)
                drawn = time.monotonic()
        say(format_epoch(row, objective, is_best, config.optim.epochs))

    def save() -> None:
        save_resume(trainer, folder / "last")

    try:
        with trainer.stop.listen():
            fit(trainer, config.optim.epochs, after_epoch, save)
    except Stopped:
        say(
            f"stopped by SIGTERM before update {progress.update} of epoch {progress.epoch}, state stored; "
            "type the same command with --resume"
        )
        end_training(accelerator, trainer)
        raise
    score_best(accelerator, folder, trainer, objective)
    say(f"best epoch {trainer.stopping.best_epoch}; next: python -m mosi_e2e.evaluate {folder} --split test")
    if score:
        accelerator.wait_for_everyone()  # the best weights are written by the first
        score_runs([folder], score)
    end_training(accelerator, trainer)


def say_size(trainer: Trainer, config: RunConfig) -> None:
    """What is trained, and what takes long or cannot be done with these settings."""
    accelerator = trainer.accelerator
    total, trainable = count_parameters(trainer.model)
    accelerator.print(
        f"{config.model.name}: {total:,} parameters, {trainable:,} trained, "
        f"on {accelerator.num_processes} process(es)"
    )
    if config.compile:
        accelerator.print("compile=true: the first updates and the first validation take minutes")
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        accelerator.print(
            "note: DeepSpeed stores its state as pickles, which are not read: this run cannot be resumed"
        )


def go_on(trainer: Trainer, folder: Path, config: RunConfig) -> None:
    """Continue from the stored state, or from the start where none had been stored yet."""
    accelerator, progress = trainer.accelerator, trainer.progress
    state = resume_state(folder)
    if state is not None:
        load_resume(trainer, state)
        accelerator.print(f"resumed at epoch {progress.epoch}, update {progress.update}")
    else:
        accelerator.print("no state was stored before the run ended: it starts from the beginning")
    accelerator.wait_for_everyone()  # all have read the folder's settings before they are replaced
    if accelerator.is_main_process:
        record_length(folder, config, progress.epoch)
    if trainer.stopping.should_stop and progress.epoch < config.optim.epochs:
        accelerator.print(
            f"early stopping ended this run after {progress.epoch} epochs; to train it longer type --resume "
            f"with stopping.patience above {trainer.stopping.waited}"
        )


def end_training(accelerator: Accelerator, trainer: Trainer) -> None:
    """Close the trackers and the processes' group; the distributed model goes first.

    If it lives longer than the group, it is what destroys the group's last part, with Python's lock held for
    which that part's threads may wait: now and then a process never ended (PyTorch 2.11, Gloo; of groups made
    and ended one after another such an end hung within 50, this one in none of 400).
    """
    trainer.model = None
    accelerator.free_memory()
    accelerator.end_training()


def make_trackers(config: RunConfig, folder: Path) -> list[str | WandBTracker]:
    """The trackers that Accelerate shall log to, each installed; Weights & Biases gets the settings, too."""
    for name in config.trackers:
        check_choice("trackers", name, TRACKERS)
    if "wandb" in config.trackers and not is_wandb_available():
        raise UserError("trackers names wandb, which is not installed; type: pip install wandb")
    wandb = {"name": config.name, "dir": str(folder), "config": asdict(config)}
    return [WandBTracker("mosi_e2e", **wandb) if name == "wandb" else name for name in config.trackers]


def score_best(accelerator: Accelerator, folder: Path, trainer: Trainer, objective: Objective) -> None:
    """Valid split with the reloaded best weights: what was chosen is what is reported."""
    best, _, facts = load_model(folder / "best")
    model = best.to(accelerator.device)
    table = predict_split(accelerator, model, trainer.valid_loader, objective)
    if accelerator.is_main_process:
        scores = score_table(table, objective, facts.synthetic)
        write_split(folder, "valid", table, scores)
        print(f"valid split, best epoch:\n{format_scores({folder.name: scores})}")


def format_epoch(row: dict, objective: Objective, is_best: bool, epochs: int) -> str:
    """The line that is printed after an epoch."""
    metric, _ = objective.monitor
    value = row[f"valid_{metric}"]
    shown = "undefined" if value is None else f"{value:.4f}"
    mark = " *" if is_best else ""
    loss = np.nan if row["valid_loss"] is None else row["valid_loss"]
    return (
        f"epoch {row['epoch']:3d}  train loss {row['train_loss']:.4f}  valid loss {loss:.4f}  "
        f"valid {metric} {shown}  {row['clips_per_s']:.1f} clips/s  "
        f"at most {(epochs - row['epoch'] - 1) * row['seconds'] / 60:.1f} min left{mark}"
    )
