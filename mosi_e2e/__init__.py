"""Sentiment of a speaking person from video.

    from mosi_e2e import load
    load("model/").predict("clip.mp4").score

Nothing is imported before it is used: `import mosi_e2e` takes no time.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mosi_e2e.hub import MosiModel, load

__all__ = ["MosiModel", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mosi_e2e import hub

    return getattr(hub, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
