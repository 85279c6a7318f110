"""Stages and streams from files of your own: `export MOSI_PLUGINS=$PWD/heart_rate.py`.

The variable lists Python files, separated by `:` (`;` on Windows). Each process imports them once, workers
too, under the name of the file. Nothing else decides what is imported: no cache, model folder or recipe can.
"""

import importlib.util
import os
import sys
from pathlib import Path

from preprocessing.errors import UserError

VARIABLE = "MOSI_PLUGINS"
_loaded: set[Path] = set()


def load_plugins() -> None:
    """Import the files that the variable lists and that this process has not imported yet.

    Raises:
        UserError: a file is missing, or its name is that of another module.
    """
    for text in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        path = Path(text).resolve()
        if path not in _loaded:
            _loaded.add(path)  # first: while it is imported, it asks for what is known already
            load_plugin(path)


def load_plugin(path: Path) -> None:
    """Import one file."""
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"{VARIABLE} lists Python files, but {path} is none; type export {VARIABLE}=FILE.py")
    if path.stem in sys.modules or importlib.util.find_spec(path.stem) is not None:
        raise UserError(f"{VARIABLE}: there is a module '{path.stem}' already; rename {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
