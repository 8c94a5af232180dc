"""What the terminal shows while a run is in progress."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jaxreg.runs.progress import Progress as ProgressFunction


@contextlib.contextmanager
def progress_bar(mode: str) -> Iterator[ProgressFunction | None]:
    """A bar over member-steps on standard error: `mode` is "true", "false", or "auto" for terminals only."""
    console = Console(stderr=True, markup=False, emoji=False)
    if mode == "false" or (mode == "auto" and not console.is_terminal):
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("member-steps"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("compiling", total=None)

        def progress(done: int, total: int, doing: str) -> None:
            bar.update(task, completed=done, total=total, description=doing)

        yield progress
