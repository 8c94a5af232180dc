"""`python -m website`: assembles the pages, builds the site, and follows every link of it. 1 if anything is broken."""

from __future__ import annotations

import subprocess
import sys

from website.links import broken_links
from website.pages import HTML, PAGES, ROOT, assemble


def main() -> int:
    """Builds the site into build/website/html."""
    assemble(PAGES)
    zensical = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", "zensical.toml"]
    if built := subprocess.run(zensical, cwd=ROOT, check=False).returncode:
        return built
    broken = broken_links(HTML)
    print("\n".join(broken) or f"{(HTML / 'index.html').relative_to(ROOT)} and all its links are there")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
