"""Pictures that are kept in the repository: small PNG files, the same bytes for the same figure."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _COLOURS = 1080, 96  # as wide as a page is at twice the resolution of an ordinary screen, nearly


def keep(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG with few colours, which is a third of the size and looks the same."""
    from PIL import Image

    from jaxreg.reporting.figures import save

    path.parent.mkdir(parents=True, exist_ok=True)
    png, svg = save(figure, path.parent, path.stem)
    svg.unlink()
    with Image.open(io.BytesIO(png.read_bytes())) as image:
        small = image.convert("RGB")
    if small.width > _WIDTH:
        small = small.resize((_WIDTH, round(small.height * _WIDTH / small.width)), Image.Resampling.LANCZOS)
    small.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
