from __future__ import annotations

import importlib

import pytest

from jaxreg.measures.tidy import to_frame
from jaxreg.moved import MOVED

# As docs and printed commands spelt them before modules moved into rooms.
DOCUMENTED = (
    ("jaxreg.diagnosis", "RULES"),
    ("jaxreg.flagfile", "experiment_from_flags"),
    ("jaxreg.meanfield", "predict"),
    ("jaxreg.members", "load_member"),
    ("jaxreg.models", "ACTIVATIONS"),
    ("jaxreg.models", "mlp"),
    ("jaxreg.models", "weights_of"),
    ("jaxreg.moments", "unrolled"),
    ("jaxreg.summary", "best_setting"),
    ("jaxreg.sweeps", "acting"),
    ("jaxreg.sweeps", "make_sweep"),
    ("jaxreg.tidy", "to_frame"),
)


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_documented_names_are_found_where_they_were(module: str, name: str) -> None:
    assert callable(getattr(importlib.import_module(module), name)) or name in ("ACTIVATIONS", "RULES")


def test_it_is_the_same_function() -> None:
    assert importlib.import_module("jaxreg.tidy").to_frame is to_frame


def test_every_former_module_is_tested() -> None:
    assert {module.removeprefix("jaxreg.") for module, _ in DOCUMENTED} == set(MOVED)


def test_what_never_was_there_is_missing() -> None:
    with pytest.raises(ImportError):
        importlib.import_module("jaxreg.no_such_module")
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = importlib.import_module("jaxreg.tidy").no_such_name
