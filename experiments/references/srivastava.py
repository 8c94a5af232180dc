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
three seeds) it is 1.21, 1.02 and 0.98 times in 128, 256 and 512 units (0.91 to 1.06 at 512): the means cross between
256 and 512 units, and three seeds do not tell either from no difference. Beside max-norm, after 24 epochs, it is 1.70
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
        sentences.append(f"Beside {NAMES[other]}, {NAMES[method]} has {', '.join(parts)}.")
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

    whole, pairs = with_lengths(results), dropout_in(results)
    last = f"{longest(whole)['num_epochs'].item():g} epochs"
    turns = xr.concat(
        [by_width(ratio(whole, *pair)) for pair in pairs],
        xr.DataArray([NAMES[other] for _, other in pairs], dims="beside", name="beside"),
    )
    turning = figures.value_against(
        turns.squeeze([dim for dim in ("beside", "epochs") if turns.sizes[dim] == 1], drop=True),
        "hidden_units",
        log_y=True,
        title="Test error with dropout over that of the same seed without",
    )
    for axes in turning.axes:
        axes.axhline(1, color="black", linewidth=0.8, zorder=0)
    beside = listed([NAMES[other] for _, other in pairs])
    lengths = listed([f"{epochs:g}" for epochs in whole["num_epochs"].values])
    errors = longest(with_divergence(final_test_error(whole), whole))
    drawn = [
        ReportFigure(
            "dropout_against_width",
            f"Test error with dropout over that of the same seed without, beside {beside}, against hidden units, after "
            f"{lengths} epochs. Below the line dropout helps.",
            turning,
        ),
        ReportFigure(
            "error_against_width",
            f"Test error of the methods after {last} against hidden units.",
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
