"""What the project asks for, and whether the installed versions are that.

`packaging` is imported where it is needed: it may be what is missing, and then that is the finding.
"""

import importlib.metadata
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = "mosi-e2e"
ROOT = Path(__file__).resolve().parents[2]
EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")
# Both write the package `cv2`, and the lock takes the one that needs no display libraries.
REPLACED_BY = {"opencv-contrib-python": "opencv-python-headless"}
FOR_DEVELOPERS = "dev"


@dataclass(frozen=True)
class Requirement:
    """A package that the project asks for: `extra` is empty for what everybody needs."""

    name: str
    wanted: str
    extra: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.wanted}"


def read_requirements() -> list[Requirement]:
    """From `pyproject.toml` beside the code, or from the installed package where there is none."""
    path = ROOT / "pyproject.toml"
    if path.is_file():
        import tomllib

        project = tomllib.loads(path.read_text()).get("project", {})
        lines = [(line, "") for line in project.get("dependencies", [])]
        for extra, more in project.get("optional-dependencies", {}).items():
            lines += [(line, extra) for line in more]
    else:
        lines = [(line, "") for line in importlib.metadata.requires(PROJECT) or []]
    return [parse(line, extra) for line, extra in lines]


def parse(line: str, extra: str = "") -> Requirement:
    """A requirement from its line in a list.

    >>> parse("torch==2.11.*"), parse('ray>=2.9 ; extra == "ray"').extra
    (Requirement(name='torch', wanted='==2.11.*', extra=''), 'ray')
    """
    from packaging.requirements import Requirement as Form

    form = Form(line)
    named = EXTRA.search(str(form.marker or ""))
    return Requirement(form.name, str(form.specifier), named[1] if named else extra)


def find_version(name: str) -> str | None:
    """Installed version, or None; a damaged installation counts as none."""
    try:
        return importlib.metadata.version(name) or None
    except Exception:  # noqa: BLE001  the metadata of a damaged installation may make it raise anything
        return None


def is_met(version: str, wanted: str) -> bool:
    """Whether a version is one of those that are wanted.

    >>> [is_met("2.11.0+cu130", w) for w in ("==2.11.*", ">=2.2", "==2.11.0", "==2.1.*", ">=2.11.1", "")]
    [True, True, True, False, False, True]
    """
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(wanted).contains(Version(version), prereleases=True)
    except InvalidVersion:  # of a damaged installation
        return False


def say_install(*requirements: Requirement | str, options: str = "") -> str:
    """The command that installs packages into this Python, by whichever installer it has."""
    packages = " ".join(shlex.quote(str(one)) for one in requirements)
    # Not by `find_spec`: setuptools takes a search for pip for a build, and `torch.compile` fails after it.
    if not any(importlib.metadata.distributions(name="pip")):
        start = f"uv pip install --python {shlex.quote(sys.executable)}"
    else:
        start = f"{shlex.quote(sys.executable)} -m pip install"
    return f"{start} {options + ' ' if options else ''}{packages}"
