"""A model asked many things about a few windows, of which each stream is encoded once.

The encoders take nearly all of the time, and what they make of a stream does not depend on the other streams:
so leaving out streams or seconds, and drawing dropout, repeat the fusion alone.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import torch
from torch import Tensor, nn
from torch.ao.quantization import quantize_dynamic

from mosi_e2e.data.batch import Batch, collate, drop_stream
from mosi_e2e.data.encoded import Rows, encode_rows
from mosi_e2e.data.streams import encoded_name, find_stream
from mosi_e2e.models import list_readers
from mosi_e2e.predict.leave_out import leave_out_words
from mosi_e2e.predict.muting import SILENCE_S, encode_silence, find_loudest, leave_out_seconds, stack_muted
from mosi_e2e.predict.reading import Reading
from mosi_e2e.predict.result import REACH
from preprocessing.config import SAMPLE_RATE


class Scorer:
    """One model on one task.

    Args:
        model: in eval mode.
        task: regression | binary; of classes only `encode` is used (`predict.classes`).
        streams: that it reads.
    """

    def __init__(self, model: nn.Module, task: str, streams: Sequence[str]):
        self.model, self.task, self.streams = model, task, sorted(streams)
        self.encodes = model.takes_encoded
        self.dropouts = [
            module
            for name, module in model.named_modules()
            if isinstance(module, nn.Dropout) and module.p > 0 and not name.startswith("encoders.")
        ]
        # Which streams each head of the model reads.
        self.heads = getattr(model, "submodels", None) or {name: [name] for name in self.streams}
        self.readers = list_readers(model)
        self._absent: float | None = None

    def key(self, stream: str) -> str:
        """Under which name a stream is in the batch."""
        return encoded_name(stream) if self.encodes else stream

    def use_int8(self) -> None:
        """Weights and, on the fly, inputs of the encoders' linear layers as 8-bit numbers."""
        for name, encoder in self.model.encoders.items():
            if getattr(getattr(encoder, "config", None), "adapter_rank", 0):
                from mosi_e2e.models.encoders.adapters import merge_adapters  # here: peft takes a second

                merge_adapters(encoder.backbone)
            if find_stream(name).pretrained:
                quantize_dynamic(encoder.backbone, {nn.Linear}, torch.qint8, inplace=True)
        self._absent = None

    @torch.inference_mode()
    def hear_silence(self, waveform: np.ndarray) -> np.ndarray | None:
        """[width] the voice's tokens in a pause of a recording [S] int16; None without a voice."""
        if not self.encodes or "speech" not in self.streams or not len(waveform):
            return None
        loudest = find_loudest(waveform, round(SILENCE_S * SAMPLE_RATE))
        return encode_silence(self.model.encoders["speech"], loudest.astype(np.float32) / 32768)

    @torch.inference_mode()
    def encode(self, example: dict, edges: Sequence[float] = (), quiet: np.ndarray | None = None) -> dict:
        """An example whose streams are what the encoders make of them, one window whole and alone.

        A model whose fusion does not take that (`late_fusion`, whose encoders are small) gets it as it is.

        Args:
            example: a window.
            edges: [K + 1] of its seconds, on its own clock; needed by `read`.
            quiet: from `hear_silence`; None lets the speech encoder hear the window again for each second.

        Returns:
            The example with encoded streams and, where the voice is one of them, `muted` [K, T, width]: the
            voice without each second.
        """
        rows = {name: self._read_words(name, one) for name, one in example["streams"].items()}
        if not self.encodes:
            return example | {"streams": rows}
        streams = {name: self._encode_stream(name, rows[name]) for name in self.streams}
        encoded = example | {"streams": {self.key(name): tokens for name, tokens in streams.items()}}
        if "speech" in streams and len(edges):
            encoder, sound = self.model.encoders["speech"], rows["speech"]["values"]
            encoded["muted"] = leave_out_seconds(encoder, sound, streams["speech"], edges, quiet)
        return encoded

    def _read_words(self, name: str, rows: Rows) -> Rows:
        """A stream's rows; words as the numbers that their encoder takes."""
        return self.readers[name](rows) if name in self.readers else rows

    def _encode_stream(self, name: str, rows: Rows) -> Rows:
        encoder = self.model.encoders[name]
        if not len(rows["values"]):
            return {"values": np.zeros((0, encoder.width), np.float32), "time": np.zeros(0, np.float32)}
        return encode_rows(encoder, name, rows)

    def ask(
        self, example: dict, silence: np.ndarray | None, seconds: np.ndarray, draws: int, seed: int
    ) -> Reading:
        """Everything that the model says of one window, with what each word adds to its score.

        Args:
            example: the window as it was cut.
            silence: from `hear_silence`.
            seconds: [K + 1] edges of its seconds, on its own clock.
            draws: of dropout.
            seed: of them.
        """
        encoded = self.encode(example, seconds, silence)
        reading = self.read([encoded], [seconds], draws, seed)
        if "words" not in self.streams:
            return reading
        return replace(reading, words=[leave_out_words(self, example, encoded)])

    @torch.inference_mode()
    def read(self, examples: Sequence[dict], seconds: Sequence[np.ndarray], draws: int, seed: int) -> Reading:
        """Ask everything about some windows.

        Args:
            examples: from `encode`.
            seconds: per window the edges [K + 1] of its seconds, on the window's clock.
            draws: of dropout.
            seed: of them.
        """
        batch = collate(examples)
        sets = list_sets(self.streams)
        low, high = lay_spans(seconds)  # [K * W, 1] each
        hidden = self._hide(repeat(batch, len(low) // len(examples)), low, high) | stack_muted(examples)
        # One batch of everything: many small passes cost twice as much.
        answer = self.model(join([self._keep(batch, kept) for kept in sets] + [hidden]))
        score = self.to_score(answer.score).reshape(-1, len(examples))  # [sets + K, W], the whole first
        worth = dict(zip(sets, score, strict=False)) | {frozenset(): np.full(len(examples), self.absent)}
        effect = score[0] - score[len(sets) :]  # [K, W]
        return Reading(
            score=score[0],
            by_stream={name: self.to_score(raw[: len(examples)]) for name, raw in answer.by_stream.items()},
            alone={name: worth[frozenset({name})] for name in self.streams},
            contribution=share_out(worth, self.streams),
            effect=[effect[: len(edges) - 1, window] for window, edges in enumerate(seconds)],
            draws=self._draw(batch, draws, seed),
        )

    @property
    def absent(self) -> float:
        """The score of a clip with nothing in it; a model has one such score."""
        if self._absent is None:
            empty = {name: {"values": self._no_rows(name), "time": np.zeros(0)} for name in self.streams}
            example = {"index": 0, "clip_id": "", "label": np.nan, "weight": 1.0, "streams": empty}
            with torch.inference_mode():
                self._absent = float(self.to_score(self.model(collate([self.encode(example)])).score)[0])
        return self._absent

    def _no_rows(self, stream: str) -> np.ndarray:
        if stream in self.readers:
            return np.zeros((0, 1), np.uint8)
        encoder = self.model.encoders[stream]
        return np.zeros((0, len(encoder.mean) if not self.encodes else 1), np.float32)

    def to_score(self, raw: Tensor) -> np.ndarray:
        """Raw scores → [-3, 3]; a probability of "positive" becomes a place between the ends."""
        raw = raw.float()
        score = REACH * (2 * raw.sigmoid() - 1) if self.task == "binary" else raw.clamp(-REACH, REACH)
        return score.double().numpy()

    def _keep(self, batch: Batch, kept: frozenset[str]) -> Batch:
        """As if no window had any other stream."""
        for name in self.streams:
            batch = batch if name in kept else drop_stream(batch, self.key(name))
        return batch

    def _hide(self, batch: Batch, low: Tensor, high: Tensor) -> Batch:
        """The batch without the rows of [low, high) [B 1] s, those of the voice excepted (`stack_muted`).

        A stream with a single row, as functionals are, has nothing that belongs to a second.
        """
        hidden = dict(batch)
        for name in map(self.key, self.streams):
            if name == encoded_name("speech"):
                continue
            time, is_pad = batch[f"{name}_time"], batch[f"{name}_is_pad"]
            is_there = (~is_pad).sum(dim=1, keepdim=True) > 1
            hidden[f"{name}_is_pad"] = is_pad | (time >= low) & (time < high) & is_there
        return hidden

    def _draw(self, batch: Batch, count: int, seed: int) -> np.ndarray:
        if not self.dropouts or not count:
            return np.zeros((0, len(batch["clip_id"])))
        with torch.random.fork_rng(devices=[]), self._dropping():
            torch.manual_seed(seed)
            scores = self.to_score(self.model(repeat(batch, count)).score)  # every row draws its own
        return scores.reshape(count, -1)

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        """Dropout of the fusion and the head as in training; the encoders stay still."""
        for module in self.dropouts:
            module.train()
        try:
            yield
        finally:
            for module in self.dropouts:
                module.eval()


def join(batches: Sequence[Batch]) -> Batch:
    """Batches of the same lengths, one after the other."""
    joined = {}
    for name, first in batches[0].items():
        parts = [batch[name] for batch in batches]
        joined[name] = torch.cat(parts) if isinstance(first, Tensor) else list(chain(*parts))
    return joined


def repeat(batch: Batch, count: int) -> Batch:
    """The whole batch `count` times, one after the other."""
    return join([batch] * count)


def list_sets(players: Sequence[str]) -> list[frozenset[str]]:
    """Every set but the empty one, that of all first.

    >>> [sorted(one) for one in list_sets("ab")]
    [['a', 'b'], ['a'], ['b']]
    """
    sizes = range(len(players), 0, -1)
    return [frozenset(kept) for size in sizes for kept in combinations(players, size)]


def lay_spans(seconds: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Edges [K + 1] of W windows' seconds → where each starts and ends, [K * W, 1]: all first seconds first.

    K is that of the longest window; a window with fewer seconds gets empty spans, which hide nothing.
    """
    most = max(len(edges) - 1 for edges in seconds)
    spans = np.zeros((most, len(seconds), 2), np.float32)
    for window, edges in enumerate(seconds):
        spans[: len(edges) - 1, window] = np.stack([edges[:-1], edges[1:]], axis=1)
    low, high = torch.from_numpy(spans.reshape(-1, 2)).T[..., None]
    return low, high


def share_out(worth: dict[frozenset[str], np.ndarray], players: Sequence[str]) -> dict[str, np.ndarray]:
    """Shapley values (Shapley 1953): what each adds, on average over all orders in which they may join.

    Args:
        worth: of every set of players, the empty one included.
        players: all of them.

    >>> worth = {frozenset(): 0.0, frozenset("a"): 1.0, frozenset("b"): 3.0, frozenset("ab"): 6.0}
    >>> share_out(worth, "ab")
    {'a': 2.0, 'b': 4.0}
    """
    count = len(players)
    shares = {}
    for player in players:
        others = [name for name in players if name != player]
        parts = []
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for joined in map(frozenset, combinations(others, size)):
                parts.append(weight * (worth[joined | {player}] - worth[joined]))
        shares[player] = sum(parts)
    return shares


def cut_seconds(length_s: float) -> np.ndarray:
    """Edges at most a second apart; the last lies behind everything.

    >>> cut_seconds(2.6)
    array([0.        , 0.86666667, 1.73333333,        inf])
    """
    edges = np.linspace(0, length_s, max(math.ceil(length_s - 1e-6), 1) + 1)
    edges[-1] = np.inf
    return edges
