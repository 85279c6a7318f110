"""What the recipes in `configs/ready/` learn from: sets, their terms, and the sentiment of their classes."""

from dataclasses import dataclass

# Names of emotions in RAVDESS, EmoDB, CREMA-D and FER2013; surprise is neither good nor bad.
VALENCE: dict[str, float | None] = {
    **{"happy": 2.0, "calm": 1.0, "neutral": 0.0, "bored": -1.0, "surprised": None, "surprise": None},
    **{"sad": -2.0, "angry": -2.0, "disgust": -2.0, "fear": -2.0, "fearful": -2.0},
}


@dataclass(frozen=True)
class TrainingSource:
    """What one stream learns from.

    Attributes:
        stream: that the model reads.
        data: names of the sets.
        opinion: how much it counts beside others that know opinions; 0: it learns something else.
        terms: of the weights.
        grey: whether its pictures have no colour.
    """

    stream: str
    data: list[str]
    opinion: float
    terms: str
    grey: bool = False


SOURCES = {  # by the command's option
    "words": TrainingSource(
        "words",
        ["CMU-MOSEI", "CMU-MOSI"],
        1.0,
        "research only: learned from CMU-MOSEI and CMU-MOSI, which are given to researchers",
    ),
    "voice": TrainingSource(
        "speech",
        ["RAVDESS", "EmoDB"],
        0.0,
        "CC BY-NC-SA 4.0: learned from RAVDESS (CC BY-NC-SA 4.0) and EmoDB (research)",
    ),
    "face": TrainingSource(
        "face",
        ["FER2013"],
        0.0,
        "research only: learned from FER2013, which is given for research",
        grey=True,
    ),
}
