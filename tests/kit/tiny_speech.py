"""Tiny recognisers as checkpoint folders: a Whisper that always says one sentence, a random wav2vec 2.0."""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

MARKS = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|nospeech|>")
LAST = "<|notimestamps|>"
SENTENCE = ("ĠThe", "Ġfilm", "Ġwas", "Ġun", "good", ".")
LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ABDEFGHILMNOSTUW'")


def write_whisper(folder: Path, said=SENTENCE) -> Path:
    """A Whisper whose positions alone say what comes next: `said`, then the end, whatever it hears."""
    vocabulary = {sign: i for i, sign in enumerate([*dict.fromkeys(said), *MARKS, LAST])}
    end, start = vocabulary[MARKS[0]], vocabulary[MARKS[1]]
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=MARKS[0]))
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), ByteDecoder()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=MARKS[0]).save_pretrained(folder)
    width = 2 * -(-(len(vocabulary) + 1) // 2)
    config = WhisperConfig(
        vocab_size=len(vocabulary), d_model=width, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=8, decoder_ffn_dim=8,
        max_target_positions=64, eos_token_id=end, pad_token_id=end, bos_token_id=end,
        decoder_start_token_id=start, median_filter_width=3,
    )  # fmt: skip
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(config).eval()
    decoder = network.model.decoder
    with torch.no_grad():
        for layer in decoder.layers:
            for part in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
                part.weight.zero_()
                part.bias.zero_()
        decoder.embed_tokens.weight.copy_(torch.eye(len(vocabulary), width))
        decoder.embed_positions.weight.zero_()
        script = [vocabulary[sign] for sign in said] + [end] * (64 - 3 - len(said))
        for place, token in enumerate(script, start=3):  # behind three marks comes the first token
            decoder.embed_positions.weight[place, token] = 9.0
    network.generation_config = GenerationConfig(
        lang_to_id={"<|en|>": vocabulary["<|en|>"], "<|de|>": vocabulary["<|de|>"]},
        task_to_id={"transcribe": vocabulary["<|transcribe|>"]},
        no_timestamps_token_id=vocabulary[LAST], is_multilingual=True, eos_token_id=end, pad_token_id=end,
        decoder_start_token_id=start, alignment_heads=[[0, 0], [0, 1]],
    )  # fmt: skip
    network.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


def write_ctc(folder: Path) -> Path:
    """A random wav2vec 2.0 that writes capital letters."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(LETTERS)}))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=len(LETTERS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, conv_dim=(8, 8), conv_kernel=(10, 8), conv_stride=(20, 16),
        num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        pad_token_id=0,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


def make_noise(seconds: float, loudness: float = 0.3) -> np.ndarray:
    """[S] int16 white noise, 16 kHz."""
    noise = np.random.default_rng(0).normal(0, loudness, round(seconds * 16_000))
    return (np.clip(noise, -1, 1) * 32767).astype(np.int16)
