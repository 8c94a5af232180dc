from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxreg.config import DataConfig
from jaxreg.data import load
from jaxreg.errors import DataError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)), np.arange(60) % 3
PIXELS = RNG.integers(0, 256, (60, 4, 6), dtype=np.uint8)


def test_splits_are_taken_as_keras_names_them(tmp_path: Path) -> None:
    parts: dict[str, Any] = {
        f"{kind}_{split}": values[rows] for split, rows in ROWS.items() for kind, values in (("x", X), ("y", Y))
    }
    np.savez(tmp_path / "a.npz", **parts)
    data = load(DataConfig(tmp_path / "a.npz"))  # type: ignore[arg-type]  # a path is taken too
    for split, rows in ROWS.items():
        np.testing.assert_array_equal(data.splits[split].inputs, X[rows].astype(np.float32))
        np.testing.assert_array_equal(data.splits[split].labels, Y[rows])
    assert (data.name, data.class_names, data.input_shape) == ("a.npz", ("0", "1", "2"), (4,))


ROWS = {"train": slice(0, 40), "validation": slice(40, 50), "test": slice(50, 60)}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["u", "v", "w"])[Y], ("u", "v", "w")),
        (np.array([b"u", b"v", b"w"])[Y], ("u", "v", "w")),
        (np.array([10, 9, -1])[Y], ("-1", "9", "10")),
        (np.array([10.0, 9.0, 2.0])[Y], ("2", "9", "10")),
        (np.array(["10", "9", "2"])[Y], ("2", "9", "10")),
        (Y > 0, ("False", "True")),
    ],
)
def test_labels_become_classes_in_order(labels: np.ndarray, names: tuple[str, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", inputs=X, labels=labels)
    data = load(DataConfig(str(tmp_path / "a.npz")))
    assert data.class_names == names
    of_input = {x.tobytes(): str(label) for x, label in zip(X.astype(np.float32), labels, strict=True)}
    for split in data.splits.values():
        for x, label in zip(split.inputs, split.labels, strict=True):
            given = of_input[x.tobytes()].removesuffix(".0").removeprefix("b").strip("'")
            assert names[label] == given


def test_pixels_are_scaled_and_pooled_and_other_numbers_are_not(tmp_path: Path) -> None:
    splits: dict[str, Any] = {"y_train": Y, "x_test": PIXELS, "y_test": Y}
    np.savez(tmp_path / "a.npz", x_train=PIXELS, **splits)
    data, pooled = (load(DataConfig(str(tmp_path / "a.npz"), downsample=factor)) for factor in (1, 2))
    np.testing.assert_array_equal(data.test.inputs, (PIXELS / np.float32(255)).reshape(60, 24).astype(np.float32))
    assert (data.input_shape, pooled.input_shape) == ((4, 6), (2, 3))
    means = PIXELS.reshape(60, 2, 2, 3, 2).mean((2, 4)) / 255
    np.testing.assert_allclose(pooled.test.inputs.reshape(60, 2, 3), means, rtol=1e-6)
    np.savez(tmp_path / "a.npz", x_train=PIXELS.astype(np.int32), **splits | {"x_test": PIXELS.astype(np.int32)})
    assert load(DataConfig(str(tmp_path / "a.npz"))).test.inputs.max() > 200


@pytest.mark.parametrize(
    ("arrays", "refused"),
    [
        ({"x": X}, "holds x; it must hold x_train, y_train, x_test, y_test"),
        ({"x_train": X, "y_train": Y, "x_val": X, "y_val": Y}, "holds x_train, x_val, y_train, y_val; it must hold"),
        ({"x_test": X, "y_test": Y}, "holds x_test, y_test; it must hold"),
        ({"x": X[:, 0], "y": Y}, r"x has shape (60,); it must be [examples, ...]"),
        ({"x": X, "y": np.eye(3)[Y]}, r"y has shape (60, 3); it must be [examples] (of one-hot, its argmax)"),
        ({"x": X, "y": Y[1:]}, "x has 60 examples but y 59; give each input its label"),
        ({"x": X.astype(str), "y": Y}, "x has dtype <U"),
        ({"x": np.where(np.arange(60)[:, None] == 7, np.nan, X), "y": Y}, "x[7] is not finite"),
        ({"x": X, "y": Y + 0.5}, "y[0]: 0.5 is no class; classes are text or whole numbers: put a target that is"),
        ({"x": X, "y": Y.astype(object)}, "y holds Python objects, which are not loaded"),
        ({"x": X[:0], "y": Y[:0]}, "x has shape (0, 4)"),
        ({"x_train": PIXELS, "y_train": Y, "x_test": PIXELS / 255, "y_test": Y}, "scaled to [0, 1], in some splits"),
    ],
)
def test_what_is_no_such_set_is_refused(arrays: dict[str, Any], refused: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError) as refusal:
        load(DataConfig(str(tmp_path / "a.npz")))
    assert str(refusal.value).startswith("a.npz: ")
    assert refused in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and no more", b"\x80\4K\1.", b"text"])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"^a\.npz: is no \.npz file of NumPy, or a damaged one"):
        load(DataConfig(str(tmp_path / "a.npz")))


def test_one_array_is_no_set(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match=r"^a\.npz: is no \.npz file of NumPy"):
        load(DataConfig(str(tmp_path / "a.npz")))
