"""meta.json is believed only where every entry is what a run writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jaxreg.errors import RunFolderError
from jaxreg.files import signed_json
from jaxreg.runs.meta import read_meta
from tests.synthetic import make_meta

FOREIGN: list[dict[str, Any]] = [
    {"parts": [[0, -1]]},
    {"parts": "none"},
    {"parts": [[0, 1e9]]},
    {"sessions": [3]},
    {"sessions": [{"started": "yesterday"}]},
    {"seconds": {"train": "long"}},
    {"layout": [{"seeds": "two", "configs": []}]},
    {"device": {"count": "many"}},
    {"device": 3},
    {"members": "many"},
    {"members": True},
    {"peak_memory_bytes": "much"},
    {"started": 5},
    {"git": {"commit": 5}},
    {"study": {"module": 5, "attribute": "STUDY"}},
    {"study": {"module": "a"}},
    {"study": []},
    {"experiment": None},
    {"versions": {"jax": 1}},
    {"identity": [1]},
]


@pytest.mark.parametrize("entry", FOREIGN, ids=str)
def test_a_foreign_entry_is_refused_in_one_line(tmp_path: Path, entry: dict[str, Any]) -> None:
    (tmp_path / "meta.json").write_text(signed_json(make_meta() | entry))
    with pytest.raises(RunFolderError, match=f"{next(iter(entry))} is not what a run writes") as refused:
        read_meta(tmp_path)
    assert "\n" not in str(refused.value)


def test_what_a_run_writes_is_read_with_its_digest_or_without(tmp_path: Path) -> None:
    for text in (signed_json(make_meta()), json.dumps(make_meta())):
        (tmp_path / "meta.json").write_text(text)
        assert read_meta(tmp_path) == make_meta()


def test_what_is_not_of_jaxreg_is_none(tmp_path: Path) -> None:
    assert read_meta(tmp_path) is None
    (tmp_path / "meta.json").write_text('{"status": "mine"}')
    assert read_meta(tmp_path) is None
