"""Where a long video is cut: into stretches like the clips that the model was trained on.

Each stretch is about as long as a training clip and begins and ends where it is quiet, as an utterance does.
There is no threshold that a noisy room or a distant microphone could defeat: of all ways to cut, the one with
the least sound at the cuts and the lengths nearest to the training clips' is taken (dynamic programming).
"""

from itertools import pairwise

import numpy as np

from preprocessing.config import SAMPLE_RATE

GRID_S = 0.1  # cuts lie on whole tenths
SMOOTH_S = 0.3  # over which loudness is taken: longer than a stop consonant, shorter than a pause
TYPICAL = (1.5, 4.0, 9.5)  # seconds; MOSI's clips, for models that do not know their own
LENGTH_WEIGHT = 0.5  # what a doubled or halved length costs, where the loudest place costs 1


def choose_cuts(
    waveform: np.ndarray, duration_s: float, lengths_s: tuple[float, float, float]
) -> list[tuple[float, float]]:
    """Stretches (start, end) in seconds that cover the video without gap or overlap.

    Args:
        waveform: [S] int16, 16 kHz; may be empty, then all stretches are equally long.
        duration_s: of the video.
        lengths_s: shortest, usual and longest stretch. A video no longer than the longest is one stretch, as
            it would have been in training.
    """
    shortest, usual, longest = lengths_s
    count = round(duration_s / GRID_S)
    if duration_s <= longest or count < 2:
        return [(0.0, duration_s)]
    low, high = max(round(shortest / GRID_S), 1), max(round(longest / GRID_S), 2)
    low = min(low, high // 2)  # then every length above `low` can be made up
    sizes = np.arange(low, high + 1)
    cost_of_size = LENGTH_WEIGHT * np.log2(sizes * GRID_S / usual) ** 2
    loud = measure_cuts(waveform, count)
    best = np.full(count + 1, np.inf)  # cost of the cheapest way to cut up to here
    came_from = np.zeros(count + 1, dtype=np.int64)
    best[0] = 0.0
    for end in range(low, count + 1):
        starts = end - sizes[sizes <= end]
        cost = best[starts] + cost_of_size[: len(starts)]
        choice = int(cost.argmin())
        best[end], came_from[end] = cost[choice] + (loud[end] if end < count else 0.0), starts[choice]
    edges = [count]
    while edges[-1]:
        edges.append(int(came_from[edges[-1]]))
    seconds = [edge * GRID_S for edge in reversed(edges)]
    seconds[-1] = duration_s
    return [(float(a), float(b)) for a, b in pairwise(seconds)]


def measure_cuts(waveform: np.ndarray, count: int) -> np.ndarray:
    """[count + 1] how loud it is around each place on the grid: 0 the quietest, 1 the loudest tenth."""
    hop = round(GRID_S * SAMPLE_RATE)
    power = np.zeros(count + 1)
    for place in range(min(len(waveform) // hop, count)):  # piece by piece: memory
        piece = waveform[place * hop : (place + 1) * hop].astype(np.float32)
        power[place] = piece @ piece / hop
    width = round(SMOOTH_S / GRID_S) + 1  # even: a place on the grid lies between two pieces
    around = np.convolve(np.pad(power, (width // 2, width // 2 - 1), mode="edge"), np.ones(width), "valid")
    level = 10 * np.log10(around / width + 1.0)  # dB; 1 = one step of int16
    quiet, noisy = np.percentile(level, (1, 90))
    return np.clip((level - quiet) / (noisy - quiet), 0, 1) if noisy > quiet else np.zeros(count + 1)
