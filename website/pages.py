"""The pages of the site, laid out as in the repository, so that a link which works there works here.

Most are the Markdown files themselves. Made here are the reference, a page for each public module, and a page for each
experiment.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from experiments.catalogue import names
from website.experiments import experiment_page
from website.formulas import with_formulas
from website.places import ASSETS, PICTURES, ROOT
from website.reference import public_modules, reference_page

BESIDE = ("README.md", "BUILD.md", "CHANGELOG.md", "CONTRIBUTING.md")  # Markdown files outside docs/

_LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?:#[^)\s]*)?\)")
_BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def assemble(pages: Path) -> None:
    """Writes all pages, and the files that they link to, into the folder `pages`, which is emptied first."""
    shutil.rmtree(pages, ignore_errors=True)
    for path in [*map(ROOT.joinpath, BESIDE), *sorted((ROOT / "docs").glob("**/*.md"))]:
        text = path.read_text("utf-8")
        _write(pages / path.relative_to(ROOT), with_formulas(text))
        for linked in _linked_files(path, text):
            copy = pages / linked.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(linked, copy)
    for module in public_modules():
        _write(pages / "docs" / "reference" / f"{module}.md", reference_page(module))
    for name in names():
        _write(pages / "docs" / "experiments" / f"{name}.md", experiment_page(name))
    shutil.copytree(PICTURES, pages / PICTURES.relative_to(ROOT), dirs_exist_ok=True)
    shutil.copytree(ASSETS, pages / "assets", dirs_exist_ok=True)


def _linked_files(page: Path, text: str) -> Iterator[Path]:
    """The files of the repository, other than pages, that a page links to."""
    for link in _LINK.finditer(_BLOCK.sub("", text)):
        linked = (page.parent / link["path"]).resolve()
        if linked.is_file() and linked.suffix != ".md" and linked.is_relative_to(ROOT):
            yield linked


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
