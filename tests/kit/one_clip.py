"""What the stages make of one file, without labels and cache."""

from collections.abc import Iterable
from pathlib import Path

from preprocessing.config import PreprocessConfig
from preprocessing.stages import StageResult, find_stage
from preprocessing.stages.clip import Clip


def extract(path: Path, config: PreprocessConfig, names: Iterable[str]) -> dict[str, StageResult]:
    """The results of some stages, of one clip that is opened once."""
    clip = Clip(path, config)
    return {name: find_stage(name).extract(clip) for name in names}


class OneClip:
    """What preprocessing stores of a clip, read as from a cache."""

    def __init__(self, path, config, stages):
        self.results = extract(path, config, stages)

    def read(self, clip_id, stage):
        return self.results[stage].arrays
