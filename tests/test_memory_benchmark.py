"""Memory of a training step, counted by `benchmarks/memory.py --seconds 5 10` at full size, here in small."""

from dataclasses import replace

import pytest
from kit.tiny_models import MODELS
from kit.typed_commands import load_module

from mosi_e2e.config import DataConfig, RunConfig


@pytest.fixture(scope="module")
def memory():
    return load_module("benchmarks/memory.py")


def test_what_is_kept_grows_with_clips_and_seconds_and_shrinks_with_what_is_frozen(memory):
    crossmodal = replace(MODELS["crossmodal"].crossmodal, streams=["face", "speech", "behaviour"])

    def measure(clips, speech):
        part = replace(crossmodal, speech=replace(crossmodal.speech, freeze=speech))
        model = replace(MODELS["crossmodal"], crossmodal=part)
        config = RunConfig(data=DataConfig(batch_size=16, micro_batch=clips), model=model)
        return memory.measure(config, [2, 4])

    few, many, frozen = measure(8, "full"), measure(16, "full"), measure(8, "frozen")
    assert few["parameters"] == few["trained"] == frozen["parameters"] > frozen["trained"]
    two, four = few["kept_for_backward_gb_2_s"], few["kept_for_backward_gb_4_s"]
    assert four == pytest.approx(2 * two, rel=0.2)
    assert many["kept_for_backward_gb_2_s"] == pytest.approx(2 * two, rel=0.2)
    assert frozen["kept_for_backward_gb_2_s"] < 0.9 * two
