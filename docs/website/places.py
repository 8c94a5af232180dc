"""Where things are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "docs" / "website" / "assets"
PICTURES = ROOT / "docs" / "pictures"
PAGES, HTML = ROOT / "build" / "website" / "pages", ROOT / "build" / "website" / "html"
RUNS = ROOT / "build" / "website" / "runs"
