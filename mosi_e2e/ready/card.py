"""The ready model's card."""

from mosi_e2e.data.streams import name_stream
from mosi_e2e.pages.fill import render
from mosi_e2e.ready.folder import Ready
from mosi_e2e.weights.catalogue import CHECKPOINTS

SHOWN = {
    "mae": "MAE",
    "corr": "Corr",
    "acc2_non0": "positive against negative, accuracy",
    "auc": "positive against negative, AUC",
}


def write_ready_card(ready: Ready, as_programs: bool = False) -> str:
    """Markdown with the front matter of the Hugging Face hub.

    Args:
        ready: the model.
        as_programs: it is the card of its ONNX programs, which have the weights of `ready.bases` inside.
    """
    rows = [
        (name_stream(name), one, ", ".join(say_scores(one.scores)) or "not scored on test")
        for name, one in ready.streams.items()
    ]
    beside = [f"the {name_stream(name)}" for name, one in ready.streams.items() if not one.opinion]
    bases = [(name, CHECKPOINTS[name]) for name in ready.bases]
    facts = {
        "name": ready.name,
        "language": ready.language,
        "rows": rows,
        "titles": [title for title, _, _ in rows],
        "knows": any(one.opinion for one in ready.streams.values()),
        "beside": " and ".join(beside),
        "several": len(beside) > 1,
        "bases": bases,
        "as_programs": as_programs,
        "english_only": ready.settings.words.model.endswith(".en"),
    }
    return render("ready_card.md", facts)


def say_scores(scores: dict[str, float | None]) -> list[str]:
    """Metrics in words."""
    return [f"{title} {scores[key]:.3f}" for key, title in SHOWN.items() if scores.get(key) is not None]
