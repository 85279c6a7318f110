"""The table of what was measured on a GPU, and the script that measures."""

import json
import subprocess
from pathlib import Path

import pytest
from kit.typed_commands import load_module

ROOT = Path(__file__).resolve().parents[1]
FIGURES = {
    "step_ms": 123.4,
    "run_clips_per_s": 45.67,
    "lost_share": 0.034,
    "peak_memory_gb": 17.3,
    "share_of_matrix_rate": 0.412,
}
table = load_module("benchmarks/gpu_table.py")


@pytest.fixture
def folder(tmp_path):
    """Two steps that went well, three that did not."""
    endings = {"bf16": 0, "fp16": 0, "compiled": 124, "fsdp": 1, "deepspeed": 2, "predict": 0}
    for step, status in endings.items():
        (tmp_path / f"{step}.end").write_text(f"{status} 61\n")
        (tmp_path / f"{step}.log").write_text("note: all is well\n")
    (tmp_path / "bf16.json").write_text(json.dumps(FIGURES))
    slow = FIGURES | {"share_of_matrix_rate": 0.2, "lost_share": 0.06, "peak_memory_gb": None}
    (tmp_path / "fp16.json").write_text(json.dumps(slow))
    (tmp_path / "fsdp.log").write_text("Traceback\nValueError: a | b\nChildFailedError: see above\n\n")
    (tmp_path / "deepspeed.log").write_text("ImportError: DeepSpeed is not installed\nafterwards\n")
    (tmp_path / "predict.json").write_text(json.dumps([{"video_s": 10, "parts": {"a": [9, 3], "b": [9, 2]}}]))
    return tmp_path


def test_each_step_has_its_figures_or_its_reason(folder, capsys):
    assert table.main([str(folder)]) == 0
    text = capsys.readouterr().out
    assert "| bf16 | 123 ms | 45.7 | 17.3 GB | 41% ✓ | 3.4% ✓ | 61 s |" in text
    assert "| fp16 | 123 ms | 45.7 | - | 20% | 6.0% | 61 s |" in text
    assert "| compiled | took too long | | | | | 61 s |" in text
    assert "| fsdp | ValueError: a / b | | | | | 61 s |" in text
    assert "| deepspeed | ImportError: DeepSpeed is not installed | | | | | 61 s |" in text
    assert "A prediction takes 0.50 s for each second of video" in text


def test_a_folder_without_measurements_is_refused(tmp_path, capsys):
    assert table.main([str(tmp_path)]) == 2
    assert "bash benchmarks/gpu.sh" in capsys.readouterr().err


@pytest.mark.slow  # makes clips, caches them, and starts six trainings and predictions
def test_the_script_runs_to_its_end_without_a_gpu(tmp_path):
    words = ["bash", "benchmarks/gpu.sh", "--small", tmp_path / "gpu"]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "no GPU" in run.stdout
    row = next(line for line in run.stdout.splitlines() if line.startswith("| bf16 |"))
    assert " ms | " in row
