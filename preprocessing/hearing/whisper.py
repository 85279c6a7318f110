"""Words with times from a Whisper model, in the clip's own length.

Whisper hears windows of 30 s that are filled up with silence (Radford et al. 2023, section 2.2); without
that silence it says short clips again and again. Here a piece is encoded in its own length, and behind it
the decoder is shown the states of a silent sound, encoded once. That costs a fraction of the time. What
sounds doubtful that way is heard again in 30 s. Times come from the heads that follow the sound (`timing`).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, WhisperForConditionalGeneration

from preprocessing.config import SAMPLE_RATE
from preprocessing.errors import UserError
from preprocessing.hearing.heard import Word
from preprocessing.hearing.timing import time_tokens
from preprocessing.hearing.whisper_states import FRAME_S, FULL_S, SoundStates

TOKENS_PER_S, MORE_TOKENS = 12, 8  # nobody speaks faster: what is longer repeats itself
# Whisper's own bounds (its `transcribe`): what is worse is not believed.
MOST_REPETITION, LEAST_LOG_PROB, MOST_NO_SPEECH = 2.4, -1.0, 0.6
NO_SPACES = tuple(f"<|{code}|>" for code in ("zh", "ja", "th", "lo", "my", "yue"))
NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")  # the token's name differs between versions


@dataclass(frozen=True)
class Attempt:
    """One hearing of a piece.

    Attributes:
        states: [1, T, D] of the encoder, with the silence behind.
        prompt: what the decoder was given before the text.
        tokens: of the text.
        text: what they say.
        log_prob: mean over them and the end.
        no_speech: probability that nobody speaks.
    """

    states: Tensor
    prompt: list[int]
    tokens: list[int]
    text: str
    log_prob: float
    no_speech: float

    @property
    def is_nothing(self) -> bool:
        """Whether nobody spoke: no text, or probably silence and unlikely words."""
        is_unsure = self.no_speech > MOST_NO_SPEECH and self.log_prob < LEAST_LOG_PROB
        return is_unsure or not self.text.strip()

    @property
    def repeats_itself(self) -> bool:
        """Whether the text can be compressed as far as only one that repeats itself can."""
        coded = self.text.encode()
        return len(coded) / len(zlib.compress(coded)) > MOST_REPETITION

    @property
    def is_doubtful(self) -> bool:
        """Whether the text repeats itself or is unlikely."""
        return self.repeats_itself or self.log_prob < LEAST_LOG_PROB


class WhisperRecogniser:
    """A Whisper model.

    Args:
        network: in eval mode, with eager attention, whose weights are asked for.
        tokenizer: of its checkpoint.
        states: its encoder, which may be shared.
        language: code such as `en`; empty: that of each piece, as the model hears it.

    Raises:
        UserError: the model does not know the language.
    """

    def __init__(
        self,
        network: WhisperForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        states: SoundStates,
        language: str = "",
    ):
        self.network, self.tokenizer, self.states = network, tokenizer, states
        self.settings, self.config = network.generation_config, network.config
        self.languages: dict[str, int] = getattr(self.settings, "lang_to_id", None) or {}
        self.language = f"<|{language}|>" if language else ""
        known = self.languages or ["<|en|>"]
        if language and self.language not in known:
            codes = ", ".join(sorted(name.strip("<|>") for name in known))
            raise UserError(f"words.language is one the model knows ({codes}), but got '{language}'")

    def speaking(self, language: str) -> "WhisperRecogniser":
        """The same model for a language."""
        return WhisperRecogniser(self.network, self.tokenizer, self.states, language)

    @torch.inference_mode()
    def hear(self, piece: np.ndarray) -> list[Word]:
        """As `Recogniser.hear`."""
        attempt = self._write(self.states.encode_short(piece), len(piece))
        if attempt.is_doubtful and not attempt.is_nothing:
            full = np.pad(piece, (0, max(round(FULL_S * SAMPLE_RATE) - len(piece), 0)))
            attempt = self._write(self.states.encode(full), len(piece))
        if attempt.is_nothing:
            return []
        if attempt.repeats_itself:
            attempt = replace(attempt, tokens=cut_repetition(attempt.tokens))
        return self._time(attempt, round(len(piece) / SAMPLE_RATE / FRAME_S))

    @torch.inference_mode()
    def weigh_languages(self, piece: np.ndarray) -> dict[str, float]:
        """How likely each language is in a piece [S] float32, by code; empty if it knows one alone."""
        if not self.languages:
            return {}
        logits, _ = self._decode([self.config.decoder_start_token_id], self.states.encode_short(piece))
        shares = logits[0, list(self.languages.values())].softmax(-1).tolist()
        return {name.strip("<|>"): share for name, share in zip(self.languages, shares, strict=True)}

    def _decode(self, tokens: Sequence[int], states: Tensor, **options) -> tuple[Tensor, object]:
        """[N, V] logits behind each token, and the decoder's whole answer."""
        given = torch.tensor([list(tokens)])
        answer = self.network.model.decoder(given, encoder_hidden_states=states, **options)
        return self.network.proj_out(answer.last_hidden_state[0]), answer

    def _prompt(self, states: Tensor) -> list[int]:
        """What the decoder is given first: language and task, and that it is to write no times."""
        start = self.config.decoder_start_token_id
        if not self.languages:
            return [start, self.settings.no_timestamps_token_id]
        language = self.languages.get(self.language)
        if language is None:
            logits, _ = self._decode([start], states)
            language = max(self.languages.values(), key=lambda one: float(logits[0, one]))
        return [start, language, self.settings.task_to_id["transcribe"], self.settings.no_timestamps_token_id]

    def _write(self, states: Tensor, n_samples: int) -> Attempt:
        """The likeliest token time and again, up to the end."""
        prompt = self._prompt(states)
        longest = self.config.max_target_positions - len(prompt)
        longest = min(round(TOKENS_PER_S * n_samples / SAMPLE_RATE) + MORE_TOKENS, longest)
        tokens: list[int] = []
        logits, answer = self._decode(prompt, states, use_cache=True)
        no_speech = self._read_no_speech(logits[0])
        total = 0.0
        while True:
            banned = self.banned if tokens else self.banned_first
            score = logits[-1].index_fill(0, banned, -torch.inf).log_softmax(-1)
            token = int(score.argmax())
            total += float(score[token])
            if token == self.config.eos_token_id or len(tokens) == longest:
                break
            tokens.append(token)
            past = answer.past_key_values
            logits, answer = self._decode([token], states, past_key_values=past, use_cache=True)
        text = self.tokenizer.decode(tokens)
        return Attempt(states, prompt, tokens, text, total / (len(tokens) + 1), no_speech)

    @cached_property
    def banned(self) -> Tensor:
        """Tokens that are never written: signs that nobody says, marks of the format, times."""
        end = self.config.eos_token_id
        never = {*(self.settings.suppress_tokens or ()), *range(end + 1, self.config.vocab_size)}
        return torch.tensor(sorted(never - {end}))

    @cached_property
    def banned_first(self) -> Tensor:
        """Tokens that no text begins with."""
        return torch.cat([self.banned, torch.tensor(self.settings.begin_suppress_tokens or [], dtype=int)])

    def _read_no_speech(self, logits: Tensor) -> float:
        known = [self.tokenizer.convert_tokens_to_ids(name) for name in NO_SPEECH]
        named = [one for one in known if one not in (None, self.tokenizer.unk_token_id)]
        return float(logits.softmax(-1)[named].sum())

    def _time(self, attempt: Attempt, n_frames: int) -> list[Word]:
        """The words of an attempt, with times from the decoder's attention to the sound."""
        prompt, tokens = attempt.prompt, attempt.tokens
        logits, answer = self._decode([*prompt, *tokens], attempt.states, output_attentions=True)
        rows = slice(len(prompt) - 1, None)  # each row writes the next token
        sure = logits[rows][:-1].softmax(-1)[torch.arange(len(tokens)), torch.tensor(tokens)]
        heads = [answer.cross_attentions[layer][0, head, rows, :n_frames] for layer, head in self._heads()]
        attention = torch.stack(heads).double().numpy()
        edges = time_tokens(attention, self.config.median_filter_width) * FRAME_S  # [N + 1]
        has_spaces = not set(prompt) & {self.languages.get(name) for name in NO_SPACES}
        return [
            Word(text, float(edges[first]), float(edges[last]), float(sure[first:last].mean()))
            for text, first, last in group_tokens(self.tokenizer, tokens, has_spaces)
        ]

    def _heads(self) -> Sequence[tuple[int, int]]:
        """Heads that follow the sound; all of the upper half of the layers where a checkpoint names none."""
        layers, heads = self.config.decoder_layers, self.config.decoder_attention_heads
        upper = [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]
        return getattr(self.settings, "alignment_heads", None) or upper


def cut_repetition(tokens: list[int]) -> list[int]:
    """Tokens up to where some are said for the third time in a row, and of these the first time.

    >>> cut_repetition([7, 1, 2, 1, 2, 1, 2, 1])
    [7, 1, 2]
    """
    for start in range(len(tokens)):
        for size in range(1, (len(tokens) - start) // 3 + 1):
            once, twice, thrice = (tokens[start + n * size : start + (n + 1) * size] for n in range(3))
            if once == twice == thrice:
                return tokens[: start + size]
    return tokens


def group_tokens(
    tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], has_spaces: bool
) -> list[tuple[str, int, int]]:
    """Words with the numbers of their first token and of the one behind their last letters.

    A word begins with a blank, in a language without blanks with any sign. Punctuation stays with the word
    before it, and its pause does not.
    """
    words: list[tuple[str, int, int]] = []
    first = 0
    for number in range(len(tokens)):
        piece = tokenizer.decode(tokens[first : number + 1])
        if piece.endswith("\ufffd"):  # a part of a character
            continue
        has_letters = any(sign.isalnum() for sign in piece)
        if has_letters and (piece.startswith(" ") or not has_spaces or not words):
            words.append((piece.strip(), first, number + 1))
        elif words:
            word, begin, end = words[-1]
            words[-1] = (word + piece.strip(), begin, number + 1 if has_letters else end)
        first = number + 1
    return words
