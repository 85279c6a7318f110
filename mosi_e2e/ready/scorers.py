"""The streams' models asked about a window, and what is combined of their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from mosi_e2e.data.batch import collate
from mosi_e2e.predict.reading import Reading
from mosi_e2e.predict.scoring import Scorer
from mosi_e2e.ready.combining import ABSENT, StreamFacts, combine, score_classes, share_weights


class ValenceScorer(Scorer):
    """A model of classes, asked for the sentiment that they mean.

    Args:
        model, streams: as of `Scorer`.
        classes: names, in the order of the model's logits.
        facts: with the sentiment of each class.
    """

    def __init__(self, model: nn.Module, streams: Sequence[str], classes: Sequence[str], facts: StreamFacts):
        super().__init__(model, "classes", streams)
        self.classes, self.facts = list(classes), facts

    def to_score(self, raw: Tensor) -> np.ndarray:
        """Logits [N, C] → sentiment [N]."""
        probability = raw.double().softmax(-1).numpy()
        return score_classes(probability, self.classes, self.facts.valence, self.facts.weight)


class PictureScorer(ValenceScorer):
    """A model that learned from single pictures: it sees a window's pictures one by one."""

    @torch.inference_mode()
    def ask(
        self, example: dict, silence: np.ndarray | None, seconds: np.ndarray, draws: int, seed: int
    ) -> Reading:
        """As `Scorer.ask`: the mean over the pictures, with and without those of each second."""
        del silence, draws, seed
        (name,) = self.streams
        rows = example["streams"][name]
        if self.facts.grey:
            rows = rows | {"values": take_colour(rows["values"])}
        encoded = self.encode(example | {"streams": {name: rows}})
        key = self.key(name)
        rows = encoded["streams"][key]
        single = [
            encoded | {"streams": {key: {name: values[n : n + 1] for name, values in rows.items()}}}
            for n in range(len(rows["time"]))
        ]
        scores = self.to_score(self.model(collate(single)).score)
        score, place = scores.mean(), np.searchsorted(seconds, rows["time"], side="right") - 1
        effect = np.zeros(len(seconds) - 1)
        for number in range(len(effect)):
            rest = scores[place != number]
            effect[number] = score - rest.mean() if len(rest) else 0.0
        return make_reading({name: float(score)}, float(score), effect)


def take_colour(pictures: np.ndarray) -> np.ndarray:
    """Pictures [T, H, W, 3] uint8 RGB without colour, in three equal channels (weights of BT.601)."""
    grey = np.round(pictures @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


class ReadyScorer:
    """Several models, one for each stream, that answer as one (`predict.scoring.Scorer`).

    Args:
        parts: by stream.
        facts: how they are combined.
    """

    absent = ABSENT

    def __init__(self, parts: Mapping[str, Scorer], facts: Mapping[str, StreamFacts]):
        self.parts, self.facts = dict(parts), dict(facts)
        self.streams = sorted(self.parts)
        self.heads = {name: [name] for name in self.streams}
        self.task = "regression"

    def use_int8(self) -> None:
        """As `Scorer.use_int8`."""
        for part in self.parts.values():
            part.use_int8()

    def hear_silence(self, waveform: np.ndarray) -> np.ndarray | None:
        """As `Scorer.hear_silence`, of the voice's model."""
        return self.parts["speech"].hear_silence(waveform) if "speech" in self.parts else None

    def ask(
        self, example: dict, silence: np.ndarray | None, seconds: np.ndarray, draws: int, seed: int
    ) -> Reading:
        """As `Scorer.ask`; streams that the window lacks have no say, and no dropout is drawn."""
        del draws, seed
        streams = {name: rows for name, rows in example["streams"].items() if len(rows["values"])}
        read = {
            name: self.parts[name].ask(example | {"streams": {name: rows}}, silence, seconds, 0, 0)
            for name, rows in streams.items()
        }
        scores = {name: float(one.score[0]) for name, one in read.items()}
        weights = share_weights({name: self.facts[name] for name in scores})
        shares = {name: weights.get(name, 0.0) * scores.get(name, ABSENT) for name in self.streams}
        effect = sum(weights[name] * one.effect[0] for name, one in read.items())
        reading = make_reading(scores, combine(scores, self.facts), effect)
        words = read["words"].words if "words" in read else [np.zeros(0)]
        return replace(
            reading,
            by_stream={name: np.array([scores.get(name, ABSENT)]) for name in self.streams},
            alone={name: np.array([scores.get(name, ABSENT)]) for name in self.streams},
            contribution={name: np.array([share]) for name, share in shares.items()},
            words=[weights.get("words", 0.0) * effects for effects in words],
        )


def make_reading(scores: Mapping[str, float], score: float, effect: np.ndarray) -> Reading:
    """The reading of one window by its streams' scores; what is not given is empty."""
    own = {name: np.array([value]) for name, value in scores.items()}
    return Reading(np.array([score]), own, own, {}, [np.asarray(effect)], np.zeros((0, 1)))
