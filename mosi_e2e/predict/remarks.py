"""What the reader of a score should know: warnings, which are always shown first, and remarks."""

from collections.abc import Mapping, Sequence

from mosi_e2e.pages.tables import SYNTHETIC_MODEL
from mosi_e2e.predict.evidence import Evidence, remark_on_evidence, warn_of_baseline
from mosi_e2e.predict.recording import Recording
from mosi_e2e.predict.result import PersonResult
from mosi_e2e.predict.traces import name_streams
from mosi_e2e.predict.windows import Stretch, describe_voices, is_heard

FACE_ENOUGH = 0.5  # of the frames; with fewer it is reported


def list_warnings(evidence: Mapping[str, Evidence], is_synthetic: bool) -> list[str]:
    """Why the scores of a model say nothing; empty where they do.

    Args:
        evidence: of each run, by name.
        is_synthetic: whether the training clips were generated; then that says all.
    """
    return [SYNTHETIC_MODEL] if is_synthetic else warn_of_baseline(evidence)


def list_remarks(
    recording: Recording,
    stretches: Sequence[Sequence[Stretch]],
    people: Sequence[PersonResult],
    streams: Sequence[str],
    task: str,
    evidence: Mapping[str, Evidence],
) -> list[str]:
    """Everything else.

    Args:
        recording: what was read of the video.
        stretches: per person the windows.
        people: their results.
        streams: that the model reads.
        task: regression | binary.
        evidence: of each run whose training clips were real, by name.
    """
    remarks = recording.remarks + remark_on_evidence(evidence)
    remarks += _remark_on_streams(recording, people[0], streams)
    if len(people) > 1:
        hears = any(map(is_heard, streams)) and len(recording.waveform) > 0
        remarks.append(describe_voices(stretches, hears))
    if task == "binary":
        remarks.append(
            "the model only tells positive from negative: the score is its probability of "
            "positive, stretched to -3 to 3"
        )
    return remarks


def _remark_on_streams(recording: Recording, first: PersonResult, streams: Sequence[str]) -> list[str]:
    """What the model reads and the video lacks, and what is left of it."""
    heard = [name for name in streams if is_heard(name)]
    seen = [name for name in streams if name not in heard]
    lacks = []
    if heard and not len(recording.waveform):
        lacks.append("there is no sound")
    elif heard and recording.is_silent:
        lacks.append("the sound is silent from start to end")
    elif any(not len(arrays[f"{name}_time"]) for name, arrays in recording.heard.items()):
        lacks.append("no words were heard")
    if seen and not recording.people[0].stages:
        lacks.append("no face was found" if recording.has_video else "there is no picture")
    if first.score is None:
        return [f"there is no score: {' and '.join(lacks) or 'nothing that the model reads was found'}"]
    left = name_streams([name for name in streams if name not in first.streams_missing])
    remarks = [f"{lack}: what is left is {left}" for lack in lacks if first.streams_missing]
    if not first.streams_missing:
        remarks += lacks
    ratio = first.face_ratio
    if seen and ratio and ratio < FACE_ENOUGH:
        share = "less than 1" if ratio < 0.01 else f"only {100 * ratio:.0f}"
        remarks.append(f"the face was found in {share} % of the checked frames")
    return remarks
