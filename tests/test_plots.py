"""Curves: a figure comes out whatever a run went through."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mosi_e2e.pages.plots import BLUE, ORANGE, draw_curves


def make_history(epochs, **columns):
    table = pd.DataFrame({"epoch": range(epochs), "lr": 1e-3, "train_loss": np.linspace(2, 1, epochs)})
    return table.assign(valid_loss=table.train_loss + 0.1, valid_mae=table.train_loss + 0.2).assign(**columns)


def render(figure):
    """The figure as a picture, which needs every label to be drawable."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    return np.asarray(Image.open(file).convert("RGB"))


def curve(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_both_curves_are_drawn():
    history = make_history(5)
    figure = draw_curves(history, "mae", 1.5, "a run")
    loss, score, rate = figure.axes
    np.testing.assert_allclose(curve(loss, "train (augmented)").get_ydata(), history.train_loss)
    np.testing.assert_allclose(curve(loss, "valid").get_ydata(), history.valid_loss)
    np.testing.assert_allclose(curve(score, "valid").get_ydata(), history.valid_mae)
    np.testing.assert_allclose(rate.lines[0].get_ydata(), history.lr)
    assert curve(loss, "train (augmented)").get_color() != curve(loss, "valid").get_color()
    assert curve(score, "trivial baseline: 1.500").get_ydata()[0] == 1.5
    assert figure.get_suptitle() == "a run" and loss.get_legend() and score.get_legend()


def test_the_best_epoch_is_marked():
    history = make_history(4, valid_mae=[0.9, 0.7, 0.8, None])
    score = draw_curves(history, "mae", None, "a run").axes[1]
    mark = curve(score, "best: epoch 1, 0.700")
    assert list(mark.get_xdata()) == [1] and list(mark.get_ydata()) == [0.7]
    assert not [line for line in score.lines if "train mean" in str(line.get_label())]


@pytest.mark.parametrize("undefined", [None, np.nan])
def test_a_metric_that_is_never_defined(undefined):
    history = make_history(3, valid_nll=[undefined] * 3, valid_loss=[undefined] * 3)
    figure = draw_curves(history, "nll", None, "a run")
    assert render(figure).std() > 0
    assert not [line for line in figure.axes[1].lines if "best" in str(line.get_label())]


def test_a_single_epoch_can_be_seen():
    figure = draw_curves(make_history(1, valid_mae=None), "mae", None, "a run")
    for axes in figure.axes[:2]:
        axes.get_legend().remove()  # it shows the colours too
    picture = render(figure)
    for colour in (BLUE, ORANGE):
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(picture.astype(int) - wanted).max(axis=2) < 30).sum() > 4


def test_a_history_file_will_do(tmp_path):
    make_history(3).to_csv(tmp_path / "history.csv", index=False)
    assert render(draw_curves(pd.read_csv(tmp_path / "history.csv"), "mae", 1.0, "a run")).shape[2] == 3
