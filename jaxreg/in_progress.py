"""What there is to see while a run goes on: its results so far, for `jaxreg.report`, and TensorBoard scalars."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxreg import results
from jaxreg.runs import folder as runfolder
from jaxreg.slow_imports import xr

if TYPE_CHECKING:
    from jaxreg.reporting.tensorboard import ScalarWriter

_log = logging.getLogger("jaxreg")

SECONDS_BETWEEN_LOOKS = 5.0


class InProgress:
    """Writes what there is at checks, at most every few seconds and for a twentieth of the time.

    What writes is slow to import. That begins at the second check, in a thread of its own, so that neither the first
    step nor the devices wait for it.
    """

    def __init__(self, folder: Path, max_runs: int, measured: Callable[[], xr.Dataset]) -> None:
        self._folder, self._max_runs, self._measured = folder, max_runs, measured
        self._module: Future[Any] | None = None  # jaxreg.reporting.tensorboard
        self._writer: ScalarWriter | None = None
        self._due: float | None = None  # when the next are written, in the time of `time.monotonic`
        self._has_scalars, self._has_results = max_runs > 0, True

    def write_sometimes(self) -> None:
        """Called at every check; writes where it is time to."""
        start = time.monotonic()
        if self._due is None:
            self._due = start + SECONDS_BETWEEN_LOOKS
        elif start > self._due and self._imported().done():
            so_far = self._measured()
            self._save(so_far)
            if self._has_scalars:
                self._write_scalars(lambda writer: writer.write(so_far))
            end = time.monotonic()
            self._due = end + max(SECONDS_BETWEEN_LOOKS, 20 * (end - start))
        else:
            self._imported()

    def finish(self, results: xr.Dataset) -> None:
        """Writes what TensorBoard is still to get, once the run is trained."""
        if self._has_scalars:
            self._write_scalars(lambda writer: writer.finish(results))

    def _imported(self) -> Future[Any]:
        if self._module is None:
            thread = ThreadPoolExecutor(1)
            module = "jaxreg.reporting.tensorboard" if self._has_scalars else "jaxreg.results.netcdf"
            self._module = thread.submit(importlib.import_module, module)
            thread.shutdown(wait=False)
        return self._module

    def _save(self, so_far: xr.Dataset) -> None:
        if self._has_results:
            try:
                results.save(so_far, self._folder / runfolder.SO_FAR)
            except OSError as error:  # they can be had again from the checkpoints, training time cannot
                _log.warning("results so far could not be written (%s): none from here on", error.strerror)
                self._has_results = False

    def _write_scalars(self, points: Callable[[ScalarWriter], None]) -> None:
        is_first, module = self._writer is None, self._imported().result()
        try:
            self._writer = self._writer or module.ScalarWriter(self._folder / "tensorboard", self._max_runs)
            points(self._writer)
        except OSError as error:  # scalars can be had again from the checkpoints, training time cannot
            _log.warning("TensorBoard scalars could not be written (%s): none from here on", error.strerror)
            self._has_scalars = False
        if is_first and self._writer and self._writer.left_out:
            shown, total = self._max_runs, self._max_runs + self._writer.left_out
            _log.info("TensorBoard shows %d of %d settings: --tensorboard_max_runs=%d", shown, total, shown)
