"""What the terminal, or the cell of a notebook, shows while a run is in progress."""

from __future__ import annotations

import contextlib
import html
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_SECONDS_BETWEEN_UPDATES = 0.25  # of a cell


class Bar:
    """A bar over member-steps, with a word for what is being done.

    `show` is called with how many are done, how many there are (None: not known yet), and what is being done.
    """

    def __init__(self, show: Callable[[int, int | None, str], None] = lambda *_: None) -> None:
        self._show = show
        self._done, self._total = 0, 1

    def __call__(self, done: int, total: int, doing: str) -> None:
        """So many of so many are done."""
        self._done, self._total = done, total
        self._show(done, total, doing)

    def says(self, doing: str) -> None:
        """Something else is being done."""
        self._show(self._done, self._total, doing)


@contextlib.contextmanager
def progress_bar(mode: str) -> Iterator[Bar]:
    """The bar of a run: on standard error of a terminal, with messages above it, or in the cell of a notebook.

    `mode` is "true", "false", or "auto" for terminals and notebooks only.
    """
    console = Console(stderr=True, markup=False, emoji=False)
    if mode == "false" or (mode == "auto" and not (console.is_terminal or console.is_jupyter)):
        yield Bar()
    elif console.is_jupyter:
        yield Bar(_Cell())
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("member-steps"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("compiling", total=None)
            yield Bar(lambda done, total, doing: progress.update(task, completed=done, total=total, description=doing))


class _Cell:
    """The bar as HTML of one cell, which every notebook shows; it needs no widgets."""

    def __init__(self) -> None:
        from IPython.display import HTML, display  # which runs this

        self._html: Any = HTML
        self._begun, self._shown, self._doing = time.monotonic(), 0.0, "compiling"
        self._handle: Any = display(self._picture(0, None), display_id=True)

    def __call__(self, done: int, total: int | None, doing: str) -> None:
        now = time.monotonic()
        if doing != self._doing or done == total or now > self._shown + _SECONDS_BETWEEN_UPDATES:
            self._shown, self._doing = now, doing
            self._handle.update(self._picture(done, total))

    def _picture(self, done: int, total: int | None) -> Any:
        seconds = time.monotonic() - self._begun
        share = f" value={done / total:.4f}" if total else ""
        steps = f"{done} of {total} member-steps" if total else ""
        return self._html(
            f"<div><progress{share} aria-label='training'></progress> {html.escape(self._doing)}; {steps}, "
            f"{seconds:.0f} s</div>"
        )
