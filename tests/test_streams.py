"""Which cached arrays a stream reads."""

import pytest
from kit.made_cache import make_cache

from mosi_e2e.data.dataset import read_stream
from mosi_e2e.data.streams import check_streams, known_streams
from mosi_e2e.models.encoders import encoder_class
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError


def test_each_stream_has_its_arrays_in_a_cache_and_its_encoder(tmp_path):
    store = ClipStore(make_cache(tmp_path))
    for name, source in known_streams().items():
        assert encoder_class(name).config_class
        if source.stage not in store.meta["stages"]:
            assert name == "words"  # made from tables, test_words.py
            continue
        stream = read_stream(store, "ta_1", source)
        assert len(stream["values"]) and len(stream["time"])
        if source.kind == "tokens":
            assert stream["values"].shape[1] == len(store.columns(source.stage, source.key))


def test_names_are_known_and_used_once():
    assert check_streams(("speech", "face")) == ["speech", "face"]
    for wrong in ([], ["speech", "speech"], ["face", "smell"]):
        with pytest.raises(UserError, match=r"one or more of face, speech.*type"):
            check_streams(wrong)
