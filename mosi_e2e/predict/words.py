"""A result in words, for every place where it is shown."""

from collections.abc import Mapping, Sequence

from mosi_e2e.data.streams import name_stream
from mosi_e2e.predict.result import PersonResult

MOST_WORDS = 5
ALMOST = 0.999  # of the weight: then nothing else counts


def name_result(person: PersonResult) -> str:
    """The class and the probability, as far as there are any."""
    if person.score is None:
        return "no score"
    words = person.label_class or "no class"
    if person.probability is not None:
        words += f", probability of positive {person.probability:.2f}"
    return words


def tell(person: PersonResult) -> list[str]:
    """How certain the score is, in sentences; what the model says of itself comes last."""
    told = [person.why_none]
    if interval := person.interval:
        told.insert(
            0,
            f"{100 * interval.level:g} % interval {signed(interval.low)} to {signed(interval.high)}, "
            f"{interval.method}",
        )
    told.append(say_streams(person.weight, person.by_stream))
    if person.label_class == "undecided":
        told.append("undecided: the model's errors allow both signs")
    if spread := person.spread:
        told.append(
            f"spread of {spread.method}: {signed(spread.low)} to {signed(spread.high)}; it tells how far the "
            "model disagrees with itself, and is not a prediction interval"
        )
    return [f"{capital(text)}." for text in told if text]


def say_deciding(person: PersonResult) -> str:
    """Which second decides, and how much it does."""
    found = person.deciding
    if person.score is None:
        return ""
    if not found:
        return "No second stands out."
    return (
        f"Most rests on {found['start_s']:.1f} to {found['end_s']:.1f} s: without what is seen and heard "
        f"then, the score would be {signed(person.score - found['effect'])}."
    )


def say_shares(weight: Mapping[str, float]) -> str:
    """How contributions are computed, by the weights of `PersonResult`."""
    return "each stream's own score times its weight" if weight else "Shapley values"


def say_leading(person: PersonResult) -> str:
    """The stream that stands out, or that none does."""
    if len(person.contribution) - len(person.streams_missing) < 2:
        return ""
    if person.leading_stream is None:
        return "no stream stands out"
    return f"most rests on {name_stream(person.leading_stream)}"


def say_streams(weight: Mapping[str, float], by_stream: Mapping[str, float | None]) -> str:
    """Each stream's own score and how much it counts, where a model combines them by fixed weights."""
    told = []
    for name, share in sorted(weight.items(), key=lambda item: -item[1]):
        counts = " (decides)" if share > ALMOST else f" ({100 * share:.0f} %)" if share else ""
        told.append(f"{name_stream(name)} {signed(by_stream[name])}{counts}")
    return ", ".join(told) if len(told) > 1 else ""


def say_words(person: PersonResult) -> str:
    """The words that move their windows' scores most, the strongest first; empty without words."""
    words = [word for window in person.timeline for word in window.words]
    strongest = sorted(words, key=lambda word: -abs(word["effect"]))[:MOST_WORDS]
    said = ", ".join(f'"{word["word"]}" {signed(word["effect"])}' for word in strongest)
    return f"{len(words)} words heard; most adds to its window: {said}" if said else ""


def colour_words(words: Sequence[Mapping]) -> list[tuple[str, str, str, float]]:
    """Each word with what is said of it, `plus` or `minus`, and its strength: 1 for a point or more."""
    return [
        (
            word["word"],
            f"{signed(word['effect'])}, heard with {100 * word['confidence']:.0f} % confidence",
            "plus" if word["effect"] >= 0 else "minus",
            round(min(abs(word["effect"]), 1.0), 2),
        )
        for word in words
    ]


def signed(value: float | None) -> str:
    """Typeset, with its sign.

    >>> signed(-0.5), signed(0.001), signed(None)
    ('−0.50', '0.00', '–')
    """
    if value is None:
        return "–"
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def capital(text: str) -> str:
    """A text whose first letter is a capital."""
    return text[:1].upper() + text[1:]
