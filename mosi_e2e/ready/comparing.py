"""Whether a ready model that was built again is the same as another one, stream by stream."""

from pathlib import Path

from mosi_e2e.data.streams import name_stream
from mosi_e2e.ready.folder import find_ready, read_ready
from mosi_e2e.tensors import load_tensors, read_header
from mosi_e2e.weights.small import BASE, WEIGHTS, read_bases
from preprocessing.errors import UserError
from preprocessing.untrusted.plain_text import read_json

CLOSE = 1e-3  # a metric may differ by so much on another machine
SPLITS = ("valid", "test")
MOST_SHOWN = 4  # metrics


def find_shipped(hears: str) -> Path | None:
    """The shipped model with this recogniser; None in an installation without the repository."""
    for fast in (True, False):
        try:
            folder = find_ready(fast)
        except UserError:
            return None
        if not fast or read_ready(folder).settings.words.model == hears:
            return folder
    return None


def compare_ready(mine: Path, other: Path) -> list[str]:
    """A line for each stream of `mine`: `the same as ...`, or `not the same as ...` and by how much.

    Args:
        mine, other: folders of ready models.

    Raises:
        UserError: one of them is damaged.
    """
    ours, theirs = read_ready(mine).streams, read_ready(other).streams
    lines = []
    for name, now in ours.items():
        if name not in theirs:
            lines.append(f"{name_stream(name)}: {other} has none")
            continue
        before = theirs[name]
        is_same, text = compare_stream(other / before.folder, mine / now.folder)
        text = f"{name_stream(name)}: {'' if is_same else 'not '}the same as {other}{text}"
        if abs(now.sd - before.sd) > CLOSE:
            text += f"; its error for combining is {now.sd:.3g}, there {before.sd:.3g} ({before.tried_on})"
        lines.append(text)
    return lines


def compare_stream(before: Path, now: Path) -> tuple[bool, str]:
    """Whether two model folders of one stream are the same, and what is to be said behind that.

    They are if all weights are equal, or if every metric of both is within `CLOSE`.
    """
    odd, largest = compare_weights(before, now)
    if odd or largest == 0:
        return not odd, f": {odd}" if odd else " to the bit"
    old, new = (collect_metrics(one) for one in (before, now))
    change = {key: abs(new[key] - old[key]) for key in old if key in new}
    weights = f"weights differ by at most {largest:.2g}"
    if not change:
        return False, f": {weights}; no metrics of both; type: python -m mosi_e2e.evaluate RUN --split test"
    if max(change.values()) <= CLOSE:
        return True, f" within {CLOSE:g}: {weights}, metrics by at most {max(change.values()):.2g}"
    apart = sorted((key for key in change if change[key] > CLOSE), key=lambda key: -change[key])
    told = ", ".join(f"{key} {old[key]:.4g} → {new[key]:.4g}" for key in apart[:MOST_SHOWN])
    return False, f": {weights}; {told}"


def compare_weights(before: Path, now: Path) -> tuple[str, float]:
    """What makes them two networks, if anything does, else the largest difference of a weight."""
    bases = [
        {name: (entry["checkpoint"], entry["sha256"]) for name, entry in read_bases(one / BASE).items()}
        for one in (before, now)
    ]
    headers = [read_header(one / WEIGHTS) for one in (before, now)]
    odd = next(
        (
            name
            for name in sorted(headers[0].keys() | headers[1].keys())
            if headers[0].get(name) != headers[1].get(name)
        ),
        "",
    )
    if odd:
        return f"another network (first difference: {odd})", 0.0
    if bases[0] != bases[1]:
        return "another pretrained checkpoint", 0.0
    old, new = (
        load_tensors(one / WEIGHTS, header) for one, header in zip((before, now), headers, strict=True)
    )
    gaps = [float((old[name].double() - new[name].double()).abs().max()) for name in old if old[name].numel()]
    return "", max(gaps, default=0.0)


def collect_metrics(folder: Path) -> dict[str, float]:
    """All metrics that a model folder knows, by split and name, and of how many clips they are."""
    found: dict[str, float] = {}
    for split in SPLITS:
        path = folder / f"metrics_{split}.json"
        known = read_json(path) if path.is_file() else None
        if known:
            metrics = {"clips": known["n"]} | known["metrics"]
            found |= {f"{split} {key}": float(value) for key, value in metrics.items() if value is not None}
    return found
