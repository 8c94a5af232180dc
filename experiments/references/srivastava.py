"""Six regularisers in the order of a published table: from which width and which length of training on?

Question: at 1024 units dropout is ahead of L2 on MNIST; report 003 found it behind at 32. Where does that turn?
Source:   Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), Dropout: a simple way to prevent neural
networks from overfitting, Journal of Machine Learning Research 15, table 9: test error in percent of networks with
hidden layers of 1024, 1024 and 2048 ReLU units. The six methods of report 003 are those of that table.
Command:  python -m experiments.references.srivastava --flagfile=experiments/flagfiles/srivastava.cfg [--data_dir=...]
          srivastava_tuning.cfg: rate and strengths, chosen on validation; srivastava_long.cfg: three times as long;
          srivastava_full.cfg: the networks of the source, for a GPU (not run by us).
          On scikit-learn's digits, in seconds: --flagfile=experiments/flagfiles/srivastava_digits.cfg

Assumed: one hidden layer, so that the networks of report 003 are among those compared. Hidden units are kept with 0.5,
inputs with 0.8, as in the source; it states neither rate nor batch size, nor the strengths that it chose. Rate and
strengths were chosen at 128 units after 10 epochs (one seed) and are the same at all widths.

Expected (srivastava.cfg, five seeds): after 24 epochs the test error with dropout and L2 is 1.48, 1.51, 1.31, 1.10
and 1.07 times that with L2 alone in 32, 64, 128, 256 and 512 units (95 % interval at 512: 0.98 to 1.17), and after 2
epochs 1.60 to 1.35 times: dropout harms narrow networks and short training. After 72 epochs (srivastava_long.cfg,
three seeds) it is 1.21, 1.02 and 0.98 times in 128, 256 and 512 units (0.91 to 1.06 at 512): it is 1 at 380
units (95 % interval 204 to beyond 512; two seeds of three cross). Beside max-norm, after 24 epochs, it is 1.70
to 1.08 times. At 512 units L2 has 1.60 %, late L1 1.71, KL 1.64, max-norm 1.65, dropout with L2 1.71 and dropout with
max-norm 1.78 %: of the 15 pairs of table 9 none is in its order there, five are in the other and ten are undecided;
the order of the table appears nowhere in this grid.
Wall time on 2 virtual cores of a shared cloud machine (Intel Xeon): 63 minutes with other work beside; 14 for
srivastava_long.cfg, alone. srivastava_tuning.cfg was run in three parts, 14 minutes in all, without late L1 and
without an L2 of 0.0003 at rate 0.01, the lowest.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from experiments import cli
from experiments.references.published import table
from experiments.regularizers import by_method
from jaxreg.claims import Claim, Lower, Measure, Reported, judge
from jaxreg.claims.wording import listed
from jaxreg.measures import final_test_error, with_divergence
from jaxreg.measures.summary import member_dims
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.slow_imports import xr
from jaxreg.statistics import zero_of_mean
from jaxreg.study import ReportFigure, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SOURCE = "Srivastava et al. (2014), table 9"
ERRORS = {row["method"]: float(row["error"]) / 100 for row in table("srivastava")}
"""The test error of each method in the source, from the highest on."""
NAMES = {
    "l2": "L2",
    "l2+late_l1": "L2 with late L1",
    "l2+kl": "L2 with KL",
    "max_norm": "max-norm",
    "dropout+input_dropout+l2": "dropout with L2",
    "dropout+input_dropout+max_norm": "dropout with max-norm",
}
PAIRS = tuple((better, worse) for worse, better in itertools.combinations(ERRORS, 2))
"""The 15 pairs of methods, the one with the lower error in the source first."""
DROPOUT = (("dropout+input_dropout+l2", "l2"), ("dropout+input_dropout+max_norm", "max_norm"))
"""The methods with dropout, each beside the same without."""
WIDTHS = ("32", "64", "128", "256", "512")
FULL_SIZE = "1024x1024x2048"
Values = TypeVar("Values", "xr.Dataset", "xr.DataArray")
VERDICTS = ("undecided", "supported", "contradicted")


def longest(results: Values) -> Values:
    """The part of the longest training alone."""
    if "num_epochs" not in results.dims:
        return results
    return results.isel(num_epochs=int(results["num_epochs"].values.argmax()))


ERROR = Measure(
    "test error after the longest training", lambda results: final_test_error(longest(results)), better="lower"
)


def ahead(better: str, worse: str, sizes: str) -> Lower:
    """That one method has a lower test error than another in networks of these hidden sizes."""
    return Lower(
        f"{sizes} hidden units: {NAMES[better]} has a lower test error than {NAMES[worse]}.",
        ERROR,
        {"method": better, "hidden_sizes": sizes},
        {"method": worse, "hidden_sizes": sizes},
        source=SOURCE,
    )


CLAIMS: tuple[Claim, ...] = tuple(ahead(*pair, sizes) for sizes in (*WIDTHS, FULL_SIZE) for pair in PAIRS)
REPORTED = tuple(
    Reported(
        f"S{number}",
        final_test_error,
        {"dataset": "mnist", "hidden_sizes": FULL_SIZE, "method": method},
        value=error,
        quantity="test error",
        conditions=f"{NAMES[method]}, {FULL_SIZE} hidden units",
        source=SOURCE,
    )
    for number, (method, error) in enumerate(ERRORS.items(), 1)
)


def is_grid(results: xr.Dataset) -> bool:
    """Whether a run sweeps methods with and without dropout over widths of one layer, and at most lengths beside."""
    swept = set(member_dims(results))
    if not {"method", "hidden_sizes"} <= swept <= {"method", "hidden_sizes", "num_epochs"}:
        return False
    return bool(dropout_in(results)) and all(sizes.isdigit() for sizes in results["hidden_sizes"].values.tolist())


def dropout_in(results: xr.Dataset) -> list[tuple[str, str]]:
    """The methods with dropout of which a run holds the same without, each beside that."""
    held = results["method"].values.tolist()
    return [pair for pair in DROPOUT if set(pair) <= set(held)]


def with_lengths(results: xr.Dataset) -> xr.Dataset:
    """The results with a dimension num_epochs, also of a run with one length of training."""
    if "num_epochs" in results.dims:
        return results
    if "num_epochs" not in results.coords:
        epochs = results["num_steps"] * results["batch_size"] / results["train_size"]
        results = results.assign_coords(num_epochs=epochs.item())
    return results.expand_dims("num_epochs")


def verdicts(results: xr.Dataset, pairs: Iterable[tuple[str, str]] = PAIRS) -> xr.DataArray:
    """The verdicts on pairs of methods at each length and width, as codes, [num_epochs, hidden_sizes, pair]."""
    pairs, whole = tuple(pairs), with_lengths(results)
    widths = whole["hidden_sizes"].values.tolist()
    codes = [
        [
            [VERDICTS.index(found.verdict) for found in judge([ahead(*pair, width) for pair in pairs], of_length)]
            for width in widths
        ]
        for of_length in (whole.isel(num_epochs=place) for place in range(whole.sizes["num_epochs"]))
    ]
    names = [f"{NAMES[better]} < {NAMES[worse]}" for better, worse in pairs]
    return xr.DataArray(
        codes,
        {"num_epochs": whole["num_epochs"].values, "hidden_sizes": widths, "pair": names},
        ("num_epochs", "hidden_sizes", "pair"),
        name="verdict",
        attrs={"flag_values": list(range(len(VERDICTS))), "flag_meanings": " ".join(VERDICTS)},
    )


def ratio(results: xr.Dataset, method: str, other: str) -> xr.DataArray:
    """Test error with a method over that of the same seed with another, [..., seed]; NaN where one diverged."""
    error = final_test_error(results).where(results["diverged_step"] < 0)
    found = error.sel({"method": method}, drop=True) / error.sel({"method": other}, drop=True)
    return found.rename("ratio_of_test_errors").drop_vars("num_steps").assign_attrs(units="1")


def width_of_equal_errors(ratios: xr.DataArray) -> xr.Dataset:
    """The hidden units at which the mean over seeds of the logarithm of a ratio is 0, [...], by `zero_of_mean`.

    Interpolated over the logarithm of the width.

    Args:
      ratios: of test errors, [..., hidden_sizes, seed].
    """
    found = zero_of_mean(_logs(ratios), "hidden_units")
    return found.assign({name: np.exp(found[name]) for name in ("at", "low", "high")})


def _logs(ratios: xr.DataArray) -> xr.DataArray:
    """Logarithms of ratios, [..., seed, hidden_units] over that of the width; a seed counts at all widths or none."""
    logs = by_width(xr.apply_ufunc(np.log, ratios.where(ratios > 0))).sortby("hidden_units")
    logs = logs.where(logs.notnull().all("hidden_units"))
    return logs.assign_coords(hidden_units=np.log(logs["hidden_units"].values))


def equality_in_words(found: xr.Dataset, widths: Iterable[str]) -> str:
    """Where two errors are equal, as `width_of_equal_errors` found it in networks of these widths, and how surely."""
    numbers = sorted(map(int, widths))
    at, low, high = (found[name].item() for name in ("at", "low", "high"))
    seeds = f"{found['crossing'].item()} of {found['n'].item()} seeds cross"
    if not np.isfinite(at):
        return f"equal nowhere from {numbers[0]} to {numbers[-1]} units on average ({seeds})"
    if found["n"] < 2:
        return f"equal at {at:.0f} units (one seed, no interval)"
    first = f"{low:.0f}" if low > 0 else f"below {numbers[0]}"
    last = f"{high:.0f}" if np.isfinite(high) else f"beyond {numbers[-1]}"
    return f"equal at {at:.0f} units (95 % interval {first} to {last}, {seeds})"


def answer(results: xr.Dataset) -> str:
    """Where dropout turns after the longest training, and how many pairs are in the order of the source."""
    if not is_grid(results):
        told = [default_answer(results), *([by_method(results)] if "method" in results.dims else [])]
        return "\n\n".join(told)
    last = with_lengths(longest(results))
    widths, sentences = last["hidden_sizes"].values, []
    for method, other in dropout_in(results):
        of_pair, parts = verdicts(last, [(method, other)]).values.ravel(), []
        for word, words in (("contradicted", "a higher"), ("undecided", "no clearly other"), ("supported", "a lower")):
            at = widths[of_pair == VERDICTS.index(word)].tolist()
            parts += [f"{words} test error with {listed(at, len(widths))} hidden units"] if at else []
        equal = equality_in_words(width_of_equal_errors(ratio(last, method, other).squeeze("num_epochs")), widths)
        sentences.append(f"Beside {NAMES[other]}, {NAMES[method]} has {', '.join(parts)}: {equal}.")
    if set(ERRORS) <= set(last["method"].values.tolist()):
        counts = [
            f"{int((row == 1).sum())}, {int((row == 2).sum())} and {int((row == 0).sum())} with {width} hidden units"
            for width, row in zip(widths, verdicts(last).values[0], strict=True)
        ]
        sentences.append(
            f"Of the {len(PAIRS)} pairs of methods in table 9 so many are in its order, in the other, and undecided: "
            f"{'; '.join(counts)}."
        )
    return f"After {last['num_epochs'].item():g} epochs: {' '.join(sentences)}"


def draw(results: xr.Dataset) -> list[ReportFigure]:
    """Where dropout turns from harm to help, the error of each method, and the verdicts on the pairs of the source."""
    if not is_grid(results):
        return default_figures(results)
    from jaxreg.reporting import figures  # matplotlib is slow to import

    whole = with_lengths(results)
    errors = longest(with_divergence(final_test_error(whole), whole))
    drawn = [
        *(_turning(whole, *pair) for pair in dropout_in(results)),
        ReportFigure(
            "error_against_width",
            f"Test error of the methods after {_length(whole)} against hidden units.",
            figures.value_against(by_width(errors), "hidden_units", log_y=True),
        ),
    ]
    if set(ERRORS) <= set(whole["method"].values.tolist()):
        order = by_width(verdicts(whole))
        drawn.append(
            ReportFigure(
                "pairs_of_table_9",
                f"Verdicts on the {len(PAIRS)} pairs of methods in table 9, for each width and length of training: "
                "supported where the first has a significantly lower test error here too.",
                figures.verdict_map(order, "hidden_units", "pair", title="Is the order of table 9 found here?"),
            )
        )
    return drawn


def _length(results: xr.Dataset) -> str:
    return f"{longest(results)['num_epochs'].item():g} epochs"


def _turning(results: xr.Dataset, method: str, other: str) -> ReportFigure:
    """The ratio of test errors with and without dropout against the width, and where it is 1."""
    from jaxreg.reporting import figures  # matplotlib is slow to import

    found, last = ratio(results, method, other), _length(results)
    drawn = by_width(found)
    figure = figures.value_against(
        drawn.squeeze("epochs", drop=True) if drawn.sizes["epochs"] == 1 else drawn,
        "hidden_units",
        log_y=True,
        title="Test error with dropout over that of the same seed without",
    )
    for axes in figure.axes:
        axes.axhline(1, color="black", linewidth=0.8, zorder=0)
    _mark_equality(figure.axes[0], longest(found), last)
    lengths = listed([f"{epochs:g}" for epochs in results["num_epochs"].values])
    return ReportFigure(
        "dropout_against_width" if other == "l2" else f"dropout_against_width_{other}",
        f"Test error with dropout over that of the same seed without, beside {NAMES[other]}, against hidden units, "
        f"after {lengths} epochs. Below the line dropout helps. Dotted: the mean logarithm of the ratio after {last}, "
        "interpolated over that of the width, and where it is 0; band: where a t test does not tell it from 0.",
        figure,
    )


def _mark_equality(axes: Axes, ratios: xr.DataArray, when: str) -> None:
    """The mean between the widths, where it is 1, a band over the interval up to the ends of the axes, and words."""
    logs = _logs(ratios)
    widths, means = logs["hidden_units"].values, logs.mean("seed").values
    between = np.linspace(widths[0], widths[-1], 200)
    axes.plot(np.exp(between), np.exp(np.interp(between, widths, means)), color="black", linestyle=":", linewidth=0.8)
    found = width_of_equal_errors(ratios)
    at, low, high = (found[name].item() for name in ("at", "low", "high"))
    if np.isfinite(at):
        axes.axvline(at, color="black", linestyle=":", linewidth=0.8, zorder=0)
    if not np.isnan(low):
        left, right = axes.get_xlim()
        axes.axvspan(max(low, left), min(high, right), color="0.9", linewidth=0, zorder=-1)
        axes.set_xlim(left, right)
    words = f"after {when}\n{equality_in_words(found, ratios['hidden_sizes'].values)}"
    words = words.replace(" (", "\n(").replace(", ", ",\n")
    axes.text(0.98, 0.97, words, transform=axes.transAxes, fontsize=7, ha="right", va="top")


def by_width(values: xr.DataArray) -> xr.DataArray:
    """Values with the number of hidden units in place of the text that gives them, lengths named epochs."""
    widths = [int(sizes) for sizes in values["hidden_sizes"].values]
    named = {"hidden_sizes": "hidden_units", "num_epochs": "epochs"}
    held = {old: new for old, new in named.items() if old in values.dims}
    return values.assign_coords(hidden_sizes=widths).rename(held)


STUDY = Study(
    name="srivastava",
    title="Table 9 of the paper on dropout, in small",
    question="From which width and which length of training are six regularisers in the order of a well-known table?",
    source="Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from overfitting, table 9.",
    reported=REPORTED,
    claims=CLAIMS,
    answer=answer,
    figures=draw,
    notes=(
        "The source has hidden layers of 1024, 1024 and 2048 units; here there is one hidden layer.",
        "Pairs are compared by seed; a verdict is at 5 % for its pair alone, so that of 15 pairs without a difference "
        "about one is decided wrongly.",
    ),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
