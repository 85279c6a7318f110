"""A window's voice without each of its seconds, as the speech encoder has it.

A second without sound is a silent one: a gap between tokens is nothing that a speech encoder ever leaves.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from torch import nn

from mosi_e2e.data.batch import Batch, pad_stream
from mosi_e2e.data.encoded import Rows, encode_rows
from mosi_e2e.data.streams import encoded_name
from preprocessing.config import SAMPLE_RATE

SILENCE_S = 1.0  # that is encoded for a recording, behind as much of its sound


def leave_out_seconds(
    encoder: nn.Module, sound: np.ndarray, tokens: Rows, edges: np.ndarray, quiet: np.ndarray | None
) -> np.ndarray:
    """The voice's tokens without each second in turn.

    Args:
        encoder: of speech.
        sound: [S] of the window.
        tokens: what the encoder makes of it.
        edges: [K + 1] of the seconds, on the window's clock.
        quiet: [width] of `encode_silence`, to which the second's tokens give way: what the encoder has
            carried from that second into other tokens stays. None: mute the sound and encode all of it
            again, K passes.

    Returns:
        [K, T, width]
    """
    if not len(tokens["values"]):
        return np.zeros((len(edges) - 1, *tokens["values"].shape), np.float32)
    return np.stack(list(_mute(encoder, sound, edges) if quiet is None else _hush(tokens, edges, quiet)))


def _hush(tokens: Rows, edges: np.ndarray, quiet: np.ndarray) -> Iterator[np.ndarray]:
    for start, end in pairwise(edges):
        inside = (tokens["time"] >= start) & (tokens["time"] < end)
        yield np.where(inside[:, None], quiet, tokens["values"])


def _mute(encoder: nn.Module, sound: np.ndarray, edges: np.ndarray) -> Iterator[np.ndarray]:
    time = np.arange(len(sound)) / SAMPLE_RATE
    for start, end in pairwise(edges):  # one by one: memory
        muted = np.where((time >= start) & (time < end), np.float32(0), sound)
        yield encode_rows(encoder, "speech", {"values": muted, "time": np.zeros(1, np.float32)})["values"]


def stack_muted(examples: Sequence[dict]) -> Batch:
    """The voice of W windows without each second, [K * W, T, width]: all without their first seconds first.

    K is that of the longest window; of a window with fewer seconds the rest is whole.
    """
    if "muted" not in examples[0]:
        return {}
    key = encoded_name("speech")
    rows = []
    for second in range(max(len(one["muted"]) for one in examples)):
        for one in examples:
            whole = one["streams"][key]
            rows.append(whole | {"values": one["muted"][second]} if second < len(one["muted"]) else whole)
    return {key: pad_stream(key, rows)[key]}


def encode_silence(encoder: nn.Module, sound: np.ndarray) -> np.ndarray:
    """[width] what the speech encoder makes of silence behind sound [S], float32.

    Silence alone is not enough: many encoders standardise what they get by all of it, and nothing but
    zeros then comes out as unlike a pause as can be.
    """
    silence = np.zeros(round(SILENCE_S * SAMPLE_RATE), np.float32)
    rows = {"values": np.concatenate([sound, silence]), "time": np.zeros(1, np.float32)}
    tokens = encode_rows(encoder, "speech", rows)
    place = (tokens["time"] - len(sound) / SAMPLE_RATE) / SILENCE_S  # in the silence, 0 to 1
    return tokens["values"][(place > 0.25) & (place < 0.75)].mean(axis=0)


def find_loudest(sound: np.ndarray, size: int) -> np.ndarray:
    """The loudest of the pieces of `size` samples that a waveform [S] is cut into; all of a shorter one."""
    if len(sound) <= size:
        return sound
    pieces = sound[: len(sound) // size * size].reshape(-1, size)
    power = [np.square(piece, dtype=np.float64).sum() for piece in pieces]  # one by one: memory
    return pieces[int(np.argmax(power))]
