"""The ready model: how its streams become one score, and its description."""

from dataclasses import replace

import numpy as np
import pytest

from mosi_e2e.ready.combining import StreamFacts, combine, score_classes, share_weights
from mosi_e2e.ready.folder import read_ready
from preprocessing.errors import UserError

WORDS = StreamFacts("words", 1.0, 0.8, {"50": 0.5, "90": 1.3}, [], "", "some clips", 9, 3)
VOICE, FACE = replace(WORDS, opinion=0.0, sd=1.0), replace(WORDS, opinion=0.0, sd=2.0)


def test_precise_streams_count_more_and_those_without_opinions_have_no_say_beside_others():
    assert share_weights({"speech": VOICE, "face": FACE}) == pytest.approx({"speech": 0.8, "face": 0.2})
    everything = {"words": WORDS, "speech": VOICE, "face": FACE}
    assert combine({"words": 1.0, "speech": -3.0, "face": -3.0}, everything) == 1.0
    assert combine({"speech": -1.0, "face": 1.0}, everything) == pytest.approx(-0.6)
    assert combine({}, everything) == 0.0
    assert WORDS.find_half_width(0.9) == 1.3 and WORDS.find_half_width(0.8) == 1.3
    assert WORDS.find_half_width(0.95) is None


def test_classes_become_sentiment_with_equal_chances_for_good_and_bad():
    valence = {"happy": 2.0, "sad": -2.0, "angry": -2.0, "surprised": None}
    weight = {"happy": 1.0, "sad": 0.5, "angry": 0.5}
    names = list(valence)
    nothing = score_classes(np.full((1, 4), 0.25), names, valence, weight)
    assert nothing == pytest.approx(0.0)
    assert score_classes(np.array([[0.5, 0, 0, 0.5]]), names, valence, weight) == pytest.approx(2.0)


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 9}', '{"format": 1, "streams": {"words": 3}}'])
def test_a_damaged_description_is_one_line(tmp_path, content):
    (tmp_path / "combine.json").write_text(content)
    with pytest.raises(UserError, match="damaged"):
        read_ready(tmp_path)
