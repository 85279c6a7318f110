"""What the stages depend on under given settings: recipes, `meta.json`'s entries, and back to settings."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from preprocessing.config import PreprocessConfig, list_recorded
from preprocessing.errors import UserError
from preprocessing.settings import build_config, digest
from preprocessing.stages import list_stages


def make_recipes(config: PreprocessConfig) -> dict[str, str]:
    """Per stage, eight hex digits over its options, its version and the stages before it."""
    recipes: dict[str, str] = {}
    for stage in list_stages(config):
        options, before = stage.options(config), stage.earlier(config, recipes)
        recipes[stage.name] = digest(stage.name, stage.version, *options.values(), *options.keys(), *before)
    return recipes


def describe_stages(config: PreprocessConfig) -> dict[str, dict]:
    """`meta.json`'s entry per stage."""
    recipes = make_recipes(config)
    return {
        stage.name: {
            "recipe": recipes[stage.name],
            "version": stage.version,
            "options": json.loads(json.dumps(stage.options(config), default=vars)),
            "tools": {name: version(name) for name in stage.tools},
            "keys": stage.keys(config),
        }
        for stage in list_stages(config)
    }


def describe_settings(config: PreprocessConfig) -> dict[str, dict]:
    """`meta.json`'s `settings`: all options of the stages, with which a new clip is treated the same way."""
    return json.loads(json.dumps(list_recorded(config)))


def read_settings(settings: Mapping[str, Any], stages: Mapping[str, Mapping]) -> PreprocessConfig:
    """The settings that a cache was made with.

    Args:
        settings: of `meta.json`; empty where the cache was made before they were kept.
        stages: its entry per stage, whose `options` then have to do.

    Raises:
        UserError: they are those of another version of the program, or name what belongs to a machine.
    """
    values = dict(settings) or gather_options(stages)
    config = build_config(PreprocessConfig, values, "the cache's settings")
    foreign = list_foreign(values, list_recorded(config))
    if foreign:
        raise UserError(
            f"the cache's settings name {', '.join(foreign)}, which belongs to a machine: remove it"
        )
    return config


def list_foreign(values: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Dotted names in nested values that `known` does not have."""
    found = []
    for name, value in values.items():
        if name not in known:
            found.append(name)
        elif isinstance(known[name], Mapping):
            found += [f"{name}.{inner}" for inner in list_foreign(value, known[name])]
    return found


def gather_options(stages: Mapping[str, Mapping]) -> dict[str, Any]:
    """The settings as the four stages' options tell them, of caches whose `meta.json` has no `settings`."""
    options = {name: dict(entry.get("options", {})) for name, entry in stages.items()}
    faces, behaviour = options.get("faces", {}), options.get("behaviour", {})
    backend = behaviour.get("backend", "mediapipe")
    looked_at = behaviour.get(backend, {})
    values = {
        "decode": faces.get("decode") or behaviour.get("decode") or {},
        "track": dict(faces.get("track") or (looked_at if backend == "mediapipe" else {})),
        "faces": faces.get("faces", {}) | ({"source": "openface"} if "openface" in faces else {}),
        "behaviour": {"backend": backend} | ({} if backend == "mediapipe" else {"openface": looked_at}),
        "acoustics": options.get("acoustics", {}).get("acoustics", {}),
    }
    values["track"].pop("model", None)  # is empty in options
    return values
