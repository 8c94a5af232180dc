"""Statistics over replicates: intervals, tests of paired differences, their power, estimators, and crossings.

n is always the number of seeds. Everything named here is public: `from jaxreg.statistics import mean_interval`.
"""

from jaxreg.statistics.crossings import first_zero, zero_of_mean
from jaxreg.statistics.estimators import log_binned, ratio_of_means
from jaxreg.statistics.intervals import (
    ANY,
    FEW_SEEDS,
    SHARE,
    bootstrap_interval,
    interval_in_words,
    mean_in_words,
    mean_interval,
    prediction_interval,
    rests_on_normality,
)
from jaxreg.statistics.power import MOST_SEEDS, seeds_needed, seeds_needed_sign
from jaxreg.statistics.significance import (
    ROUNDING,
    TTest,
    differences,
    holm,
    holm_levels,
    paired_difference,
    sign_p,
    sign_test,
    t_p,
    t_test,
)
from jaxreg.statistics.variance import variance_shares

__all__ = [
    "ANY",
    "FEW_SEEDS",
    "MOST_SEEDS",
    "ROUNDING",
    "SHARE",
    "TTest",
    "bootstrap_interval",
    "differences",
    "first_zero",
    "holm",
    "holm_levels",
    "interval_in_words",
    "log_binned",
    "mean_in_words",
    "mean_interval",
    "paired_difference",
    "prediction_interval",
    "ratio_of_means",
    "rests_on_normality",
    "seeds_needed",
    "seeds_needed_sign",
    "sign_p",
    "sign_test",
    "t_p",
    "t_test",
    "variance_shares",
    "zero_of_mean",
]
