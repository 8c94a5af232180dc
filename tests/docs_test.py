"""The pages under docs/ that ask for it: their blocks are run, in order, as a reader would."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from experiments import cli
from jaxreg import extract
from tests.tables import restored_tables

DOCS = Path(__file__).parents[1] / "docs"
MARK = "<!-- every block on this page is run"
PAGES = [page for page in sorted(DOCS.glob("*.md")) if MARK in page.read_text(encoding="utf-8")]
BLOCK = re.compile(r"^```(?P<language>bash|python)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
FOREIGN = re.compile(r"^```py\n(.*?)^```$", re.DOTALL | re.MULTILINE)  # code in another library, to be compared with
QUIET = ("--report=false", "--tensorboard=false", "--progress=false")


def type_in(line: str) -> int:
    """Runs a command line of an experiment or of jaxreg in this process, without the parts that only cost time."""
    python, m, module, *flags = shlex.split(line)
    assert (python, m) == ("python", "-m"), line
    if module == "jaxreg.extract":
        return extract.main([module, *flags])
    return cli.main(importlib.import_module(module).STUDY, [module, *flags, *QUIET])


def test_the_pages_with_examples_are_among_them() -> None:
    assert {"results.md", "regularisation.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_block_runs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    foreign = FOREIGN.findall(text)
    assert all(re.search(r"^import (torch|optuna|wandb)$", code, re.MULTILINE) for code in foreign)
    assert len(blocks) + len(foreign) == text.count("```") // 2
    names: dict[str, Any] = {}
    with restored_tables():
        for block in blocks:
            if block["language"] == "bash":
                for line in block["code"].replace("\\\n", " ").splitlines():
                    assert type_in(line) == 0, line
            else:
                # As many empty lines as stand above it, so that a traceback names the line of the page.
                above = "\n" * text.count("\n", 0, block.start("code"))
                exec(compile(above + block["code"], str(page), "exec"), names)
