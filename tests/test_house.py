"""The rules of the house, read off the source: sizes, nesting, and who may import whom."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from mosi_e2e.data.streams import known_streams
from preprocessing.stages import name_stages

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("preprocessing", "mosi_e2e")
MOST_LINES, MOST_FUNCTION_LINES, DEEPEST = 300, 60, 3
READ_AS_ONE = "mosi_e2e.engine.loop.train_epoch"  # the loop stays one text
NESTING = ast.For | ast.While | ast.If | ast.With | ast.Try
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
MACHINERY = {"av", "cv2", "decord", "mediapipe", "opensmile"}  # of reading raw clips
SLOW = set("accelerate gradio matplotlib mediapipe opensmile sklearn timm torch transformers".split())
SCHEMAS = (  # what a setting may be is known without what it sets
    *("preprocessing.config", "preprocessing.settings", "preprocessing.openface.columns", "mosi_e2e"),
    *("mosi_e2e.config", "mosi_e2e.models", "mosi_e2e.models.config", "mosi_e2e.data.streams"),
    *("mosi_e2e.experiments.ablation", "mosi_e2e.settings", "mosi_e2e.cli"),
)
# Rooms and modules from the bottom to the top. Each imports from levels below its own; those of one level
# know nothing of each other.
LEVELS = {
    "preprocessing": (
        "errors arguments unknown_user",
        "untrusted plugins",
        "settings openface.columns",
        "config",
        "cache",
        "pretrained sets media faces",
        "openface hearing",
        "stages",
        "run",
        "__main__ fetch sample import_features import_images import_words list_voices pack shards",
    ),
    "mosi_e2e": (
        "tensors data.streams",
        "models.config",
        "config",
        "data scores",
        "models pages",
        "engine weights",
        "runs",
        "experiments explore export predict",
        "ready",
        "predict.__main__ export.__main__ report demo hub",
        "train evaluate ablate search settings doctor cli",
    ),
}
UPWARDS = {  # the exceptions
    ("preprocessing", "preprocessing.unknown_user"),  # before anything else is imported
    (
        "mosi_e2e.models.encoders.trained",
        "mosi_e2e.runs.checkpoint",
    ),  # when called: the encoder of an earlier run
    ("mosi_e2e", "mosi_e2e.hub"),  # when called: `mosi_e2e.load`
}


def list_sources() -> dict[str, Path]:
    """Every module of the product by its dotted name."""
    found = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = list_sources()


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def read_imports(module: str) -> frozenset[str]:
    """What importing a module imports, its own packages included; imports inside functions come later."""
    found, waiting = set(), list(parse(SOURCES[module]).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, FUNCTION):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in SOURCES else node.module for name in inner}
        waiting += ast.iter_child_nodes(node)
    return frozenset(found)


def reach(module: str) -> dict[str, list[str]]:
    """All that is imported with a module, each with the way to it."""
    ways, waiting = {module: [module]}, [module]
    while waiting:
        here = waiting.pop()
        parents = {here.rsplit(".", depth)[0] for depth in range(1, here.count(".") + 1)}
        for name in sorted((read_imports(here) if here in SOURCES else frozenset()) | parents):
            if name not in ways:
                ways[name] = [*ways[here], name]
                waiting.append(name)
    return ways


def test_a_class_name_means_one_thing():
    classes: dict[str, list[str]] = {}
    for module, path in SOURCES.items():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(module)
    assert {name: modules for name, modules in classes.items() if len(modules) > 1} == {}


def test_files_are_short():
    """Those of tests, too."""
    files = [path for folder in (*PACKAGES, "tests") for path in (ROOT / folder).rglob("*.py")]
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}


def test_functions_are_short():
    functions = [(name, node) for name, path in SOURCES.items() for node in ast.walk(parse(path))]
    sizes = {
        f"{name}.{node.name}": node.end_lineno - node.lineno + 1
        for name, node in functions
        if isinstance(node, FUNCTION)
    }
    assert {name: size for name, size in sizes.items() if size > MOST_FUNCTION_LINES} == {}


def measure_nesting(node: ast.AST, level: int = 0) -> int:
    """Depth of the deepest block; an `elif` is as deep as its `if`, a function inside counts for itself."""
    deepest = level
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        is_elif = field == "orelse" and len(children) == 1 and isinstance(children[0], ast.If)
        for child in children:
            if isinstance(child, ast.AST) and not isinstance(child, FUNCTION | ast.ClassDef):
                deeper = isinstance(child, NESTING) and not (is_elif and isinstance(node, ast.If))
                deepest = max(deepest, measure_nesting(child, level + deeper))
    return deepest


def test_blocks_are_nested_three_deep_at_most():
    depths = {
        f"{name}.{node.name}": measure_nesting(node)
        for name, path in SOURCES.items()
        for node in ast.walk(parse(path))
        if isinstance(node, FUNCTION)
    }
    found = {name for name, depth in depths.items() if depth > DEEPEST}
    assert found - {READ_AS_ONE} == set()


@cache
def find_level(module: str) -> tuple[int, str]:
    """Level and name of the room that a module stands in: of the longest name in the table that fits."""
    package, _, inner = module.partition(".")
    rooms = [(level, room) for level, line in enumerate(LEVELS[package]) for room in line.split()]
    fitting = [(level, room) for level, room in rooms if f"{inner}.".startswith(f"{room}.")]
    return max(fitting, key=lambda found: len(found[1]), default=(-1, inner))


def list_all_imports(module: str) -> set[str]:
    """Modules of its own package that a module imports at any time, also when a function is called."""
    found = set()
    for node in ast.walk(parse(SOURCES[module])):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in SOURCES else node.module for name in inner}
    return {name for name in found if name in SOURCES and name.split(".")[0] == module.split(".")[0]}


def test_every_module_stands_in_a_room():
    assert {name for name in SOURCES if find_level(name)[0] < 0} == set(PACKAGES)


def test_rooms_import_from_the_levels_below_alone():
    found = set()
    for module in SOURCES:
        level, room = find_level(module)
        for other in list_all_imports(module) - set(PACKAGES):
            below, there = find_level(other)
            if room != there and below >= level:
                found.add((module, other))
    assert found == UPWARDS


def test_preprocessing_knows_nothing_of_models():
    below = [name for name in SOURCES if name.startswith("preprocessing")]
    arrows = [(name, other) for name in below for other in read_imports(name)]
    assert [arrow for arrow in arrows if arrow[1].startswith("mosi_e2e")] == []


@pytest.mark.parametrize("module", ["mosi_e2e.hub", "mosi_e2e.runs.training", "mosi_e2e.runs.evaluation"])
def test_training_imports_no_reader_of_raw_clips(module):
    """cv2 decodes the cached crops; nothing else of what preprocessing works with is imported."""
    found = {name.split(".")[0]: way for name, way in reach(module).items()}
    assert {name: way for name, way in found.items() if name in MACHINERY - {"cv2"}} == {}


def test_the_command_table_imports_nothing_heavy():
    found = {name.split(".")[0] for name in reach("mosi_e2e.cli")}
    assert found & (MACHINERY | {"torch", "pandas", "numpy", "transformers"}) == set()


def list_imported(script: str) -> set[str]:
    """The packages that a process has imported at the end of a script."""
    words = [sys.executable, "-c", f"import sys\n{script}\nprint('\\n' + ' '.join(sys.modules))"]
    ran = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in ran.stdout.splitlines()[-1].split()}


def test_settings_are_read_without_what_does_the_work():
    found = list_imported(
        f"import {', '.join(SCHEMAS)}\n"
        "from mosi_e2e.settings import SCHEMAS, list_settings\n"
        "assert all(list_settings(verb) for verb in SCHEMAS)"
    )
    assert found & (MACHINERY | SLOW | {"numpy", "pandas", "scipy"}) == set()


def test_no_help_page_imports_what_takes_long():
    found = list_imported(
        "from importlib import import_module\n"
        "from mosi_e2e.cli import VERBS\n"
        "for module, _ in VERBS.values():\n"
        "    try:\n"
        "        import_module(module).main(['--help'])\n"
        "    except SystemExit as ended:\n"
        "        assert not ended.code, module"
    )
    assert found & (SLOW | {"pandas", "scipy"}) == set()


@pytest.mark.parametrize("module", ["ready.predictor", "predict.__main__", "predict.page", "predict.figure"])
def test_a_prediction_waits_for_no_tables_and_no_filters(module):
    ways = reach(f"mosi_e2e.{module}")
    assert {name: ways[name] for name in ("pandas", "scipy.signal", "scipy.stats") if name in ways} == {}


def list_tables(module: str) -> list[set[str]]:
    """Texts that stand together in a dictionary's keys, a tuple, a list or a set of the source."""
    tables = []
    for node in ast.walk(parse(SOURCES[module])):
        parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        tables.append({part.value for part in parts if isinstance(part, ast.Constant)})
    return tables


def test_stages_and_streams_are_listed_where_they_are_registered_and_nowhere_else():
    """Defaults of settings name streams; the settings of older caches are read by section."""
    known = [set(name_stages()), set(known_streams())]
    found = {
        name for name in SOURCES for table in list_tables(name) if any(len(table & one) > 2 for one in known)
    }
    assert found == {"mosi_e2e.models.config", "preprocessing.stages.recipes"}


def find_cycle(module: str, way: tuple[str, ...], done: set[str]) -> tuple[str, ...] | None:
    """A way from a module back to itself, if there is one that goes through `way`."""
    if module in way:
        return (*way[way.index(module) :], module)
    if module in done or module not in SOURCES:
        return None
    for other in sorted(read_imports(module)):
        if found := find_cycle(other, (*way, module), done):
            return found
    done.add(module)
    return None


def test_no_module_imports_itself_through_others():
    done: set[str] = set()
    assert [cycle for module in sorted(SOURCES) if (cycle := find_cycle(module, (), done))] == []


def test_only_tests_look_for_files_outside_of_the_project():
    folders = (*PACKAGES, "benchmarks", "scripts")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files and [path.name for path in files if 'parents[2] / "shared"' in path.read_text()] == []
