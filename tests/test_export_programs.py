"""ONNX: the same scores at sizes that were never traced. And the page's own snippets."""

import re
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from kit.launched import ROOT
from kit.made_cache import make_cache
from kit.made_clips import draw_number, make_tone, write_clip
from kit.tiny_models import MODELS, TINY_CROSS, load_batch, tiny_model, wake, write_recipe

import mosi_e2e.train
from mosi_e2e.config import LossConfig, RunConfig
from mosi_e2e.data.batch import drop_stream
from mosi_e2e.engine.losses import Objective
from mosi_e2e.export.__main__ import main
from mosi_e2e.export.examples import make_batch, make_trials
from mosi_e2e.export.programs import (
    TOLERANCE,
    Traced,
    check_scores,
    name_axes,
    read_crop_size,
    trace,
    write_onnx,
)
from mosi_e2e.export.traceable import TraceableModel, select_inputs
from mosi_e2e.models import build_model, list_streams
from mosi_e2e.models.config import ModelConfig, SpeechConfig
from mosi_e2e.runs.checkpoint import CacheFacts, cache_facts
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError

CLIPS = ["ta_1", "ta_2", "ta_3", "tb_1", "tb_3", "tc_1", "tc_3", "t_d_2"]  # three of them lack a stream
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ClipStore(make_cache(tmp_path_factory.mktemp("made")))


def resized() -> ModelConfig:
    """The transformer with crops of another size than its image model wants, and another norm in the stem."""
    speech = replace(TINY_CROSS.speech, kwargs=TINY_CROSS.speech.kwargs | LAYER_NORM)
    face = replace(TINY_CROSS.face, image_size=48)
    return ModelConfig("crossmodal", crossmodal=replace(TINY_CROSS, face=face, speech=speech))


@pytest.mark.parametrize("config", [*MODELS.values(), resized()], ids=[*MODELS, "resized"])
@torch.no_grad()
def test_the_traceable_form_computes_the_same(store, config):
    network, streams = tiny_model(config, store), list_streams(config)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    objective = Objective("binary", "drop", LossConfig(), np.array([1.0, -1.0]))
    model = TraceableModel(network, objective, 32)
    batches = [load_batch(config, store, CLIPS), *make_trials(network, streams, 32)]
    for batch in batches:
        found, wanted = model(select_inputs(batch, streams)), network(batch)
        torch.testing.assert_close(found["score"], torch.sigmoid(wanted.score), atol=2e-6, rtol=0)
        for name, score in wanted.by_stream.items():
            torch.testing.assert_close(found[f"score_{name}"], torch.sigmoid(score), atol=2e-6, rtol=0)
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def run_onnx(path, batch):
    session = onnxruntime.InferenceSession(path)
    inputs = {given.name: batch[given.name].numpy() for given in session.get_inputs()}
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, inputs), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("task", ["regression", "binary"])
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_onnx_scores_real_batches_as_the_model_does(store, tmp_path, name, task):
    config = MODELS[name]
    network, streams = tiny_model(config, store), list_streams(config)
    facts = cache_facts(store, config, [1.0, -1.0])
    traced = trace(network, RunConfig(model=config, task=task), facts)
    assert write_onnx(tmp_path / "model.onnx", traced) < TOLERANCE
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    shapes = {given.name: given.shape for given in session.get_inputs()}
    axes = name_axes(streams)
    assert all(
        [shape[axis] for axis in axes[name]] == list(axes[name].values()) for name, shape in shapes.items()
    )
    assert {stream for stream in streams if stream in shapes} == set(streams)
    whole = load_batch(config, store, CLIPS)
    batches = [whole, load_batch(config, store, ["tb_3"]), load_batch(config, store, ["ta_2", "tb_1"])]
    batches += [drop_stream(whole, stream) for stream in streams]
    for batch in batches:
        prediction = network(batch)
        inputs = select_inputs(batch, streams)
        found = run_onnx(tmp_path / "model.onnx", inputs)
        wanted = {"score": prediction.score} | {
            f"score_{key}": score for key, score in prediction.by_stream.items()
        }
        for key, raw in wanted.items():
            scores = torch.sigmoid(raw) if task == "binary" else raw
            np.testing.assert_allclose(found[key], scores.numpy(), atol=1e-4, rtol=0)
        assert prediction.score.shape == found["score"].shape


WHISPER = {
    **{
        "d_model": 16,
        "num_mel_bins": 8,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 24,
    },
    **{"max_source_positions": 100, "vocab_size": 50, "pad_token_id": 1},  # 2 s
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@torch.no_grad()
def test_a_model_of_classes_with_whispers_layers_says_the_same_as_onnx(tmp_path):
    speech = SpeechConfig("whisper", pretrained=False, kwargs=WHISPER, freeze="frozen", layers="weighted")
    cross = replace(TINY_CROSS, streams=["face", "speech"], speech=speech)
    config = ModelConfig("crossmodal", crossmodal=cross)
    torch.manual_seed(0)
    network = wake(build_model(config, {}, 3)).eval()
    for head in network.stream_heads.values():
        head[-1].weight.mul_(5)  # so that classes differ
    stages = {"faces": {"options": {"faces": {"size": 40}}}}
    facts = CacheFacts({}, [0.0, 1.0, 2.0], False, stages, classes=["happy", "neutral", "sad"])
    traced = trace(network, RunConfig(model=config, task="classes"), facts)
    assert write_onnx(tmp_path / "model.onnx", traced) < TOLERANCE
    spread = []
    for seed, seconds in enumerate([[2.0], [0.01], [1.9, 0.3, 1.0], [0.4] * 5]):
        batch = make_batch(network, ["face", "speech"], 40, seconds, 50 + seed)
        batch["speech"] *= torch.linspace(0.01, 5, len(seconds))[:, None]
        wanted = network(batch).score.softmax(dim=1).numpy()
        found = run_onnx(tmp_path / "model.onnx", batch)["score"]
        assert found.shape == (len(seconds), 3)
        np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)
        spread.append(wanted)
    assert np.ptp(np.concatenate(spread), axis=0).max() > 0.1  # what it hears and sees matters


def test_axes_are_named_after_streams_and_what_their_rows_are():
    axes = name_axes(["face", "speech", "behaviour"])
    assert axes["face"] == axes["face_is_pad"] == {0: "clips", 1: "face_frames"}
    assert axes["speech"] == {0: "clips", 1: "speech_samples"} and axes["speech_time"] == {0: "clips"}
    assert axes["behaviour_time"] == {0: "clips", 1: "behaviour_rows"}


def test_a_program_that_differs_is_removed(store, tmp_path):
    config = MODELS["late_fusion"]
    network = tiny_model(config, store)
    objective = Objective("regression", "drop", LossConfig(), np.array([1.0]))
    traced = Traced(None, network, objective, list_streams(config), 1, ["score", "score_a", "score_b"])
    path = tmp_path / "model.onnx"
    path.write_text("wrong")
    off = {name: np.full(9, 7.0, np.float32) for name in traced.outputs}
    with pytest.raises(UserError, match=r"same scores within 0\.0001, but model\.onnx differs by"):
        check_scores(path, traced, lambda batch: {n: v[: len(batch["behaviour"])] for n, v in off.items()})
    assert not path.exists()


def test_a_model_that_does_not_know_its_crops_is_refused(store):
    facts = cache_facts(store, MODELS["crossmodal"], [1.0])
    assert read_crop_size(facts) == 32
    with pytest.raises(UserError, match="earlier version: train it again"):
        read_crop_size(replace(facts, stages={}))


@pytest.mark.slow
def test_the_snippets_of_the_page_run(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    assert len(blocks) == 4  # test_ready_programs.py runs the last one
    monkeypatch.chdir(tmp_path)
    cache = make_cache(tmp_path / "made")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "sample").symlink_to(cache)
    recipe = write_recipe(tmp_path / "recipe.yaml", cache, "late_fusion", epochs=1)
    assert mosi_e2e.train.main(["--config", str(recipe), "name=NAME"]) == 0
    assert main(["runs/NAME", "--out", "model/", "--onnx"]) == 0
    write_clip(tmp_path / "clip.mp4", [draw_number(n) for n in range(20)], sound=make_tone(2, 16_000, 150))
    capsys.readouterr()
    space = {}
    for block in blocks[:3]:
        exec(block, space)
    lines = capsys.readouterr().out.splitlines()
    assert "['behaviour']" in lines[0] and float(lines[0].split()[0]) == pytest.approx(0, abs=10)
    assert lines[1].startswith("late_fusion regression ['_neutral'")
    assert (tmp_path / "copy" / "model.safetensors").is_file()
    onnx = np.array(re.findall(r"-?\d+\.\d+", lines[2]), float)
    wanted = space["model"].network(space["batch"]).score.detach().numpy()
    assert len(onnx) == 2 and np.abs(onnx - wanted).max() < 1e-3
