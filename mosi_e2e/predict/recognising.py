"""Who hears the words of a new video, for a model that reads words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mosi_e2e.data.streams import find_stream
from mosi_e2e.predict.recording import OnShare, Recording
from mosi_e2e.runs.checkpoint import CacheFacts
from preprocessing.config import PreprocessConfig, WordsConfig
from preprocessing.errors import UserError
from preprocessing.pretrained.checkpoints import check_checkpoint, name_checkpoint
from preprocessing.stages import find_stage
from preprocessing.stages.spoken import HEARS

USUAL = WordsConfig("whisper")  # where the model learned from known texts


@dataclass(frozen=True)
class Listener:
    """Who hears the words.

    Attributes:
        config: the settings of a video.
        remark: what is to be said of it; empty if nothing.
    """

    config: PreprocessConfig
    remark: str = ""


def choose_listener(
    config: PreprocessConfig, facts: CacheFacts, streams: Sequence[str], asked: str
) -> Listener:
    """The recogniser of the model's own training clips; another one where these had known texts.

    Args:
        config: by which a new video is treated.
        facts: of the model.
        streams: that it reads.
        asked: `whisper`, `whisper:MODEL` or `ctc:MODEL`; empty: not asked for any.

    Raises:
        UserError: what was asked for is none of these, or its checkpoint is not here.
    """
    if not any(find_stream(name).kind == "words" for name in streams):
        if asked:
            raise UserError("the model reads no words: leave --words out")
        return Listener(config)
    trained = config.words
    known = trained if trained.source in HEARS else USUAL
    words = parse_listener(asked, trained) if asked else known
    check_checkpoint("the recogniser", words.model, f"--words {words.source}:FOLDER")
    learned = trained.model if trained.source in HEARS else describe_texts(facts)
    remark = ""
    if (words.source, name_checkpoint(words.model)) != (trained.source, trained.model):
        remark = (
            f"the words were heard by {words.model}, but the model learned from {learned}: its errors are "
            "known for those only"
        )
    return Listener(replace(config, words=words), remark)


def parse_listener(asked: str, trained: WordsConfig) -> WordsConfig:
    """Settings of `whisper:MODEL`; the language stays that of the training clips."""
    source, _, model = asked.partition(":")
    if source not in HEARS or (source == "ctc" and not model):
        raise UserError(
            f"words are heard by whisper, whisper:MODEL or ctc:MODEL, but got '{asked}'; type --words whisper"
        )
    return replace(USUAL, source=source, model=model or USUAL.model, language=trained.language)


def describe_texts(facts: CacheFacts) -> str:
    """What a model's words were, where nobody heard them."""
    options = facts.stages.get("words", {}).get("options", {})
    return f"the texts '{options['text']}'" if "text" in options else "known texts"


def read_context(facts: CacheFacts) -> int:
    """How many sentences before each clip a model learned with (`preprocessing.import_words --context`)."""
    count = facts.stages.get("words", {}).get("options", {}).get("context")
    return count if isinstance(count, int) else 0


def describe_context(facts: CacheFacts) -> str:
    """What is to be said of it; empty where a model learned without."""
    count = read_context(facts)
    windows = "window" if count == 1 else f"{count} windows"
    return f"each window is read together with what was said in the {windows} before it" if count else ""


def hears_whole(stages: Iterable[str]) -> bool:
    """Whether something is heard in all of the sound at once, which takes its time."""
    return any(find_stage(stage).hears and find_stage(stage).is_whole for stage in stages)


def hear_whole(
    recording: Recording, config: PreprocessConfig, stages: Iterable[str], on_progress: OnShare
) -> Recording:
    """The recording with what is heard in all of its sound at once.

    Args:
        recording: with its sound.
        config: by which it was read.
        stages: that the model reads.
        on_progress: told the share of the sound that is done.
    """
    whole = [stage for stage in map(find_stage, stages) if stage.hears and stage.is_whole]
    if not len(recording.waveform):
        return recording
    found = {stage.name: stage.measure_whole(recording.waveform, config, on_progress) for stage in whole}
    return replace(recording, heard={name: arrays for name, arrays in found.items() if arrays is not None})
