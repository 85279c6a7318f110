"""The training loop. Read this first.

    fit → train_epoch → predict_split → score → keep best → save resume state → stop

Accelerate hides processes, precision and devices behind a handful of calls; what an update consists of is
the sampler's business (`mosi_e2e.data.sampler`).
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from tqdm import tqdm

from mosi_e2e.data.sampler import UpdateSampler
from mosi_e2e.engine.early_stopping import EarlyStopping
from mosi_e2e.engine.losses import Objective
from mosi_e2e.engine.optim import Schedule
from mosi_e2e.engine.watch import LossWatch, StopRequest
from mosi_e2e.models.dropout import ClipSeeds, seed_clips
from mosi_e2e.models.prediction import Prediction
from preprocessing.errors import UserError


@dataclass
class Progress:
    """How far a run is: all that training needs to go on, beside weights and optimizer.

    Attributes:
        epoch, update: what comes next.
        loss_sum: of the updates of this epoch that are done.
        history: one row per finished epoch.
    """

    epoch: int = 0
    update: int = 0
    loss_sum: float = 0.0
    history: list[dict] = field(default_factory=list)

    def state_dict(self) -> dict:
        """What a resumed run continues from."""
        return vars(self)

    def load_state_dict(self, state: dict) -> None:
        """Continue from a stored state."""
        self.epoch, self.update = int(state["epoch"]), int(state["update"])
        self.loss_sum, self.history = float(state["loss_sum"]), [dict(row) for row in state["history"]]
        numbers = [value for row in self.history for value in row.values() if value is not None]
        if [row["epoch"] for row in self.history] != list(range(self.epoch)) or self.update < 0:
            raise ValueError(f"epoch {self.epoch} follows after {len(self.history)}")
        if not all(map(math.isfinite, [self.loss_sum, *numbers])):
            raise ValueError("the history has values that are not finite")


class Stopped(Exception):
    """The run was asked to stop; its state is stored."""


@dataclass
class Trainer:
    """The parts of one run, each prepared where Accelerate wants it prepared."""

    accelerator: Accelerator
    model: nn.Module
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    stopping: EarlyStopping
    objective: Objective
    sampler: UpdateSampler
    train_loader: DataLoader
    valid_loader: DataLoader
    clip_norm: float
    seed: int
    clip_seeds: ClipSeeds
    save_every: int
    stop: StopRequest = field(default_factory=StopRequest)
    progress: Progress = field(default_factory=Progress)

    @property
    def judged(self) -> nn.Module:
        """The model that is validated and kept: the weights, or their average."""
        return self.model if self.average is None else self.average.module


def fit(
    trainer: Trainer, epochs: int, after_epoch: Callable[[dict, bool], None], save: Callable[[], None]
) -> None:
    """Train until `epochs` are done or the valid metric stops getting better.

    Args:
        trainer: the parts.
        epochs: most epochs in all, those of an interrupted run included.
        after_epoch: called with (history row, whether it is the best so far) once an epoch is scored; it
            keeps and shows what is to be kept and shown.
        save: stores the state to go on from; called after each epoch and, where asked for, in its middle.

    Raises:
        Stopped: SIGTERM came; the state is stored.
        UserError: training diverged.
    """
    metric, _ = trainer.objective.monitor
    while trainer.progress.epoch < epochs and not trainer.stopping.should_stop:
        epoch = trainer.progress.epoch
        started = time.perf_counter()
        train_loss, rate = train_epoch(trainer, epoch, save)
        table = predict_split(trainer.accelerator, trainer.judged, trainer.valid_loader, trainer.objective)
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
            "clips_per_s": round(rate, 2),
        }
        trainer.progress.history.append(row)
        trainer.progress.epoch, trainer.progress.update, trainer.progress.loss_sum = epoch + 1, 0, 0.0
        after_epoch(row, is_best)
        save()
        if trainer.stop.agreed(trainer.accelerator, 0):
            raise Stopped


def train_epoch(trainer: Trainer, epoch: int, save: Callable[[], None]) -> tuple[float, float]:
    """The rest of one pass over the train split.

    Returns:
        Mean loss over the pass's updates, and clips per second.
    """
    accelerator, sampler, progress = trainer.accelerator, trainer.sampler, trainer.progress
    sampler.epoch, sampler.start_update = epoch, progress.update
    trainer.model.train()
    watch, started = LossWatch(), time.perf_counter()
    total = torch.full((), progress.loss_sum if accelerator.is_main_process else 0.0).to(accelerator.device)
    first = progress.update * sampler.steps_per_update
    parts = sampler.steps_per_update * accelerator.num_processes  # of an update's loss
    with open_bar(trainer, epoch) as bar:
        for step, batch in enumerate(trainer.train_loader, start=first):
            update, micro = divmod(step, sampler.steps_per_update)
            is_last = micro == sampler.steps_per_update - 1
            seed_step(trainer.seed, epoch, step, accelerator.process_index)
            loss = train_step(trainer, batch, is_last)
            total += loss
            watch.put(loss * parts, batch["clip_id"])
            if is_last:
                progress.update = update + 1
                show_progress(bar, trainer, watch)
                stop = trainer.stop.agreed(accelerator, update)
                if stop or (trainer.save_every and progress.update % trainer.save_every == 0):
                    watch.drain()
                    progress.loss_sum = accelerator.reduce(total, "sum").item()
                    save()
                if stop:
                    raise Stopped
    watch.drain()
    clips = sampler.count - min(sampler.count, sampler.start_update * sampler.batch_size)
    rate = clips / (time.perf_counter() - started)
    return accelerator.reduce(total, "sum").item() / sampler.updates_per_epoch, rate


def open_bar(trainer: Trainer, epoch: int) -> tqdm:
    """The progress bar of an epoch, in clips."""
    sampler = trainer.sampler
    return tqdm(
        total=sampler.count,
        initial=min(sampler.count, trainer.progress.update * sampler.batch_size),
        desc=f"epoch {epoch}",
        unit="clip",
        leave=False,
        disable=not trainer.accelerator.is_local_main_process,
    )


def show_progress(bar: tqdm, trainer: Trainer, watch: LossWatch) -> None:
    """Loss, learning rate, and clips so far, from which tqdm works out clips per second and time left."""
    rate = max(group["lr"] for group in trainer.optimizer.param_groups)
    bar.set_postfix(loss=f"{watch.mean:.3f}", lr=f"{rate:.1e}", refresh=False)
    bar.update(min(trainer.sampler.batch_size, bar.total - bar.n))


def train_step(trainer: Trainer, batch: dict, is_last: bool) -> torch.Tensor:
    """Forward and backward of one micro-batch; with the last one of an update, the update.

    Returns:
        This process's part of the update's mean loss.
    """
    accelerator = trainer.accelerator
    seeds = seed_clips(batch["index"], trainer.seed, trainer.progress.epoch)
    trainer.clip_seeds.values = seeds.to(accelerator.device)
    batch = send_to_device(batch, accelerator.device, non_blocking=True)
    # Gradients are summed over micro-batches here and averaged over processes once, with the last.
    with nullcontext() if is_last else accelerator.no_sync(trainer.model):
        prediction = trainer.model(batch)
        loss = trainer.objective(prediction, batch["label"], batch["weight"], spread=True)
        accelerator.backward(loss * accelerator.num_processes)  # DDP divides by it
    if is_last:
        if trainer.clip_norm:
            accelerator.clip_grad_norm_(trainer.model.parameters(), trainer.clip_norm)
        trainer.optimizer.step()
        if not accelerator.optimizer_step_was_skipped:
            trainer.schedule.after_update()
            if trainer.average is not None:
                trainer.average.update_parameters(accelerator.unwrap_model(trainer.model))
        trainer.optimizer.zero_grad(set_to_none=True)
    return loss.detach()


@torch.no_grad()
def predict_split(
    accelerator: Accelerator, model: nn.Module, loader: DataLoader, objective: Objective
) -> pd.DataFrame:
    """Predictions of every clip of a split, each once, in the dataset's order, on every process.

    Returns:
        As of `Objective.tabulate`; `attrs["loss"]` is the mean loss over the labelled clips.

    Raises:
        UserError: a score is NaN or infinite.
    """
    model.eval()
    rows, streams = [], []
    for batch in loader:
        batch = send_to_device(batch, accelerator.device, non_blocking=True)
        with accelerator.autocast():  # a model that was not prepared, as an average is, in the same precision
            prediction = model(batch)
        streams = list(prediction.by_stream)
        raw = torch.stack([prediction.score, *prediction.by_stream.values()], dim=1)  # [B, 1 + S (, C)]
        share = [batch["index"].double(), batch["weight"].double(), *raw.double().flatten(1).unbind(1)]
        rows.append(accelerator.gather_for_metrics(torch.stack(share, dim=1)))
    found = torch.cat(rows).cpu()  # [N, 2 + (1 + S) * C]
    found = found[found[:, 1] > 0]  # fillers out
    found = found[found[:, 0].argsort()]
    check_finite(found)
    clips = loader.dataset.clips
    numbers = found[:, 0].long().numpy()
    assert np.array_equal(numbers, np.arange(len(clips))), "each clip is predicted exactly once"
    raw = found[:, 2:].float().reshape(len(found), 1 + len(streams), -1)  # [N, 1 + S, C]
    raw = raw[..., 0] if objective.n_outputs == 1 else raw
    table = objective.tabulate(clips, raw, streams)
    table.attrs["loss"] = mean_loss(objective, streams, raw, clips.label.to_numpy())
    return table


def check_finite(found: torch.Tensor) -> None:
    """Refuse to go on with a model that predicts nothing any more."""
    broken = int((~found.isfinite()).any(dim=1).sum())
    if broken:
        raise UserError(
            f"{broken} of {len(found)} clips got a non-finite score (NaN or infinity): training diverged; "
            "type a smaller optim.lr or optim.encoder_lr"
        )


def mean_loss(objective: Objective, streams: list[str], raw: torch.Tensor, label: np.ndarray) -> float | None:
    """Mean loss of raw scores [N, 1 + S (, C)] over the clips that the task counts, as in training."""
    counts = torch.from_numpy(objective.counts(label))
    if not counts.any():
        return None
    score, *by_stream = raw[counts].unbind(1)
    prediction = Prediction(score, dict(zip(streams, by_stream, strict=True)))
    weight = torch.full((len(score),), 1 / len(score))
    return objective(prediction, torch.tensor(label, dtype=torch.float32)[counts], weight).item()


def seed_step(*key: int) -> None:
    """Make what a step draws beside dropout by clip depend on `key` alone: a resumed run draws it again."""
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint32)[0]))
