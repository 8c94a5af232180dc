"""What Python loads as it starts where `benchmarks.startup` times a command: notes when each phase of it ends.

The command itself is untouched, so that checkouts of any version can be timed. Functions are wrapped as their modules
are imported; nothing is imported for the sake of it.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_started = float(os.environ.get("STARTUP_BEGAN", "nan"))  # in the time of the process that started this one
_marks: list[tuple[str, float, float]] = []  # phase, wall and processor time at its end
_programs: dict[str, float] = {"traced": 0.0, "lowered": 0.0, "compiled or read": 0.0, "compiled anew": 0}


def _mark(phase: str) -> None:
    _marks.append((phase, time.time() - _started, time.process_time()))


def _has_trained() -> bool:
    return any(phase == "first step" for phase, _, _ in _marks)


def _before(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, before which a phase ends."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        _mark(phase)
        return function(*arguments, **named)

    return wrapped


def _execute(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        import jax

        _mark("imports, flags")
        jax.monitoring.register_event_duration_secs_listener(_note_duration)
        jax.monitoring.register_event_listener(_note_event)
        return function(*arguments, **named)

    return wrapped


def _get(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if any(phase == "programs" for phase, _, _ in _marks):
            return function(*arguments, **named)
        _mark("plan, run folder")
        found = function(*arguments, **named)
        _mark("programs")
        return found

    return wrapped


def _train(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(placement: Any, states: Any, population: Any, first: int, last: int) -> Any:
        import jax

        if _has_trained():
            return function(placement, states, population, first, last)
        _mark("check before the first step")
        trained = jax.block_until_ready(function(placement, states, population, first, last))
        _, wall, processor = _marks[-1]
        wall_of_chunk, processor_of_chunk = time.time() - _started - wall, time.process_time() - processor
        steps = last - first
        _marks.append(("first step", wall + wall_of_chunk / steps, processor + processor_of_chunk / steps))
        return trained

    return wrapped


def _check(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        import jax

        measured = jax.block_until_ready(function(*arguments, **named))
        if _has_trained():
            _mark("steps to the first check, and that")
            seen = {"phases": _marks, "programs": _programs}
            Path(os.environ["STARTUP_SEEN"]).write_text(json.dumps(seen), encoding="utf-8")
            os._exit(0)  # the rest of the run is not asked for
        return measured

    return wrapped


def _note_duration(event: str, duration_secs: float, **_: Any) -> None:
    kinds = {
        "/jax/core/compile/jaxpr_trace_duration": "traced",
        "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowered",
        "/jax/core/compile/backend_compile_duration": "compiled or read",
    }
    if event in kinds:
        _programs[kinds[event]] += duration_secs


def _note_event(event: str, **_: Any) -> None:
    if event == "/jax/compilation_cache/cache_misses":
        _programs["compiled anew"] += 1


_WRAPPED: dict[str, dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = {
    "jaxreg.session": {"load": functools.partial(_before, "devices"), "make_plan": functools.partial(_before, "data")},
    "experiments.cli": {"execute": _execute},
    "jaxreg.population.placement": {"Placements.get": _get, "Placement.train": _train, "Placement.check": _check},
}


class _Wrapping(importlib.abc.MetaPathFinder):
    """Finds the modules whose functions are wrapped."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if name in _WRAPPED else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for place, wrap in _WRAPPED[name].items():
                *parents, last = place.split(".")
                owner: Any = functools.reduce(getattr, parents, module)
                setattr(owner, last, wrap(getattr(owner, last)))

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this loader alone
        return spec


if "STARTUP_SEEN" in os.environ:
    sys.meta_path.insert(0, _Wrapping())
