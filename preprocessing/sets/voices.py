"""What the file names of sets of emotional voices say: who speaks, and which emotion was acted.

```
set      a file name                    its parts
ravdess  03-01-06-01-02-01-12.wav       modality, channel, emotion, intensity, sentence, repetition, actor
emodb    03a01Fa.wav                    speaker, sentence, emotion (German initial), version
cremad   1001_DFA_ANG_XX.wav            actor, sentence, emotion, intensity
```

RAVDESS: Livingstone and Russo, PLoS ONE 2018. EmoDB: Burkhardt et al., Interspeech 2005. CREMA-D: Cao et al.,
IEEE Transactions on Affective Computing 2014.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

HELD_OUT = 6  # a sixth of the speakers is test, another sixth valid


@dataclass(frozen=True)
class Corpus:
    """How a set names its files: groups `speaker` and `emotion` of a pattern, and what the codes mean."""

    pattern: re.Pattern[str]
    emotions: Mapping[str, str]


CORPORA = {
    "ravdess": Corpus(
        re.compile(r"0[1-3]-0[12]-(?P<emotion>0[1-8])-0[12]-0[12]-0[12]-(?P<speaker>\d\d)", re.ASCII),
        {
            "01": "neutral",
            "02": "calm",
            "03": "happy",
            "04": "sad",
            "05": "angry",
            "06": "fearful",
            "07": "disgust",
            "08": "surprised",
        },
    ),
    "emodb": Corpus(
        re.compile(r"(?P<speaker>\d\d)[ab]\d\d(?P<emotion>[WLEAFTN])[a-z]?", re.ASCII),
        {
            "W": "angry",
            "L": "bored",
            "E": "disgust",
            "A": "fearful",
            "F": "happy",
            "T": "sad",
            "N": "neutral",
        },
    ),
    "cremad": Corpus(
        re.compile(r"(?P<speaker>1\d{3})_[A-Z]{3}_(?P<emotion>[A-Z]{3})_[A-Z]{1,2}", re.ASCII),
        {
            "ANG": "angry",
            "DIS": "disgust",
            "FEA": "fearful",
            "HAP": "happy",
            "NEU": "neutral",
            "SAD": "sad",
        },
    ),
}


@dataclass(frozen=True)
class Voice:
    """One recording.

    Attributes:
        path: of the file, as it is written into the labels.
        corpus, speaker: ids; a speaker's begins with the name of the set.
        emotion: as a class's name.
        stem: the file's name without its extension.
        split: empty where the source names none.
    """

    path: str
    corpus: str
    speaker: str
    emotion: str
    stem: str
    split: str = ""


def parse_voice(path: str, stem: str) -> Voice | None:
    """What a file's name says; None where it is of no known set.

    >>> parse_voice("a/03a01Fa.wav", "03a01Fa").emotion, parse_voice("a/x.wav", "x")
    ('happy', None)
    """
    for name, corpus in CORPORA.items():
        found = corpus.pattern.fullmatch(stem)
        if found and found["emotion"] in corpus.emotions:
            emotion = corpus.emotions[found["emotion"]]
            return Voice(path, name, f"{name}_{found['speaker']}", emotion, stem)
    return None


def deal_speakers(speakers: Iterable[str]) -> dict[str, str]:
    """A split by speaker for sets that have none.

    Of the sorted speakers the last sixth is test, the sixth before it valid, each at least one.

    >>> deal_speakers(["s3", "s1", "s2", "s2"])
    {'s1': 'train', 's2': 'valid', 's3': 'test'}
    """
    names = sorted(set(speakers))
    size = max(1, round(len(names) / HELD_OUT))
    first = len(names) - 2 * size
    return {
        name: "train" if place < first else "valid" if place < first + size else "test"
        for place, name in enumerate(names)
    }
