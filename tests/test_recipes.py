"""Recipes: which settings make which stages of a cache anew."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from preprocessing.config import PreprocessConfig
from preprocessing.settings import load_config
from preprocessing.stages import name_stages
from preprocessing.stages.heard import Waveform
from preprocessing.stages.recipes import make_recipes

STAGES = name_stages()
CONFIG = PreprocessConfig()
KNOWN = Path(__file__).with_name("known_recipes.yaml")
OPENFACE = ("behaviour.backend=openface",)
CHANGES = {  # setting → stages that it makes anew
    "labels=other": "",
    "layout=csv": "",
    "labels_columns.clip=name": "",
    "out=other": "",
    "executor=ray": "",
    "workers=3": "",
    "timeout_s=5": "",
    "decode.max_missing=0.5": "faces waveform behaviour acoustics",
    "decode.reader=decord": "faces behaviour",
    "decode.max_minutes=30": "",
    "track.rate=11": "faces behaviour",
    "track.max_faces=2": "faces behaviour",
    "track.min_confidence=0.6": "faces behaviour",
    "track.choose=largest": "faces behaviour",
    "track.model=elsewhere": "",
    "faces.source=openface": "faces",
    "faces.rate=4": "faces",
    "faces.size=96": "faces",
    "faces.quality=80": "faces",
    "behaviour.backend=openface": "behaviour",
    "behaviour.openface.groups=[pose]": "",
    "behaviour.openface.min_confidence=0.5": "",
    "behaviour.openface.max_missing=0.5": "",
    "behaviour.openface.csv_dir=x": "",
    "behaviour.openface.binary=x": "",
    "behaviour.openface.image=x": "",
    "behaviour.openface.image_binary=x": "",
    "behaviour.openface.mloc=x": "",
    "behaviour.openface.timeout_s=5": "",
    "acoustics.feature_set=GeMAPSv01b": "acoustics",
    "words.source=none": "",  # others make a stage of their own: tests/test_words_stage.py
    "words.model=x": "",
    "words.language=en": "",
    "words.file=x": "",
    "words.column=x": "",
    "words.aligner=x": "",
}
OPENFACE_CHANGES = {
    "behaviour.openface.groups=[pose]": "behaviour",
    "behaviour.openface.min_confidence=0.5": "behaviour",
    "behaviour.openface.max_missing=0.5": "behaviour",
    "behaviour.openface.image=x": "behaviour",
    "behaviour.openface.mloc=x": "behaviour",
    "behaviour.openface.binary=x": "",
    "behaviour.openface.image_binary=x": "",
    "behaviour.openface.timeout_s=5": "",
    "behaviour.openface.csv_dir=x": "",
    "track.rate=11": "faces",
    "track.choose=largest": "faces",
    "decode.max_missing=0.5": "faces waveform behaviour acoustics",
}
CROPS = (*OPENFACE, "faces.source=openface")
CROP_CHANGES = {
    "behaviour.openface.groups=[pose]": "behaviour",
    "behaviour.openface.min_confidence=0.5": "faces behaviour",
    "behaviour.openface.mloc=x": "faces behaviour",
    "behaviour.openface.timeout_s=5": "",
    "faces.size=96": "faces",
    "faces.quality=80": "",
    "track.rate=11": "",
}


def list_leaves(schema, prefix: str = "") -> set[str]:
    found = set()
    for field in fields(schema):
        value = getattr(schema, field.name)
        name = f"{prefix}{field.name}"
        found |= list_leaves(value, f"{name}.") if is_dataclass(value) else {name}
    return found


def test_every_setting_is_in_the_table_below():
    assert {change.split("=")[0].removesuffix(".clip") for change in CHANGES} == list_leaves(CONFIG)


@pytest.mark.parametrize(
    ("base", "change", "expected"),
    [((), *item) for item in CHANGES.items()]
    + [(OPENFACE, *item) for item in OPENFACE_CHANGES.items()]
    + [(CROPS, *item) for item in CROP_CHANGES.items()],
)
def test_a_setting_makes_anew_what_depends_on_it_and_no_more(base, change, expected):
    before = make_recipes(load_config(PreprocessConfig, None, base))
    after = make_recipes(load_config(PreprocessConfig, None, [*base, change]))
    assert tuple(before) == tuple(after) == STAGES
    assert {stage for stage in STAGES if before[stage] != after[stage]} == set(expected.split())


@pytest.mark.parametrize(("settings", "recipes"), yaml.safe_load(KNOWN.read_text()).items())
def test_caches_made_before_keep_their_recipes(settings, recipes):
    assert make_recipes(load_config(PreprocessConfig, None, settings.split())) == recipes


def test_a_new_version_makes_its_stage_anew_and_those_after_it(monkeypatch):
    before = make_recipes(CONFIG)
    monkeypatch.setattr(Waveform, "version", 99)
    after = make_recipes(CONFIG)
    assert {stage for stage in STAGES if before[stage] != after[stage]} == set(STAGES)  # who speaks is heard
    unheard = load_config(PreprocessConfig, None, ["track.choose=largest"])
    after = make_recipes(unheard)
    monkeypatch.undo()
    before = make_recipes(unheard)
    assert {stage for stage in STAGES if before[stage] != after[stage]} == {"waveform", "acoustics"}
