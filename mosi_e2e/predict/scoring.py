"""A model asked many things about a few windows, of which each stream is encoded once.

The encoders take nearly all of the time, and what they make of a stream does not depend on the other streams:
so leaving out streams or seconds, and drawing dropout, repeat the fusion alone.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.ao.quantization import quantize_dynamic

from mosi_e2e.data.batch import Batch, collate, drop_stream, pad_stream
from mosi_e2e.data.streams import encoded_name
from mosi_e2e.models.crossmodal import CrossModalTransformer
from mosi_e2e.models.prediction import Prediction
from mosi_e2e.predict.result import REACH
from preprocessing.store import SAMPLE_RATE

SILENCE_S = 4  # of silence that is encoded once


@dataclass(frozen=True)
class Reading:
    """What one model says of W windows.

    Attributes:
        score: [W] in [-3, 3].
        by_stream: [W] per head of the model.
        alone: [W] per stream: the score with that stream alone.
        contribution: [W] per stream: Shapley values.
        effect: per window [seconds]: by how much its score falls without that second.
        draws: [N, W] scores under dropout; N may be 0.
    """

    score: np.ndarray
    by_stream: dict[str, np.ndarray]
    alone: dict[str, np.ndarray]
    contribution: dict[str, np.ndarray]
    effect: list[np.ndarray]
    draws: np.ndarray


class Scorer:
    """One model on one task.

    Args:
        model: in eval mode.
        task: regression | binary.
        streams: that it reads.
    """

    def __init__(self, model: nn.Module, task: str, streams: Sequence[str]):
        self.model, self.task, self.streams = model, task, sorted(streams)
        self.encodes = isinstance(model, CrossModalTransformer)
        self.dropouts = [
            module
            for name, module in model.named_modules()
            if isinstance(module, nn.Dropout) and module.p > 0 and not name.startswith("encoders.")
        ]
        # Which streams each head of the model reads.
        self.heads = getattr(model, "submodels", None) or {name: [name] for name in self.streams}
        self._absent: float | None = None

    def key(self, stream: str) -> str:
        """Under which name a stream is in the batch."""
        return encoded_name(stream) if self.encodes else stream

    def use_int8(self) -> None:
        """Weights and, on the fly, inputs of the encoders' linear layers as 8-bit numbers."""
        for name in ("face", "speech"):
            if name in self.model.encoders:
                quantize_dynamic(self.model.encoders[name].backbone, {nn.Linear}, torch.qint8, inplace=True)
        self._absent = None
        self.__dict__.pop("silence", None)

    @torch.inference_mode()
    def encode(self, example: dict) -> dict:
        """An example whose streams are what the encoders make of them, one window whole and alone.

        A model whose fusion does not take that (`late_fusion`, whose encoders are small) gets it as it is.
        """
        if not self.encodes:
            return example
        streams = {}
        for name in self.streams:
            encoder, rows = self.model.encoders[name], example["streams"][name]
            if not len(rows["values"]):
                empty = np.zeros((0, encoder.width), np.float32)
                streams[self.key(name)] = {"values": empty, "time": np.zeros(0, np.float32)}
                continue
            tokens = encoder(*pad_stream(name, [rows]).values())
            there = ~tokens.is_pad[0]
            streams[self.key(name)] = {
                "values": tokens.values[0, there].float().numpy(),
                "time": tokens.time[0, there].float().numpy(),
            }
        return example | {"streams": streams}

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
        whole = self.model(batch)
        score = self._to_score(whole)
        worth = self._score_coalitions(batch, score)
        return Reading(
            score=score,
            by_stream={name: self._to_score(Prediction(raw, {})) for name, raw in whole.by_stream.items()},
            alone={name: worth[frozenset({name})] for name in self.streams},
            contribution=share_out(worth, self.streams),
            effect=self._hide_seconds(batch, score, seconds),
            draws=self._draw(batch, draws, seed),
        )

    @property
    def absent(self) -> float:
        """The score of a clip with nothing in it; a model has one such score."""
        if self._absent is None:
            empty = {name: {"values": self._no_rows(name), "time": np.zeros(0)} for name in self.streams}
            example = {"index": 0, "clip_id": "", "label": np.nan, "weight": 1.0, "streams": empty}
            with torch.inference_mode():
                self._absent = float(self._to_score(self.model(collate([self.encode(example)])))[0])
        return self._absent

    @cached_property
    def silence(self) -> Tensor:
        """[width] what the speech encoder makes of silence, at some distance from its ends."""
        rows = {"values": np.zeros(SILENCE_S * SAMPLE_RATE, np.float32), "time": np.zeros(1, np.float32)}
        with torch.inference_mode():
            tokens = self.model.encoders["speech"](*pad_stream("speech", [rows]).values()).values[0]
        return tokens[len(tokens) // 4 : -len(tokens) // 4].mean(dim=0)

    def _no_rows(self, stream: str) -> np.ndarray:
        encoder = self.model.encoders[stream]
        return np.zeros((0, len(encoder.mean) if not self.encodes else 1), np.float32)

    def _to_score(self, prediction: Prediction) -> np.ndarray:
        """Raw scores → [-3, 3]; a probability of "positive" becomes a place between the ends."""
        raw = prediction.score.float()
        score = REACH * (2 * raw.sigmoid() - 1) if self.task == "binary" else raw.clamp(-REACH, REACH)
        return score.double().numpy()

    def _score_coalitions(self, batch: Batch, whole: np.ndarray) -> dict[frozenset[str], np.ndarray]:
        """[W] scores with each set of streams alone: 2^n - 1 passes for n streams, the whole one included."""
        worth = {frozenset(): np.full(len(whole), self.absent), frozenset(self.streams): whole}
        for size in range(1, len(self.streams)):
            for kept in itertools.combinations(self.streams, size):
                part = batch
                for name in self.streams:
                    part = part if name in kept else self._leave_out(part, self.key(name))
                worth[frozenset(kept)] = self._to_score(self.model(part))
        return worth

    def _leave_out(self, batch: Batch, key: str) -> Batch:
        """As if no window had the stream; of encoded rows, which say nothing then, one is kept."""
        if not self.encodes:
            return drop_stream(batch, key)
        first = {name: batch[name][:, :1] for name in (key, f"{key}_time", f"{key}_is_pad")}
        return drop_stream(batch | first, key)

    def _hide_seconds(
        self, batch: Batch, whole: np.ndarray, seconds: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Each second of each window is a row of one batch: many small passes cost more than a large one."""
        most = max(len(edges) - 1 for edges in seconds)
        spans = np.zeros((most, len(seconds), 2), np.float32)  # an empty span hides nothing
        for window, edges in enumerate(seconds):
            spans[: len(edges) - 1, window] = np.stack([edges[:-1], edges[1:]], axis=1)
        low, high = torch.from_numpy(spans.reshape(-1, 2)).T[..., None]  # [K * W, 1] each
        score = self._to_score(self.model(self._hide(repeat(batch, most), low, high)))
        effect = whole - score.reshape(most, -1)
        return [effect[: len(edges) - 1, window] for window, edges in enumerate(seconds)]

    def _hide(self, batch: Batch, low: Tensor, high: Tensor) -> Batch:
        """The batch without the rows of [low, high) [B 1] s; the voice is silent then.

        A second without sound is a silent one: its tokens give way to that of silence, since a gap between
        tokens is nothing that a speech encoder ever leaves (`docs/predict.md` has both measured). A stream
        with a single row, as functionals are, has nothing that belongs to a second.
        """
        hidden = dict(batch)
        for name in map(self.key, self.streams):
            time, is_pad = batch[f"{name}_time"], batch[f"{name}_is_pad"]
            is_there = (~is_pad).sum(dim=1, keepdim=True) > 1
            is_hidden = (time >= low) & (time < high) & is_there
            if name == encoded_name("speech"):
                hidden[name] = torch.where(is_hidden[..., None], self.silence, batch[name])
            else:
                hidden[f"{name}_is_pad"] = is_pad | is_hidden
        return hidden

    def _draw(self, batch: Batch, count: int, seed: int) -> np.ndarray:
        if not self.dropouts or not count:
            return np.zeros((0, len(batch["clip_id"])))
        with torch.random.fork_rng(devices=[]), self._dropping():
            torch.manual_seed(seed)
            scores = self._to_score(self.model(repeat(batch, count)))  # every row draws its own
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


def repeat(batch: Batch, count: int) -> Batch:
    """The whole batch `count` times, one after the other."""
    return {
        name: values.repeat(count, *[1] * (values.ndim - 1)) if isinstance(values, Tensor) else values * count
        for name, values in batch.items()
    }


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
            for joined in map(frozenset, itertools.combinations(others, size)):
                parts.append(weight * (worth[joined | {player}] - worth[joined]))
        shares[player] = sum(parts)
    return shares


def cut_seconds(length_s: float) -> np.ndarray:
    """Edges of about a second each; the last lies behind everything.

    >>> cut_seconds(2.6)
    array([0.        , 0.86666667, 1.73333333,        inf])
    """
    edges = np.linspace(0, length_s, max(round(length_s), 1) + 1)
    edges[-1] = np.inf
    return edges


def join_readings(readings: Sequence[Reading]) -> Reading:
    """Readings of one model about windows that follow one another."""

    def join(pick: Callable[[Reading], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([pick(one)[name] for one in readings]) for name in pick(readings[0])}

    return Reading(
        score=np.concatenate([one.score for one in readings]),
        by_stream=join(lambda one: one.by_stream),
        alone=join(lambda one: one.alone),
        contribution=join(lambda one: one.contribution),
        effect=[effect for one in readings for effect in one.effect],
        draws=np.concatenate([one.draws for one in readings], axis=1),
    )


def average_readings(readings: Sequence[Reading]) -> Reading:
    """Readings of several models about the same windows; there are draws of each or of none."""

    def average(pick: Callable[[Reading], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.mean([pick(one)[name] for one in readings], axis=0) for name in pick(readings[0])}

    return Reading(
        score=np.mean([one.score for one in readings], axis=0),
        by_stream=average(lambda one: one.by_stream),
        alone=average(lambda one: one.alone),
        contribution=average(lambda one: one.contribution),
        effect=[np.mean(effects, axis=0) for effects in zip(*(one.effect for one in readings), strict=True)],
        draws=readings[0].draws[:0],
    )
