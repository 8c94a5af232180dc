"""Atomic writes and strict JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jaxreg.files import strict_json, write_atomically


def test_strict_json_and_atomic_writes(tmp_path: Path) -> None:
    value = {"nan": [float("nan"), -np.inf], "scalar": np.float32(0.5), 3: (np.int64(1), True, None), "path": Path("a")}
    expected = {"nan": [None, None], "scalar": 0.5, "3": [1, True, None], "path": "a"}
    assert json.loads(strict_json(value), parse_constant=pytest.fail) == expected
    assert json.loads(strict_json(np.array([1.0, np.nan]))) == [1.0, None]
    with pytest.raises(TypeError, match="no JSON form"):
        strict_json({"set": {1}})
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
