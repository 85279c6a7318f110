"""What an overlay shows over a frame: a warning above, everybody's score on one scale below."""

from collections.abc import Sequence
from textwrap import wrap

import cv2
import numpy as np

from mosi_e2e.predict.lettering import (
    INK,
    PAPER,
    colour_person,
    draw_tag,
    fit_size,
    measure_text,
    write_text,
)
from mosi_e2e.predict.result import REACH, PersonResult, VideoResult, Window
from mosi_e2e.predict.words import signed

BOX_LASTS_S = 0.35  # crops come five times a second: a box older than this is not shown
PLUS, MINUS, FAINT, WARNING = (86, 180, 233), (255, 140, 40), (120, 128, 138), (196, 74, 0)
ROW, LEAST_ROW = 0.062, 26  # height of a person's row: share of the picture's, pixels
BANNER, LEAST_BANNER = 0.045, 15  # size of the warning's letters
LEAST_LETTERS = 9  # in a narrow picture it takes several lines instead
DIM = 0.82  # how far the picture below the panel gives way to it


class Panel:
    """Draws one result into the frames of its video.

    A row changes only where a window begins, so each is drawn once.

    Args:
        result: of the video.
    """

    def __init__(self, result: VideoResult):
        self.result = result
        self.several = len(result.people) > 1
        self.banner = name_warning(result)
        self._drawn: tuple[object, np.ndarray] | None = None

    def draw(self, picture: np.ndarray, time: float) -> None:
        """Draw boxes, warning and scale for a moment into [H, W, 3] uint8 RGB."""
        for person in reversed(self.result.people):
            box = find_box(person, time)
            if box is not None:
                self._draw_box(picture, person, box, find_window(person, time))
        windows = [find_window(person, time) for person in self.result.people]
        panel = self._draw_panel(picture.shape[:2], windows)
        part = picture[-len(panel) :]
        cv2.addWeighted(part, 1 - DIM, panel, DIM, 0, dst=part)
        # Bars and letters stay as bright as they are.
        np.copyto(part, panel, where=(panel.max(axis=-1, keepdims=True) > max(PAPER)))
        if self.banner:
            draw_banner(picture, self.banner)

    def _draw_box(
        self, picture: np.ndarray, person: PersonResult, box: np.ndarray, window: Window | None
    ) -> None:
        x0, y0, x1, y1 = (round(float(edge)) for edge in box)
        colour, thick = colour_person(person.number), max(picture.shape[1] // 240, 2)
        cv2.rectangle(picture, (x0, y0), (x1, y1), colour, thick, cv2.LINE_AA)
        words = [person.name] if self.several else []
        words += [signed(window.score)] if window else []
        if words:
            draw_tag(
                picture, "  ".join(words), (x0 - thick // 2, y0), max(picture.shape[0] // 24, 13), colour
            )

    def _draw_panel(self, shape: tuple[int, int], windows: Sequence[Window | None]) -> np.ndarray:
        key = (shape, tuple(window and window.start_s for window in windows))
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = key, draw_rows(shape, self.result.people, windows)
        return self._drawn[1]


def draw_rows(
    shape: tuple[int, int], people: Sequence[PersonResult], windows: Sequence[Window | None]
) -> np.ndarray:
    """[h, W, 3] one row per person above the scale's numbers."""
    height, width = shape
    row = min(max(round(ROW * height), LEAST_ROW), max(height // (2 * len(people) + 2), 8))
    size, small = min(round(0.58 * row), width // 20), max(min(round(0.46 * row), width // 26), 7)
    names = [person.name if len(people) > 1 else "score" for person in people]
    size = min(fit_size(name, size, width // 4) for name in names)
    margin, gap = width // 50, size
    left = margin + max(measure_text(name, size)[0] for name in names) + gap
    right = width - margin - measure_text("no score", size)[0] - gap
    panel = np.full((row * len(people) + round(1.5 * small), width, 3), PAPER, np.uint8)
    for number, (person, window) in enumerate(zip(people, windows, strict=True)):
        part = panel[number * row : (number + 1) * row]
        top = (row - measure_text("0", size)[1]) // 2
        ink = colour_person(person.number) if len(people) > 1 else INK
        write_text(part, names[number], (margin, top), size, ink)
        write_text(part, signed(window.score) if window else "no score", (right + gap, top), size)
        draw_bar(part, (left, right), window)
    step = 1 if right - left > 20 * small else 3  # else the numbers would touch
    for mark in range(-3, 4, step):
        text = f"{mark:+d}".replace("-", "−") if mark else "0"
        wide, _ = measure_text(text, small)
        write_text(panel, text, (place(mark, left, right) - wide // 2, len(people) * row), small)
    return panel


def draw_bar(part: np.ndarray, edges: tuple[int, int], window: Window | None) -> None:
    """The scale from -3 to 3, the interval as a band on it, and a bar from 0 to the score."""
    left, right = edges
    middle, thick = len(part) // 2, max(len(part) // 14, 1)
    cv2.line(part, (left, middle), (right, middle), FAINT, thick)
    for mark in range(-3, 4):
        reach = len(part) // (3 if mark == 0 else 5)
        x = place(mark, left, right)
        cv2.line(part, (x, middle - reach), (x, middle + reach), FAINT, thick)
    if window is None:
        return
    if window.low is not None:
        band = [place(edge, left, right) for edge in (window.low, window.high)]
        cv2.rectangle(part, (band[0], middle - thick), (band[1], middle + thick), INK, cv2.FILLED)
    x, half = place(window.score, left, right), len(part) // 5
    colour = PLUS if window.score >= 0 else MINUS
    low, high = sorted((place(0, left, right), x))
    cv2.rectangle(part, (low, middle - half), (high, middle + half), colour, cv2.FILLED)
    cv2.circle(part, (x, middle), len(part) // 4, INK, cv2.FILLED, cv2.LINE_AA)


def draw_banner(picture: np.ndarray, text: str) -> None:
    """A warning across the upper edge."""
    size = max(round(BANNER * picture.shape[0]), LEAST_BANNER)
    size = max(fit_size(text, size, round(0.97 * picture.shape[1])), LEAST_LETTERS)
    most = max(picture.shape[1] // measure_text("n", size)[0], 1)
    lines = wrap(text, most)
    high = measure_text(text, size)[1]
    picture[: high * len(lines) + size // 2] = WARNING
    for number, line in enumerate(lines):
        wide = measure_text(line, size)[0]
        write_text(picture, line, ((picture.shape[1] - wide) // 2, size // 4 + number * high), size)


def name_warning(result: VideoResult) -> str:
    """The result's warning, short enough for a picture; empty without one."""
    if result.model["synthetic"]:
        return "SYNTHETIC training clips: says nothing about people"
    return "Model no better than a trivial baseline" if result.warnings else ""


def place(score: float, left: int, right: int) -> int:
    """Column of a score on the scale."""
    return round(left + (score + REACH) / (2 * REACH) * (right - left))


def find_window(person: PersonResult, time: float) -> Window | None:
    """The window that covers this moment."""
    return next((one for one in person.timeline if one.start_s <= time < one.end_s + 1e-3), None)


def find_box(person: PersonResult, time: float) -> np.ndarray | None:
    """The face's box [4] in pixels, of the nearest frame that was looked at."""
    times = person.portrait.box_time
    if not len(times):
        return None
    row = int(np.abs(times - time).argmin())
    box = person.portrait.box[row]
    return box if abs(times[row] - time) <= BOX_LASTS_S and np.isfinite(box).all() else None
