"""Text in pictures: sharp at any size, with any letter, unlike OpenCV's."""

from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]  # red, green, blue
INK, PAPER = (255, 255, 255), (20, 24, 30)
# Which person is which. They show on skin and on dark ground, and none means a positive or negative score.
PEOPLE: tuple[Colour, ...] = (
    (240, 228, 66),
    (0, 200, 150),
    (224, 150, 195),
    (235, 235, 235),
    (170, 160, 255),
    (165, 220, 95),
)


def colour_person(number: int) -> Colour:
    """The colour of a person, whose number starts at 1."""
    return PEOPLE[(number - 1) % len(PEOPLE)]


def measure_text(text: str, size: int) -> tuple[int, int]:
    """Width and height in pixels; the height is that of the font, so that lines stand on one level."""
    font = _open_font(size)
    return round(font.getlength(text)), sum(font.getmetrics())


def fit_size(text: str, size: int, width: int) -> int:
    """The size, or a smaller one at which the text is no wider than `width` pixels; 7 at least."""
    wide, _ = measure_text(text, size)
    return size if wide <= width else max(int(size * width / wide), 7)


def write_text(picture: np.ndarray, text: str, place: tuple[int, int], size: int, ink: Colour = INK) -> None:
    """Write into [H, W, 3] uint8 RGB; what lies outside of the picture is cut off.

    Args:
        picture: changed in place.
        text: one line.
        place: left and top in pixels.
        size: of the letters in pixels.
        ink: colour.
    """
    wide, high = measure_text(text, size)
    if not text:
        return
    mask = Image.new("L", (wide, high))
    ImageDraw.Draw(mask).text((0, 0), text, fill=255, font=_open_font(size))
    alpha = np.asarray(mask, dtype=np.float32)[..., None] / 255
    left, top = place
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + wide, picture.shape[1]), min(top + high, picture.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    share = alpha[y0 - top : y1 - top, x0 - left : x1 - left]
    part = picture[y0:y1, x0:x1]
    part[:] = np.round(part + share * (np.array(ink, np.float32) - part)).astype(np.uint8)


def draw_tag(picture: np.ndarray, text: str, place: tuple[int, int], size: int, colour: Colour) -> None:
    """Dark text on a filled tag whose lower left corner is at `place`; it is kept inside the picture."""
    size = fit_size(text, size, picture.shape[1] - size // 2)
    wide, high = measure_text(text, size)
    pad = max(size // 4, 2)
    left = int(np.clip(place[0], 0, max(picture.shape[1] - wide - 2 * pad, 0)))
    top = int(np.clip(place[1] - high, 0, max(picture.shape[0] - high, 0)))
    picture[top : top + high, left : left + wide + 2 * pad] = colour
    write_text(picture, text, (left + pad, top), size, PAPER)


@cache
def _open_font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along."""
    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf")), size)
