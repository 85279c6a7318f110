"""The fusion block: exact masks, exact time, any subset of streams, and the kernel it runs on."""

import itertools
import math
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from mosi_e2e.models.config import FUSION_KINDS, FusionConfig
from mosi_e2e.models.fusion import Fusion
from mosi_e2e.models.layers import Tokens
from preprocessing.errors import UserError

WIDTHS = {"face": 7, "speech": 11, "behaviour": 5}
RATES = {"face": 5.0, "speech": 20.0, "behaviour": 12.5}  # tokens a second
SUBSETS = [s for n in (1, 2, 3) for s in itertools.combinations(WIDTHS, n)]
every_kind = pytest.mark.parametrize("kind", FUSION_KINDS)


def build(kind: str = "crossmodal", streams=tuple(WIDTHS), width: int = 20, heads: int = 4) -> Fusion:
    """A small model (heads of 5 features) whose every parameter is away from its neutral start."""
    torch.manual_seed(0)
    fusion = Fusion(streams, WIDTHS, FusionConfig(kind=kind, width=width, heads=heads)).eval()
    with torch.no_grad():
        for name, parameter in fusion.named_parameters():
            noise = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            parameter += 0.1 * torch.randn(parameter.shape, generator=noise)
    return fusion


def make_clip(seconds: float, seed: int = 0) -> dict[str, Tokens]:
    """One clip, unpadded."""
    clip = {}
    for number, name in enumerate(WIDTHS):
        length = max(1, round(seconds * RATES[name]))
        values = torch.randn(
            1, length, WIDTHS[name], generator=torch.Generator().manual_seed(seed * 9 + number)
        )
        time = (torch.arange(length) + 0.5)[None] / RATES[name]
        clip[name] = Tokens(values, time, torch.zeros(1, length, dtype=torch.bool))
    return clip


def pad_batch(clips: list[dict[str, Tokens]], garbage: float = 0.0, extra: int = 3) -> dict[str, Tokens]:
    """Clips as one batch with `garbage` in its padded rows; a clip without a stream is all padding."""
    batch = {}
    for name, width in WIDTHS.items():
        length = max(clip[name].time.shape[1] for clip in clips if name in clip) + extra
        values = torch.full((len(clips), length, width), garbage)
        time = torch.full((len(clips), length), garbage)
        is_pad = torch.ones(len(clips), length, dtype=torch.bool)
        for row, clip in enumerate(clips):
            if name in clip:
                real = clip[name].time.shape[1]
                values[row, :real], time[row, :real] = clip[name].values[0], clip[name].time[0]
                is_pad[row, :real] = False
        batch[name] = Tokens(values, time, is_pad)
    return batch


def move(clip: dict[str, Tokens], change) -> dict[str, Tokens]:
    return {name: tokens._replace(time=change(tokens.time)) for name, tokens in clip.items()}


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


@every_kind
@pytest.mark.parametrize("garbage", [3.0, math.nan, math.inf])
def test_padding_has_no_influence(kind, garbage):
    fusion, clips = build(kind), [make_clip(2.0, 1), make_clip(0.9, 2), make_clip(3.1, 3)]
    together = fusion(pad_batch(clips, garbage)).pooled
    alone = torch.cat([fusion(clip).pooled for clip in clips])
    assert distance(together, alone) < 1e-5
    assert distance(alone[0], alone[1]) > 0.05  # the clips themselves differ


@every_kind
def test_gradients_ignore_padding(kind):
    clips = [make_clip(2.0, 1), {"face": make_clip(1.0, 2)["face"]}]
    gradients = []
    for garbage in (0.0, math.nan):
        fusion = build(kind)
        fusion(pad_batch(clips, garbage)).pooled.square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in fusion.parameters()]))
    assert gradients[1].isfinite().all()
    assert torch.equal(gradients[0], gradients[1])


@every_kind
@pytest.mark.parametrize("shift", [-0.3, 1000.0])
def test_shift_of_all_times_changes_nothing(kind, shift):
    fusion, clip = build(kind), make_clip(4.0)
    score = fusion(clip).pooled
    assert distance(fusion(move(clip, lambda time: time + shift)).pooled, score) < 1e-4
    assert distance(fusion(move(clip, lambda time: time * 1.5)).pooled, score) > 1e-3  # time does matter


def test_shift_of_one_stream_against_the_others_matters():
    fusion, clip = build(), make_clip(4.0)
    late = clip | {"speech": clip["speech"]._replace(time=clip["speech"].time + 0.5)}
    assert distance(fusion(late).by_stream["face"], fusion(clip).by_stream["face"]) > 1e-3


def test_rate_of_a_stream_matters_little():
    """Attention is a mean over time, so that twice the rows at the right times say the same.

    Only of `crossmodal`: in the other kinds a stream with more rows outweighs what shares its softmax.
    """
    fusion, clip = build(), make_clip(6.0)
    phase = torch.linspace(0, 3, WIDTHS["speech"])

    def sample(rate: float) -> Tokens:
        time = (torch.arange(round(6 * rate)) + 0.5)[None] / rate  # [1 t]
        values = torch.sin(1.5 * time[..., None] + phase)  # [1 t w], one swing in four seconds
        return Tokens(values, time, torch.zeros_like(time).bool())

    score = fusion(clip | {"speech": sample(20)}).pooled
    dense = sample(40)
    order = torch.randperm(dense.time.shape[1], generator=torch.Generator().manual_seed(0))
    scrambled = dense._replace(time=dense.time[:, order])
    change = distance(fusion(clip | {"speech": dense}).pooled, score)
    assert change < 0.1 * distance(fusion(clip | {"speech": scrambled}).pooled, score)


@every_kind
def test_order_of_streams_changes_only_names(kind):
    clip = make_clip(2.0)
    fusion = build(kind)
    swapped = build(kind, streams=("speech", "behaviour", "face"))
    states = fusion.state_dict(), swapped.state_dict()
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    a, b = fusion(clip), swapped({name: clip[name] for name in swapped.streams[::-1]})
    assert distance(a.pooled, b.pooled) < 1e-6
    assert all(distance(a.by_stream[name], b.by_stream[name]) < 1e-6 for name in WIDTHS)
    side_by_side = torch.cat([a.by_stream[name] for name in sorted(WIDTHS)], dim=-1)
    assert torch.equal(a.pooled, side_by_side)
    assert a.pooled.shape == (1, fusion.out_width)


@every_kind
@pytest.mark.parametrize("present", SUBSETS, ids="+".join)
def test_any_subset_of_streams(kind, present):
    fusion, clip = build(kind), make_clip(2.0)
    part = {name: clip[name] for name in present}
    empty = {
        name: Tokens(torch.zeros(1, 0, WIDTHS[name]), torch.zeros(1, 0), torch.zeros(1, 0).bool())
        for name in WIDTHS
        if name not in present
    }
    padded = pad_batch([part, clip], math.nan)
    left_out = fusion(part)
    left_out.pooled.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fusion.parameters())
    assert distance(fusion(part | empty).pooled, left_out.pooled) < 1e-6
    assert distance(fusion(padded).pooled[:1], left_out.pooled) < 1e-5
    if len(present) < len(WIDTHS):
        assert distance(fusion(clip).pooled, left_out.pooled) > 0.01
        shifted = fusion(move(part, lambda time: time + 100)).pooled
        assert distance(shifted, left_out.pooled) < 1e-4


@every_kind
def test_clip_without_any_stream_is_finite(kind):
    fusion, clip = build(kind), make_clip(1.0)
    score = fusion(pad_batch([clip, {}], math.nan)).pooled
    score.sum().backward()
    assert score.isfinite().all()
    assert all(p.grad.isfinite().all() for p in fusion.parameters())


@every_kind
def test_every_stream_hears_every_other(kind):
    fusion, clip = build(kind), make_clip(2.0)
    before = fusion(clip).by_stream
    for changed, heard in itertools.permutations(WIDTHS, 2):
        other = clip | {changed: clip[changed]._replace(values=clip[changed].values + 1)}
        assert distance(fusion(other).by_stream[heard], before[heard]) > 1e-3, (changed, heard)


@every_kind
def test_gradient_reaches_every_parameter(kind):
    """Also those of absent tokens in a batch that lacks nothing: DDP waits for each of them."""
    fusion, clip = build(kind).train(), make_clip(2.0)
    target = torch.randn(2, fusion.out_width, generator=torch.Generator().manual_seed(1))
    (fusion(pad_batch([clip, make_clip(1.0, 5)])).pooled * target).sum().backward()
    gradients = {name: p.grad for name, p in fusion.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    untouched = {name for name, gradient in gradients.items() if not gradient.any()}
    assert untouched == {f"inputs.{name}.absent" for name in WIDTHS}
    for name in WIDTHS:
        part = {other: clip[other] for other in WIDTHS if other != name}
        (fusion(part).pooled * target[:1]).sum().backward()
        assert fusion.inputs[name].absent.grad.any()


@every_kind
def test_a_single_stream_is_enough(kind):
    fusion, clip = build(kind, streams=("speech",)).train(), make_clip(1.0)
    output = fusion({"speech": clip["speech"]})
    output.pooled.square().sum().backward()
    assert output.pooled.shape == (1, 20)
    assert all(p.grad is not None for p in fusion.parameters())


@every_kind
def test_same_seed_same_training_step(kind):
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        fusion = Fusion(tuple(WIDTHS), WIDTHS, FusionConfig(kind=kind, width=20)).train()
        fusion(pad_batch([make_clip(2.0), make_clip(1.0)])).pooled.square().sum().backward()
        results.append(torch.cat([p.grad.flatten() for p in fusion.parameters()]))
    assert torch.equal(*results)


@every_kind
def test_bfloat16_autocast(kind):
    fusion, batch = build(kind), pad_batch([make_clip(2.0), make_clip(1.0)], math.nan)
    exact = fusion(batch).pooled
    with torch.autocast("cpu", torch.bfloat16):
        score = fusion(batch).pooled
        late = fusion(move(batch, lambda time: time + 100)).pooled
    score.square().sum().backward()
    assert score.dtype == torch.float32
    assert distance(score, exact) < 0.1 * exact.abs().max()
    assert distance(late, score) < 0.02  # times pass no rounding to 8 bits
    assert all(p.grad.isfinite().all() for p in fusion.parameters())


@pytest.mark.parametrize(
    ("kind", "backend"),
    [(kind, "eager") for kind in FUSION_KINDS]
    + [pytest.param("crossmodal", "inductor", marks=pytest.mark.slow)],
)
def test_compiles_to_one_graph(kind, backend):
    streams = ("face", "speech")
    fusion = Fusion(streams, WIDTHS, FusionConfig(kind=kind, width=20, layers=1, self_layers=0))
    fusion.eval().requires_grad_(False)
    batch = pad_batch([make_clip(1.0), {"face": make_clip(1.0)["face"]}])
    batch = {name: batch[name] for name in streams}
    compiled = torch.compile(fusion, backend=backend, fullgraph=True)  # raises at the first graph break
    assert distance(compiled(batch).pooled, fusion(batch).pooled) < 1e-5


@every_kind
def test_training_runs_on_the_fused_kernel(kind):
    """A mask or a dropout that the fused CPU kernel cannot take makes a step several times slower."""
    fusion, batch = build(kind).train(), pad_batch([make_clip(1.0), make_clip(0.5)])
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # raises where it is not to be had
        fusion(batch).pooled.sum().backward()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "late"}, "crossmodal, bottleneck, concat"),
        ({"width": 50, "heads": 4}, "fusion.width=52"),
        ({"layers": 0}, "at least 1"),
        ({"self_layers": -1}, "at least 0"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        FusionConfig(**settings)


def test_impossible_streams_are_refused():
    with pytest.raises(UserError, match="each one once"):
        build(streams=("face", "face"))
    with pytest.raises(UserError, match="smell"):
        build()(make_clip(1.0) | {"smell": make_clip(1.0)["face"]})
    with pytest.raises(UserError, match="found \\[\\]"):
        build()({})


@pytest.mark.slow  # three processes that import torch
def test_benchmark_runs_without_the_peer():
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "fusion.py"
    call = [sys.executable, script, "--scales", "0.1", "--steps", "1", "--heads", "10"]
    run = subprocess.run(call, capture_output=True, text=True, check=True, cwd=script.parents[1])
    assert "the peer is left out" in run.stdout
    assert "| 5+38+50 | ours, 10 heads |" in run.stdout
