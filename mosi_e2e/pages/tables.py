"""Results as text tables."""

from collections.abc import Mapping

from mosi_e2e.scores.class_metrics import RECALL

SYNTHETIC_NOTE = "SYNTHETIC clips: these numbers say that the program works, nothing about people."

SYNTHETIC_MODEL = "SYNTHETIC training clips: this score says that the program works, nothing about people."


def format_scores(scores: Mapping[str, dict]) -> str:
    """The metric rows of one or more systems, each with its interval, above the floors they have in common.

    Args:
        scores: system → content of its `metrics_<split>.json`; all of one split and task.
    """
    first = next(iter(scores.values()))
    keys = [key for key in first["metrics"] if key != "n" and not key.startswith(RECALL)]
    width = max(18, *(len(name) + 2 for name in scores))
    lines = [_line("", keys, width)]
    for name, one in scores.items():
        lines.append(_line(name, [_number(one["metrics"].get(key)) for key in keys], width))
        lines.append(_line("  95 % by video", [_range(one["interval"].get(key)) for key in keys], width))
        recalls = {key: value for key, value in one["metrics"].items() if key.startswith(RECALL)}
        if recalls:
            told = [f"{key.removeprefix(RECALL)} {_number(value)}" for key, value in recalls.items()]
            lines.append(f"  recall: {', '.join(told)}")
    for name, values in first["floors"].items():
        lines.append(_line(f"floor: {name}", [_number(values.get(key)) for key in keys], width))
    note = f" {SYNTHETIC_NOTE}" if first.get("synthetic") else ""
    lines.append(f"{first['n']} clips of {first['videos']} videos.{note}")
    return "\n".join(lines)


def _line(name: str, cells: list[str], width: int) -> str:
    return f"{name:{max(width, 24)}}" + "".join(f"{cell:>13}" for cell in cells)  # "-1.12..-0.34" and a space


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _range(pair: list[float] | None) -> str:
    return "-" if pair is None else f"{pair[0]:.2f}..{pair[1]:.2f}"
