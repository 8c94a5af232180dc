"""The pages of the site, laid out as in the repository, so that a link which works there works here.

Most are the Markdown files themselves. Made here are the reference, a page for each public module, and a page for each
experiment.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from docs.website.experiments import experiment_page
from docs.website.formulas import with_formulas
from docs.website.places import ASSETS, PICTURES, ROOT
from docs.website.reference import public_modules, reference_page
from experiments.catalogue import names

BESIDE = ("README.md", "BUILD.md", "CHANGELOG.md", "CONTRIBUTING.md")  # Markdown files outside docs/

_LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?:#[^)\s]*)?\)")
_BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def assemble(pages: Path) -> None:
    """Writes all pages, and the files that they link to, into the folder `pages`, which is emptied first."""
    shutil.rmtree(pages, ignore_errors=True)
    for path in _with_linked([*map(ROOT.joinpath, BESIDE), *sorted((ROOT / "docs").glob("**/*.md"))]):
        if path.suffix == ".md":
            _write(pages / path.relative_to(ROOT), with_formulas(path.read_text("utf-8")))
        else:
            _write(pages / path.relative_to(ROOT), path.read_bytes())
    for module in public_modules():
        _write(pages / "docs" / "reference" / f"{module}.md", reference_page(module))
    for name in names():
        _write(pages / "docs" / "experiments" / f"{name}.md", experiment_page(name))
    shutil.copytree(PICTURES, pages / PICTURES.relative_to(ROOT), dirs_exist_ok=True)
    shutil.copytree(ASSETS, pages / "assets", dirs_exist_ok=True)


def _with_linked(pages: Sequence[Path]) -> list[Path]:
    """Pages, and the files of the repository that they link to; of these the pages with what they link to, and on."""
    found, ahead = list(pages), list(pages)
    while ahead:
        page = ahead.pop()
        if page.suffix == ".md":
            linked = [path for path in _links(page) if path not in found]
            found += linked
            ahead += linked
    return found


def _links(page: Path) -> list[Path]:
    """The files of the repository that a page links to."""
    links = _LINK.finditer(_BLOCK.sub("", page.read_text("utf-8")))
    linked = {(page.parent / link["path"]).resolve() for link in links}
    return sorted(path for path in linked if path.is_file() and path.is_relative_to(ROOT))


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
