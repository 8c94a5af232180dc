"""Tables in .csv and .parquet files: a column of classes, columns of numbers, perhaps a column of splits."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxreg.data.labelled import SPLITS, Examples, class_names
from jaxreg.errors import ConfigError, DataError, one_line
from jaxreg.slow_imports import pd

LABEL, SPLIT = "label", "split"  # the usual names of these columns
MOST_LISTED = 12
LONGEST_VALUE = 80  # characters of a cell that a refusal repeats


def read_csv(path: Path, label: str | None) -> dict[str, Examples]:
    """The splits of a .csv file, commas between, with a header; one without a column of splits is `train`.

    Raises:
      ConfigError: there is no column of that label.
      DataError: it is no such file, or as for `read_parquet`.
    """

    def read(**options: Any) -> pd.DataFrame:
        return pd.read_csv(path, keep_default_na=False, na_values=[""], skipinitialspace=True, **options)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            header = read(header=None, nrows=1, dtype=str).iloc[0]
            columns = _checked_columns(path.name, ["" if name is None else str(name) for name in header.fillna("")])
            text = {_label_column(path.name, columns, label): str, SPLIT: str}
            dtype = {name: kind for name, kind in text.items() if name in columns}
            table = read(dtype=dtype, index_col=False, low_memory=False)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path.name}: is empty; it needs a line of column names and a line for each example") from None
    except pd.errors.ParserWarning:
        raise DataError(f"{path.name}: has lines of more values than there are names in its first line") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        why = str(error).strip().splitlines()[0]
        raise DataError(f"{path.name}: is no table in UTF-8 with commas ({why})") from error
    return _examples(path.name, table, label)


def read_parquet(path: Path, label: str | None) -> dict[str, Examples]:
    """The splits of a .parquet file; one without a column of splits is `train`.

    Raises:
      ConfigError: there is no column of that label, or pyarrow, which reads such files, is not installed.
      DataError: it is no such file; a name is missing or there twice; a class or a split is missing; a feature is no
        number, missing or infinite. All name the column and the row, counted from 1 below the header.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            "dataset",
            path,
            "is read by the package pyarrow, which is not installed: pip install 'jaxreg[parquet]', or give a .csv",
        )
    try:
        table = pd.read_parquet(path)
    except (ValueError, NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system, not of the format
            raise
        raise DataError(f"{path.name}: is no Parquet file, or a damaged one ({str(error).splitlines()[0]})") from error
    table.columns = pd.Index(_checked_columns(path.name, list(map(str, table.columns))))
    return _examples(path.name, table, label)


def _checked_columns(name: str, columns: list[str]) -> list[str]:
    """The names of the columns: refused is one without a name, such as an index that was saved, and two of one name."""
    for place, column in enumerate(columns, 1):
        if not column:
            remedy = "name it, or drop it (an index is left out by to_csv(index=False))"
            raise DataError(f"{name}: column {place} has no name; {remedy}")
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise DataError(f"{name}: two columns are named {twice}; rename one of them")
    return columns


def _label_column(name: str, columns: Sequence[str], label: str | None) -> str:
    """The name of the column of the classes."""
    if (column := LABEL if label is None else label) in columns:
        return column
    more = f" and {len(columns) - MOST_LISTED} more" if len(columns) > MOST_LISTED else ""
    allowed = f"{name} has no column {column}, but {', '.join(columns[:MOST_LISTED])}{more}; name that of the classes"
    raise ConfigError("label", "" if label is None else label, allowed)


def _examples(name: str, table: pd.DataFrame, label: str | None) -> dict[str, Examples]:
    """The examples of a table by split."""
    column = _label_column(name, list(table.columns), label)
    if not len(table):
        raise DataError(f"{name}: has no rows below its column names")
    missing = table[column].isna().to_numpy()
    _refuse_row(name, table[column], missing, "is empty: give each example its class, or leave the row out")
    examples = Examples(
        _features(name, table.drop(columns=[column, SPLIT], errors="ignore")),
        class_names(table[column].to_numpy(), lambda place: f"{name}: row {place + 1} of column {column}"),
    )
    if SPLIT not in table.columns or column == SPLIT:
        return {"train": examples}
    of = table[SPLIT].astype(object).to_numpy()
    wrong = ~np.isin(of.astype(str), SPLITS)
    what = "{value} is none of train, validation and test; rename the column if it is a feature"
    _refuse_row(name, table[SPLIT], wrong, what)
    given = [split for split in SPLITS if (of == split).any()]
    if "train" not in given:
        raise DataError(f"{name}: no row has the split train; name the examples to train on so")
    return {split: examples.take(np.flatnonzero(of == split)) for split in given}


def _features(name: str, table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """All columns as numbers, [examples, features] in their order."""
    if table.shape[1] == 0:
        raise DataError(f"{name}: has no column of features beside that of the classes")
    return np.stack([_feature(name, table[column]) for column in table.columns], axis=1)


def _feature(name: str, values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    missing = values.isna().to_numpy()
    _refuse_row(name, values, missing, "is empty: put a number there, or leave the row or the column out")
    if not (pd.api.types.is_bool_dtype(values) or pd.api.types.is_any_real_numeric_dtype(values)):
        text = pd.to_numeric(values.astype(object).map(str), errors="coerce").isna().to_numpy()
        what = "{value} is no number: turn it into one, or leave the column out (--label names the column of classes)"
        _refuse_row(name, values, text if text.any() else ~text, what)
    numbers = values.to_numpy(dtype=np.float64)
    with np.errstate(over="ignore"):
        infinite = ~np.isfinite(numbers.astype(np.float32))
    _refuse_row(name, values, infinite, "{value} is not finite in float32: put another number there")
    return numbers


def _refuse_row(name: str, values: pd.Series[Any], wrong: npt.NDArray[np.bool_], what: str) -> None:
    """Raises DataError at the first row that is wrong; `{value}` in `what` is what stands there."""
    if wrong.any():
        row = int(np.argmax(wrong))
        value = str(values.iloc[row])
        shown = value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}…"
        raise DataError(one_line(f"{name}: row {row + 1} of column {values.name}: {what.format(value=shown)}"))
