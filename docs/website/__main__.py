"""`python -m docs.website`: assembles the pages, builds the site, follows every link; 1 if anything is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys

from docs.website.links import broken_links
from docs.website.pages import assemble
from docs.website.places import HTML, PAGES, ROOT
from docs.website.reference import left_out


def main() -> int:
    """Builds the site into build/website/html."""
    shutil.rmtree(HTML, ignore_errors=True)  # Zensical leaves pages that are no more
    assemble(PAGES)
    zensical = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", "zensical.toml"]
    if built := subprocess.run(zensical, cwd=ROOT, check=False).returncode:
        return built
    broken = [*broken_links(HTML), *left_out(HTML)]
    print("\n".join(broken) or f"{(HTML / 'index.html').relative_to(ROOT)} and all its links are there")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
