"""Everything runs for a user id without a name, as in containers with `--user 12345`. Needs root."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kit.launched import ROOT

NEW_USER = 0x10000000  # CLONE_NEWUSER
NAMES = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME")


def become_unknown() -> None:
    """Before a child's program starts: uid 12345 in a user namespace of its own, with its owner's rights."""
    uid, gid = os.getuid(), os.getgid()
    if ctypes.CDLL(None).unshare(NEW_USER):
        os._exit(77)
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"12345 {uid} 1"),
        ("gid_map", f"12345 {gid} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(content)


def run_unknown(code: str, **environment: str) -> subprocess.CompletedProcess:
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("needs Linux and root to run as another user")
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=become_unknown,
    )
    if found.returncode == 77:
        pytest.skip("this machine allows no user namespaces")
    return found


def test_without_us_the_user_has_no_name():
    assert "getpwuid" in run_unknown("import getpass; getpass.getuser()").stderr


def test_the_user_gets_a_name_and_a_home_to_write_into():
    code = "import mosi_e2e, getpass, os; from pathlib import Path as P; "
    code += "print(getpass.getuser(), os.access(P.home(), os.W_OK))"
    assert run_unknown(code).stdout == "uid12345 True\n"
    assert run_unknown(code, HOME="/proc").stdout == "uid12345 True\n"


def test_a_home_that_can_be_written_into_stays(tmp_path):
    code = "import preprocessing, os; print(os.environ['HOME'], os.environ['USER'])"
    assert run_unknown(code, HOME=str(tmp_path), USER="me").stdout == f"{tmp_path} me\n"


def test_train_evaluate_and_predict_are_imported():
    code = "import mosi_e2e.runs.training, mosi_e2e.runs.evaluation, mosi_e2e.predict.predictor"
    code += ", torch._inductor.codecache"
    found = run_unknown(code + "; import matplotlib; print(matplotlib.get_cachedir())")
    assert found.returncode == 0, found.stderr


def test_who_has_a_name_keeps_his_environment():
    code = "import os; before = dict(os.environ); import mosi_e2e; print(before == dict(os.environ))"
    assert subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout == ("True\n")
