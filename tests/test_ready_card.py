"""The ready models' cards: what they say fits what their models have."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mosi_e2e.ready.card import write_ready_card
from mosi_e2e.ready.folder import read_ready

MODELS = Path(__file__).resolve().parents[1] / "models"
MARKS = {"words": "English|words", "speech": "voice", "face": "face"}


@pytest.mark.parametrize("name", ["ready", "fast"])
def test_the_cards_are_those_that_are_written_today(name):
    assert write_ready_card(read_ready(MODELS / name)) == (MODELS / name / "README.md").read_text()


@pytest.mark.parametrize("streams", [["words", "face"], ["words"], ["face"], ["face", "speech"]])
def test_a_card_tells_of_no_stream_that_its_model_lacks(streams):
    known = read_ready(MODELS / "ready")
    card = write_ready_card(replace(known, streams={name: known.streams[name] for name in streams}))
    told = card[card.index("Errors of") : card.index("## Intended")] + card[card.index("## Limits") :]
    for name, mark in MARKS.items():
        assert bool(re.search(rf"\b({mark})\b", told, re.IGNORECASE)) is (name in streams)
    assert ("How they are combined" in card) is (len(streams) > 1)
    assert ("neither class nor interval" in card) is (streams != ["words"])
