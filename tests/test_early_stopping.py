"""When to stop, and which epoch was best."""

import math

import pytest

from mosi_e2e.config import StoppingConfig
from mosi_e2e.engine.early_stopping import EarlyStopping


def follow(values, mode="min", **config):
    """Which epochs were the best so far, and the epoch after which to stop."""
    stopping = EarlyStopping(StoppingConfig(**config), mode)
    best, stopped = [], None
    for epoch, value in enumerate(values):
        best.append(stopping.update(value, epoch))
        if stopping.should_stop and stopped is None:
            stopped = epoch
    return stopping, best, stopped


def test_best_epoch_and_end():
    stopping, best, stopped = follow([1.0, 0.8, 0.9, 0.8, 0.85, 0.5], patience=3)
    assert best == [True, True, False, False, False, True]
    assert stopped == 4  # three epochs that were not better than 0.8
    assert (stopping.best, stopping.best_epoch) == (0.5, 5)


def test_large_can_be_good():
    stopping, best, _ = follow([0.1, 0.3, 0.2], mode="max")
    assert best == [True, True, False] and stopping.best_epoch == 1


def test_a_gain_must_exceed_min_delta():
    _, best, _ = follow([1.0, 0.95, 0.85, 0.8], min_delta=0.1)
    assert best == [True, False, True, False]


@pytest.mark.parametrize("undefined", [None, math.nan, math.inf, -math.inf])
def test_an_undefined_metric_is_never_best_but_counts_as_waiting(undefined):
    stopping, best, stopped = follow([undefined, undefined, 0.5, undefined, undefined, undefined], patience=3)
    assert best == [False, False, True, False, False, False]
    assert stopped == 5 and stopping.best == 0.5 and stopping.best_epoch == 2
    nothing, _, stopped = follow([undefined] * 3, patience=3)
    assert nothing.best is None and nothing.best_epoch == -1 and stopped == 2


def test_its_state_can_be_stored():
    stopping, _, _ = follow([1.0, 0.8, 0.9])
    other = EarlyStopping(StoppingConfig(), "min")
    other.load_state_dict(stopping.state_dict())
    assert (other.best, other.best_epoch, other.waited) == (0.8, 1, 1)
    assert not other.update(0.81, 3) and other.update(0.7, 4)
