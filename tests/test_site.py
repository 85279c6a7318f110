"""The documentation as a site: navigation, the page of settings, the citation."""

import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from kit.doc_pages import (
    TEXTS,
)
from kit.typed_commands import (
    ROOT,
)


def test_every_page_is_in_the_navigation():
    named = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    beside = {"README.md", "CONTRIBUTING.md", "benchmarks/RESULTS.md"}
    assert set(TEXTS) - beside <= set(named)


def test_the_settings_page_has_every_key(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    text = import_module("docs_hooks").list_settings()
    for key, default in (
        ("data.batch_size", "16"),
        ("model.crossmodal.acoustics.stride", "4"),  # the section's own default, not its class's
        ("model.crossmodal.tokens.NAME.width", "128"),
        ("behaviour.openface.csv_dir", "empty"),
        ("space.NAME.choices", "[]"),
    ):
        shown = default if default == "empty" else f"`{default}`"
        assert f"| `{key}` | {shown} |" in text
    described = re.findall(r"^\| `[\w.]+` \| [^|]+ \| (.*) \|$", text, re.M)
    assert sum(map(bool, described)) > 0.7 * len(described)


def test_the_citation_is_valid():
    """The parts that the format (version 1.2.0) asks for, here and in each reference."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == version("mosi-e2e")
    assert citation["authors"] == [{"name": "The mosi_e2e authors"}]
    works = citation["references"]
    assert all({"type", "title", "authors"} <= work.keys() for work in works)
    assert all(re.fullmatch(r"10\.\d{4,}/\S+", work["doi"]) for work in works if "doi" in work)
    named = " ".join(work["title"] for work in works).lower()
    for name in ("multimodal transformer", "wav2vec 2.0", "openface 2.0", "opensmile", "sentiment intensity"):
        assert name in named


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path):
    mkdocs = str(Path(sys.executable).with_name("mkdocs"))
    subprocess.run([mkdocs, "build", "--strict", "--quiet", "--site-dir", tmp_path], cwd=ROOT, check=True)
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= len(TEXTS)
    fetching = (
        r"""<(?:script|img|iframe)[^>]*src=["']?(https?:[^"' >]+)""",
        r"""<link[^>]*rel=["']?stylesheet[^>]*href=["']?(https?:[^"' >]+)""",
    )
    for page in pages:
        assert [found for what in fetching for found in re.findall(what, page.read_text())] == [], page.name
    settings = (tmp_path / "settings.html").read_text()
    assert "model.crossmodal.fusion.kind" in settings
