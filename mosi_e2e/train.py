"""`accelerate launch -m mosi_e2e.train`: one training run."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import ProjectConfiguration, is_wandb_available, set_seed
from accelerate.utils.memory import should_reduce_batch_size

from mosi_e2e.config import RunConfig
from mosi_e2e.data.dataset import ClipDataset
from mosi_e2e.data.loaders import build_augmenter, build_loader
from mosi_e2e.data.sampler import SweepSampler, UpdateSampler
from mosi_e2e.engine.checkpoint import cache_facts, count_parameters, load_model, save_model, save_resume
from mosi_e2e.engine.early_stopping import EarlyStopping
from mosi_e2e.engine.launch import adapt_to_machine
from mosi_e2e.engine.loop import Stopped, Trainer, fit, predict_split
from mosi_e2e.engine.losses import Objective, check_choice
from mosi_e2e.engine.optim import Schedule, build_average, build_optimizer
from mosi_e2e.engine.runlog import (
    open_run,
    resume_state,
    score_table,
    write_history,
    write_split,
    write_start,
)
from mosi_e2e.models import build_model, list_streams, set_statistics
from mosi_e2e.tables import format_scores
from preprocessing.errors import UserError, command
from preprocessing.packed import open_store
from preprocessing.settings import load_config
from preprocessing.store import ClipStore

TRACKERS = ("tensorboard", "wandb")


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Train, keep the best epoch on valid, score valid with it.

    Exit status 143 after SIGTERM, as shells expect; the state is then stored.
    """
    parser = argparse.ArgumentParser(
        prog="accelerate launch -m mosi_e2e.train",
        description="Train one model on a cache.",
        epilog="example: accelerate launch --config_file accelerate_config.yaml -m mosi_e2e.train "
        "--config configs/crossmodal.yaml seed=1 name=crossmodal_1",
    )
    parser.add_argument("--config", help="YAML recipe; without it the defaults")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the recipe")
    args = parser.parse_intermixed_args(argv)
    try:
        train(load_config(RunConfig, args.config, args.overrides), args.resume)
    except Stopped:
        return 143
    return 0


def train(config: RunConfig, resume: bool = False) -> Path:
    """Run to the end and return the run folder."""
    adapt_to_machine()
    folder = open_run(config, resume)
    accelerator = Accelerator(
        log_with=check_trackers(config.trackers),
        project_config=ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder)),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    say = accelerator.print
    accelerator.wait_for_everyone()  # all have looked at the folder before the first one writes into it
    store = open_store(config.data.cache)
    objective, trainer, facts = build_trainer(config, store, accelerator)
    if accelerator.is_main_process and not resume:
        write_start(folder, config, store, accelerator)
    accelerator.init_trackers("tensorboard", init_kwargs={"wandb": {"name": config.name, "dir": str(folder)}})
    floor = valid_floor(objective, trainer)
    total, trainable = count_parameters(trainer.model)
    say(
        f"{config.model.name}: {total:,} parameters, {trainable:,} trained, "
        f"on {accelerator.num_processes} process(es)"
    )
    state = resume_state(folder) if resume else None
    if state is not None:
        accelerator.load_state(str(state))
        say(f"resumed at epoch {trainer.progress.epoch}, update {trainer.progress.update}")

    def after_epoch(row: dict, is_best: bool) -> None:
        accelerator.log({key: value for key, value in row.items() if value is not None}, step=row["epoch"])
        weights = accelerator.get_state_dict(trainer.judged) if is_best else None  # sharded ones: by all
        if accelerator.is_main_process:
            if is_best:
                model = accelerator.unwrap_model(trainer.judged)
                save_model(folder / "best", model, config, facts, weights)
            write_history(folder, trainer.progress.history, config, objective, floor)
        say(format_epoch(row, objective, is_best, config.optim.epochs))

    def save() -> None:
        save_resume(accelerator, folder / "last")

    try:
        with trainer.stop.listen():
            fit(trainer, config.optim.epochs, after_epoch, save)
    except Stopped:
        progress = trainer.progress
        say(
            f"stopped by SIGTERM before update {progress.update} of epoch {progress.epoch}, state stored; "
            "type the same command with --resume"
        )
        raise
    except RuntimeError as error:
        if should_reduce_batch_size(error):
            raise UserError(explain_memory(config)) from error
        raise
    score_best(accelerator, folder, trainer, objective)
    say(f"best epoch {trainer.stopping.best_epoch}; next: python -m mosi_e2e.evaluate {folder} --split test")
    accelerator.end_training()
    return folder


def build_trainer(config: RunConfig, store: ClipStore, accelerator: Accelerator):
    """Data, model and optimizer of a run, prepared for this process."""
    streams = list_streams(config.model)
    augmenter = build_augmenter(config.augment, store, streams)
    train_set = ClipDataset(store, "train", streams, config.data, augmenter=augmenter, seed=config.seed)
    valid_set = ClipDataset(store, "valid", streams, config.data)
    train_label = train_set.clips.label.to_numpy()
    objective = Objective(config.task, config.zero_label, config.loss, train_label)
    check_together(config)
    for split, clips in (("train", train_set.clips), ("valid", valid_set.clips)):
        if not objective.counts(clips.label.to_numpy()).any():
            raise UserError(
                f"all clips of split '{split}' have the label 0; type zero_label=positive to keep them"
            )
    train_set.clips = train_set.clips[objective.counts(train_label)].reset_index(drop=True)
    facts = cache_facts(store, config.model, train_label)

    set_seed(config.seed)
    model = build_model(config.model, facts.columns)
    set_statistics(model, store.stats)
    optimizer = build_optimizer(model, config.optim)
    average = build_average(model.to(accelerator.device), config.optim.ema)
    if config.compile:
        model.compile(dynamic=True)
    rank, world = accelerator.process_index, accelerator.num_processes
    sampler = UpdateSampler(
        len(train_set),
        config.data.batch_size,
        config.data.micro_batch,
        config.seed,
        rank,
        world,
        lengths=train_set.clips.duration_s.to_numpy() if config.data.bucket else None,
    )
    if config.loss.ccc and sampler.steps_per_update > 1:
        raise UserError("loss.ccc needs every update in one pass; type data.micro_batch=0, or loss.ccc=0")
    schedule = Schedule(
        optimizer, config.optim, sampler.updates_per_epoch * config.optim.epochs, objective.monitor[1]
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    trainer = Trainer(
        accelerator=accelerator,
        model=model,
        average=average,
        optimizer=optimizer,
        schedule=schedule,
        stopping=EarlyStopping(config.stopping, objective.monitor[1]),
        objective=objective,
        sampler=sampler,
        train_loader=build_loader(train_set, sampler, config.data.workers),
        valid_loader=build_loader(
            valid_set,
            SweepSampler(len(valid_set), config.data.eval_batch, rank, world),
            config.data.workers,
        ),
        clip_norm=config.optim.clip,
        seed=config.seed,
        save_every=config.save_every,
    )
    kept = [trainer.schedule, trainer.stopping, trainer.progress, *([average] if average else [])]
    accelerator.register_for_checkpointing(*kept)
    return objective, trainer, facts


def check_together(config: RunConfig) -> None:
    """Refuse settings that are right alone and wrong together."""
    if config.task == "binary" and getattr(config.model, config.model.name).bound:
        raise UserError(
            f"model.{config.model.name}.bound limits a regression score, but task=binary predicts a "
            f"probability; type model.{config.model.name}.bound=0"
        )


def check_trackers(names: Sequence[str]) -> list[str]:
    """The trackers that Accelerate shall log to, each installed."""
    for name in names:
        check_choice("trackers", name, TRACKERS)
    if "wandb" in names and not is_wandb_available():
        raise UserError("trackers names wandb, which is not installed; type: pip install wandb")
    return list(names)


def explain_memory(config: RunConfig) -> str:
    """What to lower when memory ran out, and what each costs."""
    data = config.data
    micro = max(1, (data.micro_batch or data.batch_size) // 2)
    return (
        f"out of memory: type data.micro_batch={micro} (same result, slower), data.eval_batch="
        f"{max(1, data.eval_batch // 2)}, model.crossmodal.speech.gradient_checkpointing=true (same result, "
        f"slower), or data.max_seconds={data.max_seconds / 2:g}; start again under another name=NAME"
    )


def valid_floor(objective: Objective, trainer: Trainer) -> float | None:
    """The monitored metric of the first floor (train mean, or train rate) on valid."""
    floors = objective.floors(trainer.valid_loader.dataset.clips.label.to_numpy())
    return next(iter(floors.values()))[objective.monitor[0]]


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


if __name__ == "__main__":
    sys.exit(main())
