from __future__ import annotations

import pytest

from jaxreg.config.dataset_paths import IN_PLACE_OF_PATH, names_path, without_place


@pytest.mark.parametrize(
    "path",
    [
        *("a.csv", "a.NPZ", "some where/a.parquet", "/photos", "~/photos", "./photos", "../photos", "."),
        *(r"C:\photos", r".\photos", '"/a #b/photos"'),
    ],
)
def test_what_cannot_be_the_name_of_a_set_is_a_path(path: str) -> None:
    assert names_path(path)
    assert without_place(path) == IN_PLACE_OF_PATH


@pytest.mark.parametrize("name", ["digits", "emnist/balanced", "photos", "a.txt", "csv"])
def test_what_can_be_is_none(name: str) -> None:
    assert not names_path(name)
    assert without_place(name) == name
