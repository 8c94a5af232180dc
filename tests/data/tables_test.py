from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxreg.config import DataConfig
from jaxreg.data import Data, load
from jaxreg.errors import ConfigError, DataError

SPLITS = ["train", "train", "validation", "test"]
TABLE = pd.DataFrame(
    {
        "b": np.arange(40) / 8,
        "label": [["x", "NA", "None"][row % 3] for row in range(40)],
        "a": np.arange(40) % 7,
        "c": np.arange(40) % 5 == 0,
        "split": [SPLITS[row % 4] for row in range(40)],
    }
)


def read(path: Path, label: str | None = None) -> Data:
    return load(DataConfig(str(path), label=label))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_are_classes_splits_and_features_in_their_order(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "csv":
        TABLE.to_csv(path, index=False)
    else:
        TABLE.to_parquet(path)
    data = read(path)
    assert (data.class_names, data.input_shape, data.name) == (("NA", "None", "x"), (3,), path.name)
    for split in set(SPLITS):
        rows = TABLE[TABLE["split"] == split]
        np.testing.assert_array_equal(data.splits[split].inputs, rows[["b", "a", "c"]].to_numpy(np.float32))
        assert [data.class_names[label] for label in data.splits[split].labels] == rows["label"].to_list()


def test_without_a_column_of_splits_they_are_made(tmp_path: Path) -> None:
    TABLE.drop(columns="split").rename(columns={"label": "kind"}).to_csv(tmp_path / "a.csv", index=False)
    data = read(tmp_path / "a.csv", "kind")
    assert [len(split.labels) for split in data.splits.values()] == [32, 4, 4]
    assert [np.bincount(split.labels).min() > 0 for split in data.splits.values()] == [True] * 3


def test_numbers_come_back_to_the_last_bit_of_float32(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=60)
    split = np.resize(SPLITS, 60)
    pd.DataFrame({"a": values, "label": np.arange(60) // 4 % 2, "split": split}).to_csv(tmp_path / "a.csv", index=False)
    np.testing.assert_array_equal(
        read(tmp_path / "a.csv").test.inputs[:, 0], values[split == "test"].astype(np.float32)
    )


ROWS = "".join(f"{row},0.5,{row % 2}\n" for row in range(20))


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        ("a,b,label\n1,2,0\n2,foo,1\n", "row 2 of column b: foo is no number"),
        ('a,b,label\n1,"two\nlines",0\n2,2,1\n', r"row 1 of column b: two\nlines is no number"),
        ("a,b,label\n1,NA,0\n2,2,1\n", "row 1 of column b: NA is no number"),
        ("a,b,label\n1,2,0\n2,,1\n", "row 2 of column b: is empty"),
        ("a,b,label\n1,2,0\n2,1e39,1\n", "row 2 of column b: 1e+39 is not finite in float32"),
        ("a,b,label\n-inf,2,0\n2,1,1\n", "row 1 of column a: -inf is not finite"),
        ("a,b,label\n1,2,0\n2,1,\n", "row 2 of column label: is empty"),
        ("a,b,label\n1,2,1\n2,1,1.5\n", "row 2 of column label: 1.5 is no class"),
        ("a,split,label\n1,train,0\n2,dev,1\n", "row 2 of column split: dev is none of train, validation and test"),
        ("a,split,label\n1,test,0\n2,test,1\n", "no row has the split train"),
        (",b,label\n1,2,0\n2,1,1\n", "column 1 has no name; name it, or drop it"),
        ("b,b,label\n1,2,0\n2,1,1\n", "two columns are named b"),
        ("label\n0\n1\n", "has no column of features beside that of the classes"),
        ("a,b,label\n1,2,0,3\n2,1,1,4\n", "has lines of more values than there are names in its first line"),
        ("a,b,label\n1,2,0\n2,1,1,4\n", "is no table in UTF-8 with commas (Error tokenizing"),
        ("a,b,label\n", "has no rows below its column names"),
        ("", "is empty; it needs a line of column names"),
        ("a,b,label\n1,2,\udcff\n", "is no table in UTF-8 with commas"),
        (f"a,b,label\n{ROWS}20,1,2\n", "class 2 has 1 of the 3 examples that it needs"),
    ],
)
def test_what_is_no_such_table_is_refused(content: str, refused: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as refusal:
        read(tmp_path / "a.csv")
    assert str(refusal.value).startswith("a.csv: ")
    assert refused in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("label", "shown"), [(None, ""), ("sort", "sort")])
def test_a_label_that_is_no_column_is_refused_with_the_columns(label: str | None, shown: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,kind\n1,2,0\n")
    with pytest.raises(ConfigError, match=rf"^--label={shown}: a.csv has no column {label or 'label'}, but a, b, kind"):
        read(tmp_path / "a.csv", label)


def test_columns_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for values, shown in ((pd.Timestamp("2020"), "2020-01-01 00:00:00"), ("1.5", "1.5")):
        TABLE.assign(a=values).to_parquet(tmp_path / "a.parquet")
        with pytest.raises(DataError, match=rf"^a\.parquet: row 1 of column a: {shown} is no number"):
            read(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_text("no table")
    with pytest.raises(DataError, match=r"^a\.parquet: is no Parquet file, or a damaged one"):
        read(tmp_path / "a.parquet")


def test_without_pyarrow_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"^--dataset=.*a\.parquet: .* pip install 'jaxreg\[parquet\]'"):
        read(tmp_path / "a.parquet")
