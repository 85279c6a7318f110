"""The task: what is predicted, what is learned from, how it is scored."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mosi_e2e.config import REGRESSION_LOSSES, TASKS, ZERO_RULES, LossConfig
from mosi_e2e.models.prediction import Prediction
from mosi_e2e.scores.metrics import score_binary, score_regression
from mosi_e2e.scores.statistics import floors, floors_binary
from preprocessing.errors import UserError
from preprocessing.settings import check_choice

CUT_POINTS = (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)  # between the seven classes of sentiment


class Objective:
    """Loss and metrics of one task; those of `classes` are in `class_loss.py`.

    Args:
        task: regression | binary.
        zero_label: drop | positive.
        loss: what is minimised.
        train_label: labels of the train split, for class weights and floors.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, task: str, zero_label: str, loss: LossConfig, train_label: np.ndarray):
        check_choice("task", task, TASKS)
        check_choice("zero_label", zero_label, ZERO_RULES)
        check_choice("loss.regression", loss.regression, REGRESSION_LOSSES)
        self.task, self.zero_label, self.loss = task, zero_label, loss
        self.train_label = np.asarray(train_label, dtype=np.float64)
        balanced = loss.balance and task != "regression"
        self.class_weight: tuple[float, ...] = self._weigh_classes() if balanced else (1.0, 1.0)

    @property
    def n_outputs(self) -> int:
        """Numbers that the model gives for a clip."""
        return 1

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
        self,
        prediction: Prediction,
        label: Float[Tensor, " b"],
        weight: Float[Tensor, " b"],
        spread: bool = False,
    ) -> Tensor:
        """Weighted sum of the clips' losses; with weights 1 / n it is their mean.

        Args:
            prediction, label: of the clips at hand.
            weight: of each clip; over the whole update they sum to 1.
            spread: whether other processes hold the rest of the update: then this is its part of the loss.
        """
        each = self.each(prediction.score, label)
        own = [self.each(score, label) for score in prediction.by_stream.values()]
        if own:  # also with weight 0: several processes want a gradient for every parameter
            each = each + self.loss.auxiliary * torch.stack(own).mean(dim=0)
        loss = (each * weight).sum()
        if self.loss.ccc:
            loss = loss + self.loss.ccc * concordance_loss(prediction.score.float(), label, weight, spread)
        return loss

    def each(self, score: Float[Tensor, " b"], label: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Loss of each clip's raw score."""
        score = score.float()
        if self.task == "binary":
            positive = (label >= 0 if self.zero_label == "positive" else label > 0).float()
            low, high = self.class_weight
            each = F.binary_cross_entropy_with_logits(score, positive, reduction="none")
            return each * torch.where(positive > 0, high, low)
        each = self._each_distance(score, label)
        return each + self.loss.ordinal * ordinal_loss(score, label) if self.loss.ordinal else each

    def _each_distance(self, score: Float[Tensor, " b"], label: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        if self.loss.regression == "l1":
            return F.l1_loss(score, label, reduction="none")
        if self.loss.regression == "mse":
            return F.mse_loss(score, label, reduction="none")
        return F.huber_loss(score, label, reduction="none", delta=self.loss.huber_delta)

    def _weigh_classes(self) -> tuple[float, ...]:
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

    def tabulate(self, clips: pd.DataFrame, raw: Tensor, streams: Sequence[str]) -> pd.DataFrame:
        """The prediction table of clips.

        Args:
            clips: with clip_id, video_id, label (NaN = unlabelled) [N].
            raw: scores of the model and of each stream alone [N, 1 + S] (of classes [N, 1 + S, C]).
            streams: names of these streams.
        """
        table = clips[["clip_id", "video_id", "label"]].copy()
        for column, name in enumerate(("score", *streams)):
            table[name] = self.to_score(raw[:, column]).numpy()
        return table

    def read(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Labels and scores of a table's labelled clips, as `mosi_e2e.scores.statistics` takes them."""
        known = table[table.label.notna()]
        return known.label.to_numpy(), known.score.to_numpy()

    def score_stream(self, table: pd.DataFrame, stream: str) -> dict[str, float | None]:
        """Metrics of what one stream predicts alone."""
        return self.score(table.assign(score=table[stream]))

    def describe(self, table: pd.DataFrame) -> dict:
        """What `metrics_<split>.json` says beside metrics, intervals and floors."""
        del table
        return {}

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


def build_objective(
    task: str, zero_label: str, loss: LossConfig, train_label: np.ndarray, classes: Sequence[str] = ()
) -> Objective:
    """The objective of a task; arguments as of `Objective`, and the names of classes."""
    if task == "classes":
        from mosi_e2e.engine.class_loss import ClassObjective  # which is an `Objective`

        return ClassObjective(loss, train_label, classes)
    return Objective(task, zero_label, loss, train_label)


def ordinal_loss(score: Float[Tensor, " b"], label: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Mean log loss of "the label lies above this cut point", over the cut points between the classes.

    The score is the proportional-odds model's location on the labels' own scale, with unit slope (McCullagh,
    JRSS B 1980, section 2).
    """
    cut = torch.tensor(CUT_POINTS, device=score.device)
    above = (label[:, None] > cut).float()  # [b cuts]
    return F.binary_cross_entropy_with_logits(score[:, None] - cut, above, reduction="none").mean(dim=1)


def concordance_loss(
    score: Float[Tensor, " b"], label: Float[Tensor, " b"], weight: Float[Tensor, " b"], spread: bool = False
) -> Tensor:
    """1 - concordance correlation (Lin, Biometrics 1989) of the clips, each counted by its weight.

    Where an update is spread over processes, its moments are summed over them: every process has the gradient
    of the whole with respect to its own clips, and the value divided by the number of processes, so that the
    parts add up to the loss.
    """
    parts = [weight * score, weight * label, weight * score**2, weight * label**2, weight * score * label]
    moments = torch.stack(parts).sum(dim=1)  # [5]
    world = dist.get_world_size() if spread and dist.is_initialized() else 1
    if world > 1:
        whole = moments.detach().clone()
        dist.all_reduce(whole)
        moments = moments + (whole - moments.detach())
    mean, mean_label, square, square_label, product = moments
    agreement = 2 * (product - mean * mean_label)
    variances = square - mean**2 + square_label - mean_label**2
    loss = 1 - agreement / (variances + (mean - mean_label) ** 2 + 1e-6)
    return loss - loss.detach() * (1 - 1 / world)
