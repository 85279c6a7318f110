"""The encoder of words: a text model, its adapters and its tokenizer."""

from dataclasses import replace

import pytest
import torch
from kit.tiny_encoders import backward, lacking_gradient
from kit.tiny_text import SMALL, write_text_checkpoint
from transformers import BertModel

from mosi_e2e.models.config import TextConfig
from mosi_e2e.models.encoders import build_encoder
from mosi_e2e.models.encoders.adapters import merge_adapters
from mosi_e2e.models.encoders.text import FAMILIES
from preprocessing.cache.words import pack_words, spread_words
from preprocessing.errors import UserError

DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 16}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    torch.manual_seed(0)
    write_text_checkpoint(folder / "bert")
    return folder


@pytest.fixture
def encoder(place):
    torch.manual_seed(0)
    return build_encoder("words", TextConfig(str(place / "bert"))).eval()


def read(encoder, *texts):
    """A padded batch of texts: values, time, is_pad."""
    clips = [spread_words(text)[0] for text in texts]
    rows = [encoder.read_words()({"values": one["words"], "time": one["words_time"]}) for one in clips]
    length = max(1, *(len(one["values"]) for one in rows))
    values, time = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length)
    is_pad = torch.ones(len(rows), length, dtype=torch.bool)
    for i, one in enumerate(rows):
        n = len(one["values"])
        values[i, :n], time[i, :n] = torch.from_numpy(one["values"]), torch.from_numpy(one["time"])
        is_pad[i, :n] = False
    return values, time, is_pad


def test_sub_words_have_the_time_of_their_word(encoder):
    read_words = encoder.read_words()
    arrays = pack_words(["Ungood", "FILM"], [0, 2], [1, 3])
    rows = read_words({"values": arrays["words"], "time": arrays["words_time"]})
    coded = [read_words.tokenizer.id_to_token(number) for number in rows["values"]]
    assert coded == ["[CLS]", "un", "##good", "film", "[SEP]"]
    assert rows["time"].tolist() == [0.5, 0.5, 0.5, 2.5, 2.5]


def test_text_equals_transformers_and_does_not_depend_on_padding(place, encoder):
    batch = read(encoder, "the film was good", "it", "")
    with torch.no_grad():
        padded = encoder(*batch)
        stock = BertModel.from_pretrained(place / "bert").eval()
        single = stock(batch[0][:1]).last_hidden_state
        alone = encoder(*(part[1:2, :3] for part in batch)).values
    torch.testing.assert_close(padded.values[:1], single, atol=1e-5, rtol=0)
    torch.testing.assert_close(padded.values[1:2, :3], alone, atol=1e-5, rtol=0)
    assert padded.is_pad.sum(1).tolist() == [0, 3, 6] and not padded.values[padded.is_pad].any()


def test_a_long_text_is_encoded_in_blocks(encoder):
    values, time, is_pad = read(encoder, "good " * 40)
    assert values.shape == (1, 42) and encoder.longest == 16
    with torch.no_grad():
        whole = encoder(values, time, is_pad).values
        first = encoder(values[:, :16], time[:, :16], is_pad[:, :16]).values
    torch.testing.assert_close(whole[:, :16], first, atol=1e-5, rtol=0)


def test_gradients_reach_what_trains(place, encoder):
    backward(encoder.train(), read(encoder, "the film was good"))
    assert lacking_gradient(encoder) == []
    last = build_encoder("words", TextConfig(str(place / "bert"), freeze="last_n", last_n=1))
    assert {name.split(".")[3] for name, p in last.named_parameters() if p.requires_grad} == {"1"}
    with pytest.raises(UserError, match="at most this model's 2 layers"):
        build_encoder("words", TextConfig(str(place / "bert"), freeze="last_n", last_n=3))


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_start_as_nothing_and_are_all_that_learns(family):
    small = DISTILBERT if family == "distilbert" else SMALL
    bare = TextConfig(family, pretrained=False, kwargs={**small, "vocab_size": 40}, freeze="last_n", last_n=1)
    torch.manual_seed(0)
    plain = build_encoder("words", bare).eval()
    torch.manual_seed(0)
    adapted = build_encoder("words", replace(bare, adapter_rank=2)).eval()
    batch = (
        torch.randint(5, 40, (2, 6)),
        torch.arange(6).expand(2, -1) / 2.5,
        torch.zeros(2, 6, dtype=torch.bool),
    )
    with torch.no_grad():
        assert torch.equal(adapted(*batch).values, plain(*batch).values)
    learning = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert learning and all("lora_" in name and ".layer.1." in name for name in learning)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    backward(adapted.train(), batch)
    assert lacking_gradient(adapted) == []
    again = build_encoder("words", adapted.standalone_config()).eval()
    again.load_state_dict(adapted.state_dict())
    with torch.no_grad():
        assert torch.equal(again(*batch).values, adapted.eval()(*batch).values)
        assert not torch.equal(again(*batch).values, plain(*batch).values)


def test_merged_adapters_say_the_same_without_being_there():
    bare = TextConfig("bert", pretrained=False, kwargs={**SMALL, "vocab_size": 40}, adapter_rank=2)
    torch.manual_seed(0)
    encoder = build_encoder("words", bare).eval()
    for name, weight in encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    batch = (torch.randint(5, 40, (1, 6)), torch.arange(6)[None] / 2.5, torch.zeros(1, 6, dtype=torch.bool))
    with torch.no_grad():
        before = encoder(*batch).values
        merge_adapters(encoder.backbone)
        assert torch.allclose(encoder(*batch).values, before, atol=1e-4)
    assert not any("lora" in name for name, _ in encoder.named_parameters())


def test_a_stored_encoder_brings_its_tokenizer(encoder):
    again = build_encoder("words", encoder.standalone_config())
    again.load_state_dict(encoder.state_dict())
    batch = read(again, "the film was ungood")
    with torch.no_grad():
        assert torch.equal(again.eval()(*batch).values, encoder(*batch).values)
    bare = build_encoder("words", replace(encoder.standalone_config(), tokenizer_bytes=0))
    with pytest.raises(UserError, match="checkpoint's tokenizer"):
        bare.read_words()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TextConfig("bert"), "pretrained=false"),
        (TextConfig("/nowhere/at/all"), "could not be loaded"),
        (TextConfig("bert", pretrained=False, kwargs={"hiden_size": 8}), "did you mean hidden_size"),
    ],
)
def test_mistakes_are_explained(config, message):
    with pytest.raises(UserError, match=message):
        build_encoder("words", config)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_its_own_tokens_only(family):
    torch.manual_seed(0)
    small = DISTILBERT if family == "distilbert" else SMALL
    encoder = build_encoder("words", TextConfig(family, pretrained=False, kwargs={**small, "vocab_size": 40}))
    n_tokens = encoder.longest + 3  # a block, and a part of the next
    values = torch.randint(5, 40, (2, n_tokens))
    is_pad = torch.arange(n_tokens) >= torch.tensor([[n_tokens], [4]])
    batch = values.masked_fill(is_pad, 0), torch.arange(n_tokens).expand(2, -1) / 2.5, is_pad
    with torch.no_grad():
        padded = encoder.eval()(*batch)
        alone = encoder(*(part[1:, :4] for part in batch))
    torch.testing.assert_close(padded.values[1:, :4], alone.values, atol=1e-5, rtol=0)
    assert not padded.values[is_pad].any() and padded.values.isfinite().all()
    backward(encoder.train(), batch)
    assert lacking_gradient(encoder) == []
