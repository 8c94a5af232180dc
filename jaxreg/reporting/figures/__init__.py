"""Figures from labelled results: each function draws one figure with one message and returns it (matplotlib).

Means over seeds carry a 95 % Student t interval (a band or bars), from two seeds on. Seeds that diverged are left out
of the means and always shown or counted. Values of an axis are coloured in order (viridis without its palest end),
categories in the colours of Okabe and Ito (2008). Nothing touches pyplot or the global rcParams. A
figure is a Matplotlib `Figure` that a notebook shows as the value of a cell; alter and save it as any other.
"""

from jaxreg.reporting.figures.claims import evidence
from jaxreg.reporting.figures.classes import confusion
from jaxreg.reporting.figures.data import X_LABELS, X
from jaxreg.reporting.figures.histograms import histograms_over_time, layer_histograms
from jaxreg.reporting.figures.keys import MAX_LEGEND
from jaxreg.reporting.figures.maps import MAX_ANNOTATED, heat_map
from jaxreg.reporting.figures.moments import moment_ratios
from jaxreg.reporting.figures.multiples import MAX_MULTIPLES
from jaxreg.reporting.figures.noise import fluctuations
from jaxreg.reporting.figures.pairs import differences, paired
from jaxreg.reporting.figures.propagation import signal_propagation
from jaxreg.reporting.figures.rows import value_rows
from jaxreg.reporting.figures.spread import spread
from jaxreg.reporting.figures.stopping import cost_of_steps, stopping_cost, stopping_points
from jaxreg.reporting.figures.strengths import strengths
from jaxreg.reporting.figures.style import LINE_STYLES, OKABE_ITO, save
from jaxreg.reporting.figures.surfaces import SurfaceFigure, decision_surfaces
from jaxreg.reporting.figures.training import MAX_PANELS, curves, panels, views
from jaxreg.reporting.figures.values import value_against
from jaxreg.reporting.figures.verdicts import verdict_map
from jaxreg.reporting.figures.weights import weight_images
from jaxreg.reporting.figures.words import PARTS

__all__ = [
    "LINE_STYLES",
    "MAX_ANNOTATED",
    "MAX_LEGEND",
    "MAX_MULTIPLES",
    "MAX_PANELS",
    "OKABE_ITO",
    "PARTS",
    "X_LABELS",
    "SurfaceFigure",
    "X",
    "confusion",
    "cost_of_steps",
    "curves",
    "decision_surfaces",
    "differences",
    "evidence",
    "fluctuations",
    "heat_map",
    "histograms_over_time",
    "layer_histograms",
    "moment_ratios",
    "paired",
    "panels",
    "save",
    "signal_propagation",
    "spread",
    "stopping_cost",
    "stopping_points",
    "strengths",
    "value_against",
    "value_rows",
    "verdict_map",
    "views",
    "weight_images",
]
