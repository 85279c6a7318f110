"""The real checkpoints out of their packages, on real sound and real sentences: what they hear and mean."""

from difflib import SequenceMatcher
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModel,
    AutoTokenizer,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from mosi_e2e.weights.fetch import get_checkpoint
from preprocessing.errors import UserError
from preprocessing.media.decode import probe
from preprocessing.media.sound import read_sound

CLIP = Path(__file__).parents[2] / "shared/data/clips/real/mosi_Oz06ZWiO20M_6.mp4"
SAID = "and sucker punch is a failure but like a really ambitious weird interesting idiosyncratic failure"
pytestmark = [
    pytest.mark.slow,  # downloads 290 MB
    pytest.mark.skipif(not CLIP.is_file(), reason="the real clips are not here"),
]


def fetch(name: str, folder: Path) -> Path:
    try:
        return get_checkpoint(name, folder, "packages")
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["whisper-tiny.en", "whisper-base"])
def test_a_recogniser_hears_a_real_clip(tmp_path, name):
    folder = fetch(name, tmp_path)
    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    sound = read_sound(probe(CLIP)).waveform.astype("float32") / 32768
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    heard = model.generate(
        **extractor(sound, sampling_rate=16000, return_tensors="pt", return_attention_mask=True),
        return_token_timestamps=True,
        return_dict_in_generate=True,
        **({} if name.endswith(".en") else {"language": "en", "task": "transcribe"}),
    )
    tokens = heard["sequences"][0]
    text = AutoTokenizer.from_pretrained(folder).decode(tokens, skip_special_tokens=True)
    words = "".join(c for c in text.lower() if c.isalpha() or c == " ").split()
    assert SequenceMatcher(a=words, b=SAID.split()).ratio() > 0.8  # the larger model hears "cuckabunch"
    times = heard["token_timestamps"][0]
    assert (times.diff() >= 0).all() and 6 < times.max() < 7.5  # seconds; the clip has 7.44


def test_a_text_encoder_knows_praise_from_blame(tmp_path):
    folder = fetch("all-MiniLM-L6-v2", tmp_path)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def embed(*texts: str) -> Tensor:
        batch = tokenizer(list(texts), padding=True, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state  # [b t d]
        mask = batch["attention_mask"][..., None]
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)

    great, superb, awful = embed("a great film", "a superb movie", "an awful, boring picture")
    assert great @ superb > great @ awful + 0.2
