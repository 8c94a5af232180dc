"""Six regularisers in the order of a published table: from which width and which length of training on?

Question: at 1024 units dropout is ahead of L2 on MNIST; report 003 found it behind at 32. Where does that turn?
Source:   Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), Dropout: a simple way to prevent neural
networks from overfitting, Journal of Machine Learning Research 15, table 9: test error in percent of networks with
hidden layers of 1024, 1024 and 2048 ReLU units, one run each. The six methods of report 003 are those of that table.
Command:  python -m experiments.references.srivastava --flagfile=experiments/flagfiles/srivastava.cfg [--data_dir=...]
          srivastava_tuning.cfg: strengths and rate, chosen on validation; srivastava_full.cfg: the networks of the
          source, for a GPU (not run by us).
          On scikit-learn's digits, in seconds: --flagfile=experiments/flagfiles/srivastava_digits.cfg

Assumed: one hidden layer, so that the networks of report 003 are among those compared. Hidden units are kept with 0.5,
inputs with 0.8, as the source has it; it states neither rate nor batch size, nor the strengths that it chose.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import TypeVar

from experiments import cli
from experiments.references.published import table
from experiments.regularizers import by_method
from jaxreg.claims import Claim, Lower, Measure, Reported, judge
from jaxreg.claims.wording import listed
from jaxreg.measures import final_test_error, with_divergence
from jaxreg.measures.summary import member_dims
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.slow_imports import xr
from jaxreg.study import ReportFigure, Study

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
    """Whether a run sweeps the six methods over widths and lengths of training, and nothing else."""
    swept = set(member_dims(results))
    return swept == {"method", "hidden_sizes", "num_epochs"} and set(ERRORS) <= set(results["method"].values.tolist())


def verdicts(results: xr.Dataset, pairs: Iterable[tuple[str, str]] = PAIRS) -> xr.DataArray:
    """The verdicts on pairs of methods at each length and width, as codes, [num_epochs, hidden_sizes, pair]."""
    pairs = tuple(pairs)
    widths = results["hidden_sizes"].values.tolist()
    codes = [
        [
            [VERDICTS.index(found.verdict) for found in judge([ahead(*pair, width) for pair in pairs], of_length)]
            for width in widths
        ]
        for of_length in (results.isel(num_epochs=place) for place in range(results.sizes["num_epochs"]))
    ]
    names = [f"{NAMES[better]} < {NAMES[worse]}" for better, worse in pairs]
    return xr.DataArray(
        codes,
        {"num_epochs": results["num_epochs"].values, "hidden_sizes": widths, "pair": names},
        ("num_epochs", "hidden_sizes", "pair"),
        name="verdict",
        attrs={"flag_values": list(range(len(VERDICTS))), "flag_meanings": " ".join(VERDICTS)},
    )


def ratio(results: xr.Dataset, method: str, other: str) -> xr.DataArray:
    """Test error with a method over that of the same seed with another, [..., seed]; NaN where one diverged."""
    error = final_test_error(results).where(results["diverged_step"] < 0)
    found = error.sel({"method": method}, drop=True) / error.sel({"method": other}, drop=True)
    return found.rename("ratio_of_test_errors").drop_vars("num_steps").assign_attrs(units="1")


def answer(results: xr.Dataset) -> str:
    """How many pairs are in the source's order at each width after the longest training, and where dropout turns."""
    if not is_grid(results):
        return (
            f"{default_answer(results)}\n\n{by_method(results)}"
            if "method" in results.dims
            else default_answer(results)
        )
    judged = verdicts(longest(results).expand_dims("num_epochs")).isel(num_epochs=0)
    sentences = [
        f"After {longest(results)['num_epochs'].item():g} epochs, of the {len(PAIRS)} pairs of methods in table 9 "
        + "; ".join(
            f"{int((row == 1).sum())} are as there with {width} hidden units, {int((row == 2).sum())} the other way"
            for width, row in zip(judged["hidden_sizes"].values.tolist(), judged.values, strict=True)
        )
        + "; the others are undecided."
    ]
    for method, other in DROPOUT:
        of_pair = verdicts(longest(results).expand_dims("num_epochs"), [(method, other)]).values.ravel()
        parts = []
        for code, words in ((2, "higher"), (0, "not told apart"), (1, "lower")):
            widths = judged["hidden_sizes"].values[of_pair == code].tolist()
            parts += [f"{words} with {listed(widths)}"] if widths else []
        sentences.append(f"Test error of {NAMES[method]} beside {NAMES[other]}: {', '.join(parts)} hidden units.")
    return " ".join(sentences)


def draw(results: xr.Dataset) -> list[ReportFigure]:
    """Where dropout turns from harm to help, the error of each method, and the verdicts on the pairs of the source."""
    if not is_grid(results):
        return default_figures(results)
    from jaxreg.reporting import figures  # matplotlib is slow to import

    turns = xr.concat(
        [by_width(ratio(results, *pair)) for pair in DROPOUT],
        xr.DataArray([NAMES[other] for _, other in DROPOUT], dims="beside", name="beside"),
    )
    turning = figures.value_against(
        turns, "hidden_units", log_y=True, title="Test error with dropout over that of the same seed without"
    )
    for axes in turning.axes:
        axes.axhline(1, color="black", linewidth=0.8, zorder=0)
    errors = with_divergence(final_test_error(results), results)
    length = f"{longest(results)['num_epochs'].item():g} epochs"
    return [
        ReportFigure(
            "dropout_against_width",
            "Test error with dropout over that of the same seed without, beside L2 and beside max-norm, against hidden "
            "units, for each length of training in epochs. Below the line dropout helps.",
            turning,
        ),
        ReportFigure(
            "error_against_width",
            f"Test error of the six methods after {length} against hidden units.",
            figures.value_against(by_width(longest(errors)), "hidden_units", log_y=True),
        ),
        ReportFigure(
            "pairs_of_table_9",
            "Verdicts on the 15 pairs of methods in table 9: supported where the first has a significantly lower test "
            "error here too, for each width and length of training in epochs.",
            figures.verdict_map(
                by_width(verdicts(results)), "hidden_units", "pair", title="Is the order of table 9 found here?"
            ),
        ),
    ]


def by_width(values: xr.DataArray) -> xr.DataArray:
    """Values with the number of hidden units in place of the text that gives them, lengths named epochs."""
    widths = [int(sizes) for sizes in values["hidden_sizes"].values]
    named = {"hidden_sizes": "hidden_units", "num_epochs": "epochs"}
    return values.assign_coords(hidden_sizes=widths).rename(
        {old: new for old, new in named.items() if old in values.dims}
    )


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
        "The source has hidden layers of 1024, 1024 and 2048 units and one run of each; here is one hidden layer.",
        "Pairs are compared by seed; a verdict is at 5 % for its pair alone, so that of 15 pairs without a difference "
        "about one is decided wrongly.",
    ),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
