"""The reference: a page for each public module, which mkdocstrings fills from the docstrings."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from docs.website.places import ROOT

_PUBLIC = re.compile(r"^\| `(jaxreg[\w.]*)` \|", re.MULTILINE)  # the table of docs/architecture.md
# A name that its package exports from a submodule of the same name: mkdocstrings takes it for the submodule.
_ALONE = """
::: {module}.{name}.{name}
    options:
      show_root_heading: true
      show_root_full_path: false
      show_root_toc_entry: true
      heading_level: 2
"""


def public_modules() -> list[str]:
    """The public modules, as docs/architecture.md lists them."""
    return _PUBLIC.findall((ROOT / "docs" / "architecture.md").read_text("utf-8"))


def exported(module: str) -> list[str]:
    """The names in `__all__` of a package, read without importing it."""
    for statement in ast.parse((_folder(module) / "__init__.py").read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(statement.value)
            return names
    raise ValueError(f"{module} has no __all__")


def reference_page(module: str) -> str:
    """The page of a public module, in Markdown: lines that mkdocstrings replaces."""
    hidden = [name for name in exported(module) if (_folder(module) / f"{name}.py").exists()]
    return f"# `{module}`\n\n::: {module}\n" + "".join(_ALONE.format(module=module, name=name) for name in hidden)


def left_out(html: Path) -> list[str]:
    """The public names that a built site says nothing about."""
    missing = []
    for module in public_modules():
        page = (html / "docs" / "reference" / f"{module}.html").read_text("utf-8")
        ids = {name: (f'id="{module}.{name}"', f'id="{module}.{name}.{name}"') for name in exported(module)}
        missing += [f"{module}.{name} is not in the reference" for name in ids if not any(i in page for i in ids[name])]
    return missing


def _folder(module: str) -> Path:
    return ROOT.joinpath(*module.split("."))
