"""Metrics by plain loops, as their papers define them."""

import math


def f1_by_loop(truth: list[bool], predicted: list[bool]) -> float:
    """Weighted F1, one class after the other, straight from the definition."""
    total = 0.0
    for side in (False, True):
        hits = sum(t == side and p == side for t, p in zip(truth, predicted, strict=True))
        support, claimed = truth.count(side), predicted.count(side)
        if hits:
            precision, recall = hits / claimed, hits / support
            total += support * 2 * precision * recall / (precision + recall)
    return total / len(truth)


def score_by_loop(label: list[float], score: list[float]) -> dict[str, float]:
    """All metrics with plain Python: no numpy, no scikit-learn. Python's `round` is a banker's too."""
    n = len(label)
    pairs = list(zip(label, score, strict=True))
    mean_y, mean_p = sum(label) / n, sum(score) / n
    squares_y = sum((y - mean_y) ** 2 for y in label)
    squares_p = sum((p - mean_p) ** 2 for p in score)
    product = sum((y - mean_y) * (p - mean_p) for y, p in pairs)
    squared_error = sum((y - p) ** 2 for y, p in pairs)

    def agree(limit: int) -> float:
        return (
            sum(round(min(max(y, -limit), limit)) == round(min(max(p, -limit), limit)) for y, p in pairs) / n
        )

    has0 = [y >= 0 for y in label], [p >= 0 for p in score]
    non0 = [y > 0 for y in label if y != 0], [p > 0 for y, p in pairs if y != 0]
    accuracy = [sum(t == p for t, p in zip(*side, strict=True)) / len(side[0]) for side in (has0, non0)]
    return {
        "mae": sum(abs(y - p) for y, p in pairs) / n,
        "rmse": math.sqrt(squared_error / n),
        "r2": 1 - squared_error / squares_y,
        "corr": product / math.sqrt(squares_y * squares_p),
        "ccc": 2 * product / (squares_y + squares_p + n * (mean_y - mean_p) ** 2),
        "acc7": agree(3),
        "acc5": agree(2),
        "acc2_has0": accuracy[0],
        "f1_has0": f1_by_loop(*has0),
        "acc2_non0": accuracy[1],
        "f1_non0": f1_by_loop(*non0),
    }
