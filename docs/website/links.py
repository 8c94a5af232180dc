"""Links of a site that lead nowhere, and what its pages would load from the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LINKS = {("a", "href"), ("img", "src"), ("script", "src"), ("link", "href"), ("source", "src"), ("iframe", "src")}
_LOADED = {"img", "script", "source", "iframe"}  # and style sheets: what a browser fetches without being asked


@dataclasses.dataclass
class _Page(HTMLParser):
    """What a page links to, what it loads, and the anchors it has."""

    links: list[str] = dataclasses.field(default_factory=list)
    loaded: list[str] = dataclasses.field(default_factory=list)
    anchors: set[str] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag, name) == ("a", "name"):
                self.anchors.add(value)
            if (tag, name) in _LINKS:
                self.links.append(value)
                if tag in _LOADED or (tag == "link" and dict(attrs).get("rel") in ("stylesheet", "icon")):
                    self.loaded.append(value)


def broken_links(site: Path) -> list[str]:
    """A line for each link within a site whose file or anchor is not there, and for each file loaded from elsewhere.

    Links to other sites are not followed.
    """
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    return [f"{path.relative_to(site)}: {fault}" for path in pages for fault in _faults(site, path, pages)]


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text("utf-8"))
    page.close()
    return page


def _faults(site: Path, path: Path, pages: dict[Path, _Page]) -> Iterator[str]:
    page = pages[path]
    for link in page.loaded:
        if urlsplit(link).netloc:
            yield f"{link} would be loaded from the network"
    for link in dict.fromkeys(page.links):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        name = unquote(parts.path)
        target = path if not name else (site / name[1:] if name.startswith("/") else path.parent / name).resolve()
        if target.is_dir() and (target / "index.html").is_file():
            target /= "index.html"
        if not target.is_file():
            yield f"{link} does not exist"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors | {"top"}:
            yield f"{link}: the page has no such anchor"
