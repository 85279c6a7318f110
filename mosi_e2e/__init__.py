"""Sentiment of a speaking person from video.

    from mosi_e2e import load
    load("model/").predict("clip.mp4").score

Nothing heavy is imported before it is used: `import mosi_e2e` takes no time.
"""

from typing import TYPE_CHECKING, Any

import preprocessing as preprocessing  # first of all: it gives a user id without a name one

if TYPE_CHECKING:
    from mosi_e2e.hub import MosiModel, load

    __version__: str

__all__ = ["MosiModel", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _read_version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mosi_e2e import hub

    return getattr(hub, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _read_version() -> str:
    """Of the installed package, or of the checkout that this is."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mosi-e2e")
    except PackageNotFoundError:
        import tomllib
        from pathlib import Path

        project = Path(__file__).resolve().parents[1] / "pyproject.toml"
        return tomllib.loads(project.read_text())["project"]["version"]
