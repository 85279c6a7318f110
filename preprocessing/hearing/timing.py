"""When each token was said: a path through the attention of a decoder to the frames of the sound.

Dynamic time warping over the heads that follow the sound, as Whisper's own word times.
"""

import numpy as np
from scipy.ndimage import median_filter


def time_tokens(attention: np.ndarray, width: int) -> np.ndarray:
    """[N + 1] the frame at which each of N tokens begins, and that at which the last one ends.

    Args:
        attention: [heads, N + 1, T] weights of the rows that wrote the tokens and the end.
        width: of the median filter over frames.
    """
    spread = attention.std(axis=1, keepdims=True)
    normed = (attention - attention.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-10)
    if attention.shape[2] > width // 2:
        normed = median_filter(normed, size=(1, 1, width), mode="reflect")
    return find_path(-normed.mean(axis=0))


def find_path(cost: np.ndarray) -> np.ndarray:
    """[N] the first column of each row on the cheapest path through a cost [N, T].

    >>> find_path(np.array([[0.0, 0, 9, 9], [9, 9, 0, 9], [9, 9, 9, 0]])).tolist()
    [0, 2, 3]
    """
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    for column in range(1, columns + 1):
        for row in range(1, rows + 1):
            before = min(total[row - 1, column - 1], total[row - 1, column], total[row, column - 1])
            total[row, column] = cost[row - 1, column - 1] + before
    first = np.zeros(rows, np.int64)
    row, column = rows, columns
    while row and column:
        first[row - 1] = column - 1
        steps = {
            (row - 1, column - 1): total[row - 1, column - 1],
            (row - 1, column): total[row - 1, column],
            (row, column - 1): total[row, column - 1],
        }
        row, column = min(steps, key=lambda step: steps[step])
    return first
