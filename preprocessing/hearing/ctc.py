"""Words with times from a CTC model of the wav2vec 2.0 family: heard, or found where a known text is said."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import forced_align, merge_tokens
from transformers import PreTrainedModel, SequenceFeatureExtractor

from preprocessing.config import SAMPLE_RATE
from preprocessing.hearing.heard import Word

SHORTEST_S = 0.1  # less is too short for the convolutions
LONGEST_S = 30.0  # encoded at once: memory of attention grows with its square


@dataclass(frozen=True)
class Vocabulary:
    """The letters that a CTC model writes.

    Attributes:
        letters: letter → token.
        blank: token of nothing.
        gap: token between words.
    """

    letters: dict[str, int]
    blank: int
    gap: int

    def spell(self, word: str) -> list[int]:
        """The tokens of a word; letters that the model does not know are left out.

        >>> Vocabulary({"A": 2, "'": 3}, 0, 1).spell("a'é")
        [2, 3]
        """
        cases = {word, word.upper(), word.lower()}
        return max(
            ([self.letters[one] for one in case if one in self.letters] for case in sorted(cases)), key=len
        )


class CtcRecogniser:
    """A CTC model.

    Args:
        network: transformers' `...ForCTC`, in eval mode.
        features: of its checkpoint.
        vocabulary: what its outputs mean.
    """

    def __init__(self, network: PreTrainedModel, features: SequenceFeatureExtractor, vocabulary: Vocabulary):
        self.network, self.features, self.vocabulary = network, features, vocabulary
        self.signs = {token: letter for letter, token in vocabulary.letters.items()}

    def hear(self, piece: np.ndarray) -> list[Word]:
        """As `Recogniser.hear`: the likeliest letter of each frame."""
        emission = self._listen(piece)
        path = emission.argmax(-1)
        tokens = [int(one) for one in torch.unique_consecutive(path) if int(one) != self.vocabulary.blank]
        spelled: list[list[int]] = [[]]
        for token in tokens:
            if token == self.vocabulary.gap:
                spelled.append([])
            elif token in self.signs:
                spelled[-1].append(token)
        words = [word for word in spelled if word]
        texts = ["".join(self.signs[token] for token in word).lower() for word in words]
        return self._place(texts, words, emission, len(piece))

    def align(self, texts: Sequence[str], sound: np.ndarray) -> list[Word] | None:
        """Where the words of a text are said in a sound [S] float32; None where it is too short for them.

        A word without any letter that the model knows gets the place between its neighbours.
        """
        spelled = [self.vocabulary.spell(re.sub(r"[^\w']", "", text)) for text in texts]
        tokens = [token for word in spelled for token in word]
        twice = sum(one == other for one, other in pairwise(tokens))  # a blank must stand between these
        if not tokens or len(sound) < SHORTEST_S * SAMPLE_RATE:
            return None
        emission = self._listen(sound)
        if len(emission) < len(tokens) + twice:
            return None
        return self._place(list(texts), spelled, emission, len(sound))

    @torch.inference_mode()
    def _listen(self, sound: np.ndarray) -> Tensor:
        """[T, V] log-probabilities; a long sound in blocks."""
        size = round(LONGEST_S * SAMPLE_RATE)
        parts = []
        for start in range(0, len(sound), size):
            block = sound[start : start + size]
            if parts and len(block) < SHORTEST_S * SAMPLE_RATE:
                break
            found = self.features(block, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            parts.append(self.network(found.input_values).logits[0].float().log_softmax(-1))
        return torch.cat(parts)

    def _place(
        self, texts: Sequence[str], spelled: Sequence[list[int]], emission: Tensor, n_samples: int
    ) -> list[Word]:
        """Each word at its letters' frames."""
        tokens = [token for word in spelled for token in word]
        if not tokens:
            return []
        target = torch.tensor([tokens], dtype=torch.int32)
        path, score = forced_align(emission[None], target, blank=self.vocabulary.blank)
        spans = merge_tokens(path[0], score[0].exp(), blank=self.vocabulary.blank)
        frame_s = n_samples / SAMPLE_RATE / len(emission)
        words, at, reached = [], 0, 0.0
        for text, word in zip(texts, spelled, strict=True):
            mine = spans[at : at + len(word)]
            at += len(word)
            start = mine[0].start * frame_s if mine else reached
            reached = mine[-1].end * frame_s if mine else reached
            sure = float(np.mean([one.score for one in mine])) if mine else 0.0
            words.append(Word(text, start, reached, min(sure, 1.0)))
        return words
