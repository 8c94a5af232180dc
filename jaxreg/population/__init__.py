"""Many members in one compiled program: how they are laid out, planned, placed on devices and mapped over."""

from jaxreg.population.blocks import Block, make_blocks
from jaxreg.population.layout import Layout, choose_layout, parse_layout
from jaxreg.population.placement import Placement, Placements
from jaxreg.population.planning import Plan, make_plan
from jaxreg.population.programs import Population, Programs

__all__ = [
    "Block",
    "Layout",
    "Placement",
    "Placements",
    "Plan",
    "Population",
    "Programs",
    "choose_layout",
    "make_blocks",
    "make_plan",
    "parse_layout",
]
