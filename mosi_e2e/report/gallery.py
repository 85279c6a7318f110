"""Figures on their way out: into the page, and as PNG and SVG beside it."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from mosi_e2e.pages.page import Picture, draw_svg, embed
from preprocessing.cache.store import write_atomic

PNG_DPI = 180


@dataclass(frozen=True)
class Spot:
    """A place in a picture that tells what it stands for.

    Attributes:
        left, top: in percent of the picture.
        name: of the clip.
        text: what stands beside it.
    """

    left: float
    top: float
    name: str
    text: str


@dataclass(frozen=True)
class Drawing:
    """A figure that is not yet stored.

    Attributes:
        figure: of matplotlib, about 4.4 inches wide.
        alt: what it says, for those who do not see it.
        caption: below it.
        axes, points: where there is something to point at: its axes, and (x, y, name, text) of each point.
    """

    figure: Figure
    alt: str
    caption: str
    axes: Axes | None = None
    points: Sequence[tuple[float, float, str, str]] = field(default_factory=tuple)


@dataclass(frozen=True)
class Exhibit:
    """A figure that is stored.

    Attributes:
        picture: for the page.
        stem: its files are `figures/<stem>.png` and `.svg`.
        spots: what can be pointed at.
    """

    picture: Picture
    stem: str
    spots: Sequence[Spot] = field(default_factory=tuple)

    @property
    def listed(self) -> list[tuple]:
        """The spots as plain values for the page's script, from left to right."""
        return sorted((spot.left, spot.top, spot.name, spot.text) for spot in self.spots)


class Gallery:
    """Stores figures, each under a name of its own.

    Args:
        folder: where to.
        bar: counts them for those who wait.
    """

    def __init__(self, folder: Path, bar: tqdm):
        self.folder, self._bar = folder, bar
        self._stems: set[str] = set()

    def hang(self, name: str, drawing: Drawing) -> Exhibit:
        """Write both files and return what the page shows."""
        stem = self._choose_stem(name)
        picture = draw_svg(drawing.figure, drawing.alt, drawing.caption)
        drawing.figure.set_layout_engine("none")  # it is settled now
        spots = find_spots(drawing)
        svg = slim(base64.b64decode(picture.source.partition(",")[2]).decode()).encode()
        png = io.BytesIO()
        drawing.figure.set_dpi(PNG_DPI)
        FigureCanvasAgg(drawing.figure).print_png(png, metadata={"Software": None})  # savefig draws it twice
        write_atomic(self.folder / f"{stem}.svg", svg)
        write_atomic(self.folder / f"{stem}.png", png.getvalue())
        self._bar.update()
        return Exhibit(replace(picture, source=embed(svg, "image/svg+xml")), stem, spots)

    def _choose_stem(self, name: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "figure"
        stem, number = plain, 2
        while stem.lower() in self._stems:
            stem, number = f"{plain}-{number}", number + 1
        self._stems.add(stem.lower())
        return stem


def slim(svg: str) -> str:
    """Without comments, metadata, indentation and digits below a hundredth of a point: half the bytes."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag.group()), svg)  # never in texts
    return re.sub(r"\s*\n\s*", "\n", svg)


def find_spots(drawing: Drawing) -> list[Spot]:
    """Where the points of a drawn figure lie in its picture; both axes must be linear."""
    if drawing.axes is None:
        return []
    box, (x0, x1), (y0, y1) = drawing.axes.get_position(), drawing.axes.get_xlim(), drawing.axes.get_ylim()
    return [
        Spot(
            round(100 * (box.x0 + (x - x0) / (x1 - x0) * box.width), 2),
            round(100 * (1 - box.y0 - (y - y0) / (y1 - y0) * box.height), 2),
            name,
            text,
        )
        for x, y, name, text in drawing.points
    ]
