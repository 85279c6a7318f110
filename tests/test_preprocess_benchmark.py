"""The benchmark of preprocessing runs, and what it says about memory holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "preprocess.py"
LIMIT_MIB = 1.2e9 / 2**20  # of a worker, on ten minutes of 720p


def measure(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    ended = measure("--clips", str(tmp_path / "nowhere"))
    assert ended.returncode == 2
    assert "nowhere is no folder; type --clips FOLDER" in ended.stderr
    ended = measure()
    assert ended.returncode == 2 and "no clips are named; type --clips FOLDER" in ended.stderr
    ended = measure("--clips", str(tmp_path))
    assert ended.returncode == 2
    assert "holds no clips; type --clips FOLDER" in ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_minutes_stay_within_the_memory_of_a_worker(tmp_path):
    """Measured on three minutes at full rate: what it grows by in two must leave room for ten."""
    ended = measure("--memory", "1", "3", "--json", str(tmp_path / "found.json"))
    assert ended.returncode == 0, ended.stderr
    one, three = (row["peak_mib"] for row in json.loads((tmp_path / "found.json").read_text()))
    growth = (three - one) / 2
    assert one + 9 * growth < 0.9 * LIMIT_MIB, (one, growth)


@pytest.mark.slow
def test_speed_is_measured_on_any_folder(sample_cache, tmp_path):
    raw = sample_cache.parent / "raw"
    ended = measure(
        "--clips",
        str(raw),
        "--repeats",
        "1",
        "--json",
        str(tmp_path / "found.json"),
        "track.rate=2",
        "faces.rate=2",
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert min(found["parts"].values()) > 0
    assert [run["workers"] for run in found["runs"]] == [1, 1, 2, 2]
    for half, whole in zip(found["runs"][::2], found["runs"][1::2], strict=True):
        assert whole["clip_s"] == pytest.approx(2 * half["clip_s"], rel=0.02)
        assert 1 < whole["cpu_s"] / half["cpu_s"] < 2.5
