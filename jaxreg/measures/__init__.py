"""What is read off labelled results: settings and their names, time to train, noise, early stopping, penalties.

Everything named here is public: `from jaxreg.measures import steps_to_train`. Tables of a sweep are in
`jaxreg.measures.summary` and `jaxreg.measures.tidy`.
"""

from jaxreg.measures.learning import (
    at_check,
    at_last_check,
    best_value,
    between_checks,
    final_test_error,
    generalisation_gap,
    steps_to_train,
    time_per_member,
)
from jaxreg.measures.noise import expected_fluctuation, fluctuation, noise_scale
from jaxreg.measures.patience import best_so_far, best_step, halted_by_patience, stopped_check, stopping
from jaxreg.measures.penalties import effective_setting
from jaxreg.measures.settings import (
    TOLERANCE,
    WITHIN_SETTINGS,
    NotHeldError,
    agree,
    held_at,
    setting_dims,
    setting_label,
    setting_values,
    settings,
    value_label,
)

__all__ = [
    "TOLERANCE",
    "WITHIN_SETTINGS",
    "NotHeldError",
    "agree",
    "at_check",
    "at_last_check",
    "best_so_far",
    "best_step",
    "best_value",
    "between_checks",
    "effective_setting",
    "expected_fluctuation",
    "final_test_error",
    "fluctuation",
    "generalisation_gap",
    "halted_by_patience",
    "held_at",
    "noise_scale",
    "setting_dims",
    "setting_label",
    "setting_values",
    "settings",
    "steps_to_train",
    "stopped_check",
    "stopping",
    "time_per_member",
    "value_label",
]
