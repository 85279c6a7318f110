"""The skeleton of the HTML pages: what is put in is shown, escaped, and needs no network."""

import base64

import pytest
from jinja2 import UndefinedError
from kit.pages_read import PageReader
from matplotlib.figure import Figure

from mosi_e2e.pages.fill import open_templates, render
from mosi_e2e.pages.page import Notice, Table, draw_svg

EVIL = "<script>alert('x')</script>"


def show(body: str, **context) -> str:
    return open_templates().from_string('{% import "parts.html" as parts %}' + body).render(context)


def test_everything_that_is_put_in_is_escaped():
    table = Table(EVIL, ["clip", EVIL], [[EVIL, "1"], ["b", EVIL]])
    notice = Notice("warning", EVIL, [EVIL])
    text = show(
        "{{ parts.table(t) }}{{ parts.notice(n) }}{{ parts.facts(f) }}", t=table, n=notice, f=[(EVIL, EVIL)]
    )
    assert "<script" not in text and PageReader(text).text.count(EVIL) == 8


def test_numbers_are_set_to_the_right_and_text_is_not():
    rows = [["a", "+0.25", "none", "3 / 1 / 5", "–"], ["b", "-1.00", "2", "0 / 0 / 0", "12 %"]]
    assert Table("", list("abcde"), rows).is_number == [False, True, False, True, True]


def test_figures_are_embedded_the_same_each_time():
    def draw():
        figure = Figure(figsize=(4, 2))
        figure.subplots().plot([1, 2], [3, 1])
        return draw_svg(figure, "a falling line", "caption & more")

    picture = draw()
    assert picture == draw()
    media, data = picture.source.split(",")
    assert media == "data:image/svg+xml;base64" and b"<svg" in base64.b64decode(data)
    text = show("{{ parts.figure(p) }}", p=picture)
    assert PageReader(text).all("img")[0]["alt"] == "a falling line" and "caption &amp; more" in text


def test_a_page_without_what_it_asks_for_is_not_written():
    with pytest.raises(UndefinedError, match="title"):
        render("page.html", {"lead": "x"})
    page = PageReader(render("page.html", {"title": EVIL, "lead": EVIL}))
    assert page.faults == [] and len(page.all("script")) == 0
