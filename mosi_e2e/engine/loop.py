"""The training loop. Read this first.

    fit → train_epoch → predict_split → score → keep best → save resume state → stop

Accelerate hides processes, precision and devices behind a handful of calls; what an update consists of is
the sampler's business (`mosi_e2e.data.sampler`).
"""

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from mosi_e2e.data.sampler import UpdateSampler
from mosi_e2e.engine.early_stopping import EarlyStopping
from mosi_e2e.engine.losses import Objective
from mosi_e2e.engine.optim import Schedule
from mosi_e2e.models.prediction import Prediction
from preprocessing.errors import UserError


@dataclass
class Progress:
    """How far a run is: all that training needs to go on, beside weights and optimizer."""

    epoch: int = 0
    history: list[dict] = field(default_factory=list)

    def state_dict(self) -> dict:
        return {"epoch": self.epoch, "history": self.history}

    def load_state_dict(self, state: dict) -> None:
        self.epoch, self.history = state["epoch"], state["history"]


@dataclass
class Trainer:
    """The parts of one run, each prepared where Accelerate wants it prepared."""

    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    stopping: EarlyStopping
    objective: Objective
    sampler: UpdateSampler
    train_loader: DataLoader
    valid_loader: DataLoader
    clip_norm: float
    seed: int
    progress: Progress = field(default_factory=Progress)


def fit(trainer: Trainer, epochs: int, after_epoch) -> None:
    """Train until `epochs` are done or the valid metric stops getting better.

    Args:
        trainer: the parts.
        epochs: most epochs in all, those of an interrupted run included.
        after_epoch: called with (history row, whether it is the best so far) once an epoch is scored; it
            stores what is to be kept.
    """
    metric, _ = trainer.objective.monitor
    while trainer.progress.epoch < epochs and not trainer.stopping.should_stop:
        epoch = trainer.progress.epoch
        started = time.perf_counter()
        train_loss = train_epoch(trainer, epoch)
        trained = time.perf_counter() - started
        table = predict_split(trainer.accelerator, trainer.model, trainer.valid_loader, trainer.objective)
        scores = trainer.objective.score(table)
        monitored = scores[metric]
        trainer.schedule.after_epoch(math.inf if monitored is None else monitored)
        is_best = trainer.stopping.update(monitored, epoch)
        row = {
            "epoch": epoch,
            "lr": max(group["lr"] for group in trainer.optimizer.param_groups),
            "train_loss": train_loss,
            "valid_loss": table.attrs["loss"],
            **{f"valid_{name}": value for name, value in scores.items()},
            "seconds": round(time.perf_counter() - started, 3),
            "clips_per_s": round(trainer.sampler.count / trained, 2),
        }
        trainer.progress.history.append(row)
        trainer.progress.epoch = epoch + 1
        after_epoch(row, is_best)


def train_epoch(trainer: Trainer, epoch: int) -> float:
    """One pass over the train split; returns the mean loss over its updates' clips."""
    accelerator, sampler = trainer.accelerator, trainer.sampler
    sampler.epoch = epoch
    trainer.model.train()
    total = torch.zeros((), device=accelerator.device)
    bar = tqdm(
        total=sampler.updates_per_epoch,
        desc=f"epoch {epoch}",
        unit="update",
        leave=False,
        disable=not accelerator.is_local_main_process,
    )
    for step, batch in enumerate(trainer.train_loader):
        update, micro = divmod(step, sampler.steps_per_update)
        seed_step(trainer.seed, epoch, step, accelerator.process_index)
        is_last = micro == sampler.steps_per_update - 1
        total += train_step(trainer, batch, is_last)
        if is_last:
            bar.update()
            bar.set_postfix(loss=f"{total.item() / (update + 1):.3f}", refresh=False)
    bar.close()
    return accelerator.reduce(total, "sum").item() / sampler.updates_per_epoch


def train_step(trainer: Trainer, batch: dict, is_last: bool) -> torch.Tensor:
    """Forward and backward of one micro-batch; with the last one of an update, the update.

    Returns:
        This process's part of the update's mean loss.
    """
    accelerator = trainer.accelerator
    batch = send_to_device(batch, accelerator.device, non_blocking=True)
    # Gradients are summed over micro-batches here and averaged over processes once, with the last.
    with nullcontext() if is_last else accelerator.no_sync(trainer.model):
        prediction = trainer.model(batch)
        loss = trainer.objective(prediction, batch["label"], batch["weight"])
        accelerator.backward(loss * accelerator.num_processes)  # DDP divides by it
    if is_last:
        if trainer.clip_norm:
            accelerator.clip_grad_norm_(trainer.model.parameters(), trainer.clip_norm)
        trainer.optimizer.step()
        if not accelerator.optimizer_step_was_skipped:
            trainer.schedule.after_update()
        trainer.optimizer.zero_grad(set_to_none=True)
    return loss.detach()


@torch.no_grad()
def predict_split(
    accelerator: Accelerator, model: nn.Module, loader: DataLoader, objective: Objective
) -> pd.DataFrame:
    """Predictions of every clip of a split, each once, in the dataset's order, on every process.

    Returns:
        Columns clip_id, video_id, label (NaN = unlabelled), score, and one per stream; `attrs["loss"]` is
        the mean loss over the labelled clips.

    Raises:
        UserError: a score is no number.
    """
    model.eval()
    rows, streams = [], []
    for batch in loader:
        batch = send_to_device(batch, accelerator.device, non_blocking=True)
        prediction = model(batch)
        streams = list(prediction.by_stream)
        raw = torch.stack([prediction.score, *prediction.by_stream.values()], dim=1)  # [B, 1 + S]
        share = [batch["index"].double(), batch["weight"].double(), *raw.double().unbind(1)]
        rows.append(accelerator.gather_for_metrics(torch.stack(share, dim=1)))
    found = torch.cat(rows).cpu()  # [N, 2 + 1 + S]
    found = found[found[:, 1] > 0]  # fillers out
    found = found[found[:, 0].argsort()]
    check_finite(found)
    clips = loader.dataset.clips
    numbers = found[:, 0].long().numpy()
    assert np.array_equal(numbers, np.arange(len(clips))), "each clip is predicted exactly once"
    raw = found[:, 2:].float()
    table = clips[["clip_id", "video_id", "label"]].copy()
    table["score"] = objective.to_score(raw[:, 0]).numpy()
    for column, name in enumerate(streams, start=1):
        table[name] = objective.to_score(raw[:, column]).numpy()
    table.attrs["loss"] = mean_loss(objective, streams, raw, table.label.to_numpy())
    return table


def check_finite(found: torch.Tensor) -> None:
    """Refuse to go on with a model that predicts nothing any more."""
    broken = int((~found.isfinite()).any(dim=1).sum())
    if broken:
        raise UserError(
            f"{broken} of {len(found)} clips got a score that is no number: training diverged; "
            "type a smaller optim.lr or optim.encoder_lr"
        )


def mean_loss(objective: Objective, streams: list[str], raw: torch.Tensor, label: np.ndarray) -> float | None:
    """Mean loss of raw scores [N, 1 + S] over the clips that the task counts: what training minimises."""
    counts = torch.from_numpy(objective.counts(label))
    if not counts.any():
        return None
    score, *by_stream = raw[counts].unbind(1)
    prediction = Prediction(score, dict(zip(streams, by_stream, strict=True)))
    weight = torch.full_like(score, 1 / len(score))
    return objective(prediction, torch.tensor(label, dtype=torch.float32)[counts], weight).item()


def seed_step(*key: int) -> None:
    """Make what a step draws (dropout) depend on `key` alone, so that a resumed run draws it again."""
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint32)[0]))
