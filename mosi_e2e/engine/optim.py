"""Optimizer and learning-rate schedule."""

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LinearLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mosi_e2e.config import SCHEDULES, OptimConfig
from mosi_e2e.data.streams import find_stream
from mosi_e2e.models.encoders import layer_groups
from preprocessing.settings import check_choice

OF_PLATEAU = {"best": float, "num_bad_epochs": int, "cooldown_counter": int, "last_epoch": int}  # its memory
LAYER_WEIGHT_PACE = 20.0
"""How much faster than other new parameters the weights of an encoder's layers learn.

They enter a softmax, so they must move by several units to prefer a layer, where weights of a matrix move by
hundredths. At the rate of all others they stayed within 0.12 and 0.17 in 30 epochs of EmoDB.
"""
MOST_UPDATES = 2**53  # of what float64 counts exactly


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over every trainable parameter, each with the rate and decay of its group."""
    rates: dict[nn.Parameter, float] = {}
    for name, encoder in model.encoders.items():
        if hasattr(encoder, "layer_weight"):
            rates[encoder.layer_weight] = config.lr * LAYER_WEIGHT_PACE
        layers = layer_groups(encoder) if find_stream(name).pretrained else []
        for depth, layer in enumerate(reversed(layers)):
            rates |= dict.fromkeys(layer, config.encoder_lr * config.layer_decay**depth)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rates.get(parameter, config.lr), decay), []).append(parameter)
    # On a processor the fused update takes a seventh of the time. With a GPU the usual one tells Accelerate
    # of updates that are left out because a gradient in float16 was infinite.
    return torch.optim.AdamW(
        [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()],
        fused=not torch.cuda.is_available(),
    )


def build_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """The moving average of a model's weights (Polyak and Juditsky 1992); None where `decay` is 0."""
    if not decay:
        return None
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    average.n_averaged = average.n_averaged.cpu()  # looked at in every update: on a GPU that would be a wait
    return average.eval()


class Schedule:
    """Learning rate by optimizer update (warm-up, cosine) and by epoch (plateau).

    It is not prepared by Accelerate: it counts optimizer updates whatever the number of processes, where a
    prepared scheduler runs `num_processes` times too fast.

    Its state is a count of updates, so a run that is continued with more epochs has from there on the rates
    of the longer schedule. The warm-up stays as long as it was, it is not repeated.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, config: OptimConfig, updates: int, mode: str):
        check_choice("optim.schedule", config.schedule, SCHEDULES)
        self._warmup = max(1, round(config.warmup * updates))
        self._by_epoch = None
        if config.schedule == "cosine":
            self._by_update = LambdaLR(
                optimizer, lambda done: cosine_rate(done, self._warmup, updates, config.final)
            )
        else:
            self._by_update = LinearLR(optimizer, **self._rise())
        if config.schedule == "plateau":
            self._by_epoch = ReduceLROnPlateau(
                optimizer, mode, factor=config.factor, patience=config.patience
            )

    def after_update(self) -> None:
        """Call once after each optimizer update."""
        self._by_update.step()

    def after_epoch(self, monitored: float) -> None:
        """Call once after each epoch with the valid metric."""
        if self._by_epoch is not None:
            self._by_epoch.step(monitored)

    def _rise(self) -> dict[str, float]:
        """What `LinearLR` needs to know of the warm-up."""
        return {"start_factor": 1 / self._warmup, "total_iters": self._warmup - 1 or 1}

    def state_dict(self) -> dict:
        """What a resumed run continues from."""
        by_epoch = {name: getattr(self._by_epoch, name) for name in OF_PLATEAU} if self._by_epoch else {}
        return {"updates": self._by_update.last_epoch, "warmup": self._warmup, "by_epoch": by_epoch}

    def load_state_dict(self, state: dict) -> None:
        """Continue from a stored state."""
        self._warmup = max(1, check_bound("the warm-up", int(state["warmup"])))
        done = check_bound("the count of updates", int(state["updates"]))
        counts = {"last_epoch": done, "_step_count": done + 1}
        rise = self._rise() if isinstance(self._by_update, LinearLR) else {}
        self._by_update.load_state_dict(self._by_update.state_dict() | counts | rise)
        if isinstance(self._by_update, LambdaLR):  # the rates of this schedule, should it be a longer one
            rates = zip(self._by_update.base_lrs, self._by_update.lr_lambdas, strict=True)
            for group, (peak, share) in zip(self._by_update.optimizer.param_groups, rates, strict=True):
                group["lr"] = peak * share(done)
        if self._by_epoch is not None:
            before = {name: kind(state["by_epoch"][name]) for name, kind in OF_PLATEAU.items()}
            self._by_epoch.load_state_dict(self._by_epoch.state_dict() | before)


def check_bound(what: str, value: float) -> float:
    """Refuse a number that no run can have.

    Raises:
        ValueError: it is negative or not finite, or beyond what is counted exactly.
    """
    if not 0 <= value <= MOST_UPDATES:
        raise ValueError(f"{what} is {value}")
    return value


def cosine_rate(done: int, warmup: int, updates: int, final: float) -> float:
    """Share of the peak rate after `done` updates: a line up, then half a cosine down to `final`."""
    if done < warmup:
        return (done + 1) / warmup
    progress = min(1.0, (done - warmup) / max(1, updates - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
