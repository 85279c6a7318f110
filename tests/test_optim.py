"""Which parameter learns how fast, and when."""

import math

import pytest
import torch
from torch import nn

from mosi_e2e.config import OptimConfig
from mosi_e2e.engine.optim import Schedule, build_optimizer, cosine_rate
from preprocessing.errors import UserError


class Backbone(nn.Module):
    """Stands for a pretrained encoder: three layers, the first of which may be frozen."""

    def __init__(self, frozen_layers=0):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        for layer in self.layers[:frozen_layers]:
            layer.requires_grad_(False)

    def parameter_layers(self):
        return [list(layer.parameters()) for layer in self.layers]


class Model(nn.Module):
    def __init__(self, frozen_layers=0):
        super().__init__()
        self.encoders = nn.ModuleDict({"speech": Backbone(frozen_layers), "behaviour": nn.Linear(3, 2)})
        self.norm, self.head = nn.LayerNorm(2), nn.Linear(2, 1)
        self.embedding = nn.Parameter(torch.zeros(2))


def settings_of(model, config):
    """Name → (learning rate, weight decay); every parameter must turn up at most once."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {}
    for group in build_optimizer(model, config).param_groups:
        for parameter in group["params"]:
            assert names[parameter] not in found
            found[names[parameter]] = (group["lr"], group["weight_decay"])
    return found


@pytest.mark.parametrize("frozen_layers", [0, 1, 3])
def test_every_trainable_parameter_is_in_exactly_one_group(frozen_layers):
    model = Model(frozen_layers)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert settings_of(model, OptimConfig()).keys() == trainable


def test_encoder_layers_learn_slower_the_lower_they_are():
    found = settings_of(Model(), OptimConfig(lr=1.0, encoder_lr=0.1, layer_decay=0.5))
    rates = [found[f"encoders.speech.layers.{depth}.weight"][0] for depth in range(3)]
    assert rates == pytest.approx([0.025, 0.05, 0.1])
    assert [found[f"encoders.speech.layers.{depth}.bias"][0] for depth in range(3)] == rates
    new = [rate for name, (rate, _) in found.items() if "speech" not in name]
    assert new == [1.0] * len(new)


def test_the_weights_of_layers_learn_faster():
    model = Model(frozen_layers=3)
    model.encoders["speech"].layer_weight = nn.Parameter(torch.zeros(4))
    found = settings_of(model, OptimConfig(lr=1e-3))
    assert found["encoders.speech.layer_weight"] == (pytest.approx(0.02), 0.0)
    assert found["head.weight"][0] == 1e-3


def test_decay_counts_from_the_last_layer_whatever_is_frozen():
    found = settings_of(Model(1), OptimConfig(encoder_lr=0.1, layer_decay=0.5))
    assert found["encoders.speech.layers.2.weight"][0] == pytest.approx(0.1)
    assert found["encoders.speech.layers.1.weight"][0] == pytest.approx(0.05)


def test_only_matrices_decay():
    found = settings_of(Model(), OptimConfig(weight_decay=0.3))
    for name, (_, decay) in found.items():
        is_matrix = name.endswith("weight") and not name.startswith("norm")
        assert decay == (0.3 if is_matrix else 0.0), name


def run_schedule(config, updates, epochs=None):
    """The rate of every update, as a share of the peak."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = Schedule(optimizer, config, updates, "min")
    rates = []
    for update in range(updates):
        rates.append(optimizer.param_groups[0]["lr"] / 2.0)
        optimizer.step()
        schedule.after_update()
        if epochs and (update + 1) % (updates // len(epochs)) == 0:
            schedule.after_epoch(epochs[(update + 1) // (updates // len(epochs)) - 1])
    return rates


def test_cosine_with_warm_up():
    rates = run_schedule(OptimConfig(schedule="cosine", warmup=0.2, final=0.1), 20)
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[12] == pytest.approx(0.1 + 0.9 * 0.5)  # half of the way down
    assert rates[19] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 15 / 16)))
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert cosine_rate(20, 4, 20, 0.1) == cosine_rate(99, 4, 20, 0.1) == pytest.approx(0.1)


def test_the_rate_never_starts_at_nothing():
    assert run_schedule(OptimConfig(schedule="cosine", warmup=0.0, final=0.0), 4)[0] == 1.0
    assert run_schedule(OptimConfig(schedule="constant", warmup=0.0), 4) == pytest.approx([1.0] * 4)


def test_constant_after_warm_up():
    rates = run_schedule(OptimConfig(schedule="constant", warmup=0.3), 10)
    assert rates == pytest.approx([1 / 3, 2 / 3, 1.0] + [1.0] * 7)


def test_plateau_halves_after_patience_and_keeps_its_rate():
    config = OptimConfig(schedule="plateau", warmup=0.1, factor=0.5, patience=1)
    valid = [1.0, 0.9, 0.95, 0.95, 0.95, 0.95, 0.8, math.inf, math.inf, 0.7]
    rates = run_schedule(config, 20, valid)
    assert rates[:2] == pytest.approx([0.5, 1.0])
    per_epoch = rates[3::2]
    # Worse than 0.9 in epochs 2 and 3: halved after the second, and again after 4 and 5.
    assert per_epoch == pytest.approx([1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125])


@pytest.mark.parametrize("name", ["cosine", "plateau", "constant"])
def test_a_resumed_schedule_goes_on_where_it_was(name):
    config = OptimConfig(schedule=name, warmup=0.3, patience=0)

    def start():
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        return optimizer, Schedule(optimizer, config, 12, "min")

    def advance(optimizer, schedule, count):
        for update in range(count):
            optimizer.step()
            schedule.after_update()
            schedule.after_epoch(float(update))
        return optimizer.param_groups[0]["lr"]

    optimizer, schedule = start()
    advance(optimizer, schedule, 5)
    state = schedule.state_dict(), optimizer.state_dict()
    wanted = advance(optimizer, schedule, 3)
    other, resumed = start()
    other.load_state_dict(state[1])
    resumed.load_state_dict(state[0])
    assert advance(other, resumed, 3) == pytest.approx(wanted, rel=1e-12)


def test_unknown_schedule_is_named():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(
        UserError, match=r"optim\.schedule is one of cosine, plateau, constant, but got 'step'"
    ):
        Schedule(optimizer, OptimConfig(schedule="step"), 10, "min")
