"""What the fusion is built of: rotary positions in seconds, masked attention, attentive pooling."""

import math

import pytest
import torch

from mosi_e2e.models.layers import Attention, AttentivePool, place_tokens
from mosi_e2e.models.rotary import LONGEST_S, SHORTEST_S, rotary_frequencies, rotate, rotation


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


@pytest.mark.parametrize(("width", "heads"), [(50, 10), (32, 2), (21, 3)])
def test_attention_equals_its_definition(width, heads):
    """Against a plain softmax, also where heads are padded (5, 7) and one feature is not rotated."""
    torch.manual_seed(0)
    attention, size = Attention(width, heads), width // heads
    x, source = torch.randn(2, 6, width), torch.randn(2, 9, width)
    time, source_time = torch.rand(2, 6) * 10, torch.rand(2, 9) * 10
    is_pad = torch.arange(9) >= torch.tensor([[9], [4]])
    place = place_tokens(time, torch.zeros(2, 6).bool(), heads, size)
    output = attention(x, place, source, place_tokens(source_time, is_pad, heads, size))

    wq, wk, wv = attention.qkv.weight.split(width)
    q, k, v = ((y @ w.T).view(2, -1, heads, size) for y, w in ((x, wq), (source, wk), (source, wv)))
    phase = torch.einsum("bt,hp->bthp", time, rotary_frequencies(heads, size))
    source_phase = torch.einsum("bt,hp->bthp", source_time, rotary_frequencies(heads, size))
    q, k = turn(q, phase), turn(k, source_phase)
    logits = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(size)
    logits = logits.masked_fill(is_pad[:, None, None], -math.inf)
    expected = torch.einsum("bhts,bshd->bthd", logits.softmax(-1), v).flatten(2)
    assert distance(output, attention.out(expected)) < 1e-5


def turn(x: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
    """Rotation as complex numbers, apart from the implementation under test."""
    p = phase.shape[-1]
    pairs = torch.complex(x[..., :p], x[..., p : 2 * p]) * torch.polar(torch.ones_like(phase), phase)
    return torch.cat((pairs.real, pairs.imag, x[..., 2 * p :]), dim=-1)


def test_attention_to_nothing_is_finite():
    torch.manual_seed(0)
    attention = Attention(10, 2)
    x = torch.randn(2, 4, 10, requires_grad=True)
    nothing = place_tokens(torch.zeros(2, 4), torch.tensor([[True] * 4, [False] * 4]), 2, 5)
    assert nothing.is_key.all()  # not every kernel and export takes a softmax over nothing as zero
    output = attention(x, nothing)
    output.sum().backward()
    assert output.isfinite().all()
    assert x.grad.isfinite().all()


def test_pool_is_a_masked_mean_at_first_and_learns_to_choose():
    pool, x = AttentivePool(4), torch.randn(2, 5, 4)
    is_pad = torch.arange(5) >= torch.tensor([[3], [5]])
    mean = pool.norm(x[:, :3]).mean(dim=1)
    assert distance(pool(x, is_pad)[0], mean[0]) < 1e-6
    torch.nn.init.constant_(pool.score.weight[:, :1], 50.0)
    chosen = pool.norm(x)[0, :3][pool.norm(x)[0, :3, 0].argmax()]
    assert distance(pool(x, is_pad)[0], chosen) < 0.1
    assert pool(x, torch.ones(2, 5).bool()).isfinite().all()


def test_rotation_sees_only_differences_of_time():
    torch.manual_seed(0)
    q, k = torch.randn(1, 3, 1, 8), torch.randn(1, 3, 1, 8)

    def product(at: float, then: float) -> torch.Tensor:
        turned = [rotate(x, *rotation(torch.tensor([[t]]), 3, 8)) for x, t in ((q, at), (k, then))]
        return (turned[0] * turned[1]).sum(-1)

    assert distance(product(1.0, 1.3), product(7.0, 7.3)) < 1e-5
    assert distance(product(1.0, 1.3), product(1.0, 1.32)) > 0.01  # two neighbours of the fastest stream
    assert distance(product(0.0, 29.0), product(0.0, 14.0)) > 0.01


def test_frequencies_cover_a_clip_in_every_head():
    frequency = rotary_frequencies(4, 33)  # [h p]
    assert frequency.shape == (4, 16)
    assert frequency.max() == pytest.approx(1 / SHORTEST_S)
    assert frequency.min() == pytest.approx(1 / LONGEST_S)
    assert frequency.flatten().unique().numel() == 64
    assert ((frequency.amax(dim=1) / frequency.amin(dim=1)) > 300).all()


def test_rotation_keeps_the_odd_feature_and_appends_zeros():
    x = torch.randn(1, 2, 3, 5)
    turned = rotate(x, *rotation(torch.rand(1, 3) * 9, 2, 5), padding=11)
    assert turned.shape == (1, 2, 3, 16)
    assert torch.equal(turned[..., 4], x[..., 4])
    assert not turned[..., 5:].any()
    assert distance(turned.norm(dim=-1), x.norm(dim=-1)) < 1e-5
