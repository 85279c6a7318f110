"""A tiny Whisper in CTranslate2's form."""

import struct
from pathlib import Path

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from mosi_e2e.weights.ctranslate2 import ENDINGS, LAYER, OUTSIDE

TINY = WhisperConfig(
    vocab_size=40,
    num_mel_bins=8,
    d_model=64,
    encoder_layers=2,
    decoder_layers=1,
    encoder_attention_heads=1,
    decoder_attention_heads=1,
    encoder_ffn_dim=256,
    decoder_ffn_dim=256,
    max_source_positions=20,
    pad_token_id=0,
    bos_token_id=0,
    eos_token_id=0,
    decoder_start_token_id=1,
)
SPECIAL = ("endoftext", "startoftranscript", "en", "transcribe", "translate", "startofprev", "notimestamps")


def write_ctranslate2(model: WhisperForConditionalGeneration, path: Path) -> None:
    """What CTranslate2's converter writes of a Whisper model."""
    state, variables = model.half().state_dict(), {"encoder/num_heads": torch.tensor(1, dtype=torch.int16)}
    for side, layers in (("encoder", 2), ("decoder", 1)):
        for own, theirs in OUTSIDE.items():
            for ending in ("weight", "bias"):
                value = state.get(f"model.{side}.{theirs}.{ending}")
                if value is not None:
                    variables[f"{side}/{own}/{their_ending(own, ending)}"] = value
        for layer in range(layers):
            for own, theirs in LAYER.items():
                for ending in ("weight", "bias"):
                    parts = [state.get(f"model.{side}.layers.{layer}.{name}.{ending}") for name in theirs]
                    whole = next((part for part in parts if part is not None), None)
                    if whole is not None:
                        joined = torch.cat(
                            [torch.zeros_like(whole) if part is None else part for part in parts]
                        )
                        variables[f"{side}/layer_{layer}/{own}/{their_ending(own, ending)}"] = joined
    path.write_bytes(pack_variables(variables))


def their_ending(own: str, ending: str) -> str:
    if own == "position_encodings":
        return "encodings"
    return (
        {value: key for key, value in ENDINGS.items() if key != "encodings"}[ending]
        if "norm" in own
        else ending
    )


def pack_variables(variables: dict[str, torch.Tensor]) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    data = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        raw = value.contiguous().numpy().tobytes()
        kind = {torch.float16: 4, torch.int16: 2}[value.dtype]
        data += text(name) + struct.pack(f"<B{value.dim()}I", value.dim(), *value.shape)
        data += struct.pack("<BI", kind, len(raw)) + raw
    return data + struct.pack("<I", 0)
