"""README and documentation as texts: the commands on each page, which of them run, and how a page is run."""

import re
from collections.abc import Callable, Collection, Mapping

import yaml
from kit.typed_commands import ROOT, list_commands, list_scripts, run_command

TESTS = ROOT / "tests"
TEXTS = {str(page.relative_to(ROOT / "docs")): page.read_text() for page in (ROOT / "docs").rglob("*.md")}
for name in ("README.md", "CONTRIBUTING.md", "benchmarks/RESULTS.md"):
    TEXTS[name] = (ROOT / name).read_text()
COMMANDS = [(page, command) for page in sorted(TEXTS) for command in list_commands(TEXTS[page])]
OURS = [(page, command) for page, command in COMMANDS if command.module]
# What is only parsed, and why: reason → commands.
PARSED_ONLY = yaml.safe_load((TESTS / "parsed_only.yaml").read_text())
NOT_RUN = {line for lines in PARSED_ONLY.values() for line in lines}


def list_run_pages(*files: str) -> set[str]:
    """The pages that test files run; without any named: that any of them runs."""
    paths = [TESTS / name for name in files] or TESTS.glob("test_*.py")
    return {page for path in paths for page in re.findall(r"\brun_page\(\s*\"([^\"]+)\"", path.read_text())}


def list_run(*files: str) -> set[str]:
    """The commands on those pages that are run there."""
    pages = list_run_pages(*files)
    return {command.text for page, command in OURS if page in pages} - NOT_RUN


def run_page(
    page: str, before: Mapping[str, Callable[[], object]] | None = None, but: Collection[str] = ()
) -> None:
    """Run what a page says, in its order, without what is only parsed.

    Args:
        page: its name.
        before: what is done before a command, by a word in it.
        but: commands that are left out here.
    """
    for found, command in OURS:
        if found != page or command.text in NOT_RUN or command.text in but:
            continue
        for mark, prepare in (before or {}).items():
            if mark in command.line:
                prepare()
        assert run_command(command) in (0, None), command.line


def run_scripts(page: str) -> dict:
    """Run a page's scripts one after another, as in one session."""
    names: dict = {}
    for script in list_scripts(TEXTS[page]):
        exec(compile(script, page, "exec"), names)
    return names
