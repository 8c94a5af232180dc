"""Documented modules under the names that they had before they moved into subpackages, for scripts that import them so.

`import jaxreg.tidy` and `from jaxreg.tidy import to_frame` go on working. Each name is looked up where it is now.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Any

# Where the names of a module that is gone are now; several rooms where it was cut up.
MOVED: dict[str, tuple[str, ...]] = {
    "diagnosis": ("diagnostics.verdicts", "diagnostics.thresholds"),
    "flagfile": ("config.flagfile",),
    "meanfield": ("theory.meanfield",),
    "members": ("results.members",),
    "models": ("training.models", "nn.activations", "nn.dropout", "nn.trees"),
    "moments": ("theory.adam",),
    "summary": ("measures.summary",),
    "sweeps": ("config.sweeps", "config.methods", "config.remarks"),
    "tidy": ("measures.tidy",),
}
RENAMED = {("sweeps", "acting"): "effective_hparams"}


class _MovedModule(types.ModuleType):
    """Stands in for a module that is gone."""

    def __getattr__(self, name: str) -> Any:
        old = self.__name__.removeprefix("jaxreg.")
        if not name.startswith("__"):
            for room in MOVED[old]:
                module = importlib.import_module(f"jaxreg.{room}")
                if hasattr(module, new := RENAMED.get((old, name), name)):
                    return getattr(module, new)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, old = fullname.partition(".")
        return importlib.machinery.ModuleSpec(fullname, self) if package == "jaxreg" and old in MOVED else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _MovedModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Names are looked up when they are asked for."""


def find_moved_modules() -> None:
    """Lets Python find the modules under their former names too."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
