from __future__ import annotations

import numpy as np
import pytest

from jaxreg.measures.shares import range_of
from jaxreg.statistics import ANY, SHARE


@pytest.mark.parametrize(
    ("name", "units", "values", "range"),
    [
        ("final_test_accuracy", "1", [0.5, 1.0, np.nan], SHARE),
        ("test error", "1", [0.0], SHARE),
        ("share of weights < 0.001, layer 1", "1", [0.2], SHARE),
        ("final_test_loss", "nats", [0.5], ANY),
        ("error", "nats", [0.5], ANY),
        ("relative error", "1", [-0.1, 0.2], ANY),
        ("difference_in_test_error", "1", [0.1, 0.2], ANY),
        ("ratio of test errors", "1", [0.9], ANY),
        ("fluctuation as a share of the batch loss", "1", [0.2], ANY),
    ],
)
def test_shares_are_known_by_name_units_and_values(
    name: str, units: str, values: list[float], range: tuple[float, float]
) -> None:
    assert range_of(name, np.array(values), units) == range
