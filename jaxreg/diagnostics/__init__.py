"""What is watched inside a network, and what is concluded from it."""

from jaxreg.diagnostics.histograms import bin_edges
from jaxreg.diagnostics.moments import ADAM_MOMENTS
from jaxreg.diagnostics.probe import diagnose, layer_watch
from jaxreg.diagnostics.surfaces import SURFACES
from jaxreg.diagnostics.verdicts import RULES, VERDICTS, diagnosis
from jaxreg.diagnostics.watch import Variable, View, Watch

__all__ = [
    "ADAM_MOMENTS",
    "RULES",
    "SURFACES",
    "VERDICTS",
    "Variable",
    "View",
    "Watch",
    "bin_edges",
    "diagnose",
    "diagnosis",
    "layer_watch",
]
