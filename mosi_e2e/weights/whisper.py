"""A Whisper folder of transformers from a model in CTranslate2's format."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizerFast,
)

from mosi_e2e.weights.ctranslate2 import read_variables, rename_whisper
from preprocessing.errors import UserError

HEAD_WIDTH = 64  # of every Whisper model (Radford et al. 2023, table 1)
LONGEST_TEXT = 448  # tokens
ENGLISH_ONLY = 51864  # tokens of the `.en` models; the others know one more


def convert_whisper(source: Path, target: Path) -> None:
    """Write a transformers folder.

    Args:
        source: folder with `model.bin`, `config.json` (alignment heads, suppressed tokens, languages) and
            `tokenizer.json`.
        target: an existing folder.

    Raises:
        UserError: a weight is missing or unknown.
    """
    said = json.loads((source / "config.json").read_text())
    variables = read_variables(source / "model.bin")
    tokenizer = WhisperTokenizerFast(tokenizer_file=str(source / "tokenizer.json"))
    config = describe_network(variables, tokenizer)
    model = WhisperForConditionalGeneration(config)
    missing, unexpected = model.load_state_dict(rename_whisper(variables), strict=False)
    if missing or unexpected:
        raise UserError(f"{source / 'model.bin'} is another network: {[*missing, *unexpected][:3]}")
    model.generation_config = describe_generation(said, tokenizer, config)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(target)


def describe_network(variables: Mapping[str, Tensor], tokenizer: WhisperTokenizerFast) -> WhisperConfig:
    """The architecture, read off the shapes."""
    width = variables["encoder/conv1/weight"].shape[0]
    layers = {side: count_layers(variables, side) for side in ("encoder", "decoder")}
    token = tokenizer.convert_tokens_to_ids
    return WhisperConfig(
        vocab_size=len(variables["decoder/embeddings/weight"]),
        num_mel_bins=variables["encoder/conv1/weight"].shape[1],
        d_model=width,
        encoder_layers=layers["encoder"],
        decoder_layers=layers["decoder"],
        encoder_attention_heads=width // HEAD_WIDTH,
        decoder_attention_heads=width // HEAD_WIDTH,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        max_source_positions=len(variables["encoder/position_encodings/encodings"]),
        max_target_positions=LONGEST_TEXT,
        bos_token_id=token("<|endoftext|>"),
        pad_token_id=token("<|endoftext|>"),
        eos_token_id=token("<|endoftext|>"),
        decoder_start_token_id=token("<|startoftranscript|>"),
    )


def count_layers(variables: Mapping[str, Tensor], side: str) -> int:
    """Layers of the encoder or the decoder."""
    return len(
        {
            name.split("/")[1]
            for name in variables
            if name.startswith(f"{side}/layer_") and name.count("/") > 2
        }
    )


def describe_generation(
    said: Mapping, tokenizer: WhisperTokenizerFast, config: WhisperConfig
) -> GenerationConfig:
    """How the model writes: which tokens it may not, and which heads follow the time."""
    token = tokenizer.convert_tokens_to_ids
    languages = {tokenizer.convert_ids_to_tokens(number): number for number in said["lang_ids"]}
    multilingual = config.vocab_size > ENGLISH_ONLY
    more = {"language": None, "lang_to_id": languages, "task_to_id": tasks(token)} if multilingual else {}
    return GenerationConfig(
        alignment_heads=said["alignment_heads"],
        suppress_tokens=said["suppress_ids"],
        begin_suppress_tokens=said["suppress_ids_begin"],
        is_multilingual=multilingual,
        no_timestamps_token_id=token("<|notimestamps|>"),
        prev_sot_token_id=token("<|startofprev|>"),
        max_initial_timestamp_index=50,
        max_length=LONGEST_TEXT,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
        **more,
    )


def tasks(token) -> dict[str, int]:
    """The tokens that ask for a transcript, or for English text."""
    return {task: token(f"<|{task}|>") for task in ("transcribe", "translate")}
