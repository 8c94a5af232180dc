from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from jaxreg.config import DataConfig
from jaxreg.data import Data, load
from jaxreg.data.remarks import remarks_on
from jaxreg.errors import ConfigError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mnist1d")


@pytest.fixture
def data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    """Made by the first test and cached for the others."""
    monkeypatch.setenv("JAXREG_CACHE_DIR", str(folder))
    return load(DataConfig("mnist1d"))


@pytest.mark.usefixtures("requested")  # no network
def test_it_is_made_offline_and_leaves_the_global_random_states(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXREG_CACHE_DIR", str(folder))
    expected = []
    for made in (False, True):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002 - the state that must stay
        if made:
            load(DataConfig("mnist1d"))
        expected.append((random.random(), np.random.random()))  # noqa: NPY002 - the state that must stay
    assert expected[0] == expected[1]


def test_sizes_and_scale(data: Data) -> None:
    assert [split.inputs.shape for split in data.splits.values()] == [(3600, 40), (400, 40), (1000, 40)]
    assert (data.name, data.input_shape, data.class_names) == ("mnist1d", (40,), tuple("0123456789"))
    everything = np.concatenate([split.inputs for split in data.splits.values()])
    np.testing.assert_allclose([everything.mean(), everything.std()], [0, 1], atol=1e-4)
    assert remarks_on(data) == []


def test_the_set_never_changes(data: Data) -> None:
    digest = hashlib.sha256()
    for split in data.splits.values():
        digest.update((np.round(split.inputs.astype(np.float64), 3) + 0.0).astype("<f4").tobytes())
        digest.update(split.labels.astype("<i4").tobytes())
    assert digest.hexdigest()[:16] == "dc812863dd056629"


def test_the_last_training_examples_are_held_out(data: Data) -> None:
    fewer = load(DataConfig("mnist1d", validation_size=100))
    np.testing.assert_array_equal(fewer.validation.inputs, data.validation.inputs[-100:])
    np.testing.assert_array_equal(fewer.train.inputs[:3600], data.train.inputs)
    np.testing.assert_array_equal(fewer.test.inputs, data.test.inputs)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"downsample": 2}, "--downsample=2: mnist1d has no pixels"),
        ({"validation_size": 4000}, "--validation_size=4000: must be below 4000"),
        ({"test_size": 10}, "--test_size=10: mnist1d brings its own test examples"),
        ({"label": "y"}, "--label=y: mnist1d is no table"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, int], refused: str) -> None:
    with pytest.raises(ConfigError, match=refused):
        load(DataConfig("mnist1d", **options))  # type: ignore[arg-type]  # one is text
