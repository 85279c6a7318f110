"""The speech encoder: four families, the same tokens in any batch, times in seconds."""

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from kit.tiny_encoders import (
    GROUP_NORM,
    LAYER_NORM,
    backward,
    lacking_gradient,
    take_clip,
    tiny_speech,
    waveforms,
)
from torch import nn
from transformers import BertConfig, BertModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

from mosi_e2e.models.config import SpeechConfig
from mosi_e2e.models.encoders import build_encoder
from mosi_e2e.models.encoders.speech import receptive_field
from preprocessing.errors import UserError

TINY_BERT = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
DATA2VEC = {k: v for k, v in GROUP_NORM.items() if k not in ("feat_extract_norm", "num_conv_pos_embeddings")}
SPEECH_VARIANTS = {
    "wav2vec2-group": ("wav2vec2", GROUP_NORM),
    "wav2vec2-layer": ("wav2vec2", LAYER_NORM),
    "hubert-group": ("hubert", GROUP_NORM),
    "hubert-layer": ("hubert", LAYER_NORM),
    "hubert-batch": ("hubert", GROUP_NORM | {"conv_pos_batch_norm": True}),
    "wavlm-group": ("wavlm", GROUP_NORM),
    "wavlm-layer": ("wavlm", LAYER_NORM),
    "data2vec": ("data2vec-audio", DATA2VEC),
}
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(params=SPEECH_VARIANTS)
def speech(request):
    """A tiny model of each family and kind, all of whose layers train."""
    family, settings = SPEECH_VARIANTS[request.param]
    encoder = build_encoder("speech", SpeechConfig(family, pretrained=False, kwargs=settings, freeze="full"))
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()  # as after training: a zero does not stay zero
    return encoder.eval()


def test_speech_does_not_depend_on_padding(speech):
    batch = waveforms(5000, 9000, 399, 0, total=9500)
    with torch.no_grad():
        padded, single = speech(*batch), speech(*take_clip(batch, 0, 5000))
    n = single.values.shape[1]
    assert (~padded.is_pad).sum(1).tolist() == [15, 27, 0, 0]  # floor((samples - 400) / 320) + 1
    assert not single.is_pad.any()
    assert torch.allclose(padded.values[:1, :n], single.values, atol=1e-5)
    assert not padded.values[padded.is_pad].any()
    assert single.values.std() > 0.5


def test_speech_equals_transformers_on_one_clip(speech):
    values, time, is_pad = waveforms(6000)
    ours = speech(values, time, is_pad).values
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    prepared = extractor(values[0].numpy(), sampling_rate=16000, return_tensors="pt").input_values
    stock = type(speech.backbone)(speech.backbone.config).eval()
    stock.load_state_dict(speech.backbone.state_dict())
    assert torch.allclose(ours, stock(prepared).last_hidden_state, atol=1e-5)


def test_speech_gradients_reach_everything(speech):
    speech.train()
    backward(speech, waveforms(5000, 300, 0))
    assert lacking_gradient(speech) == []
    assert not any("masked_spec_embed" in name for name, _ in speech.named_parameters())
    backward(speech, waveforms(0, 200))  # a batch without a single token
    assert all(p.grad.isfinite().all() for p in speech.parameters() if p.requires_grad)


def test_speech_times_are_centres_of_receptive_fields():
    encoder = tiny_speech()
    values, time, is_pad = waveforms(16000)
    tokens = encoder(values, time + 2.0, is_pad)
    assert (encoder.receptive_field, encoder.hop) == (400, 320)
    assert receptive_field([10, 3, 3], [5, 2, 2]) == 10 + 2 * 5 + 2 * 10
    assert tokens.time[0, 0] == pytest.approx(2.0 + 200 / 16000)
    assert tokens.time.diff().numpy() == pytest.approx(0.02, abs=1e-6)
    assert tokens.time[0, -1] + 200 / 16000 <= 3.0
    with torch.autocast("cpu", torch.bfloat16):
        coarse = encoder(values, time + 2.0, is_pad)
    assert coarse.values.dtype == torch.bfloat16
    assert torch.equal(coarse.time, tokens.time)


def test_a_token_hears_its_own_instant():
    encoder = tiny_speech(normalise=False).eval()
    values, time, is_pad = waveforms(16000)
    stem = encoder._run_stem(values, (~is_pad).sum(1))
    click = values.clone()
    click[0, 8000] += 1.0
    changed = (encoder._run_stem(click, (~is_pad).sum(1)) - stem).norm(dim=-1)[0]
    loudest = encoder(values, time, is_pad).time[0, changed.argmax()]
    assert loudest == pytest.approx(8000 / 16000, abs=0.0125)


def test_a_folder_of_a_fine_tuned_recogniser_is_a_model(tmp_path):
    settings = Wav2Vec2Config(**GROUP_NORM, vocab_size=8)
    recogniser = Wav2Vec2ForCTC(settings).half()
    recogniser.save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    encoder = build_encoder("speech", SpeechConfig(str(tmp_path), freeze="frozen"))
    assert encoder.normalise is False
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    expected = {k: v.float() for k, v in recogniser.wav2vec2.state_dict().items() if k != "masked_spec_embed"}
    ours = encoder.backbone.state_dict()
    assert ours.keys() == expected.keys()
    assert all(torch.equal(v, expected[k]) for k, v in ours.items())
    shorter = SpeechConfig(str(tmp_path), kwargs={"num_hidden_layers": 1}, freeze="frozen", normalise=True)
    encoder = build_encoder("speech", shorter)
    assert encoder.normalise is True
    assert len(encoder.backbone.encoder.layers) == 1


def test_an_incomplete_checkpoint_is_refused(tmp_path):
    encoder = tiny_speech()
    encoder.backbone.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    del tensors["encoder.layers.1.attention.q_proj.weight"]
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 tensors, encoder.layers.1.attention.q_proj"):
        build_encoder("speech", SpeechConfig(str(tmp_path)))


def test_speech_mistakes_are_explained(tmp_path):
    BertModel(TINY_BERT).save_pretrained(tmp_path)
    wrong = {
        "needs speech.pretrained=false": SpeechConfig("hubert"),
        "is a bert": SpeechConfig(str(tmp_path)),
        "could not be loaded": SpeechConfig("/nowhere/at/all"),
        "did you mean hidden_size": SpeechConfig("hubert", pretrained=False, kwargs={"hiden_size": 8}),
        "may not set layerdrop": SpeechConfig("hubert", pretrained=False, kwargs={"layerdrop": 0.1}),
        "at most this model's 2 layers": SpeechConfig(
            "wav2vec2", pretrained=False, kwargs=GROUP_NORM, last_n=3
        ),
    }
    for message, config in wrong.items():
        with pytest.raises(UserError, match=message):
            build_encoder("speech", config)
    with pytest.raises(UserError, match="at least 1"):
        SpeechConfig(last_n=0)


def test_another_sampling_rate_is_refused(tmp_path):
    tiny_speech().backbone.save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="8000 Hz"):
        build_encoder("speech", SpeechConfig(str(tmp_path)))


@pytest.mark.parametrize("variant", SPEECH_VARIANTS)
def test_the_last_of_all_layers_is_what_the_model_gives(variant):
    family, kwargs = SPEECH_VARIANTS[variant]
    every = tiny_speech(model=family, kwargs=kwargs, layers="weighted").eval()
    last = tiny_speech(model=family, kwargs=kwargs).eval()
    last.backbone.load_state_dict(every.backbone.state_dict())
    batch = waveforms(5000, 9000)
    with torch.no_grad():
        layers = every.encode_layers(*batch).values.unflatten(-1, (3, -1))  # [b t l d]
        wanted = F.layer_norm(last(*batch).values, (last.width,))
    torch.testing.assert_close(layers[1, :, 2], wanted[1])
    assert (layers[:, :, 0] - layers[:, :, 1]).abs().mean() > 1e-3
    assert every(*batch).values.shape[-1] == every.width
