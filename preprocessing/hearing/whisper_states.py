"""What a Whisper model's encoder makes of sound; silence, and what was heard last, are encoded once."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from preprocessing.config import SAMPLE_RATE

SILENCE_S, TAIL_S = 1.0, 10.0  # behind a piece: encoded with it, and of the silent sound
FULL_S = 30.0
FRAME_S = 0.02  # of the encoder's output
REMEMBERED = 2  # pieces: the language is found in at most that many, whose words are heard next


class SoundStates:
    """The encoder of a Whisper model.

    Args:
        network: in eval mode.
        features: of its checkpoint.
    """

    def __init__(self, network: WhisperForConditionalGeneration, features: WhisperFeatureExtractor):
        self.encoder, self.features = network.model.encoder, features
        self.longest = network.config.max_source_positions
        self.known: dict[bytes, Tensor] = {}

    def encode_short(self, piece: np.ndarray) -> Tensor:
        """[1, T, D] of a piece in its own length, and behind it the states of a silent sound."""
        key = piece.tobytes()
        if key not in self.known:
            own = self.encode(np.pad(piece, (0, round(SILENCE_S * SAMPLE_RATE))))
            reached = own.shape[1] + round(TAIL_S / FRAME_S)
            self.known[key] = torch.cat([own, self.silence[:, own.shape[1] : reached]], dim=1)
        while len(self.known) > REMEMBERED:
            self.known.pop(next(iter(self.known)))
        return self.known[key]

    @cached_property
    def silence(self) -> Tensor:
        """[1, 1500, D] of 30 s of silence."""
        return self.encode(np.zeros(round(FULL_S * SAMPLE_RATE), np.float32))

    def encode(self, sound: np.ndarray) -> Tensor:
        """[1, T, D] of at most 30 s; frames have the positions that they have in 30 s."""
        found = self.features(sound, sampling_rate=SAMPLE_RATE, padding="longest", return_tensors="pt")
        encoder = self.encoder
        hidden = gelu(encoder.conv2(gelu(encoder.conv1(found.input_features)))).transpose(1, 2)
        hidden = hidden[:, : self.longest]
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        for layer in encoder.layers:
            hidden = layer(hidden, None)
        return encoder.layer_norm(hidden)
