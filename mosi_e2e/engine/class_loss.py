"""The task `classes`: one of several named classes, learned by cross-entropy."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mosi_e2e.config import LossConfig
from mosi_e2e.engine.losses import Objective
from mosi_e2e.scores.class_metrics import count_classes, floor_classes, score_classes
from mosi_e2e.scores.class_predictions import PREDICTED, name_probabilities, read_class_table
from preprocessing.errors import UserError

FEWEST = 2


class ClassObjective(Objective):
    """Loss and metrics of the task `classes`.

    Args:
        loss: what is minimised; of it `balance`, `auxiliary` and `smoothing`.
        train_label: class numbers of the train split, for class weights and floors.
        classes: names, in the order of their numbers.

    Raises:
        UserError: fewer than two classes, or settings of other tasks.
    """

    def __init__(self, loss: LossConfig, train_label: np.ndarray, classes: Sequence[str]):
        if len(classes) < FEWEST:
            raise UserError(
                f"task=classes needs at least two classes in train; found {', '.join(classes) or 'none'}"
            )
        self.classes = tuple(classes)
        super().__init__("classes", "drop", loss, train_label)

    @property
    def n_outputs(self) -> int:
        """Numbers that the model gives for a clip: a logit of each class."""
        return len(self.classes)

    @property
    def drops_zero(self) -> bool:
        """No label is between the classes."""
        return False

    @property
    def monitor(self) -> tuple[str, str]:
        """UAR: accuracy favours the largest class, and the loss grows while classes are still learned."""
        return "uar", "max"

    def each(self, score: Float[Tensor, "b c"], label: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Cross-entropy of each clip's logits, by the weight of its class."""
        number = label.long()
        each = F.cross_entropy(score.float(), number, reduction="none", label_smoothing=self.loss.smoothing)
        if not self.loss.balance:
            return each
        return each * torch.tensor(self.class_weight, device=each.device)[number]

    def _weigh_classes(self) -> tuple[float, ...]:
        """Weights that give all classes the same say and leave the mean weight at 1."""
        counts = np.bincount(self.train_label.astype(np.int64), minlength=len(self.classes))
        return tuple((self.train_label.size / (len(self.classes) * np.maximum(counts, 1))).tolist())

    def to_score(self, raw: Tensor) -> Tensor:
        """Probabilities."""
        return raw.float().softmax(dim=-1)

    def tabulate(self, clips: pd.DataFrame, raw: Tensor, streams: Sequence[str]) -> pd.DataFrame:
        """As `Objective.tabulate`: names of the true and the predicted class, and all probabilities.

        The column of a stream names the class that it predicts alone.
        """
        names = np.array(self.classes, dtype=object)
        known = clips.label.notna().to_numpy()
        label = np.full(len(clips), "", dtype=object)
        label[known] = names[clips.label.to_numpy()[known].astype(np.int64)]
        probability = self.to_score(raw[:, 0]).numpy()  # [N, C]
        table = clips[["clip_id", "video_id"]].assign(
            label=np.where(known, label, None), **{PREDICTED: names[probability.argmax(axis=1)]}
        )
        for column, values in zip(name_probabilities(self.classes), probability.T, strict=True):
            table[column] = values
        for number, stream in enumerate(streams, start=1):
            table[stream] = names[raw[:, number].argmax(dim=-1).numpy()]
        return table

    def read(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Class numbers [n] and probabilities [n, C] of a table's labelled clips."""
        return read_class_table(table[table.label.notna()], self.classes)

    def score(self, table: pd.DataFrame) -> dict[str, float | None]:
        """Metrics of a prediction table, unlabelled clips left out."""
        return score_classes(*self.read(table), self.classes)

    def score_stream(self, table: pd.DataFrame, stream: str) -> dict[str, float | None]:
        """Metrics of the classes that one stream predicts alone; it states no probabilities, so no `nll`."""
        known = table[table.label.notna()]
        number = {name: place for place, name in enumerate(self.classes)}
        chosen = np.eye(len(self.classes))[known[stream].map(number).to_numpy()]
        return score_classes(self.read(known)[0], chosen, self.classes) | {"nll": None}

    def floors(self, label: np.ndarray) -> Mapping[str, dict]:
        """Metrics of predictors that never look at a clip."""
        return floor_classes(self.train_label, label, self.classes)

    def describe(self, table: pd.DataFrame) -> dict:
        """The confusion counts, rows true and columns predicted classes."""
        return {"classes": list(self.classes), "confusion": count_classes(*self.read(table)).tolist()}
