"""How much a loss fluctuates, and how noisy the gradient is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jaxreg.measures.learning import between_checks, units_of_losses
from jaxreg.measures.outcomes import num_trained_on
from jaxreg.slow_imports import xr


def fluctuation(
    results: xr.Dataset,
    variable: str = "train_loss",
    last_steps: int = 1000,
    *,
    relative: bool = False,
    diverged: float = np.nan,
) -> xr.DataArray:
    """How much a loss jumps at the end of training: sd(first differences) / sqrt(2), [..., seed].

    For independent noise of standard deviation s around a slow curve it is s. Batches of one epoch are not quite
    independent: they share no example, so that their losses differ as if s were that of an endless training set, which
    tells only where a batch is a large part of it. The differences are those between
    neighbouring records (steps, or checks) over the last steps that the member took: of one that was halted by
    patience those before it stopped. In the units of the loss; NaN with fewer than two differences.

    Args:
      results: labelled results.
      variable: a curve along `step` or `check`; with `record_every` > 1 not every step is recorded.
      last_steps: how many steps before the member's last one count.
      relative: as a fraction of the mean loss over these steps, without units.
      diverged: the value of a member that diverged: NaN, or infinity where divergence counts as the largest of all.
    """
    curve = results[variable]
    along = "step" if "step" in curve.dims else "check"
    at = results["step" if along == "step" else "check_step"].reset_coords(drop=True)
    last = at.where(curve.notnull()).max(along)
    counts = (at <= last) & (at >= last - last_steps + (1 if along == "step" else 0))
    near = counts.any([dim for dim in counts.dims if dim != along]).values
    curve = curve.isel({along: near}).where(counts.isel({along: near})).astype(np.float64)
    differences = curve.diff(along)
    spread = differences.std(along, ddof=1) / np.sqrt(2)
    if relative:
        spread = spread / curve.mean(along)
    spread = spread.where(results["diverged_step"] < 0, diverged)
    return (
        spread.transpose(*(dim for dim in results[variable].dims if dim != along))
        .rename("fluctuation")
        .assign_attrs(
            units="1" if relative else results[variable].attrs.get("units", "1"),
            description=f"sd of first differences / sqrt(2) of {variable} over the last {last_steps} steps"
            + (", relative to its mean" if relative else ""),
        )
    )


def expected_fluctuation(batch_size: npt.ArrayLike, num_examples: int) -> np.ndarray:
    """Standard deviation of the mean over a batch drawn without replacement, sqrt(1/B - 1/N), in that of one example.

    0 from B = N on.

    References: Cochran (1977), Sampling Techniques, theorem 2.2.
    """
    batch_size = np.asarray(batch_size, np.float64)
    return np.sqrt(np.maximum(1 / batch_size - 1 / num_examples, 0.0))


def noise_scale(results: xr.Dataset, last_checks: int = 40) -> xr.DataArray:
    """The simple gradient noise scale tr(Sigma) / |G|^2 at the end of training, in examples, [..., seed].

    Batches far below it average too little, batches far above it waste examples. G is the gradient of the whole
    training set and Sigma the covariance of its examples' gradients, with N - 1 in the denominator. Both unbiased
    estimates are averaged over the member's last checks before they are divided; inf where the average of |G|^2 is not
    above 0: the gradient is too small to be distinguished from its noise. NaN for a member that diverged.

    The gradient G_n of a probe of n of the N training examples, drawn without replacement, has a variance smaller by
    the finite-population factor 1 - n/N: E|G_n|^2 = |G|^2 + (1/n - 1/N) tr(Sigma). What is recorded as
    `gradient_square` is |G_n|^2 - s^2/n, with s^2 the estimate of tr(Sigma), as for a probe of an endless population;
    s^2/N is added here. Of a probe that is the whole training set both are its own values.

    Args:
      results: with `gradient_variance` (s^2) and `gradient_square`, which --diagnostics records.
      last_checks: how many of the member's last measured checks count.

    Raises:
      KeyError: the run was without diagnostics.

    References: McCandlish, Kaplan, Amodei et al. (2018), An empirical model of large-batch training, appendix A;
    Cochran (1977), Sampling Techniques, theorem 2.2, for the finite-population factor.
    """
    variance = results["gradient_variance"]
    square = results["gradient_square"] + variance / num_trained_on(results)
    known = variance.notnull() & square.notnull()
    since_last = known.isel(check=slice(None, None, -1)).cumsum("check").isel(check=slice(None, None, -1))
    counts = known & (since_last <= last_checks)
    noise, signal = (part.where(counts).mean("check", dtype=np.float64) for part in (variance, square))
    scale = (noise / signal.where(signal > 0)).where((signal > 0) | signal.isnull(), np.inf)
    return (
        scale.where(results["diverged_step"] < 0)
        .rename("gradient_noise_scale")
        .assign_attrs(units="examples", description=f"tr(Sigma) / |G|^2, averaged over the last {last_checks} checks")
    )


def roughness(results: xr.Dataset) -> xr.DataArray:
    """How rough the training loss with penalties is from check to check in the second half of training, in its units.

    sd(second differences of its means between checks) / sqrt(6): the standard deviation of independent noise around a
    slow curve.

    Returns:
      [..., seed]

    Raises:
      KeyError: settings differ in when they are checked.
    """
    curve = between_checks(results).isel(check=slice(results.sizes["check"] // 2, None))
    second = curve.diff("check").diff("check")
    return (second.std("check", ddof=1) / np.sqrt(6)).rename("roughness").assign_attrs(units=units_of_losses(results))
