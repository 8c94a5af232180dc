from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxreg import results
from jaxreg.api import run
from jaxreg.config import DataConfig, Experiment, RunConfig
from jaxreg.data import Data, from_arrays, load
from jaxreg.diagnostics import surfaces
from jaxreg.errors import ConfigError, Stopped
from jaxreg.results.members import load_member
from jaxreg.runs.interruption import Interruption
from jaxreg.training.models import mlp
from tests.training_run import assert_same_bits, experiment, plan, training_program

MOONS = DataConfig("moons", num_points=40, validation_size=30)
RATES = {"learning_rate": [0.1, 1.0]}


def watching(axes: Any = None, **other: Any) -> Experiment:
    """An experiment that records surfaces, 4 checks after the first."""
    shared: dict[str, Any] = {"init": "he", "eval_every": 15, "data": MOONS, "surfaces": True}
    return experiment(RATES if axes is None else axes, **(shared | other))


def test_the_grid_covers_the_training_points_with_a_margin() -> None:
    inputs = load(MOONS).train.inputs
    plane = surfaces.plane_of(inputs)
    for axis, coordinate in enumerate(plane):
        assert (coordinate.shape, coordinate.dtype) == ((surfaces.SIZE,), np.dtype(np.float32))
        np.testing.assert_allclose(np.diff(coordinate), np.diff(coordinate)[0], rtol=1e-4)
        extent = np.ptp(inputs[:, axis])
        ends = inputs[:, axis].min() - surfaces.MARGIN * extent, inputs[:, axis].max() + surfaces.MARGIN * extent
        np.testing.assert_allclose(coordinate[[0, -1]], ends, rtol=1e-5)
    grid = plane.points.reshape(surfaces.SIZE, surfaces.SIZE, 2)
    np.testing.assert_array_equal(grid[3, 7], [plane.x1[7], plane.x2[3]])


def test_points_on_a_line_have_a_plane() -> None:
    plane = surfaces.plane_of(np.array([[0, 1], [2, 1]], np.float32))
    assert all((np.diff(coordinate) > 0).all() for coordinate in plane)


def kept(folder: Path, *, resume: bool = False) -> RunConfig:
    return RunConfig(workdir=str(folder), tensorboard=False, report=False, resume=resume)


def test_a_surface_is_the_softmax_of_the_model(tmp_path: Path) -> None:
    found = run(watching(seeds=2, first_seed=3, run=kept(tmp_path / "run")))
    surface = found["surface"]
    assert surface.dims == ("learning_rate", "check", "x2", "x1")
    assert (surface.dtype, surface.shape) == (np.dtype(np.float32), (2, 5, surfaces.SIZE, surfaces.SIZE))
    assert surface.attrs["seed"] == 3
    x1, x2 = np.meshgrid(found["x1"], found["x2"])
    points = jnp.asarray(np.stack([x1.ravel(), x2.ravel()], axis=1))
    for rate in RATES["learning_rate"]:
        member = load_member(tmp_path / "run", {"learning_rate": rate, "seed": 3})
        logits, _ = mlp().forward(member.params, member.hparams, points)
        expected = np.asarray(jax.nn.softmax(logits))[:, 1].reshape(x1.shape)
        np.testing.assert_allclose(surface.sel(learning_rate=rate)[-1], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(surface[0, 0], surface[1, 0])  # one draw before the first step

    train, written = load(MOONS).train, results.load(tmp_path / "run")
    np.testing.assert_array_equal(written["surface"], surface)
    for name, values in {"x1": train.inputs[:, 0], "x2": train.inputs[:, 1], "label": train.labels}.items():
        np.testing.assert_array_equal(written[f"example_{name}"], values)
    assert all({"units", "description"} <= set(written[name].attrs) for name in ("surface", "x1", "x2", "example_x1"))


@pytest.mark.parametrize("compaction", [False, True])
def test_halted_members_have_no_surface(compaction: bool) -> None:
    axes = {"patience": [0, 1]}
    found = run(watching(axes, learning_rate=3.0, num_steps=300, seeds=2, compaction=compaction))
    stopped = found["stopped_check"].sel(patience=1, seed=0)
    assert stopped >= 0
    checks = xr.DataArray(np.arange(found.sizes["check"]), dims="check")
    known = found["surface"].notnull()
    assert known.sel(patience=0).all()
    assert known.sel(patience=1).where(checks <= stopped, True).all()
    assert not (known.sel(patience=1) & (checks > stopped)).any()


def test_a_resumed_run_has_the_surfaces_of_one_that_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(watching(seeds=2))
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("jaxreg.runs.interruption.Interruption.at", stop_at(30))
        with pytest.raises(Stopped):
            run(watching(seeds=2, run=kept(folder)))
    resumed = run(watching(seeds=2, run=kept(folder, resume=True)))
    assert_same_bits(resumed, whole)


def stop_at(step: int) -> Any:
    def leave(_: Interruption, position: Any) -> Stopped | None:
        return Stopped("stopped", 130) if position.step == step else None

    return leave


def test_the_training_program_is_the_same_with_surfaces() -> None:
    texts = [training_program(plan(watching(surfaces=on))) for on in (False, True)]
    assert texts[0] == texts[1]


def test_every_block_leaves_its_settings_in_their_place() -> None:
    asked = watching(seeds=2)
    whole, blocks = run(asked), run(dataclasses.replace(asked, members_per_program=1))
    np.testing.assert_allclose(blocks["surface"], whole["surface"], rtol=1e-3, atol=1e-5)


def test_added_seeds_leave_the_surfaces_of_the_first(tmp_path: Path) -> None:
    asked = watching(run=kept(tmp_path))
    first = run(asked)
    more = run(dataclasses.replace(asked, seeds=2, run=kept(tmp_path, resume=True)))
    assert more.sizes["seed"] == 2
    xr.testing.assert_identical(more["surface"].drop_vars("seconds"), first["surface"].drop_vars("seconds"))


def three_classes() -> Data:
    examples = (np.zeros((30, 2)), np.arange(30) % 3)
    return from_arrays(examples, examples, examples, name="three")


def test_data_without_a_plane_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--surfaces=true: needs two classes.*digits has 10 classes of 8x8 inputs"):
        plan(watching(data=DataConfig()))
    with pytest.raises(ConfigError, match="three has 3 classes of 2 inputs; leave it out"):
        run(watching(data=DataConfig()), data=three_classes())


def test_more_than_memory_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--surfaces=true: would keep .* GiB.*check less often"):
        plan(watching(num_steps=1_000_000, eval_every=1, record_every=1000, seeds=4))
