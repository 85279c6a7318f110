"""Damaged files of runs: the report shows what is left and says what is wrong, or ends in one line.

Many cases: `make fuzz CASES=1000 TESTS=tests/test_report_fuzz.py`.
"""

import json
from pathlib import Path

import pytest
from kit.fuzzing import damage, replace_one, seeded
from kit.made_runs import MadeRun, make_clips, write_run

from mosi_e2e.pages.page import Picture
from mosi_e2e.report.gallery import Exhibit, Gallery
from mosi_e2e.report.page import Wish
from mosi_e2e.report.runs import read_runs
from mosi_e2e.report.write import write_report
from preprocessing.errors import UserError

WISH = Wish("test", "", 1, 1, "")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two runs of one system; the first is damaged."""
    place, clips = tmp_path_factory.mktemp("report"), make_clips(3, 2)
    for seed in range(2):
        write_run(place / "runs", MadeRun(f"r{seed}", seed=seed, epochs=2), clips)
    return place


@pytest.fixture
def files(place, monkeypatch) -> dict[Path, bytes]:
    """The files of the first run, whole again afterwards. No figure is drawn: half a second each."""
    monkeypatch.setattr(Gallery, "hang", lambda *_: Exhibit(Picture("", ""), "x"))
    paths = sorted(path for path in (place / "runs" / "r0").rglob("*.*") if path.is_file())
    whole = {path: path.read_bytes() for path in paths}
    yield whole
    for path, content in whole.items():
        path.write_bytes(content)


def report(place: Path) -> str:
    """The page, or the message of a refusal."""
    try:
        runs, strays = read_runs([place / "runs"])
        return write_report(runs, strays, WISH, place / "out").read_text()
    except UserError as error:
        said = str(error)
    assert "\n" not in said and len(said) < 2000
    return said


@seeded(6)
def test_damaged_files_of_a_run(place, files, draw):
    path = draw.choice(list(files))
    path.write_bytes(damage(files[path], draw))
    assert "r1" in report(place)
    path.write_bytes(files[path])


@seeded(10)
def test_files_of_a_run_with_odd_values(place, files, draw):
    path = draw.choice([path for path in files if path.suffix == ".json"])
    content = json.loads(files[path])
    replace_one(draw, content)
    path.write_text(json.dumps(content))
    assert "r1" in report(place)
    path.write_bytes(files[path])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metrics_valid.json", b"[" * 100_000, "metrics_valid.json is damaged"),
        ("environment.json", b'{"git": {"commit": "0123"}}', "0123"),
        ("environment.json", b'{"gpus": 7}', "environment.json is not as a run writes it"),
        ("environment.json", b'{"platform": "\\ud800"}', "environment.json is damaged"),
        ("best/facts.json", b'{"train_label": {"a": 1}}', "facts.json is not as a run writes it"),
        ("best/facts.json", b'{"train_label": [1, NaN]}', "facts.json is not as a run writes it"),
        ("config.yaml", b"task: regression\ndata: &a {b: *a}\n", "config.yaml cannot be read"),
        ("history.csv", b"epoch,train_loss,valid_loss\n0,1,1\nx,1,1\n", "does not count its epochs"),
    ],
)
def test_what_was_a_traceback_is_a_remark(place, files, name, content, said):
    (place / "runs" / "r0" / name).write_bytes(content)
    assert said in report(place)
