"""Numbers that a source reports, beside what a run gives at the same settings, and the claim that one is met."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from jaxreg.claims.comparison import ALPHA
from jaxreg.claims.evidence import Evidence, Test
from jaxreg.claims.grid import Grid
from jaxreg.claims.judgement import Judgement, Verdict, assumes_normal, not_held
from jaxreg.claims.measure import Better, as_measure
from jaxreg.claims.wording import Quantity, if_normal, note_missing, sentence, too_few
from jaxreg.measures.patience import halted_by_patience
from jaxreg.measures.settings import TOLERANCE, NotHeldError, agree, setting_dims, setting_label, settings
from jaxreg.measures.shares import range_of
from jaxreg.slow_imports import pd, xr
from jaxreg.statistics import prediction_interval, t_p

_MAX_NAMED = 4  # settings in a sentence
COLUMNS = (
    *("id", "setting", "quantity", "reported", "mean", "sd", "n", "low", "high", "inside", "fitted", "note"),
    "variable",
)


@dataclasses.dataclass(frozen=True)
class Reported:
    """One number of a source, with what of the results stands for it, at which setting.

        Reported("B3-l2", final_test_error, {"method": "l2"}, 0.056, "test error", "L2", "report 003")

    Attributes:
      id: by which tables and figures name it.
      variable: of the results by name, or results -> [..., seed], raising KeyError where they do not hold it.
      setting: swept axes and fixed hyperparameters alike by name; all must agree for a comparison.
      value: the number, in the units of the variable (accuracies and errors as fractions in [0, 1], losses in nats).
      quantity: what the source calls it: "test accuracy".
      conditions: the setting in the source's words: "batch_size=50, 5000 steps".
      source: where the number stands: "report 000".
      note: what a reader must know of it.
      fitted: the number was used to choose the settings: it is no evidence.
    """

    id: str
    variable: str | Callable[[xr.Dataset], xr.DataArray]
    setting: Mapping[str, Any]
    value: float
    quantity: str
    conditions: str = ""
    source: str = ""
    note: str = ""
    fitted: bool = False

    @property
    def name(self) -> str:
        """That of the variable or function."""
        return self.variable if isinstance(self.variable, str) else self.variable.__name__

    def measured(self, results: xr.Dataset) -> xr.DataArray:
        """What stands for the number, [..., seed]; members that patience halted have not trained so long: NaN.

        Raises:
          KeyError: the results do not hold it.
        """
        values = results[self.variable] if isinstance(self.variable, str) else self.variable(results)
        if "stopped_check" not in results:
            return values
        return values.where(~halted_by_patience(results)).assign_attrs(values.attrs)


def compare(results: xr.Dataset, reported: Sequence[Reported]) -> pd.DataFrame:
    """The reported numbers against the 95 % prediction interval for ONE run, mean ± t · s · √(1 + 1/n) over seeds.

    Returns:
      One row per reported number and setting of the run that agrees with it: several where the run sweeps an axis of
      which the source says nothing, none where the run does not hold the setting. Columns: id, setting (text),
      quantity, reported, mean, sd, n (seeds that count), low, high, inside (up to half a unit of the last digit
      reported; None below two seeds), fitted, note, variable, and each setting by name.

    Raises:
      ValueError: a variable or setting name that the results do not hold.
    """
    rows: list[dict[str, Any]] = []
    for entry in reported:
        _check(entry, results)
        try:
            measured = entry.measured(results).to_dataset(name=entry.name)
        except KeyError:
            continue
        wanted = _where(results, setting_dims(measured), entry.setting)
        for setting, part in settings(measured, where=wanted.tolist()) if wanted.any() else ():
            values = part[entry.name]
            within = range_of(entry.name, values.values, str(values.attrs.get("units", "1")))
            one_run = prediction_interval(values, within=within).map(lambda value: value.item())
            low, high, n = (float(one_run[name]) for name in ("low", "high", "n"))
            if n == 0:
                continue
            half = half_unit(entry.value)
            inside = bool(low - half <= entry.value <= high + half) if n >= 2 else None
            rows.append(
                {"id": entry.id, "setting": setting_label(setting or entry.setting), "quantity": entry.quantity}
                | {"reported": entry.value, "mean": float(one_run["mean"]), "sd": float(one_run["sd"]), "n": int(n)}
                | {"low": low, "high": high, "inside": inside, "fitted": entry.fitted, "note": entry.note}
                | {"variable": entry.name, **entry.setting, **setting}
            )
    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame(rows, columns=list(dict.fromkeys([*COLUMNS, *names]))).astype({"inside": object})


def _where(results: xr.Dataset, dims: Sequence[str], setting: Mapping[str, Any]) -> np.ndarray:
    """Which settings along `dims` agree with all values that are given by name, bool [settings]."""
    agreeing = xr.Variable(dims, np.ones([results.sizes[dim] for dim in dims], bool))
    for name, value in setting.items():
        held = results[name].variable
        same = [agree(other, value) for other in held.values.ravel().tolist()]
        agreeing = agreeing & xr.Variable(held.dims, np.reshape(same, held.shape))
    return agreeing.transpose(*dims).to_numpy().ravel()


def _check(entry: Reported, results: xr.Dataset) -> None:
    variables = [entry.variable] if isinstance(entry.variable, str) else []
    missing = [name for name in (*variables, *entry.setting) if name not in results.variables]
    if missing:
        raise ValueError(f"{entry.id}: the results hold no {', '.join(missing)}")


def half_unit(value: float) -> float:
    """Half a unit of the last digit that a number is printed with, at least a relative 1e-6: 0.0005 of 0.853."""
    exponent = min(0, int(Decimal(repr(float(value))).as_tuple().exponent))
    return max(0.5 * 10.0**exponent, TOLERANCE * abs(value))


@dataclasses.dataclass(frozen=True)
class ReportedNumber:
    """A single number of a source, against the 95 % prediction interval of one run, mean ± t · s · √(1 + 1/n).

    The number was rounded when it was printed: anything within half a unit of its last digit counts as equal. Inside
    the interval it is supported: consistent with the run, no more.
    Outside it contradicts. Where the run sweeps an axis of which the source says nothing, it is judged at each value,
    and decided only where all agree. A fitted number is undecided: it served to choose the settings. Where all members
    are equal the interval has no width, and a number outside contradicts from n = 7 on: the chance that n equal values
    are followed by another one is at most (n / (n + 1))**n / (n + 1).

    Attributes:
      reported: the number, and where the results hold it.
      statement: in words; made from the number if empty.
      source: where the number stands; that of the number if empty.

    References: Hahn and Meeker (1991), Statistical Intervals, section 4.7.
    """

    reported: Reported
    statement: str = ""
    source: str = ""

    def judge(self, results: xr.Dataset) -> Judgement:
        """The verdict of these results.

        Raises:
          ValueError: the variable has other dimensions than the swept ones and seed.
        """
        number = self.reported
        where = f" at {number.conditions}" if number.conditions else ""
        statement = self.statement or f"{number.quantity} is {number.value:g}{where}"
        source = self.source or number.source
        try:
            known = as_measure(number.name)
            grid = Grid(dataclasses.replace(known, of=number.measured), results)
            found = [self._at(grid, dict(number.setting), more) for more in grid.unnamed(number.setting)]
        except NotHeldError as missing:
            return not_held(statement, source, missing)
        decided = {each.verdict for each in found}
        verdict: Verdict = decided.pop() if len(decided) == 1 else "undecided"
        n = min(each.evidence.n for each in found)
        evidence = tuple(each.evidence for each in found)
        fragile = assumes_normal(verdict, evidence)
        reason = found[0].reason if len(found) == 1 else self._depends(found, grid.quantity)
        known_of_it = [sentence(number.note)] if verdict == "contradicted" and number.note else []
        reason = " ".join([reason, *known_of_it, *([if_normal(n)] if fragile else [])])
        return Judgement(statement, source, verdict, reason, n, grid.quantity.units, evidence, fragile)

    def _at(self, grid: Grid, setting: dict[str, Any], more: dict[str, Any]) -> _Found:
        """What one setting says: that of the source, with a value of each axis of which the source says nothing."""
        number, members = self.reported, grid.members([setting | more])
        label = setting_label(more or grid.swept(setting) or setting)
        quantity, (values,) = grid.quantity, members.values
        within = range_of(quantity.label, values, quantity.units)
        one_run = prediction_interval(xr.DataArray(values, dims="seed"), within=within)
        mean, sd, low, high = (float(one_run[name]) for name in ("mean", "sd", "low", "high"))
        n = int(one_run["n"])
        left_out = len(values) - n
        p, verdict, why, needed = judge_reported(
            number.value,
            *(mean, sd, low, high, n),
            fitted=number.fitted,
            left_out=left_out,
            better=members.better,
        )
        shown = f"{quantity.label} is {quantity.value(mean)} here"
        if low == high:
            shown += f" in all {n} seeds"
        elif not math.isnan(low):
            shown += f", and of one run 95 % are expected within {quantity.span(low, high)} (n = {n})"
        reason = sentence(f"{shown}; the source's {quantity.value(number.value)} {why}" if n else too_few(n))
        test: Test = "identical" if sd == 0 else "none" if math.isnan(p) else "t"
        against = f"{label} against the source's {quantity.value(number.value)}"
        evidence = Evidence(
            against, mean - number.value, low - number.value, high - number.value, p, p, n, left_out, test, needed
        )
        return _Found(verdict, label, " ".join([reason, *note_missing([label], members)]), evidence)

    def _depends(self, found: Sequence[_Found], quantity: Quantity) -> str:
        """In words, at which of several settings the number is consistent with the run."""
        if self.reported.fitted:
            return "It served to choose the settings and is no evidence."
        inside = [each.label for each in found if each.verdict == "supported"]
        outside = sum(each.verdict == "contradicted" for each in found)
        where = (
            f" ({'; '.join(inside[:_MAX_NAMED])}{' and more' if len(inside) > _MAX_NAMED else ''})" if inside else ""
        )
        return sentence(
            f"the source does not say at which of the {len(found)} settings: its {quantity.value(self.reported.value)} "
            f"is consistent with {len(inside)} of them{where}, and outside the interval of one run at {outside}"
        )


class _Found(NamedTuple):
    """What one setting of a run says of a reported number."""

    verdict: Verdict
    label: str  # of the setting
    reason: str
    evidence: Evidence


class ReportedVerdict(NamedTuple):
    """A verdict on a reported number."""

    p: float  # two-sided, of one further replicate being as far from the mean
    verdict: Verdict
    why: str  # goes on from "the source's 0.853"
    needed: int | None = None


def judge_reported(
    value: float,
    mean: float,
    sd: float,
    low: float,
    high: float,
    n: int,
    *,
    fitted: bool = False,
    left_out: int = 0,
    better: Better | None = None,
) -> ReportedVerdict:
    """The verdict on a reported number, with its reason; that it was fitted comes before all else.

    Args:
      value: the reported number.
      mean, sd: over the members of the run, in the units of the number.
      low, high: ends of the 95 % prediction interval of one run.
      n: members that count.
      fitted: whether the number served to choose the settings.
      left_out: members that do not count.
      better: which values are; None if not known.
    """
    half = half_unit(value)
    p = t_p(max(0.0, abs(value - mean) - half) / math.sqrt(1 + 1 / n), sd, n) if n else math.nan

    def found(verdict: Verdict, why: str, needed: int | None = None) -> ReportedVerdict:
        return ReportedVerdict(p, verdict, why, needed)

    if fitted:
        return found("undecided", "served to choose the settings and is no evidence")
    if n < 2 or math.isnan(low):
        return found("undecided", f"cannot be judged: {too_few(n) if n < 2 else 'some seeds have no finite value'}")
    inside = low - half <= value <= high + half
    if not inside and sd == 0 and _chance_of_another(n) > ALPHA:
        enough = next(k for k in itertools.count(n) if _chance_of_another(k) <= ALPHA)
        return found(
            "undecided", f"differs, but so few equal values may be chance; {enough} seeds would be needed", enough
        )
    if left_out and (inside or better is None or (better == "lower") == (mean < value)):
        return found("undecided", f"lies {'inside' if inside else 'outside'} that of the seeds that are left")
    return found("supported", "is consistent with that") if inside else found("contradicted", "lies outside")


def _chance_of_another(n: int) -> float:
    """Bound on the chance that n equal values are followed by another one."""
    return float((n / (n + 1)) ** n / (n + 1))
