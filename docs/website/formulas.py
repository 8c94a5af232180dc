"""Formulas of a page as MathML, which every browser draws by itself: no script, no font, no network."""

from __future__ import annotations

import re

# Code stays as it is: blocks, then code within a line. Then $$…$$, then $…$.
_PARTS = re.compile(
    r"(?P<code>^```.*?^```$|`[^`\n]+`)|\$\$(?P<block>.+?)\$\$|(?<![\\$\w])\$(?P<within>[^$]+?)\$(?!\w)",
    re.DOTALL | re.MULTILINE,
)


def with_formulas(text: str) -> str:
    """A page in Markdown with its formulas `$…$` and `$$…$$`, which GitHub reads, written in MathML."""
    return _PARTS.sub(_formula, text)


def _formula(part: re.Match[str]) -> str:
    from latex2mathml.converter import convert  # comes with the extra `docs` alone, and other pages do without

    if part["code"]:
        return part["code"]
    display = "block" if part["block"] else "inline"
    formula = convert(" ".join((part["block"] or part["within"]).split()), display=display)
    return f"<span>{formula}</span>"  # Markdown would take <math> at the beginning of a line for a paragraph of its own
