"""The task: what is predicted, what is learned from, how it is scored."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mosi_e2e.metrics import score_binary, score_regression
from mosi_e2e.models.prediction import Prediction
from mosi_e2e.statistics import floors, floors_binary
from preprocessing.errors import UserError

TASKS = ("regression", "binary")
ZERO_RULES = ("drop", "positive")
REGRESSION_LOSSES = ("l1", "mse", "huber")


@dataclass(frozen=True)
class LossConfig:
    """What is minimised.

    Attributes:
        regression: l1 | mse | huber.
        huber_delta: where Huber's loss turns from square to linear.
        balance: binary only: weigh both classes alike, whatever their shares in train.
        auxiliary: weight of each stream's own loss beside the fused one's.
    """

    regression: str = "l1"
    huber_delta: float = 1.0
    balance: bool = False
    auxiliary: float = 0.2


class Objective:
    """Loss and metrics of one task.

    Args:
        task: regression | binary.
        zero_label: drop | positive.
        loss: what is minimised.
        train_label: labels of the train split, for class weights and floors.
    """

    def __init__(self, task: str, zero_label: str, loss: LossConfig, train_label: np.ndarray):
        check_choice("task", task, TASKS)
        check_choice("zero_label", zero_label, ZERO_RULES)
        check_choice("loss.regression", loss.regression, REGRESSION_LOSSES)
        self.task, self.zero_label, self.loss = task, zero_label, loss
        self.train_label = np.asarray(train_label, dtype=np.float64)
        self.class_weight = self._weigh_classes() if loss.balance and task == "binary" else (1.0, 1.0)

    @property
    def drops_zero(self) -> bool:
        """Whether clips labelled 0 are no training examples."""
        return self.task == "binary" and self.zero_label == "drop"

    def counts(self, label: np.ndarray) -> np.ndarray:
        """Which clips [n] are examples of the task: labelled, and not 0 where those are dropped."""
        return ~np.isnan(label) & ~((label == 0) & self.drops_zero)

    @property
    def monitor(self) -> tuple[str, str]:
        """Metric of the valid split that decides which epoch is best, and whether small or large is good."""
        return ("mae", "min") if self.task == "regression" else ("nll", "min")

    def __call__(
        self, prediction: Prediction, label: Float[Tensor, " b"], weight: Float[Tensor, " b"]
    ) -> Tensor:
        """Weighted sum of the clips' losses; with weights 1 / n it is their mean."""
        each = self.each(prediction.score, label)
        own = [self.each(score, label) for score in prediction.by_stream.values()]
        if own:  # also with weight 0: several processes want a gradient for every parameter
            each = each + self.loss.auxiliary * torch.stack(own).mean(dim=0)
        return (each * weight).sum()

    def each(self, score: Float[Tensor, " b"], label: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Loss of each clip's raw score."""
        score = score.float()
        if self.task == "binary":
            positive = (label >= 0 if self.zero_label == "positive" else label > 0).float()
            low, high = self.class_weight
            each = F.binary_cross_entropy_with_logits(score, positive, reduction="none")
            return each * torch.where(positive > 0, high, low)
        if self.loss.regression == "l1":
            return F.l1_loss(score, label, reduction="none")
        if self.loss.regression == "mse":
            return F.mse_loss(score, label, reduction="none")
        return F.huber_loss(score, label, reduction="none", delta=self.loss.huber_delta)

    def _weigh_classes(self) -> tuple[float, float]:
        """Weights that give both classes the same say and leave the mean weight at 1."""
        label = self.train_label[self.train_label != 0] if self.drops_zero else self.train_label
        positive = float((label >= 0).mean())
        if positive in (0.0, 1.0):
            raise UserError(
                "loss.balance needs both classes in train, but there is only one; type loss.balance=false"
            )
        return 0.5 / (1 - positive), 0.5 / positive

    def to_score(self, raw: Tensor) -> Tensor:
        """What is written down: sentiment, or the probability of "positive"."""
        return torch.sigmoid(raw.float()) if self.task == "binary" else raw.float()

    def score(self, table: pd.DataFrame) -> dict[str, float | None]:
        """Metrics of a prediction table (columns label, score), unlabelled clips left out."""
        known = table[table.label.notna()]
        if self.task == "binary":
            return score_binary(known.label, known.score, self.zero_label)
        return score_regression(known.label, known.score)

    def floors(self, label: np.ndarray) -> Mapping[str, dict]:
        """Metrics of predictors that never look at a clip."""
        if self.task == "binary":
            return floors_binary(self.train_label, label, self.zero_label)
        return floors(self.train_label, label)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value outside `choices`."""
    if value not in choices:
        raise UserError(f"{name} is one of {', '.join(choices)}, but got '{value}'; type {name}={choices[0]}")
