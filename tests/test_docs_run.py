"""Pages of the documentation whose commands run, in their order and as they are typed, on tiny data."""

import csv
import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
import timm
from kit import fake_openface
from kit.doc_pages import TEXTS, run_page, run_scripts
from kit.made_cache import make_cache
from kit.made_features import make_tables, write_archive
from kit.made_predictor import LATE, write_run, write_video
from kit.made_set import LABELS, work_here, write_openface_csvs, write_set
from kit.tiny_speech import write_whisper
from kit.tiny_text import write_sentences, write_text_checkpoint
from kit.typed_commands import stand_in_project
from safetensors.torch import save_file
from test_configs import SMALL
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

from mosi_e2e.config import RunConfig
from preprocessing.cache.facts import read_index
from preprocessing.run import pipeline
from preprocessing.settings import load_config

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A working directory with the recipes; preprocessing stays in this process."""
    monkeypatch.setattr(pipeline, "run_jobs", work_here)
    with stand_in_project(tmp_path):
        yield tmp_path


def put_cache(workplace: Path, *names: str) -> Path:
    """A small cache where pages expect one."""
    made = make_cache(workplace / "made")
    for name in names:
        shutil.copytree(made, workplace / "cache" / name)
    return made


def test_the_page_about_settings_is_right(workplace):
    put_cache(workplace, "sample")
    run_page("settings.md")
    assert "speed: 0" in (workplace / "runs" / "slow" / "config.yaml").read_text()


@pytest.mark.slow  # scores five videos
def test_the_page_about_predicting_is_right(workplace):
    made = make_cache(workplace / "made")
    for seed, name in enumerate(("sample_crossmodal", "seed_0", "seed_1", "seed_2")):
        write_run(workplace / "runs" / name, made, seed=seed)
    write_video(workplace / "video.mp4", 1.2)
    (workplace / "videos").mkdir()
    write_video(workplace / "videos" / "other.mp4", 1.2)
    run_page("predict.md")
    endings = (".json", ".csv", ".html", ".png")
    written = {f"{name}{ending}" for name in ("video", "other") for ending in endings}
    assert {path.name for path in (workplace / "out").iterdir()} == {*written, "other_overlay.mp4"}
    result = json.loads((workplace / "out" / "video.json").read_text())  # of the last command: three runs
    assert "runs" in result["spread"]["method"] and result["interval"] is None  # trained on synthetic clips
    score = run_scripts("predict.md")["score"]("runs/sample_crossmodal", "video.mp4")
    assert -3 <= score <= 3


@pytest.mark.slow  # tracing
def test_the_page_about_exporting_is_right(workplace):
    made = put_cache(workplace, "mosi")
    write_run(workplace / "runs" / "NAME", made, LATE)
    write_set(make_folder(workplace / "data" / "mine"))
    run_page("export.md")
    assert (workplace / "model" / "model.onnx").is_file()
    assert len(read_index(workplace / "cache" / "mine" / "index.csv")) == len(LABELS)
    assert (workplace / "runs" / "NAME" / "metrics_test.json").is_file()


def test_the_page_about_preprocessing_is_right(workplace, capsys):
    write_set(make_folder(workplace / "data" / "mosi"))
    run_page("preprocessing.md", before={"covers.py": lambda: Path("FOLDER").symlink_to("data/mosi")})
    assert len(read_index(workplace / "cache" / "mosi" / "index.csv")) == len(LABELS)
    assert "nothing to do" in capsys.readouterr().out
    assert (workplace / "runs" / "late_fusion" / "best").is_dir()


@pytest.mark.slow  # trains and preprocesses five times
def test_the_page_about_real_mosi_is_right(workplace, monkeypatch):
    """On a small zip of the course's layout; OpenFace and docker are stand-ins."""
    raw = write_set(make_folder(workplace / "raw"))
    write_course_labels(raw / "labels.csv", "clip", "label", "subset")
    shutil.make_archive(str(workplace / "MOSI"), "zip", raw)
    write_checkpoints(workplace / "checkpoints")
    write_openface_csvs(workplace / "openface", [clip for clip, _, _ in LABELS])
    fake_openface.install(workplace / "bin")
    fake_openface.install_docker(workplace / "bin")
    monkeypatch.setenv("PATH", f"{workplace / 'bin'}:{os.environ['PATH']}")
    labels = workplace / "data" / "mosi" / "labels.csv"
    run_page(
        "real_mosi.md",
        before={
            "labels_columns.": lambda: write_course_labels(labels, "file", "y", "part"),
            "openface_csv": lambda: write_course_labels(labels, "clip", "label", "subset"),
            "behaviour.openface.": lambda: shutil.rmtree("cache/mosi_openface", ignore_errors=True),
        },
    )
    for run in ("late_fusion", "crossmodal", "offline", "crossmodal_1"):
        assert (workplace / "runs" / run / "metrics_valid.json").is_file()
    assert (workplace / "runs" / "crossmodal_1" / "metrics_test.json").is_file()
    assert (workplace / "explore" / "index.html").is_file() and (
        workplace / "report" / "index.html"
    ).is_file()


def write_course_labels(path: Path, clip: str, label: str, split: str) -> None:
    with path.open("w", newline="") as file:
        rows = [(f"{name}.mp4", score or 0.4, part) for name, part, score in LABELS]  # none is blank there
        csv.writer(file).writerows([(clip, label, split), *rows])


def write_checkpoints(folder: Path) -> None:
    """A recogniser and an image model of the sizes of `SMALL`, with random weights."""
    sizes = asdict(load_config(RunConfig, None, SMALL).model.crossmodal)
    speech = Wav2Vec2ForCTC(Wav2Vec2Config(**sizes["speech"]["kwargs"]))
    speech.save_pretrained(folder / "wav2vec2-base-960h")
    Wav2Vec2FeatureExtractor().save_pretrained(folder / "wav2vec2-base-960h")
    face = timm.create_model("vit_small_patch16_224", img_size=32, num_classes=0, **sizes["face"]["kwargs"])
    save_file(face.state_dict(), folder / "vit_small.safetensors")


@pytest.mark.slow  # trains many small models
def test_the_page_about_results_is_right(workplace):
    for name, middle in (("mmmo", 3), ("pom", 4)):
        tables = make_tables()
        for table in tables.values():
            table["regression_labels"] = middle + table["regression_labels"].round() / 2
        write_archive(workplace / f"{name}_seq.npz", tables)
    labels = pd.read_csv(write_sentences(workplace / "mosi_labels.csv"))
    labels.to_csv(workplace / "mosei.csv", index=False)
    labels.rename(columns={"heard": "heard_ibm"}).to_csv(workplace / "heard.csv", index=False)
    for name in ("MINILM", "MPNET"):
        write_text_checkpoint(workplace / name)
    run_page("results.md")
    assert (workplace / "runs" / "words_minilm" / "word_errors_given.json").is_file()
    for name in ("mmmo", "pom"):
        assert "| ridge with lengths |" in (workplace / "runs" / name / "results.md").read_text()


def test_the_script_for_a_batch_system_goes_on_where_a_run_was(tmp_path):
    """With a stand-in for `srun`, which says what it was to run."""
    (script,) = re.findall(r"```sh\n(.*?)```", TEXTS["cluster.md"], re.DOTALL)
    (tmp_path / "srun").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run() -> str:
        return subprocess.check_output(["bash", "-c", script], cwd=tmp_path, env=environment, text=True)

    assert run().split()[-2:] == ["--config", "configs/crossmodal.yaml"]
    (tmp_path / "runs" / "crossmodal").mkdir(parents=True)
    (tmp_path / "runs" / "crossmodal" / "config.yaml").touch()
    assert run().split()[-1] == "--resume"


def make_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


@pytest.mark.slow  # two trainings; test_words.py has one
def test_the_page_about_words_is_right(workplace, monkeypatch):
    labels = write_sentences(workplace / "labels.csv")
    pd.read_csv(labels).rename(columns={"heard": "ibm"}).to_csv(workplace / "heard.csv", index=False)
    write_text_checkpoint(workplace / "tiny_bert")
    raw = write_set(make_folder(workplace / "data" / "mosi"))
    pd.read_csv(raw / "labels.csv").assign(text="good film").to_csv(raw / "labels.csv", index=False)
    for clip_id, _, _ in LABELS:
        (workplace / "subtitles" / f"{clip_id}.txt").parent.mkdir(exist_ok=True)
        (workplace / "subtitles" / f"{clip_id}.txt").write_text("good film")
    monkeypatch.setenv("MOSI_WEIGHTS", str(workplace / "weights"))
    write_whisper(workplace / "weights" / "whisper-base")
    write_video(workplace / "video.mp4", 1.2)
    run_page("words.md")
    assert {"words"} <= set(read_index(workplace / "cache" / "mosi" / "index.csv"))
    assert (workplace / "runs" / "words_ibm" / "metrics_test.json").is_file()
    assert (workplace / "given" / "metrics_test.json").is_file()
