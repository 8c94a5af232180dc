"""The answer of a run in a few sentences: its best setting, what it cannot be told apart from, where to look on."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxreg.claims.comparison import ALPHA
from jaxreg.config import FIELDS
from jaxreg.measures.outcomes import outcome_of
from jaxreg.measures.settings import setting_labels
from jaxreg.measures.summary import best_row, distinct_summary, halted, member_dims
from jaxreg.slow_imports import pd, xr
from jaxreg.statistics import SHARE, holm, mean_interval, paired_difference, rests_on_normality

FEWEST_FOR_AN_EDGE = 3  # values of an axis: of two, one is always best

_NAMED = 4  # settings that are named; of more, how many there are


@dataclasses.dataclass(frozen=True)
class Edge:
    """The best setting has the smallest or the largest value of an axis that was tried, and others are possible."""

    axis: str
    value: str
    side: str  # "smallest" or "largest"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a run answers, as `jaxreg.answer` reads it off the results: print it, or let a notebook show it.

    Attributes:
      run: the run in short: "7 settings x 5 seeds of digits, 1000 steps".
      best: the setting that is best on validation, as `results.sel` takes it; {} where nothing is swept, None where no
        member has a value.
      label: its swept values that act, in words; "" where nothing is swept.
      outcome: "accuracy", or "loss" where there are no accuracies: what is compared.
      test: the mean of its test accuracy or loss, and the ends of the 95 % interval, NaN where there is none.
      n: its seeds that did not diverge.
      alike: the settings, in words, that it cannot be told apart from with so many seeds.
      worse: how many settings it is told from.
      diverged: how many others have members that diverged, and rank behind it for that.
      edges: the axes at whose end it lies.
    """

    run: str
    best: Mapping[str, Any] | None
    label: str
    outcome: str
    test: tuple[float, float, float]
    n: int
    alike: tuple[str, ...]
    worse: int
    diverged: int
    edges: tuple[Edge, ...]

    @property
    def sentences(self) -> list[str]:
        """The best setting, what it cannot be told apart from, and the ends of the grid that it lies at."""
        if self.best is None:
            return [f"No member has a validation {self.outcome}: all of them diverged."]
        return [sentence for sentence in (self._reached(), self._told_apart(), self._at_the_edge()) if sentence]

    def __str__(self) -> str:
        return "\n".join([f"{self.run}.", *self.sentences])

    def _repr_html_(self) -> str:
        first, *others = map(html.escape, self.sentences)
        rest = f"<br>{' '.join(others)}" if others else ""
        return f"<div><small>{html.escape(self.run)}</small><p><strong>{first}</strong>{rest}</p></div>"

    def _reached(self) -> str:
        mean, low, high = self.test
        unit = " %" if self.outcome == "accuracy" else ""
        where = f"{self.label} is best on validation; its" if self.label else "The"
        reached = f"{where} test {self.outcome} is {self._written(mean)}{unit}"
        if not self.n:
            return f"{where} test {self.outcome} is not known (every seed diverged)."
        if self.n < 2:
            return f"{reached} (one seed, no interval)."
        if low == high:
            return f"{reached} in all {self.n} seeds."
        of_share = self.outcome == "accuracy"
        least = "0" if of_share and low == 0 else self._written(low)
        most = "100" if of_share and high == 1 else self._written(high)
        normal = ", if values are normally distributed" if rests_on_normality(self.n) else ""
        return f"{reached} (95 % interval {least} to {most}{unit}, {self.n} seeds{normal})."

    def _written(self, value: float) -> str:
        """An accuracy in percent, or a loss."""
        return f"{100 * value:.2f}" if self.outcome == "accuracy" else f"{value:.4g}"

    def _told_apart(self) -> str:
        alike, others = len(self.alike), len(self.alike) + self.worse
        settings = f"the {others} other settings" if others > 1 else "the other setting"
        if not others:
            told = ""
        elif self.n < 2:
            told = "One seed cannot tell settings apart: give more, such as --seeds=5."
        elif not alike:
            told = f"With {self.n} seeds it is told apart from {'each of ' if others > 1 else ''}{settings}."
        elif alike == others and alike > 1:
            told = f"With {self.n} seeds it cannot be told apart from any of {settings}."
        else:
            named = [*self.alike[:_NAMED], *([f"{alike - _NAMED} more"] if alike > _NAMED else [])]
            told = f"With {self.n} seeds it cannot be told apart from {_listed(named)}"
            rest = f"the other {self.worse} are" if self.worse > 1 else "the other one is"
            told += f"; {rest} worse." if self.worse else "."
        if not self.diverged:
            return told
        behind = "1 setting has" if self.diverged == 1 else f"{self.diverged} settings have"
        ranks = "ranks" if self.diverged == 1 else "rank"
        return f"{told} {behind} members that diverged and {ranks} behind.".strip()

    def _at_the_edge(self) -> str:
        if not self.edges:
            return ""
        ends = [f"{edge.axis}={edge.value} is the {edge.side}" for edge in self.edges]
        return f"{_listed(ends)} value tried: extend the range{'s' if len(ends) > 1 else ''}."


def answer(results: xr.Dataset) -> Answer:
    """The answer of a run to the question which of its settings is best.

    The best setting is chosen on validation accuracy; test accuracy is only reported. Told from it are the settings
    with a lower validation accuracy by the paired t test over the seeds that they share, at 5 % for all of them
    together: p by Holm's procedure, times the number of settings that the best was chosen from. Settings that differ
    only in strengths that do not act count as one. Where there are no accuracies, it is the lower loss that counts.

    Args:
      results: labelled results, as `jaxreg.run` returns them and `jaxreg.load_results` loads them.

    Raises:
      KeyError: the results are a part that lacks what is measured on validation or test.

    References: Student (1908), The probable error of a mean; Holm (1979), A simple sequentially rejective multiple test
    procedure.
    """
    dims = member_dims(results)
    table, acting = distinct_summary(results)
    best, run, outcome = best_row(table), _in_short(results, len(table)), outcome_of(results)
    if best is None:
        return Answer(run, None, "", outcome, (math.nan,) * 3, 0, (), 0, 0, ())
    columns = [table[dim].tolist() for dim in dims]
    values = [dict(zip(dims, row, strict=True)) for row in zip(*columns, strict=True)] or [{}]
    labels = setting_labels(acting, 3)
    behind = (table["diverged"].to_numpy() > 0) & (table["diverged"][best] == 0)
    others = [row for row in range(len(table)) if row != best and not behind[row]]
    worse = _worse(results, values[best], [values[row] for row in others])
    within = SHARE if outcome == "accuracy" else (-math.inf, math.inf)
    reached = mean_interval(results[f"final_test_{outcome}"].sel(values[best]), within=within)
    return Answer(
        run,
        best=values[best],
        label=labels[best],
        outcome=outcome,
        test=(float(reached["mean"]), float(reached["low"]), float(reached["high"])),
        n=int(reached["n"]),
        alike=tuple(labels[row] for row, is_worse in zip(others, worse, strict=True) if not is_worse),
        worse=sum(worse),
        diverged=int(behind.sum()),
        edges=tuple(_edges(results, acting[best])),
    )


def _worse(results: xr.Dataset, best: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Which of the others are significantly worse in the mean than the best, at `ALPHA` for all choices of it."""
    if not others:
        return []
    outcome = outcome_of(results)
    sign = 1 if outcome == "accuracy" else -1
    reached = sign * results[f"final_validation_{outcome}"].reset_coords(drop=True)
    places = {
        dim: xr.DataArray(results.indexes[dim].get_indexer(pd.Index([other[dim] for other in others])), dims="other")
        for dim in best
    }
    paired = paired_difference(reached.isel(places).drop_vars(best), reached.sel(best).drop_vars(best))
    p = (len(others) + 1) * holm(paired["p"].values)
    with np.errstate(invalid="ignore"):
        worse: list[bool] = ((p <= ALPHA) & (paired["mean"].values < 0)).tolist()
    return worse


def _edges(results: xr.Dataset, best: Mapping[str, Any]) -> list[Edge]:
    """The axes of numbers at whose end the setting lies, where the hyperparameter may go further."""
    found = []
    for name, value in best.items():
        along = results[name].dims
        values = np.unique(results[name].values) if results[name].dtype.kind in "iuf" else np.zeros(0)
        if len(values) < FEWEST_FOR_AN_EDGE or results[along[0]].dtype.kind not in "iuf":
            continue
        largest = value == values[-1]
        if (largest or value == values[0]) and _may_go_on(results, name, value, up=bool(largest)):
            (label,) = setting_labels([{name: value}], 3)
            found.append(Edge(name, label.partition("=")[2], "largest" if largest else "smallest"))
    return found


def _may_go_on(results: xr.Dataset, name: str, value: Any, *, up: bool) -> bool:
    """Whether a value a little beyond this one is allowed."""
    most = results.attrs.get("train_examples", math.inf)
    if name == "batch_size" and "train_size" in results.coords:
        most = results["train_size"].min()
    if name in ("batch_size", "train_size") and up and value >= most:
        return False
    step = 1 if isinstance(value, int) else 1e-4 * abs(value) or 1e-4
    beyond = value + step if up else value - step
    rule = FIELDS[name].metadata["rule"] if name in FIELDS else None
    return beyond != value and (rule is None or bool(rule.holds(beyond)))


def _in_short(results: xr.Dataset, settings: int) -> str:
    """Settings, seeds, data and steps, as far as the results hold them."""
    seeds = results.sizes["seed"]
    words = f"{settings} setting{'' if settings == 1 else 's'} x {seeds} seed{'' if seeds == 1 else 's'}"
    data = results.coords["dataset"].item() if "dataset" in results.coords else results.attrs.get("dataset")
    words += f" of {data}" if data else ""
    steps = np.unique(results["num_steps"].values).tolist() if "num_steps" in results.coords else []
    if steps:
        words += f", {steps[0]}{f' to {steps[-1]}' if len(steps) > 1 else ''} steps"
    ended = {halt: int(members.sum()) for halt, members in halted(results).items()}
    return words + "".join(f", {count} members {halt}" for halt, count in ended.items() if count)


def _listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
