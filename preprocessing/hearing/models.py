"""Recognisers out of checkpoints: loaded once per process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from transformers import (
    AutoConfig,
    AutoModelForCTC,
    AutoTokenizer,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.utils import logging

from preprocessing.config import WordsConfig
from preprocessing.errors import UserError
from preprocessing.hearing.ctc import CtcRecogniser, Vocabulary
from preprocessing.hearing.heard import Recogniser
from preprocessing.hearing.whisper import WhisperRecogniser
from preprocessing.hearing.whisper_states import SoundStates
from preprocessing.pretrained.checkpoints import LIBRARY_ERRORS, check_checkpoint, find_checkpoint


def load_recogniser(config: WordsConfig) -> Recogniser:
    """The recogniser that the settings ask for, `words.source` being `whisper` or `ctc`.

    Raises:
        UserError: the checkpoint cannot be loaded, or is of another kind.
    """
    if config.source == "whisper":
        return load_whisper(config.model, config.language)
    return load_ctc(config.model)


@cache
def load_whisper(model: str, language: str) -> WhisperRecogniser:
    """A Whisper model by its name; errors as of `load_recogniser`. All languages share its weights."""
    return open_whisper(model).speaking(language)


@cache
def open_whisper(model: str) -> WhisperRecogniser:
    """A Whisper model that hears each piece's language; errors as of `load_recogniser`."""
    with opening("words.model", model, "whisper") as place:
        network = WhisperForConditionalGeneration.from_pretrained(
            place, attn_implementation="eager", dtype=torch.float32, use_safetensors=True
        )
        tokenizer = AutoTokenizer.from_pretrained(place)
        features = WhisperFeatureExtractor.from_pretrained(place)
    network.eval()
    return WhisperRecogniser(network, tokenizer, SoundStates(network, features))


@cache
def load_ctc(model: str, setting: str = "words.model") -> CtcRecogniser:
    """A CTC model by its name; errors as of `load_recogniser`."""
    with opening(setting, model, "") as place:
        network = AutoModelForCTC.from_pretrained(place, dtype=torch.float32, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(place)
        features = Wav2Vec2FeatureExtractor.from_pretrained(place)
        gap = tokenizer.convert_tokens_to_ids(tokenizer.word_delimiter_token)
    known = {letter: token for letter, token in tokenizer.get_vocab().items() if len(letter) == 1}
    letters = {letter: token for letter, token in known.items() if token != gap}
    return CtcRecogniser(network.eval(), features, Vocabulary(letters, network.config.pad_token_id, gap))


@contextmanager
def opening(setting: str, model: str, family: str) -> Iterator[str]:
    """Where a checkpoint is; what a library finds wrong with it becomes one line.

    Args:
        setting: that names it.
        model: what it names.
        family: that it must be of; empty: any.
    """
    check_checkpoint(setting, model)
    shows_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        place = find_checkpoint(model)
        found = AutoConfig.from_pretrained(place).model_type
        if family and found != family:
            raise UserError(f"{setting} is a {family} checkpoint, but {model} is a {found}: name another one")
        yield place
    except LIBRARY_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{setting}={model} could not be loaded ({reason}); name a folder of transformers, or a model "
            "on the hub"
        ) from error
    finally:
        if shows_progress:
            logging.enable_progress_bar()
