"""The optional stage `words`: what is said, word by word with times.

Recognisers, the detector of speech and torch are imported when a clip is worked on.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from preprocessing.cache.store import Arrays, StageFiles
from preprocessing.cache.words import pack_words, unpack_words
from preprocessing.cache.writer import NO_ROWS
from preprocessing.config import SAMPLE_RATE, PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.stages.base import Licence, SoundStage, StageResult

if TYPE_CHECKING:
    from preprocessing.hearing.heard import Word
    from preprocessing.stages.clip import Clip

HEARS = ("whisper", "ctc")
REFERENCE = "text"  # column of the labels; `words.column` is that of the file where words come from one


class Words(SoundStage):
    """Words heard by a recogniser, or of a known text."""

    name, version, after, is_whole = "words", 1, ("waveform",), True
    tools = ("transformers", "silero-vad")

    def wanted(self, config: PreprocessConfig) -> bool:
        """As `Stage.wanted`."""
        return config.words.source != "none"

    def source(self, config: PreprocessConfig) -> str:
        """As `Stage.source`."""
        return config.words.source

    def cost(self, config: PreprocessConfig) -> float:
        """Measured with whisper-base (docs/words.md); the others are guesses."""
        return {"whisper": 0.3, "ctc": 0.3}.get(config.words.source, 0.05)

    def check(self, config: PreprocessConfig) -> None:
        """As `Stage.check`."""
        from preprocessing.hearing.models import load_ctc, load_recogniser
        from preprocessing.pretrained.checkpoints import check_checkpoint

        words = config.words
        if words.source in HEARS:
            check_checkpoint("words.model", words.model)
            load_recogniser(words)
        elif words.aligner:
            load_ctc(words.aligner, "words.aligner")

    def licence(self, options: Mapping[str, object]) -> Licence | None:
        """As `Stage.licence`."""
        model = options.get("words", {}).get("model", "")
        terms = "the checkpoint has a licence of its own: see its page (Whisper: MIT)"
        return Licence(f"recogniser `{model}` (words)", terms, None) if model else None

    def options(self, config: PreprocessConfig) -> dict[str, object]:
        """As `Stage.options`: the content of checkpoints and texts, wherever they lie."""
        from preprocessing.hearing.texts import print_texts
        from preprocessing.pretrained.checkpoints import name_checkpoint, print_checkpoint

        words = config.words
        if words.source in HEARS:
            own = {"language": words.language} if words.source == "whisper" else {}
            named = {"source": words.source, "model": name_checkpoint(words.model), **own}
            return {"words": named, "checkpoint": print_checkpoint(words.model)}
        check_texts(config)
        named = {"source": words.source, "column": words.column, "aligner": name_checkpoint(words.aligner)}
        aligner = print_checkpoint(words.aligner) if words.aligner else ""
        return {"words": named, "texts": print_texts(config), "checkpoint": aligner}

    def keys(self, config: PreprocessConfig) -> dict[str, dict]:
        """As `Stage.keys`; `times` says where those of the words come from."""
        known = "aligned" if config.words.aligner else "spread over the speech"
        times = "heard" if config.words.source in HEARS else known
        return {"words": {"unit": "UTF-8", "columns": [], "times": times}}

    def empty(self, config: PreprocessConfig) -> Arrays:
        """As `Stage.empty`."""
        return pack_words([], np.zeros(0), np.zeros(0))

    def summarise(
        self, config: PreprocessConfig, files: StageFiles, clip_ids: Sequence[str]
    ) -> dict[str, object]:
        """As `Stage.summarise`: how many words, and where it is known what was said, the word-error rate."""
        from preprocessing.hearing.error_rate import count_errors
        from preprocessing.hearing.texts import read_given

        heard = {clip_id: unpack_words(files.read(clip_id)["words"]) for clip_id in clip_ids}
        about = {"source": config.words.source, "clips": len(heard), "words": sum(map(len, heard.values()))}
        if config.words.source == "given":
            return {"words": about}
        column = config.words.column if config.words.source in HEARS else REFERENCE
        try:
            said = {clip_id: one.text for clip_id, one in read_given(config, column).items() if one.text}
        except UserError:  # the labels have no texts
            return {"words": about}
        silent = {clip_id: [] for clip_id in said if files.status(clip_id)}
        found = count_errors(said, silent | heard)
        rate = {"word_error_rate": found.rate, "words_said": found.words}
        return {"words": about | rate}

    def measure(self, waveform: np.ndarray, config: PreprocessConfig) -> Arrays:
        """The words that are heard in a waveform."""
        return self.measure_whole(waveform, config, lambda share: None)

    def measure_whole(
        self, waveform: np.ndarray, config: PreprocessConfig, on_progress: Callable[[float], None]
    ) -> Arrays:
        """As `SoundStage.measure_whole`."""
        from preprocessing.hearing.heard import pack_heard
        from preprocessing.hearing.listening import hear_words
        from preprocessing.hearing.models import load_recogniser

        return pack_heard(hear_words(waveform, load_recogniser(config.words), on_progress))

    def extract(self, clip: "Clip") -> StageResult:
        """As `Stage.extract`."""
        from preprocessing.media.decode import join_remarks

        facts = clip.sound_facts
        if not len(clip.sound.waveform):
            return self.absent(clip, "no_audio")
        if clip.config.words.source in HEARS:
            arrays, remark = self.measure(clip.sound.waveform, clip.config), ""
        else:
            arrays, remark = place_known(clip)
        state = "ok" if len(arrays["words"]) else NO_ROWS
        return StageResult(arrays, state, facts | {"remark": join_remarks(facts["remark"], remark)})


def place_known(clip: "Clip") -> tuple[Arrays, str]:
    """The words of a clip whose text is known, and what is to be remarked of them."""
    from preprocessing.hearing.heard import pack_heard
    from preprocessing.hearing.listening import align_text
    from preprocessing.hearing.models import load_ctc
    from preprocessing.hearing.texts import read_file, read_given

    config, waveform = clip.config, clip.sound.waveform
    is_given = config.words.source == "given"
    found = (
        read_given(config, config.words.column).get(clip.clip_id)
        if is_given
        else read_file(config, clip.clip_id)
    )
    if found is None:
        raise UserError(f"{config.words.file} has no text of this clip: add one, empty if nothing is said")
    aligner = load_ctc(config.words.aligner, "words.aligner") if config.words.aligner else None
    words: list[Word]
    if found.cues and aligner is None:
        return pack_heard(found.place(len(waveform) / SAMPLE_RATE)), ""
    words, is_aligned = align_text(found.text, waveform, aligner)
    lacks = "words could not be aligned, and are spread over the speech"
    return pack_heard(words), lacks if aligner and words and not is_aligned else ""


def check_texts(config: PreprocessConfig) -> None:
    """Whether there is the file that known texts come from.

    Raises:
        UserError: there is not.
    """
    from preprocessing.hearing.texts import read_given

    if config.words.source == "given":
        read_given(config, config.words.column)
    elif not config.words.file or not Path(config.words.file).exists():
        raise UserError(
            "words.source=file needs a table of texts or a folder of subtitles, but "
            f"'{config.words.file}' is none; type words.file=FILE"
        )
