"""Scores of a classifier with any number of classes, by the conventions of `mosi_e2e.scores.metrics`.

- `acc`: share of the clips whose most probable class is the true one.
- `uar`: unweighted average recall, also called balanced accuracy: the mean of the classes' recalls, over the
  classes that occur. The usual score for emotions in speech, since the classes are of unequal size (Schuller
  et al., Interspeech 2009).
- `macro_f1`: the mean of the classes' F1, over the classes that occur or are predicted.
- `nll`: mean negative log-probability of the true class, in nats.
- `recall_<class>`: share of the class's clips that are found; None where it does not occur.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scores = dict[str, float | None]

CLASS_KEYS = ("acc", "uar", "macro_f1", "nll")
RECALL = "recall_"  # before a class's name
SURE = 1e-3  # how far the sum of a clip's probabilities may be from 1
RANDOM_DRAWS = 1000


def list_class_keys(classes: Sequence[str]) -> tuple[str, ...]:
    """All keys of the scores of these classes."""
    return (*CLASS_KEYS, *(f"{RECALL}{name}" for name in classes))


def score_classes(
    label: ArrayLike, probability: ArrayLike, classes: Sequence[str]
) -> dict[str, float | int | None]:
    """All scores of a split.

    Args:
        label: number of each clip's class [n].
        probability: of each class [n, C].
        classes: names [C].

    Returns:
        `n`, and fractions under `list_class_keys`; None where no clip has the class.

    Raises:
        ValueError: shapes that do not fit, an unknown class, probabilities that do not sum to 1.
    """
    label, probability = check_classes(label, probability, len(classes))
    rates = rate_counts(count_classes(label, probability)[None])[0]
    values = [*rates[:3], mean_loss(label, probability), *rates[3:]]
    shown = [None if np.isnan(value) else float(value) for value in values]
    return {"n": int(label.size), **dict(zip(list_class_keys(classes), shown, strict=True))}


def check_classes(
    label: ArrayLike, probability: ArrayLike, n_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Class numbers [n] and probabilities [n, C]; a ValueError says what is wrong with them."""
    label, probability = np.asarray(label), np.asarray(probability, dtype=np.float64)
    if label.ndim != 1 or not label.size or probability.shape != (label.size, n_classes):
        raise ValueError(
            f"label must be [n] and probability [n, {n_classes}]: got {label.shape} and {probability.shape}"
        )
    numbers = label.astype(np.int64)
    if np.any(numbers != label) or numbers.min() < 0 or numbers.max() >= n_classes:
        raise ValueError(f"label must be class numbers from 0 to {n_classes - 1}")
    if not np.all(probability >= 0) or np.abs(probability.sum(axis=1) - 1).max() > SURE:
        raise ValueError("the probabilities of each clip must be at least 0 and sum to 1")
    return numbers, probability


def count_classes(label: NDArray[np.int64], probability: NDArray) -> NDArray[np.int64]:
    """Confusion counts [C, C]: rows are true classes, columns the most probable ones."""
    size = probability.shape[1]
    pairs = label * size + probability.argmax(axis=1)
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


def measure_losses(label: NDArray[np.int64], probability: NDArray) -> NDArray[np.float64]:
    """Negative log-probability of each clip's true class [n]; 0 counts as float64's epsilon."""
    true = probability[np.arange(label.size), label]
    return -np.log(np.clip(true, np.finfo(np.float64).eps, 1.0))


def mean_loss(label: NDArray[np.int64], probability: NDArray) -> float:
    """The mean of `measure_losses`."""
    return float(measure_losses(label, probability).mean())


def rate_counts(counts: NDArray) -> NDArray[np.float64]:
    """Accuracy, UAR, macro F1 and the recall of each class, from confusion counts.

    Args:
        counts: [rows, C, C], weighted or not.

    Returns:
        [rows, 3 + C], NaN where undefined.
    """
    right = np.diagonal(counts, axis1=1, axis2=2).astype(np.float64)  # [rows, C]
    true, predicted = counts.sum(axis=2), counts.sum(axis=1)  # [rows, C]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(true > 0, right / true, np.nan)
        f1 = np.where(true + predicted > 0, 2 * right / (true + predicted), np.nan)
        means = [right.sum(axis=1) / true.sum(axis=1), average(recall), average(f1)]
    return np.concatenate([np.stack(means, axis=1), recall], axis=1)


def average(values: NDArray) -> NDArray[np.float64]:
    """Mean of each row over what is not NaN; NaN where nothing is left."""
    is_there = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(is_there, values, 0.0).sum(axis=1) / is_there.sum(axis=1)


def floor_classes(
    train_label: ArrayLike, label: ArrayLike, classes: Sequence[str], seed: int = 0
) -> dict[str, dict[str, float | int | None]]:
    """Scores of predictors that never look at a clip.

    - `majority`: the most frequent class of train; its probabilities are the shares of the classes there.
    - `random`: classes drawn by their shares in train: the mean of each score over 1,000 draws. It states no
      probability, so it has no `nll`.

    Args:
        train_label: class numbers of the train split [m].
        label: those of the split that is scored [n].
        classes: names [C].
        seed: of the draws.
    """
    share = np.bincount(np.asarray(train_label, dtype=np.int64), minlength=len(classes)) / len(train_label)
    label = np.asarray(label, dtype=np.int64)
    majority = score_classes(label, np.tile(share, (label.size, 1)), classes)
    support = np.bincount(label, minlength=len(classes))
    drawn = np.random.default_rng(seed)
    # The draws of one class's clips are multinomial: clips need not be drawn one by one.
    counts = np.stack([drawn.multinomial(size, share, size=RANDOM_DRAWS) for size in support], axis=1)
    acc, uar, macro_f1, *recall = rate_counts(counts).mean(axis=0).tolist()
    keys = list_class_keys(classes)
    values = [None if np.isnan(value) else value for value in (acc, uar, macro_f1, np.nan, *recall)]
    return {
        "majority": majority,
        "random": {"n": int(label.size), **dict(zip(keys, values, strict=True))},
    }
