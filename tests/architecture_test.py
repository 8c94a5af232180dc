"""docs/architecture.md: its tree is the one on disk, in the order of the import contract.

`python -m tests.architecture_test` writes the tree anew.
"""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
TREE = re.compile(r"(?<=<!-- the tree -->\n```text\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
NAMES = re.compile(r"^\| `(jaxreg[\w.]*)` \|", re.MULTILINE)


def layers() -> list[str]:
    """Modules and packages of jaxreg from top to bottom, as the import contract has them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    return [name for layer in contract["layers"] for name in re.split(r" [|:] ", layer)]


def entries(folder: Path, depth: int) -> Iterator[tuple[str, Path]]:
    """Each package, module and subpackage of a folder by its name in the tree, indented."""
    yield "  " * (depth - 1) + f"{folder.name}/", folder / "__init__.py"
    for path in sorted(folder.iterdir(), key=lambda path: path.stem):
        if path.is_dir() and (path / "__init__.py").exists():
            yield from entries(path, depth + 1)
        elif path.suffix == ".py" and path.stem != "__init__":
            yield "  " * depth + path.name, path


def tree() -> str:
    """A line for each module: its name, and the first line of its docstring."""
    rows = [("jaxreg/", ROOT / "jaxreg" / "__init__.py")]
    for name in layers():
        path = ROOT / "jaxreg" / name
        rows += (
            [("  " + indented, file) for indented, file in entries(path, 1)]
            if path.is_dir()
            else [(f"  {name}.py", path.with_suffix(".py"))]
        )
    column = max(len(name) for name, _ in rows) + 2
    return "".join(f"{name:{column}}{first_line(path)}\n" for name, path in rows)


def first_line(path: Path) -> str:
    """What a module is, as its docstring says."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0].removesuffix(".")


def test_the_tree_is_the_one_on_disk() -> None:
    found = TREE.search(PAGE.read_text("utf-8"))
    assert found
    assert found[0] == tree(), "python -m tests.architecture_test writes it anew"


def test_the_tree_holds_every_module() -> None:
    modules = [path for path in (ROOT / "jaxreg").rglob("*.py") if path.name != "__init__.py"]
    listed = [line.split()[0] for line in tree().splitlines()]
    assert sorted(name for name in listed if name.endswith(".py")) == sorted(path.name for path in modules)


@pytest.mark.parametrize("name", NAMES.findall(PAGE.read_text("utf-8")))
def test_what_is_called_public_says_what_it_exports(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__
    assert all(hasattr(module, exported) for exported in module.__all__)


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    PAGE.write_text(TREE.sub(lambda _: tree(), text), "utf-8")
