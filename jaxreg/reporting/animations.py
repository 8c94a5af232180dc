"""Animated figures: what changes during training, as a GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from jaxreg.reporting import figures
from jaxreg.reporting.figures.style import GREY, evenly, style

MAX_FRAMES = 40
_DOTS_PER_INCH = 100  # as large as the page shows it
_FRAME, _LAST_FRAME = 150, 3000  # milliseconds that it is shown
_COLOURS = 128  # of the palette that all frames share
_NEARLY_WHITE = 245  # of 255


def decision_surfaces(
    results: xr.Dataset, cols: str = "method", rows: str | None = None, *, title: str = ""
) -> tuple[Figure, bytes]:
    """The decision surfaces from check to check, as `figures.decision_surfaces` draws them.

    Of more than 40 checks an even choice is shown, the first and the last included. The animation repeats, and rests
    on the last frame for three seconds.

    Returns:
      The figure at the last check, and the animation as the bytes of a GIF.

    Args, Raises: as in `figures.decision_surfaces`.
    """
    figure = figures.decision_surfaces(results, cols, rows, title=title)
    look: dict[str, Any] = {"fontsize": 10, "color": GREY, "family": "DejaVu Sans", "parse_math": False}
    clock = figure.text(0.99, 0.985, "", ha="right", va="top", **look)
    steps = results["check_step"].max([dim for dim in results["check_step"].dims if dim != "check"]).values
    frames = []
    for check in evenly(len(steps), MAX_FRAMES):
        figure.move_to(int(check))
        clock.set_text(f"after step {int(steps[check])}")
        frames.append(_drawn(figure))
    return figure, gif(frames)


def gif(frames: Sequence[Image.Image]) -> bytes:
    """Frames of one size as a GIF that repeats, its palette taken from the first, the middle and the last frame."""
    chosen = np.concatenate([np.asarray(frames[i]) for i in (0, len(frames) // 2, -1)])
    found = Image.fromarray(chosen).quantize(_COLOURS, Image.Quantize.MAXCOVERAGE).getpalette() or []
    colours = np.array(found[: 3 * _COLOURS]).reshape(-1, 3)
    colours = colours[colours.min(axis=1) < _NEARLY_WHITE]  # Pillow would take one of the others for white
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, *colours.ravel().tolist()])
    first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    durations = [_FRAME] * len(others) + [_LAST_FRAME]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=durations, loop=0, optimize=False)
    return buffer.getvalue()


def _drawn(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return Image.open(buffer).convert("RGB")
