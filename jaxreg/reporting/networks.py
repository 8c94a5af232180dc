"""Figures of the trained networks themselves: confusion matrix and first-layer weights."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import xarray as xr

from jaxreg.errors import JaxregError
from jaxreg.measures import setting_dims, setting_label
from jaxreg.measures.summary import best_setting
from jaxreg.reporting import figures
from jaxreg.reporting.figures.weights import MAX_IMAGES
from jaxreg.results.members import load_member
from jaxreg.study import ReportFigure

_log = logging.getLogger("jaxreg")


def network_figures(results: xr.Dataset, folder: Path) -> list[ReportFigure]:
    """Figures of the setting that is best on validation; none where every member diverged.

    The confusion matrix over its seeds and, where the inputs are images, the first-layer weights of its first seed that
    did not diverge.
    """
    best = best_setting(results)
    if best is None:
        return []
    chosen = results.sel({dim: best[dim] for dim in setting_dims(results["diverged_step"])})
    where = f" at {setting_label(best)}, best on validation" if best else ""
    drawn = []
    if "test_confusion" in chosen:
        caption = f"What the test examples are taken for{where}: all seeds together, in percent of each true class."
        drawn.append(ReportFigure("confusion", caption, figures.confusion(chosen["test_confusion"])))
    shape = tuple(np.atleast_1d(results.attrs.get("input_shape", ())).tolist())
    if len(shape) == 2:
        seed = int(chosen["seed"][chosen["diverged_step"] < 0][0])
        try:
            weights = load_member(folder, {**best, "seed": seed}, dataset=results).params[0]["weights"]
        except (JaxregError, KeyError, TypeError, IndexError) as error:
            # The run has no checkpoint any more, or a model of the user's own.
            _log.info("first-layer weights are not drawn: %s", str(error).partition("\n")[0])
        else:
            units = weights.shape[1]
            shown = "one image per unit" if units <= MAX_IMAGES else f"images of {MAX_IMAGES} of its {units} units"
            caption = f"Incoming weights of the first hidden layer{where}, seed {seed}: {shown}."
            drawn.append(ReportFigure("first_layer", caption, figures.weight_images(weights, shape)))
    return drawn
