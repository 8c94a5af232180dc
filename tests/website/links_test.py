"""Broken links of a built site are found: files, anchors, and what would come from the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.website.links import broken_links


def site(folder: Path, body: str) -> Path:
    (folder / "docs").mkdir()
    (folder / "index.html").write_text('<h1 id="top-of-it">Start</h1>', "utf-8")
    (folder / "docs" / "page.html").write_text(f'<h2 id="here">Page</h2>{body}', "utf-8")
    return folder


@pytest.mark.parametrize(
    "body",
    [
        '<a href="../index.html">',
        '<a href="../index.html#top-of-it">',
        '<a href="/index.html">',
        '<a href="..">',
        '<a href="#here">',
        '<a href="https://example.org/gone#nowhere">',
        '<link rel="canonical" href="https://example.org/page.html">',
        '<img src="data:image/png;base64,AA">',
    ],
)
def test_links_that_lead_somewhere_are_left_alone(body: str, tmp_path: Path) -> None:
    assert broken_links(site(tmp_path, body)) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">', "gone.html does not exist"),
        ('<img src="gone.png">', "gone.png does not exist"),
        ('<a href="../docs">', "../docs does not exist"),  # a folder without an index
        ('<a href="#gone">', "#gone: the page has no such anchor"),
        ('<a href="../index.html#gone">', "../index.html#gone: the page has no such anchor"),
        ('<script src="https://example.org/a.js">', "https://example.org/a.js would be loaded from the network"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "//example.org/a.css would be loaded from the network"),
    ],
)
def test_links_that_lead_nowhere_are_named_with_their_page(body: str, fault: str, tmp_path: Path) -> None:
    assert broken_links(site(tmp_path, body)) == [f"docs/page.html: {fault}"]
