"""A result in a few lines, for the console."""

from mosi_e2e.data.streams import name_stream
from mosi_e2e.predict.result import PersonResult, VideoResult
from mosi_e2e.predict.words import say_leading, say_streams, say_words, signed


def describe(result: VideoResult) -> str:
    """Warnings first, then everybody's score with what it rests on, then the remarks."""
    lines = [f"warning: {warning}" for warning in result.warnings]
    several = len(result.people) > 1
    for person in result.people:
        told = describe_person(person, result.score_absent)
        lines += [f"{person.name}: {told[0]}" if several else told[0], *(f"  {line}" for line in told[1:])]
    lines += [f"note: {remark}" for remark in result.remarks]
    text = "\n".join([f"{result.video}, {result.duration_s:.1f} s", *(f"  {line}" for line in lines)])
    return text.replace("−", "-")  # which not every console knows


def describe_person(person: PersonResult, absent: float) -> list[str]:
    """The score, why there is no more than that, its spread, and what it rests on."""
    if person.score is None:
        return [person.why_none]
    found = signed(person.score)
    if interval := person.interval:
        found += (
            f", {100 * interval.level:g} % interval {signed(interval.low)} to {signed(interval.high)} "
            f"({interval.method})"
        )
    if person.probability is not None:
        found += f", probability of positive {person.probability:.2f}"
    if person.label_class:
        found += f": {person.label_class}"
    lines = [found, person.why_none, say_spread(person)]
    if said := say_streams(person.weight, person.by_stream):
        return [line for line in [*lines, said, say_words(person)] if line]
    shares = ", ".join(
        f"{name_stream(name)} {signed(value)}"
        for name, value in person.contribution.items()
        if name not in person.streams_missing
    )
    lines.append(f"from {signed(absent)} (nothing seen or heard): {shares}")
    lines.append(say_leading(person))
    lines.append(say_words(person))
    return [line for line in lines if line]


def say_spread(person: PersonResult) -> str:
    """How far the model disagrees with itself, under its true name."""
    if person.spread is None:
        return ""
    spread = person.spread
    return (
        f"spread of {spread.method}: {signed(spread.low)} to {signed(spread.high)}, not a prediction interval"
    )
