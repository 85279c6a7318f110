"""Tables → figures. Pure: a figure is returned, the caller stores or shows it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd

# Okabe and Ito's colours, told apart by colour-blind readers and in grey.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"


def draw_curves(
    history: "pd.DataFrame", metric: str, floor: float | None, title: str, is_higher_better: bool = False
) -> Figure:
    """Training and validation curves of one run.

    Args:
        history: `history.csv`: epoch, lr, train_loss, valid_loss, valid_<metric>.
        metric: the monitored metric.
        floor: its value for the train mean, drawn as a line; None leaves it out.
        title: above the figure.
        is_higher_better: which way the metric is good.
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    loss, score, rate = figure.subplots(1, 3)
    epochs = history.epoch
    # Markers, because a single epoch has no line.
    loss.plot(epochs, history.train_loss, color=BLUE, marker=".", label="train (augmented)")
    loss.plot(epochs, history.valid_loss.astype(float), color=ORANGE, marker=".", label="valid")
    loss.set(title="loss", xlabel="epoch")
    loss.legend(frameon=False)

    column = history[f"valid_{metric}"].astype(float)  # an undefined value is None
    score.plot(epochs, column, color=ORANGE, label="valid")
    if column.notna().any():
        best = int(column.idxmax() if is_higher_better else column.idxmin())
        text = f"best: epoch {epochs[best]}, {column[best]:.3f}"
        score.plot(epochs[best], column[best], "o", color=ORANGE, label=text)
    if floor is not None:
        score.axhline(floor, color=GREY, linestyle="--", label=f"trivial baseline: {floor:.3f}")
    score.set(title=metric.upper(), xlabel="epoch")
    score.legend(frameon=False)

    rate.plot(epochs, history.lr, color=GREEN)
    rate.set(title="learning rate", xlabel="epoch")
    _finish((loss, score, rate))
    figure.suptitle(title, fontsize=11)
    return figure


def _finish(axes: Sequence) -> None:
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
        ax.xaxis.get_major_locator().set_params(integer=True)
