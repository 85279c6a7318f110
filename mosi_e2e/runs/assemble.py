"""The parts of one run, built from its settings and prepared for this process."""

from collections.abc import Mapping
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import DistributedType, set_seed

from mosi_e2e.config import RunConfig
from mosi_e2e.data.dataset import ClipDataset
from mosi_e2e.data.encoded import encode_frozen_streams, standardise_layers
from mosi_e2e.data.folds import apply_folds, find_statistics
from mosi_e2e.data.labels import label_clips
from mosi_e2e.data.loaders import build_augmenter, build_loader
from mosi_e2e.data.sampler import UpdateSampler, build_sweep, list_lengths
from mosi_e2e.engine.early_stopping import EarlyStopping
from mosi_e2e.engine.loop import Trainer
from mosi_e2e.engine.losses import Objective, build_objective
from mosi_e2e.engine.optim import Schedule, build_average, build_optimizer
from mosi_e2e.models import build_model, list_readers, list_streams, set_statistics
from mosi_e2e.runs.checkpoint import CacheFacts, begin_with, cache_facts
from mosi_e2e.runs.runlog import place_run
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError


def build_trainer(
    config: RunConfig, store: ClipStore, accelerator: Accelerator
) -> tuple[Objective, Trainer, CacheFacts]:
    """Data, model and optimizer of a run, prepared for this process."""
    check_together(config)
    apply_folds(store, config.data.folds)
    stats = find_statistics(store, list_streams(config.model), config.data.folds)
    objective, train_set, valid_set = open_splits(config, store, stats)
    facts = cache_facts(store, config.model, objective.train_label, objective.classes)
    set_seed(config.seed)
    model = build_model(config.model, facts.columns, objective.n_outputs)
    if config.start:
        begin_with(model, Path(config.start))
    set_statistics(model, stats)
    train_set.readers = valid_set.readers = list_readers(model)
    optimizer = build_optimizer(model, config.optim)
    model.to(accelerator.device)
    if config.data.encode_frozen:
        spare = place_run(config) / "encoded"
        encode_frozen_streams(accelerator, model, (train_set, valid_set), config.augment, spare)
        standardise_layers(model, train_set)
    average, seeds = build_average(model, config.optim.ema), model.clip_seeds
    if config.compile:
        model.compile(dynamic=True)
    sampler = build_sampler(config, train_set, accelerator)
    sweep = build_sweep(valid_set, config.data, accelerator)
    updates = sampler.updates_per_epoch * config.optim.epochs
    schedule = Schedule(optimizer, config.optim, updates, objective.monitor[1])
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
        valid_loader=build_loader(valid_set, sweep, config.data.workers),
        clip_norm=config.optim.clip,
        seed=config.seed,
        clip_seeds=seeds,
        save_every=config.save_every,
    )
    return objective, trainer, facts


def open_splits(
    config: RunConfig, store: ClipStore, stats: Mapping[str, dict]
) -> tuple[Objective, ClipDataset, ClipDataset]:
    """What is learned, the clips of train that count for it, and those of valid.

    Raises:
        UserError: no clip of a split counts.
    """
    streams = list_streams(config.model)
    classes = label_clips(store, config)
    augmenter = build_augmenter(config.augment, stats, streams)
    train_set = ClipDataset(store, "train", streams, config.data, augmenter=augmenter, seed=config.seed)
    valid_set = ClipDataset(store, "valid", streams, config.data)
    train_label = train_set.clips.label.to_numpy()
    objective = build_objective(config.task, config.zero_label, config.loss, train_label, classes)
    for split, clips in (("train", train_set.clips), ("valid", valid_set.clips)):
        if not objective.counts(clips.label.to_numpy()).any():
            raise UserError(
                f"all clips of split '{split}' have the label 0; type zero_label=positive to keep them"
            )
    train_set.clips = train_set.clips[objective.counts(train_label)].reset_index(drop=True)
    return objective, train_set, valid_set


def build_sampler(config: RunConfig, train_set: ClipDataset, accelerator: Accelerator) -> UpdateSampler:
    """Which clips this process sees in which update.

    Raises:
        UserError: the distribution or the loss does not go with such updates.
    """
    sampler = UpdateSampler(
        len(train_set),
        config.data.batch_size,
        config.data.micro_batch,
        config.seed,
        accelerator.process_index,
        accelerator.num_processes,
        list_lengths(train_set.clips, config.data.bucket),
    )
    if config.loss.ccc and sampler.steps_per_update > 1:
        raise UserError("loss.ccc needs every update in one pass; type data.micro_batch=0, or loss.ccc=0")
    suit_distribution(accelerator, sampler, config.optim.ema, config.optim.clip)
    return sampler


def check_together(config: RunConfig) -> None:
    """Refuse settings that are right alone and wrong together."""
    if config.task != "regression" and getattr(config.model, config.model.name).bound:
        raise UserError(
            f"model.{config.model.name}.bound limits a regression score, but task={config.task} predicts a "
            f"probability; type model.{config.model.name}.bound=0"
        )


def valid_floor(objective: Objective, trainer: Trainer) -> float | None:
    """The monitored metric of the first floor (train mean, or train rate) on valid."""
    floors = objective.floors(trainer.valid_loader.dataset.clips.label.to_numpy())
    return next(iter(floors.values()))[objective.monitor[0]]


def suit_distribution(accelerator: Accelerator, sampler: UpdateSampler, ema: float, clip_norm: float) -> None:
    """Refuse what sharded training cannot do, and tell DeepSpeed what it reads off a loader elsewhere."""
    kind = accelerator.distributed_type
    if kind in (DistributedType.FSDP, DistributedType.DEEPSPEED) and ema:
        raise UserError(
            f"optim.ema needs whole weights on every GPU, but {kind.value} shards them; type optim.ema=0"
        )
    if kind == DistributedType.DEEPSPEED:
        if sampler.steps_per_update > 1:
            raise UserError("DeepSpeed takes every update in one pass; type data.micro_batch=0, or use FSDP")
        settings = accelerator.state.deepspeed_plugin.deepspeed_config
        settings["train_micro_batch_size_per_gpu"] = sampler.micro_batch
        settings["gradient_clipping"] = clip_norm  # it clips automatically, to 1 without a setting
