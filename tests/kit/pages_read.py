"""Reads an HTML page as its readers' programs do, and says what is wrong with it."""

from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

VOID = {"meta", "img", "br", "wbr", "hr", "input", "link", "path"}
ADDRESSES = ("src", "href", "srcset", "poster", "action", "data")


class PageReader(HTMLParser):
    """Collects tags, text and faults of nesting."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.faults, self._open = "", [], []
        self.feed(text)
        self.close()
        self.faults += [f"<{name}> is not closed" for name in self._open]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "wbr":  # a word may be broken there, and is one word all the same
            self.text = self.text.removesuffix(" ")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ("script", "style"):
            self.text += f"{data} "

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check_page(path: Path, most_bytes: int) -> PageReader:
    """Assert what holds for every page: one file, well formed, no network, pictures in words."""
    text = path.read_text()
    assert len(text.encode()) < most_bytes
    page = PageReader(text)
    assert page.faults == []
    addresses = [value for _, attributes in page.tags for key in ADDRESSES if (value := attributes.get(key))]
    assert [one[:60] for one in addresses if not one.startswith(("data:", "#"))] == []
    assert "url(" not in text and "@import" not in text and "fetch(" not in text
    assert [one["src"][:40] for one in page.all("img") if not one.get("alt")] == []
    assert all(one.get("aria-label") for one in page.all("svg"))
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(names)) == len(names)
    links = {one["href"][1:] for one in page.all("a")}
    assert links <= set(names)
    assert len(page.all("h1")) == 1 and page.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    return page
