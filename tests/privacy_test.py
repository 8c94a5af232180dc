"""No module uses the private names of another, in the ways that ruff's SLF001 and PLC2701 do not see."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    file for room in ("jaxreg", "experiments", "benchmarks", "tests") for file in sorted((ROOT / room).rglob("*.py"))
]
BY_NAME = {"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller", "object"}
PUBLIC = ("os._exit",)  # documented by Python in spite of its name


def private(dotted: str) -> bool:
    return dotted not in PUBLIC and any(name.startswith("_") and not name.endswith("__") for name in dotted.split("."))


def private_uses(source: str) -> Iterator[str]:
    """Private names that are imported, or reached by a string as in `monkeypatch.setattr(module, "_name", ...)`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and called(node) in BY_NAME:
            names = [arg.value for arg in node.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        else:
            continue
        yield from (f"line {node.lineno}: {name}" for name in names if private(name))


def called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


@pytest.mark.parametrize(
    "source",
    [
        "from jaxreg.a import _b",
        "from jaxreg._a import b",
        "import jaxreg._a",
        "def f():\n    from jaxreg.a import _b as b",
        "monkeypatch.setattr(Runner, '_leave', f)",
        "monkeypatch.setattr('jaxreg.a._b', f)",
        "getattr(runner, '_leave')",
    ],
)
def test_private_uses_are_found(source: str) -> None:
    assert len(list(private_uses(source))) == 1


def test_public_names_and_those_of_python_are_not() -> None:
    source = (
        "from __future__ import annotations\nimport jaxreg.a\nfrom jaxreg.a import b\ngetattr(a, '__doc__')\nf('_x')"
        "\nmonkeypatch.setattr('os._exit', f)"
    )
    assert not list(private_uses(source))


def test_no_private_name_is_used_from_outside() -> None:
    found = [f"{file.relative_to(ROOT)}, {use}" for file in FILES for use in private_uses(file.read_text("utf-8"))]
    assert not found, "\n".join(found)
