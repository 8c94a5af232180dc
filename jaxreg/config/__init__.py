"""What is asked for: hyperparameters, data, run, the axes of a sweep, and the flags that spell them."""

from jaxreg.config.consistency import validate
from jaxreg.config.experiment import MATMUL_PRECISIONS, DataConfig, Experiment, RunConfig
from jaxreg.config.fields import hyperparameter, option
from jaxreg.config.hparams import (
    AFTER_STOP,
    DEFAULT_NUM_STEPS,
    FIELDS,
    LABELS,
    STATIC,
    TRACED,
    Hparams,
    add_hyperparameter,
    resolved,
)
from jaxreg.config.methods import effective_hparams, strengths_of, suppressed_by, terms_of
from jaxreg.config.validation import (
    MAX_FLOAT_COUNT,
    MAX_STEPS,
    METHOD,
    RADIUS,
    SIZES,
    Rule,
    check_value,
    describe,
    number,
    one_of,
    whole_number,
)

__all__ = [
    "AFTER_STOP",
    "DEFAULT_NUM_STEPS",
    "FIELDS",
    "LABELS",
    "MATMUL_PRECISIONS",
    "MAX_FLOAT_COUNT",
    "MAX_STEPS",
    "METHOD",
    "RADIUS",
    "SIZES",
    "STATIC",
    "TRACED",
    "DataConfig",
    "Experiment",
    "Hparams",
    "Rule",
    "RunConfig",
    "add_hyperparameter",
    "check_value",
    "describe",
    "effective_hparams",
    "hyperparameter",
    "number",
    "one_of",
    "option",
    "resolved",
    "strengths_of",
    "suppressed_by",
    "terms_of",
    "validate",
    "whole_number",
]
