"""Scores of trained models on a split, and of predictions made elsewhere."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import Accelerator, PartialState

from mosi_e2e.config import LossConfig
from mosi_e2e.data.dataset import ClipDataset
from mosi_e2e.data.encoded import encode_frozen_streams
from mosi_e2e.data.folds import apply_folds
from mosi_e2e.data.labels import label_clips
from mosi_e2e.data.loaders import build_loader
from mosi_e2e.data.recipes import describe_difference
from mosi_e2e.data.sampler import build_sweep
from mosi_e2e.engine.launch import adapt_to_machine
from mosi_e2e.engine.loop import predict_split
from mosi_e2e.engine.losses import Objective, build_objective
from mosi_e2e.models import list_readers, list_streams
from mosi_e2e.pages.tables import format_scores
from mosi_e2e.runs.checkpoint import check_columns, check_run, load_model
from mosi_e2e.runs.runlog import hold_run, score_table, write_split
from mosi_e2e.scores.class_predictions import read_class_predictions, read_train_names
from mosi_e2e.scores.predictions import describe_scale, read_predictions, read_train_labels
from preprocessing.cache.packed import open_store
from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError


def score_held_runs(runs: Sequence[Path], split: str, cache: str | None, out: Path | None) -> None:
    """As `score_runs`, with the folders that are written to held against other commands."""
    folders = {out} if out else {run for run in runs if run.is_dir()}  # others are no runs
    with ExitStack() as locks:
        for folder in sorted(folders):
            locks.enter_context(hold_run(folder))
        score_runs(runs, split, cache, out)


def score_runs(runs: Sequence[Path], split: str, cache: str | None = None, out: Path | None = None) -> None:
    """Score every run and print one table."""
    if out and len(runs) > 1:
        raise UserError("--out takes the results of one run; leave it out, each run's go into its own folder")
    same_name = len({run.name for run in runs}) < len(runs)  # then the folder above must tell them apart
    found = {str(run) if same_name else run.name: score_run(run, split, cache, out) for run in runs}
    scored = {name: scores for name, scores in found.items() if scores is not None}
    if PartialState().is_main_process:
        print(
            f"{split} split\n{format_scores(scored)}" if scored else f"no clip of split '{split}' has a label"
        )
        print("written: " + ", ".join(f"{out or run}/predictions_{split}.csv" for run in runs))


def score_run(run: Path, split: str, cache: str | None = None, out: Path | None = None) -> dict | None:
    """Predict and score a split with a run's best weights.

    Args:
        run: run folder.
        split: train | valid | test, or all of another cache.
        cache: folder of another cache; its token columns must be those of training.
        out: folder for the results; the run's own by default.

    Returns:
        The content of `metrics_<split>.json`; None where no clip has a label.
    """
    adapt_to_machine()
    accelerator = Accelerator()
    check_run(run)
    model, config, facts = load_model(run / "best")
    store = open_store(cache or config.data.cache, "" if cache else config.data.source)
    check_columns(facts, store)
    if facts.synthetic and not store.synthetic and accelerator.is_main_process:
        print("note: trained on synthetic clips; its scores of real people mean nothing")
    streams = list_streams(config.model)
    if not cache:
        apply_folds(store, config.data.folds)
    label_clips(store, config, facts.classes)
    if accelerator.is_main_process and (difference := describe_difference(facts.stages, store, streams)):
        print(f"note: {difference}")
    data = ClipDataset(store, split, streams, config.data, labelled=False)
    data.readers = list_readers(model)
    model = model.to(accelerator.device)
    if config.data.encode_frozen:  # as in training, and for all runs of the same encoder
        encode_frozen_streams(accelerator, model, [data], config.augment, (out or run) / "encoded")
    loader = build_loader(data, build_sweep(data, config.data, accelerator), config.data.workers)
    objective = build_objective(
        config.task, config.zero_label, config.loss, np.array(facts.train_label), facts.classes
    )
    table = predict_split(accelerator, model, loader, objective)
    scores = score_table(table, objective, store.synthetic) if table.label.notna().any() else None
    if accelerator.is_main_process:
        write_split(out or run, split, table, scores)
        if scores is None or scores["n"] < len(table):
            print(f"{int(table.label.isna().sum())} clips have no label: predicted, not scored")
    return scores


def score_file(predictions: Path, task: str, train_labels: Path | None, out: Path | None) -> None:
    """Score a table of predictions made elsewhere."""
    if task == "classes":
        table, objective = read_classes(predictions, train_labels)
    else:
        table, objective = read_numbers(predictions, task, train_labels)
    known = table[table.label.notna()]
    scores = score_table(known, objective)
    if not train_labels:  # only floors that need no train split
        scores["floors"] = {
            name: row for name, row in scores["floors"].items() if name in ("zero", "always_negative")
        }
    print(format_scores({predictions.stem: scores}))
    for remark in [] if task == "classes" else describe_scale(known, task):
        print(f"note: {remark}")
    if len(known) < len(table):
        print(f"{len(table) - len(known)} rows have no label: not scored")
    if out:
        write_atomic(out, (json.dumps(scores, indent=1) + "\n").encode())


def read_numbers(predictions: Path, task: str, train_labels: Path | None) -> tuple[pd.DataFrame, Objective]:
    """A table of scores, and how they are scored.

    Raises:
        UserError: the table cannot be used.
    """
    table = read_predictions(predictions, task)
    known = table[table.label.notna()]
    if known.empty:
        raise UserError(f"no row of {predictions} has a label; fill in the column label")
    train = read_train_labels(train_labels) if train_labels else known.label.to_numpy()
    if task == "binary" and not np.any(train):
        raise UserError(f"every label of {train_labels or predictions} is 0, which is neither class")
    return table, build_objective(task, "drop", LossConfig(), train)


def read_classes(predictions: Path, train_labels: Path | None) -> tuple[pd.DataFrame, Objective]:
    """A table of classes' probabilities, and how they are scored.

    Raises:
        UserError: the table cannot be used, or train has classes that it lacks.
    """
    table, classes = read_class_predictions(predictions)
    names = table.label[table.label.notna()].tolist()
    if not names:
        raise UserError(f"no row of {predictions} has a label; fill in the column label")
    if train_labels:
        names = read_train_names(train_labels)
        if foreign := sorted(set(names) - set(classes)):
            raise UserError(
                f"{predictions.name} has no column p_{foreign[0]}, a class of {train_labels.name}"
            )
    numbers = np.array([classes.index(name) for name in names], dtype=np.float64)
    return table, build_objective("classes", "drop", LossConfig(), numbers, classes)
