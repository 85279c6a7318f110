"""The mutation tool: what it changes, and that it tells what tests notice from what they do not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kit.typed_commands import load_module

ROOT = Path(__file__).resolve().parents[1]
MODULE = '''"""Small."""

LIMIT = 3


def is_small(value: int = 1) -> bool:
    """Whether it is."""
    return 0 <= value and value < LIMIT


def wait(count):
    while count > 0:
        count -= 1
    return "done"
'''
TESTS = """
from mosi_e2e.small import is_small, wait


def test_small():
    assert is_small(2) and not is_small(5) and not is_small(-1)
    assert wait(2) == "done"
"""


@pytest.fixture(scope="module")
def mutation():
    return load_module("benchmarks/mutation.py")


def test_every_place_is_changed_once(mutation):
    found = [(one.line, one.old, one.new) for one in mutation.list_mutants(MODULE)]
    assert found == [
        (3, "3", "(4)"),
        (6, "1", "(2)"),
        (8, "return 0 <= value and value < LIMIT", "return None"),
        (8, "0 <= value and value < LIMIT", "(0 <= value or value < LIMIT)"),
        (8, "0 <= value", "(0 < value)"),
        (8, "0", "(1)"),
        (8, "value < LIMIT", "(value <= LIMIT)"),
        (12, "count > 0", "(not count > 0)"),
        (12, "count > 0", "(count >= 0)"),
        (12, "0", "(1)"),
        (13, "count -= 1", "count += 1"),
        (13, "1", "(2)"),
        (14, 'return "done"', "return None"),
    ]


def test_texts_annotations_and_the_command_line_stay(mutation):
    text = """x: Literal[1] = f"{a + b}"\nif __name__ == "__main__":\n    sys.exit(1 + 1)\n"""
    text += """y = "ä" if not x else -z\n"""
    assert [(one.old, one.new) for one in mutation.list_mutants(text)] == [
        ("not x", "(not not x)"),
        ("not x", "(x)"),
        ("-z", "(z)"),
    ]


@pytest.mark.slow
def test_survivors_are_what_no_test_looks_at(tmp_path):
    for name, text in (
        ("mosi_e2e/small.py", MODULE),
        ("mosi_e2e/__init__.py", ""),
        ("tests/test_small.py", TESTS),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "mutation.py", tmp_path / "benchmarks")
    (tmp_path / "pyproject.toml").write_text("")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    words = [sys.executable, "benchmarks/mutation.py", "mosi_e2e/small.py", "--limit", "5"]
    found = subprocess.run(
        words,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1, found.stderr
    lines = found.stdout.splitlines()
    assert lines[0].startswith("mosi_e2e/small.py: 13 of 13 mutants")
    survived = [line.partition(":")[2] for line in lines if line.startswith("survived")]
    assert survived == ["3", "6", "8", "8", "8", "12", "12", "12", "13"]
    assert "  - value < LIMIT\n  + (value <= LIMIT)\n" in found.stdout
    assert lines[-2].endswith("30.8 % killed (3 killed, 1 timed out, 9 survived)")
    assert (tmp_path / "mosi_e2e" / "small.py").read_text() == MODULE
