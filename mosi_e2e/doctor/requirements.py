"""What the project asks for, and whether the installed versions are that.

A small reader of the few forms that `pyproject.toml` uses (`==1.2`, `==2.11.*`, `>=3.1`): the packages that
read all forms may be what is missing.
"""

import importlib.metadata
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = "mosi-e2e"
ROOT = Path(__file__).resolve().parents[2]
REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*\])?\s*([^;]*)(?:;(.*))?")
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
    """
    >>> parse("torch==2.11.*"), parse('ray>=2.9 ; extra == "ray"').extra
    (Requirement(name='torch', wanted='==2.11.*', extra=''), 'ray')
    """
    found = REQUIREMENT.match(line)
    name, wanted, marker = found.groups() if found else (line, "", "")
    named = EXTRA.search(marker or "")
    return Requirement(name, (wanted or "").replace(" ", ""), named[1] if named else extra)


def find_version(name: str) -> str | None:
    """Installed version, or None; a damaged installation counts as none."""
    try:
        return importlib.metadata.version(name) or None
    except Exception:  # noqa: BLE001  the metadata of a damaged installation may make it raise anything
        return None


def is_met(version: str, wanted: str) -> bool:
    """
    >>> [is_met("2.11.0+cu130", w) for w in ("==2.11.*", ">=2.2", "==2.11.0", "==2.1.*", ">=2.11.1", "")]
    [True, True, True, False, False, True]
    """
    return all(_is_one_met(version, clause) for clause in wanted.split(",") if clause)


def _is_one_met(version: str, clause: str) -> bool:
    sign, text = re.match(r"([=!<>~]*)(.*)", clause).groups()
    have, want = release(version), release(text.removesuffix(".*"))
    if text.endswith(".*"):
        same = have[: len(want)] == want
        return same if sign == "==" else not same
    width = max(len(have), len(want))
    have, want = (one + (0,) * (width - len(one)) for one in (have, want))
    compared = {"==": have == want, "!=": have != want, ">=": have >= want, "<=": have <= want}
    compared |= {">": have > want, "<": have < want, "~=": have >= want}
    return compared.get(sign, True)


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version up to the first that is none: local and pre-release parts do not count.

    >>> release("2.11.0+cu130"), release("3.1rc1")
    ((2, 11, 0), (3, 1))
    """
    found = re.match(r"\d+(\.\d+)*", version.strip())
    return tuple(map(int, found[0].split("."))) if found else ()


def say_install(*requirements: Requirement | str, options: str = "") -> str:
    """The command that installs packages into this Python, by whichever installer it has."""
    packages = " ".join(shlex.quote(str(one)) for one in requirements)
    # Not by `find_spec`: setuptools takes a search for pip for a build, and `torch.compile` fails after it.
    if not any(importlib.metadata.distributions(name="pip")):
        start = f"uv pip install --python {shlex.quote(sys.executable)}"
    else:
        start = f"{shlex.quote(sys.executable)} -m pip install"
    return f"{start} {options + ' ' if options else ''}{packages}"
