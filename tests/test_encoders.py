"""All encoders: the registry, token streams, and what frozen layers and copies do."""

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kit.tiny_encoders import (
    LAYER_NORM,
    VIT,
    backward,
    crops,
    lacking_gradient,
    rows,
    take_clip,
    tiny_face,
    tiny_speech,
    waveforms,
)
from timm.models import save_for_hf
from torch import nn

from mosi_e2e.models.config import TokenConfig
from mosi_e2e.models.encoders import build_encoder, layer_groups
from mosi_e2e.models.encoders.tokens import LIMIT
from preprocessing.errors import UserError


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.slow
def test_configs_are_read_without_the_heavy_libraries():
    code = "import sys, mosi_e2e.models.encoders.face, mosi_e2e.models.encoders.speech; "
    code += "assert not {'timm', 'transformers'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_tokens_are_standardised_and_clamped():
    encoder = build_encoder("behaviour", TokenConfig(width=8), n_columns=5)
    values, time, is_pad = rows(6)
    plain = encoder(values, time, is_pad).values
    mean, std = torch.tensor([3.0, -2.0, 0.0, 1.0, 9.0]), torch.tensor([2.0, 0.5, 7.0, 1.0, 3.0])
    encoder.set_statistics(mean, std)
    assert torch.allclose(encoder(values * std + mean, time, is_pad).values, plain, atol=1e-5)
    far = mean + std * torch.tensor([1e9, 0, 0, 0, 0])
    near = mean + std * torch.tensor([LIMIT, 0, 0, 0, 0])
    spike, limit = (encoder(v.expand(1, 1, 5), time[:, :1], is_pad[:, :1]).values for v in (far, near))
    assert torch.equal(spike, limit)
    assert {"mean", "std"} <= encoder.state_dict().keys()


def test_constant_and_unknown_columns_are_only_centred():
    encoder = build_encoder("acoustics", TokenConfig(), n_columns=4)
    mean, std = torch.tensor([[5.0, torch.nan, 5.0, 1.0], [0.0, torch.nan, 1e-7, 2.0]])
    encoder.set_statistics(mean, std)
    assert encoder.mean.tolist() == [5.0, 0.0, 5.0, 1.0]
    assert encoder.std.tolist() == [1.0, 1.0, 1.0, 2.0]
    with pytest.raises(UserError, match="4 columns"):
        encoder.set_statistics(mean[:1], std[:1])


@pytest.mark.parametrize(("stride", "context"), [(1, 0), (1, 2), (4, 0), (4, 3)])
def test_tokens_do_not_depend_on_padding(stride, context):
    encoder = build_encoder("acoustics", TokenConfig(8, stride, context), n_columns=5)
    batch = rows(10, 23, 0, total=30)
    padded, single = encoder(*batch), encoder(*take_clip(batch, 0, 10))
    n = single.time.shape[1]
    assert (~padded.is_pad).sum(1).tolist() == [-(-10 // stride), -(-23 // stride), 0]
    assert torch.allclose(padded.values[:1, :n], single.values, atol=1e-5)
    assert torch.equal(padded.time[:1, :n], single.time)
    assert not padded.values[padded.is_pad].any()
    backward(encoder, batch)
    assert lacking_gradient(encoder) == []


def test_joined_rows_keep_their_times_and_neighbours():
    encoder = build_encoder("acoustics", TokenConfig(8, stride=4, context=1), n_columns=5)
    values, time, is_pad = rows(11)
    is_pad[0, [1, 4, 5, 6, 7]] = True  # rows that the tracker failed on
    tokens = encoder(values, time, is_pad)
    assert tokens.time[0].tolist() == pytest.approx([0.05 / 3, 0.0, 0.09])  # means over what is valid
    assert tokens.is_pad[0].tolist() == [False, True, False]
    values[0, [1, 5]] = torch.nan
    assert torch.equal(encoder(values, time, is_pad).values, tokens.values)
    values[0, 10] += 1.0
    assert torch.equal(encoder(values, time, is_pad).values[0, 0], tokens.values[0, 0])
    assert not torch.equal(encoder(values, time, is_pad).values[0, 2], tokens.values[0, 2])


BOTH = pytest.mark.parametrize(
    ("build", "batch"),
    [(tiny_face, crops([[0, 0, 1], [0, 1, 1]])), (tiny_speech, waveforms(4000, 2500))],
    ids=["face", "speech"],
)


@BOTH
@pytest.mark.parametrize("policy", ["frozen", "last_n", "full"])
def test_frozen_layers_do_not_move(build, batch, policy):
    encoder = build(freeze=policy, last_n=1).train()
    head = nn.Linear(encoder.width, 1)
    before = copy.deepcopy(encoder.state_dict())
    optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)
    head(encoder(*batch).values).square().sum().backward()
    optimizer.step()
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    trainable = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert moved == trainable
    first = "patch_embed" if build is tiny_face else "feature_extractor"
    last = "blocks.1" if build is tiny_face else "encoder.layers.1"
    assert any(last in name for name in trainable) == (policy != "frozen")
    assert any(first in name for name in trainable) == (policy == "full" and build is tiny_face)
    assert encoder.frozen == (policy == "frozen") == (not layer_groups(encoder))


@BOTH
def test_frozen_layers_stay_in_eval_mode(build, batch):
    frozen = build(freeze="frozen").train()
    assert not any(module.training for module in frozen.backbone.modules())
    tokens = frozen(*batch).values
    assert tokens.grad_fn is None
    assert torch.equal(tokens, frozen.eval()(*batch).values)
    partly = build(freeze="last_n", last_n=1).train()
    modes = {name: module.training for name, module in partly.backbone.named_modules()}
    stack = "blocks" if build is tiny_face else "encoder.layers"
    graphs = []
    for i in (0, 1):
        layer = partly.backbone.get_submodule(f"{stack}.{i}")
        layer.register_forward_hook(lambda module, inputs, output: graphs.append(output.requires_grad))
    assert partly(*batch).values.requires_grad
    assert graphs == [False, True]
    assert all(modes[name] for name in modes if name.startswith(f"{stack}.1"))
    assert not any(modes[name] for name in modes if name.startswith(f"{stack}.0"))
    before = (
        ("pos_drop", "patch_embed")
        if build is tiny_face
        else ("encoder.dropout", "feature_projection.dropout")
    )
    assert not any(modes[name] for name in before)


@BOTH
def test_layer_groups_cover_each_trainable_parameter_once(build, batch):
    encoder = build()
    groups = layer_groups(encoder)
    flat = [id(p) for group in groups for p in group]
    assert len(flat) == len(set(flat))
    assert set(flat) == {id(p) for p in encoder.parameters() if p.requires_grad}
    assert len(groups) == 3  # patches or projection, then two layers
    names = {id(p): name for name, p in encoder.named_parameters()}
    layers = "blocks" if build is tiny_face else "encoder.layers"
    assert all(f"{layers}.0" in names[id(p)] for p in groups[1])
    assert all(f"{layers}.1" in names[id(p)] or ".norm." in names[id(p)] for p in groups[2])


def test_layer_groups_of_other_architectures():
    for name in ("convnext_atto", "resnet10t", "poolformer_s12", "pit_ti_224"):
        encoder = tiny_face(model=name, kwargs={})
        flat = [id(p) for group in layer_groups(encoder) for p in group]
        assert sorted(flat) == sorted(id(p) for p in encoder.parameters())
        assert tiny_face(model=name, kwargs={}, freeze="frozen").frozen
    stable = tiny_speech(kwargs=LAYER_NORM, freeze="last_n", last_n=1)
    assert any(p is stable.backbone.encoder.layer_norm.weight for p in layer_groups(stable)[-1])
    whole = tiny_speech(freeze_stem=False)
    assert len(layer_groups(whole)) == 4
    assert lacking_gradient(whole) != []
    backward(whole.train(), waveforms(4000, 2500))
    assert lacking_gradient(whole) == []
    assert len(layer_groups(build_encoder("behaviour", TokenConfig(), n_columns=2))) == 1


@BOTH
@pytest.mark.parametrize("policy", ["last_n", "full"])
def test_checkpointed_gradients_are_the_same(build, batch, policy):
    plain, checkpointed = (
        build(freeze=policy, last_n=1, gradient_checkpointing=flag).eval() for flag in (False, True)
    )
    checkpointed.load_state_dict(plain.state_dict())
    recomputed = []
    layer = (checkpointed.backbone.blocks if build is tiny_face else checkpointed.backbone.encoder.layers)[1]
    inner = layer.mlp if build is tiny_face else layer.feed_forward
    inner.register_forward_pre_hook(lambda module, inputs: recomputed.append(1))
    for encoder in (plain, checkpointed):
        encoder.train()
        for module in encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout") and isinstance(module.dropout, float):
                module.dropout = 0.0
        encoder(*batch).values.square().sum().backward()
    assert len(recomputed) == 2  # forward, and again on the way back
    pairs = zip(plain.named_parameters(), checkpointed.parameters(), strict=True)
    assert [
        name for (name, p), q in pairs if p.requires_grad and not torch.allclose(p.grad, q.grad, atol=1e-5)
    ] == []


@BOTH
def test_a_standalone_config_rebuilds_the_encoder(build, batch, tmp_path):
    encoder = build().eval()
    source = tmp_path / "pretrained"
    if build is tiny_face:
        save_for_hf(encoder.backbone, source, model_args={"img_size": 32, **VIT}, safe_serialization=True)
    else:
        encoder.backbone.save_pretrained(source)
    stream = "face" if build is tiny_face else "speech"
    fetched = build_encoder(stream, type(encoder.config)(str(source), freeze="last_n", last_n=1)).eval()
    config = fetched.standalone_config()
    assert not config.pretrained
    assert str(tmp_path) not in repr(config)
    kwargs = json.loads(json.dumps(config.kwargs))  # as after a run folder's config file
    rebuilt = build_encoder(stream, replace(config, kwargs=kwargs)).eval()
    rebuilt.load_state_dict(fetched.state_dict())
    expected = encoder(*batch).values
    assert torch.allclose(fetched(*batch).values, expected, atol=1e-6)
    assert torch.allclose(rebuilt(*batch).values, expected, atol=1e-6)
    assert len(layer_groups(rebuilt)) == 1


def test_a_copy_is_independent():
    encoder = tiny_speech().eval()
    batch = waveforms(4000, 2500)
    before = encoder(*batch).values
    twin = copy.deepcopy(encoder)
    for parameter in twin.parameters():
        parameter.data += 0.01
    assert not torch.allclose(twin(*batch).values, before, atol=1e-3)
    assert torch.equal(encoder(*batch).values, before)
