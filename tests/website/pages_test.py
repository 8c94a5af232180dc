"""The pages of the site: all are in its navigation, experiments with their words, the reference with hidden names."""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.website.experiments import KEPT, experiment_page
from docs.website.formulas import with_formulas
from docs.website.pages import BESIDE, assemble
from docs.website.places import ROOT
from docs.website.reference import exported, left_out, public_modules, reference_page
from experiments.catalogue import names, path_of


def entries(navigation: Any) -> Iterator[str]:
    """The pages of a navigation, from its first to its last."""
    for entry in navigation:
        (target,) = entry.values()
        yield from [target] if isinstance(target, str) else entries(target)


def test_every_page_is_in_the_navigation() -> None:
    settings = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
    pages = {
        *BESIDE,
        *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
        *(f"docs/reference/{module}.md" for module in public_modules()),
        *(f"docs/experiments/{name}.md" for name in names()),
    }
    listed = list(entries(settings["nav"]))
    assert sorted(listed) == sorted(pages), "each page has a line in nav of zensical.toml"


@pytest.mark.parametrize("name", names())
def test_the_page_of_an_experiment_says_all_that_its_module_does(name: str) -> None:
    page = experiment_page(name)
    for heading in ("## What comes out at full size", "## How long it takes", "## Run it", "## Figures"):
        assert heading in page, heading
    said = ast.get_docstring(ast.parse(path_of(name).read_text("utf-8"))) or ""
    digits = {word.strip(".,;:()") for word in said.split() if word[0].isdigit()}
    assert {number for number in digits if number not in page} == set()
    assert "Expected" not in page
    assert {path.stem for path in (KEPT / name).glob("*.png")} == {
        Path(line.partition("](")[2]).stem for line in page.splitlines() if line.startswith("![")
    }


@pytest.mark.parametrize("module", public_modules())
def test_the_reference_names_what_the_package_exports(module: str) -> None:
    assert exported(module) == importlib.import_module(module).__all__
    assert f"::: {module}\n" in reference_page(module)


def test_a_function_that_hides_its_module_is_asked_for_by_its_own_path() -> None:
    assert "::: jaxreg.reporting.figures.spread.spread\n" in reference_page("jaxreg.reporting.figures")


def test_a_public_name_that_the_site_leaves_out_is_found(tmp_path: Path) -> None:
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    for module in public_modules():
        ids = [f'<h2 id="{module}.{name}">' for name in exported(module) if f"{module}.{name}" != "jaxreg.claims.Trend"]
        (tmp_path / "docs" / "reference" / f"{module}.html").write_text("".join(ids), "utf-8")
    assert left_out(tmp_path) == ["jaxreg.claims.Trend is not in the reference"]


def test_formulas_become_mathml_and_code_stays() -> None:
    pytest.importorskip("latex2mathml", reason="the extra docs is not installed")
    page = with_formulas("So $g_t$ is\n\n$$v = \\frac{1}{2}$$\n\nand `$HOME`, 5 $ or\n```bash\necho $HOME $PATH\n```\n")
    assert page.count("<math") == 2
    assert 'display="block"' in page
    assert "`$HOME`, 5 $ or\n```bash\necho $HOME $PATH\n```" in page


def test_pages_are_laid_out_as_in_the_repository_with_the_files_that_they_link_to(tmp_path: Path) -> None:
    pytest.importorskip("latex2mathml", reason="the extra docs is not installed")
    assemble(tmp_path)
    assert (tmp_path / "docs" / "claims.md").read_text("utf-8") == (ROOT / "docs" / "claims.md").read_text("utf-8")
    assert (tmp_path / "examples" / "momentum.py").is_file()
    assert (tmp_path / "jaxreg" / "reporting" / "vega" / "README.md").is_file()  # a page outside docs/, linked to
    assert not (tmp_path / "jaxreg" / "api.py").exists()
