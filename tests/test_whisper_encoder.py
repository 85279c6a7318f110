"""Whisper as speech encoder: what transformers gives in a full window, the same tokens in any batch."""

import copy

import pytest
import torch
import torch.nn.functional as F
from kit.tiny_encoders import backward, lacking_gradient, take_clip, waveforms
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.models.whisper import modeling_whisper

from mosi_e2e.export.whisper import OneWindow
from mosi_e2e.models.config import SpeechConfig
from mosi_e2e.models.encoders import build_encoder
from mosi_e2e.models.encoders.whisper import WhisperSpeechEncoder
from mosi_e2e.models.layers import Tokens
from mosi_e2e.models.strides import average_tokens

TINY = {
    "d_model": 32,
    "num_mel_bins": 8,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 48,
    "max_source_positions": 50,  # 1 s
    "vocab_size": 50,
    "pad_token_id": 1,
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny_whisper(**changes):
    defaults = {"model": "whisper", "pretrained": False, "kwargs": TINY, "freeze": "full"}
    return build_encoder("speech", SpeechConfig(**defaults | changes)).eval()


def test_a_full_window_gives_what_transformers_gives():
    encoder = tiny_whisper()
    stock = WhisperForConditionalGeneration(WhisperConfig(**TINY)).eval().model.encoder
    stock.load_state_dict(encoder.backbone.state_dict())
    values, time, is_pad = waveforms(16000)
    values[:, -800:] = 0.0  # what lies behind is silence in both
    extractor = WhisperFeatureExtractor(feature_size=8, chunk_length=1)
    mel = extractor(values[0].numpy(), sampling_rate=16000, return_tensors="pt").input_features
    with torch.no_grad():
        ours, theirs = encoder(values, time, is_pad).values, stock(mel).last_hidden_state
        stem = F.gelu(stock.conv2(F.gelu(stock.conv1(mel)))).transpose(1, 2)
    torch.testing.assert_close(
        encoder._log_mel(values, torch.tensor([100]))[..., :100], mel, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(encoder._run_stem(values, torch.tensor([16000]))[:, :-1], stem[:, :-1])
    assert F.cosine_similarity(ours, theirs, dim=2).min() > 0.99  # the last token hears silence, not a border


def test_speech_does_not_depend_on_padding():
    encoder = tiny_whisper()
    batch = waveforms(5000, 9000, 159, 0, total=9500)
    with torch.no_grad():
        padded, single = encoder(*batch), encoder(*take_clip(batch, 0, 5000))
    n = single.values.shape[1]
    assert (~padded.is_pad).sum(1).tolist() == [16, 28, 0, 0]  # a token for two frames of 10 ms
    assert not single.is_pad.any() and not padded.values[padded.is_pad].any()
    torch.testing.assert_close(padded.values[:1, :n], single.values, atol=1e-5, rtol=0)
    assert single.values.std() > 0.5


def test_a_long_clip_is_encoded_in_blocks():
    encoder = tiny_whisper()
    values, time, is_pad = waveforms(40000)  # 2.5 blocks
    with torch.no_grad():
        whole = encoder(values, time, is_pad)
        features = encoder._run_stem(values, torch.tensor([40000]))
        everywhere = torch.ones(1, 50).bool()
        blocks = [
            encoder._run_transformer(one, everywhere[:, : one.shape[1]]) for one in features.split(50, 1)
        ]
    torch.testing.assert_close(whole.values, torch.cat(blocks, 1), atol=1e-5, rtol=0)
    assert whole.values.shape[1] == 125 and whole.time[0, -1] == pytest.approx(124 * 0.02)


def test_a_token_hears_its_own_instant():
    encoder = tiny_whisper()
    values, time, is_pad = waveforms(16000)
    n_samples = torch.tensor([16000])
    click = values.clone()
    click[0, 8000] += 1.0
    changed = (encoder._run_stem(click, n_samples) - encoder._run_stem(values, n_samples)).norm(dim=-1)[0]
    assert encoder(values, time, is_pad).time[0, changed.argmax()] == pytest.approx(0.5, abs=0.02)


def test_gradients_reach_everything_that_trains():
    encoder = tiny_whisper(freeze_stem=False).train()
    backward(encoder, waveforms(5000, 300, 0))
    assert lacking_gradient(encoder) == []
    backward(encoder, waveforms(0, 100))  # a batch without a single token
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.requires_grad)
    last = tiny_whisper(freeze="last_n", last_n=1)
    trained = {name.split(".")[1] for name, p in last.named_parameters() if p.requires_grad}
    assert trained == {"layers", "layer_norm"} and last.stem_frozen


def test_a_folder_gives_its_encoder_and_a_config_that_stands_alone(tmp_path):
    model = WhisperForConditionalGeneration(WhisperConfig(**TINY)).half()
    model.save_pretrained(tmp_path)
    WhisperFeatureExtractor(feature_size=8).save_pretrained(tmp_path)
    encoder = build_encoder("speech", SpeechConfig(str(tmp_path), freeze="frozen"))
    assert isinstance(encoder, WhisperSpeechEncoder) and encoder.frozen and encoder.width == 32
    expected = model.model.encoder.state_dict()
    ours = encoder.backbone.state_dict()
    assert all(torch.equal(value, expected[name].float()) for name, value in ours.items())
    again = build_encoder("speech", encoder.standalone_config())
    again.load_state_dict(encoder.state_dict())
    batch = waveforms(6000)
    with torch.no_grad():
        assert torch.equal(again.eval()(*batch).values, encoder.eval()(*batch).values)


def test_half_precision_keeps_times_and_spectrogram():
    encoder = tiny_whisper()
    values, time, is_pad = waveforms(8000)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        coarse = encoder(values, time + 2.0, is_pad)
    fine = encoder(values, time + 2.0, is_pad)
    assert torch.equal(coarse.time, fine.time) and fine.time[0, 0] == 2.0
    assert F.cosine_similarity(coarse.values.float(), fine.values, dim=2).min() > 0.99


@pytest.mark.parametrize("changes", [{}, {"layers": "weighted", "freeze": "frozen", "stride": 3}])
def test_the_traceable_form_gives_the_same_tokens_at_any_length(changes):
    encoder = tiny_whisper(**changes)
    with torch.no_grad():
        form = OneWindow(copy.deepcopy(encoder))
        for lengths in [(1,), (159, 0), (9000, 5000, 321), (16000,)]:  # 16000: all that one block holds
            batch = waveforms(*lengths)
            wanted, found = encoder(*batch), form(*batch)
            n = wanted.values.shape[1]
            assert found.is_pad[:, n:].all() and torch.equal(found.is_pad[:, :n], wanted.is_pad)
            there = ~wanted.is_pad
            torch.testing.assert_close(found.values[:, :n][there], wanted.values[there], atol=2e-5, rtol=0)
            torch.testing.assert_close(found.time[:, :n][there], wanted.time[there])


def test_all_layers_are_mixed_by_learned_weights():
    encoder, batch = tiny_whisper(layers="weighted", freeze="frozen"), waveforms(5000, 9000)
    layers = encoder.encode_layers(*batch)
    assert layers.values.shape[-1] == 3 * encoder.width and encoder.layer_weight.requires_grad
    mixed = encoder(*batch)
    torch.testing.assert_close(mixed.values, layers.values.unflatten(-1, (3, -1)).mean(dim=2))
    assert not mixed.values[mixed.is_pad].any()
    with torch.no_grad():
        encoder.layer_weight[2] = 100.0
        last = tiny_whisper(freeze="frozen")
        last.backbone.load_state_dict(encoder.backbone.state_dict())
        wanted = F.layer_norm(last(*batch).values, (encoder.width,))
    torch.testing.assert_close(encoder(*batch).values, wanted.masked_fill(mixed.is_pad[..., None], 0.0))
    assert encoder.frozen and not any(p.requires_grad for p in encoder.backbone.parameters())


def test_no_decoder_is_built_around_random_or_stored_weights(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("its decoder is larger than what is stored, which rebuilding refuses")

    monkeypatch.setattr(modeling_whisper, "WhisperDecoder", refuse)
    encoder = tiny_whisper()
    assert encoder(*waveforms(5000)).values.shape == (1, 16, 32)
    assert build_encoder("speech", encoder.standalone_config()).width == encoder.width


def test_layers_are_standardised_by_what_they_are_in_train():
    encoder, batch = tiny_whisper(layers="weighted", freeze="frozen"), waveforms(9000, 5000)
    layers = encoder.encode_layers(*batch)
    rows = layers.values[~layers.is_pad].detach()
    encoder.set_layer_statistics(rows.mean(dim=0), rows.std(dim=0, correction=0))
    with torch.no_grad():
        encoder.layer_weight[1] = 100.0
        mixed = encoder(*batch)
    found = mixed.values[~mixed.is_pad]
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(encoder.width), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(dim=0, correction=0), torch.ones(encoder.width), atol=1e-3, rtol=0)
    assert not mixed.values[mixed.is_pad].any()


@pytest.mark.parametrize("layers", ["last", "weighted"])
def test_a_stride_takes_means_of_neighbouring_tokens(layers):
    fine, coarse = (tiny_whisper(layers=layers, stride=stride) for stride in (1, 4))
    coarse.load_state_dict(fine.state_dict())
    batch = waveforms(9000, 5000)  # 28 and 16 tokens: the last of the longer clip are a whole four
    with torch.no_grad():
        wanted, found = fine(*batch), coarse(*batch)
    assert found.values.shape[:2] == (2, 7) and (~found.is_pad).sum(dim=1).tolist() == [7, 4]
    for clip in range(2):
        there = ~wanted.is_pad[clip]
        values, time = wanted.values[clip, there], wanted.time[clip, there]
        groups = zip(values.split(4), time.split(4), strict=True)
        for token, (mean, centre) in enumerate((v.mean(0), t.mean()) for v, t in groups):
            torch.testing.assert_close(found.values[clip, token], mean)
            torch.testing.assert_close(found.time[clip, token], centre)
    assert not found.values[found.is_pad].any()


def test_the_last_token_of_a_stride_is_the_mean_of_what_is_left():
    values = torch.arange(5.0)[None, :, None].repeat(2, 1, 3)
    tokens = average_tokens(Tokens(values, values[..., 0], torch.tensor([[False] * 5, [True] * 5])), 3)
    assert tokens.values[0, :, 0].tolist() == [1.0, 3.5] and tokens.time[0].tolist() == [1.0, 3.5]
    assert tokens.is_pad.tolist() == [[False, False], [True, True]] and not tokens.values[1].any()
