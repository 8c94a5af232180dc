"""A trace of a few chunks of steps, and of what happens between them, for Perfetto and TensorBoard: `--profile`."""

from __future__ import annotations

import logging
from pathlib import Path

import jax

from jaxreg.files import remove, write_atomically

CHUNKS = 3

_log = logging.getLogger("jaxreg")


class Profile:
    """The trace of one run, `CHUNKS` chunks long, or to the end of their block; nothing is compiled in them.

    It begins with the second chunk of a block, when all is warm, or with the first where there is no other. Where it
    cannot be written, that is said, and the run goes on.
    """

    def __init__(self, folder: Path) -> None:
        """Traces into `folder`, which goes first if it is there."""
        self._folder, self._chunks_left, self._is_on = folder, CHUNKS, False

    def before_chunk(self, program: jax.stages.Compiled, *, is_first: bool, is_last: bool) -> None:
        """A chunk of steps is about to begin, the first or the last of its block in this session, or neither.

        The text of the program that trains it is kept beside the trace, to look up what the operations in it are.
        """
        if self._is_on and self._chunks_left == 0:
            self.end()
        elif not self._is_on and self._chunks_left and (is_last or not is_first):
            self._begin(program)
        if self._is_on:
            self._chunks_left -= 1

    def end(self) -> None:
        """Writes the trace, if one is on."""
        if not self._is_on:
            return
        self._is_on, self._chunks_left = False, 0
        try:
            jax.profiler.stop_trace()
            traces = sorted(self._folder.rglob("perfetto_trace.json.gz"))
            _log.info("profile: %s, for https://ui.perfetto.dev; see docs/profiling.md", traces[-1])
        except (OSError, RuntimeError, IndexError) as error:
            self._give_up(error)

    def _begin(self, program: jax.stages.Compiled) -> None:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # every call of Python would fill the trace
        try:
            remove(self._folder)
            self._folder.mkdir()
            write_atomically(self._folder / "train.hlo.txt", program.as_text() or "")
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True, profiler_options=options)
            self._is_on = True
        except (OSError, RuntimeError) as error:  # also where the caller profiles already
            self._chunks_left = 0
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        reason = str(error).partition("\n")[0] or "nothing was written"
        _log.warning("%s: no profile could be written (%s); the run goes on without", self._folder, reason)
