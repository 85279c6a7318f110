"""Face crops as the cache holds them: JPEGs one behind the other."""

from itertools import pairwise

import numpy as np


def split_crops(jpeg: np.ndarray, offset: np.ndarray) -> list[np.ndarray]:
    """[bytes] uint8 per crop; empty where there is no face."""
    return [jpeg[start:end] for start, end in pairwise(offset)]
