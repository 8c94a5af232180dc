"""Packages that take long to import and are not needed before the first step: imported when they are first used.

`from jaxreg.slow_imports import xr` stands for `import xarray as xr`, and so on, in the modules that a command loads
before it trains. Modules that are themselves loaded late, those that draw for one, import such packages as usual.
"""

from __future__ import annotations

import importlib
import types
from typing import TYPE_CHECKING, Any

__all__ = ["ocp", "pd", "scipy", "xr"]

if TYPE_CHECKING:
    import orbax.checkpoint as ocp
    import pandas as pd
    import scipy.special
    import xarray as xr
else:

    class _Later(types.ModuleType):
        """Stands for a module, which is imported as soon as one of its names is asked for."""

        def __getattr__(self, name: str) -> Any:
            """Called for names that are not here yet; later ones are found without it."""
            module = importlib.import_module(self.__name__)
            value = getattr(module, name)
            setattr(self, name, value)
            return value

    ocp, pd, scipy, xr = map(_Later, ("orbax.checkpoint", "pandas", "scipy", "xarray"))
