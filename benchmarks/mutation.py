"""Do the tests notice when the code is wrong? One small change at a time, and the module's own tests.

    python benchmarks/mutation.py mosi_e2e/scores/metrics.py
    python benchmarks/mutation.py mosi_e2e/demo/guard.py --tests tests/test_demo_attacks.py --most 30

A mutant is the module with one comparison, calculation, Boolean operator, number, condition or returned value
changed. It is *killed* if a test fails or hangs; one that survives shows what no test looks at, or changes
nothing that can be seen. The tests run on a copy of the working tree in a temporary folder. One process
imports all libraries once and forks for each mutant; quick tests come first, and the first failure ends it.
Of more mutants than `--most` a sample is run, drawn with `--seed`.

Texts are not changed, nor what is inside an f-string: messages are for people.
"""

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import accumulate
from pathlib import Path

import pytest

from preprocessing.errors import UserError, command

ROOT = Path(__file__).resolve().parents[1]
LIMIT_FACTOR = 3.0  # times what the tests take on the unchanged module: then a mutant counts as hanging
NICE = 10
PASSED, FAILED = 0, 1  # exit status of pytest
PAIRS = (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)),
    *((ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitAnd, ast.BitOr), (ast.LShift, ast.RShift)),
    (ast.And, ast.Or),
)
OPERATORS: dict[type, type] = dict(PAIRS) | {new: old for old, new in PAIRS}
OPERATORS |= dict.fromkeys((ast.FloorDiv, ast.Mod, ast.Pow), ast.Mult)


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Attributes:
        line: of the change, from 1.
        old, new: what is there, and what is put there.
        text: the whole module.
    """

    line: int
    old: str
    new: str
    text: str


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 where fewer mutants are killed than `--least`."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/mutation.py",
        description="Change a module in one place at a time and see whether its tests notice.",
        epilog="example: python benchmarks/mutation.py mosi_e2e/scores/metrics.py --most 60",
    )
    parser.add_argument("modules", nargs="+", type=Path, help="Python files of the project")
    parser.add_argument("--tests", nargs="*", default=[], help="default: tests/test_<module>*.py")
    parser.add_argument("--most", type=int, default=60, help="mutants per module; default: 60")
    parser.add_argument("--seed", type=int, default=0, help="of the sample; default: 0")
    parser.add_argument(
        "--limit", type=float, default=30.0, help="seconds, at least, before a mutant counts as hanging"
    )
    parser.add_argument("--least", type=float, default=0.9, help="share to be killed; default: 0.9")
    args = parser.parse_args(argv)
    os.nice(NICE)
    is_enough = True
    for module in args.modules:
        path = module.resolve()
        if not path.is_file() or not path.is_relative_to(ROOT):
            raise UserError(f"a module is a Python file below {ROOT}; there is no {module}")
        beside = sorted((ROOT / "tests").glob(f"test_{path.stem}*.py"))
        found = args.tests or [str(test.relative_to(ROOT)) for test in beside]
        if not found:
            raise UserError(f"{module} has no tests/test_{module.stem}*.py: name its tests with --tests FILE")
        is_enough &= judge_module(path.relative_to(ROOT), found, args) >= args.least
    return 0 if is_enough else 1


def judge_module(module: Path, tests: Sequence[str], args: argparse.Namespace) -> float:
    """Run the mutants of a module, print those that survive, and return the share of killed ones."""
    text = (ROOT / module).read_text(encoding="utf-8")
    mutants = list(list_mutants(text))
    chosen = sorted(
        random.Random(args.seed).sample(mutants, min(args.most, len(mutants))), key=lambda one: one.line
    )
    counts = {"killed": 0, "timed out": 0, "survived": 0}
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        bench = Bench(Path(folder) / "copy", module, tests, args.limit)
        print(
            f"{module}: {len(chosen)} of {len(mutants)} mutants, {bench.seconds:.0f} s of tests", flush=True
        )
        for mutant in chosen:
            outcome = bench.try_mutant(mutant)
            counts[outcome] += 1
            if outcome == "survived":
                print(f"survived {module}:{mutant.line}\n  - {mutant.old}\n  + {mutant.new}", flush=True)
    share = 1 - counts["survived"] / max(len(chosen), 1)
    print(
        f"{module}: {100 * share:.1f} % killed ({', '.join(f'{n} {k}' for k, n in counts.items())})\n",
        flush=True,
    )
    return share


class Bench:
    """A copy of the tree, and this process with all libraries in memory, to be forked for each mutant.

    Args:
        root: of the copy.
        module: path of the module in the tree.
        tests: paths of its tests.
        limit: seconds, at least, before a mutant counts as hanging.

    Attributes:
        seconds: that the tests take on the unchanged module.
    """

    def __init__(self, root: Path, module: Path, tests: Sequence[str], limit: float):
        self.root, self.module, self.tests = root, module, tests
        copy_tree(root)
        self.ranks: dict[str, float] = {}
        report = root.parent / "unchanged.json"
        begun = time.monotonic()
        if self._fork(lambda: run_tests(root, tests, {}, report), None) != PASSED:
            raise UserError(f"{' '.join(tests)} must pass on the unchanged {module}; run them with pytest")
        self.seconds = time.monotonic() - begun
        content = json.loads(report.read_text())
        if str(root / module) not in content["files"]:
            raise UserError(f"{' '.join(tests)} never import {module}; name its tests with --tests FILE")
        self.ranks = content["seconds"]
        self.limit = max(limit, LIMIT_FACTOR * self.seconds)
        preload(content["libraries"])

    def try_mutant(self, mutant: Mutant) -> str:
        """`killed`, `timed out` or `survived`."""
        place = self.root / self.module
        whole = place.read_text(encoding="utf-8")
        place.write_text(mutant.text, encoding="utf-8")
        try:
            status = self._fork(lambda: run_tests(self.root, self.tests, self.ranks, None), self.limit)
        finally:
            place.write_text(whole, encoding="utf-8")
        return {PASSED: "survived", None: "timed out"}.get(status, "killed")

    def _fork(self, work: Callable[[], int], limit: float | None) -> int | None:
        """Exit status of `work` in a fork of this process and its own group; None where it took too long."""
        pid = os.fork()
        if not pid:
            status = FAILED
            with suppress(BaseException):
                os.setsid()
                status = work()
            os._exit(status)
        end = time.monotonic() + limit if limit else None
        while not (found := os.waitpid(pid, os.WNOHANG))[0]:
            if end and time.monotonic() > end:
                break
            time.sleep(0.02)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # also what a test left behind
        if not found[0]:
            os.waitpid(pid, 0)
            return None
        return os.waitstatus_to_exitcode(found[1])


class Stopwatch:
    """A plugin of pytest: quick tests first, and how long each took."""

    def __init__(self, ranks: dict[str, float]):
        self.ranks = ranks
        self.seconds: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.ranks.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


def run_tests(root: Path, tests: Sequence[str], ranks: dict[str, float], report: Path | None) -> int:
    """The body of a fork: run tests of the copy, say what they took and imported; status of pytest."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    forget_project()
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True  # two versions of a module within a second would share their bytecode
    watch = Stopwatch(ranks)
    words = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--rootdir", str(root)]
    status = pytest.main([*words, *tests], plugins=[watch])
    if report:
        files = {name: str(getattr(one, "__file__", "") or "") for name, one in list(sys.modules.items())}
        libraries = [name for name, file in files.items() if "site-packages" in file]
        content = {"seconds": watch.seconds, "files": list(files.values()), "libraries": libraries}
        report.write_text(json.dumps(content))
    return int(status)


def forget_project() -> None:
    """So that the fork imports the project from the copy."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("mosi_e2e", "preprocessing")]:
        del sys.modules[name]


def preload(names: Sequence[str]) -> None:
    """Import the libraries that the tests needed."""
    for name in names:
        with suppress(Exception):  # a part of a library may exist only after a call
            import_module(name)


def copy_tree(root: Path) -> None:
    """All files of the working tree that git knows, as they are now."""
    words = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)


def list_mutants(text: str) -> Iterator[Mutant]:
    """Every change of one place in a module."""
    whole, original = text.encode(), ast.dump(ast.parse(text))
    starts = [0, *accumulate(len(line) for line in whole.splitlines(keepends=True))]
    for node in walk(ast.parse(text)):
        for place, new in change(node):
            start = starts[place.lineno - 1] + place.col_offset
            end = starts[place.end_lineno - 1] + place.end_col_offset
            changed = (whole[:start] + new.encode() + whole[end:]).decode()
            if ast.dump(ast.parse(changed)) != original:
                yield Mutant(place.lineno, " ".join(whole[start:end].decode().split()), new, changed)


def walk(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Places that may be changed: no texts, no annotations, no `if __name__ == "__main__"`."""
    skipped = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    for child in ast.iter_child_nodes(node):
        is_main = isinstance(child, ast.If) and "__name__" in ast.unparse(child.test)
        if child in skipped or is_main or isinstance(child, ast.JoinedStr):
            continue
        if isinstance(child, ast.expr | ast.stmt):
            yield child
        yield from walk(child)


def change(node: ast.expr | ast.stmt) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """What may be put in which place of an expression or statement."""
    match node:
        case ast.Compare(ops=ops):
            for number, operator in enumerate(ops):
                swapped = [*ops[:number], OPERATORS[type(operator)](), *ops[number + 1 :]]
                yield node, enclose(ast.Compare(node.left, swapped, node.comparators))
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            yield node, enclose(ast.BinOp(node.left, OPERATORS[type(operator)](), node.right))
        case ast.AugAssign(op=operator) if type(operator) in OPERATORS:
            yield node, ast.unparse(ast.AugAssign(node.target, OPERATORS[type(operator)](), node.value))
        case ast.BoolOp(op=operator):
            yield node, enclose(ast.BoolOp(OPERATORS[type(operator)](), node.values))
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node, enclose(node.operand)
        case ast.Constant(value=bool() | int() | float() as value):
            yield node, str(not value) if isinstance(value, bool) else f"({value + 1!r})"
        case ast.Return(value=ast.expr()):
            yield node, "return None"
        case ast.If() | ast.While() | ast.IfExp():
            yield node.test, enclose(ast.UnaryOp(ast.Not(), node.test))


def enclose(node: ast.expr) -> str:
    """As text in brackets, so that it stays one operand wherever it is put."""
    return f"({ast.unparse(node)})"


if __name__ == "__main__":
    sys.exit(main())
