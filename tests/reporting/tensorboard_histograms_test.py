"""Histograms in TensorBoard: what the buckets say of the values, and that TensorBoard reads them back."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from jaxreg.reporting.tensorboard import ScalarWriter
from jaxreg.reporting.tensorboard.histograms import MAX_HISTOGRAMS, histogram, histogram_events, shown_checks
from jaxreg.reporting.tensorboard.layers import LAYER_SCALARS
from tests.synthetic import make_results

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="TensorBoard is not installed: pip install jaxreg[tensorboard]",
)
EDGES = np.array([-np.inf, -3.0, -1.0, -0.1, 0.1, 1.0, 3.0, np.inf])
QUANTITIES = ("weights", "activations")


def watched(results: xr.Dataset, num_layers: int = 2, key: int = 0) -> xr.Dataset:
    """The results with diagnostics of made-up values, of which there are 40 per layer and check; they spread out."""
    rng, dims = np.random.default_rng(key), (*results["diverged_step"].dims, "check", "layer")
    results = results.assign_coords(layer=np.arange(1, num_layers + 1))
    shape = tuple(results.sizes[dim] for dim in dims)
    growth = np.linspace(0.5, 1.5, results.sizes["check"])[:, None, None]
    for quantity in QUANTITIES:
        values = growth * rng.standard_normal((*shape, 40)).clip(-2, 2)
        counts = np.stack([(values >= low) & (values < high) for low, high in itertools.pairwise(EDGES)])
        results[f"{quantity}_mean"] = dims, values.mean(-1).astype(np.float32)
        results[f"{quantity}_std"] = dims, values.std(-1).astype(np.float32)
        moved = np.moveaxis(counts.sum(-1), 0, -1).astype(np.uint32)
        results[f"{quantity}_histogram"] = (*dims, "bin"), moved, {"bin_edges": EDGES}
    for name in LAYER_SCALARS:
        results[name] = dims, rng.random(shape, np.float32)
    return results


def read(folder: Path) -> dict[str, Any]:
    """What TensorBoard has read of each run."""
    runs = {}
    for path in sorted(folder.rglob("*tfevents*")):
        runs[path.parent.name] = accumulators.EventAccumulator(str(path), {"histograms": 0, "scalars": 0})
        runs[path.parent.name].Reload()
    return runs


def of_values(values: np.ndarray, edges: np.ndarray) -> Any:
    return histogram(np.histogram(values, edges)[0], edges, float(values.mean()), float(values.std()))


@pytest.mark.parametrize("key", range(20))
def test_a_histogram_holds_every_value_in_its_bin_and_has_the_moments(key: int) -> None:
    rng = np.random.default_rng(key)
    values, edges = rng.normal(rng.normal(), 1, rng.integers(2, 60)), np.linspace(-8, 8, 33)
    found, counts = of_values(values, edges), np.histogram(values, edges)[0]
    assert found.num == len(values)
    assert (found.sum, found.sum_squares) == pytest.approx((values.sum(), (values**2).sum()))
    assert list(found.bucket) == np.trim_zeros(counts).tolist()
    assert found.min <= values.min()
    assert values.max() <= found.max
    limits = [found.min, *found.bucket_limit]
    assert (np.diff(limits) > 0).all()
    inner = np.flatnonzero(counts)[[0, -1]] + [1, 1]
    np.testing.assert_allclose(found.bucket_limit[:-1], edges[inner[0] : inner[1]])
    assert edges[inner[0] - 1] <= found.min
    assert found.bucket_limit[-1] == found.max <= edges[inner[1]]


def test_equal_values_show_as_one_value_and_others_of_one_bin_by_their_spread() -> None:
    equal = of_values(np.full(1000, 0.25), np.array([0.0, 1.0, 2.0]))
    assert (equal.min, equal.max, list(equal.bucket_limit)) == (0.25, 0.25, [0.25])
    uniform = of_values(np.linspace(0.4, 0.6, 100_001), np.array([0.0, 1.0, 2.0]))
    assert (uniform.min, uniform.max) == pytest.approx((0.4, 0.6), abs=1e-5)


def test_rounding_of_the_moments_does_not_leave_the_bin() -> None:
    found = histogram(np.array([0, 7]), np.array([0.0, 1.0, 2.0]), mean=0.9999999, std=0.0)
    assert found.min == found.max == 1


def test_open_bins_end_as_far_away_as_their_neighbours() -> None:
    (event,) = histogram_events("a", np.array([5]), np.array([[3, 0, 4]]), EDGES[[0, 1, 6, 7]], *np.array([[0], [99]]))
    (value,) = event.summary.value
    assert (value.tag, event.step) == ("a", 5)
    assert (value.histo.min, list(value.histo.bucket_limit)) == (-9, [-3, 3, 9])


@pytest.mark.parametrize("broken", ["counts", "mean", "std"])
def test_nothing_is_written_where_nothing_was_counted_or_values_are_not_finite(broken: str) -> None:
    given: dict[str, np.ndarray] = {"counts": np.ones((3, 7), np.uint32), "mean": np.zeros(3), "std": np.ones(3)}
    given[broken][1] = 0 if broken == "counts" else np.nan if broken == "mean" else np.inf
    events = histogram_events("a", np.array([0, 10, 20]), bin_edges=EDGES, **given)
    assert [event.step for event in events] == [0, 20]


@pytest.mark.parametrize("num_checks", [1, 2, MAX_HISTOGRAMS, MAX_HISTOGRAMS + 1, 12_345])
def test_few_checks_are_all_shown_and_many_evenly(num_checks: int) -> None:
    shown = shown_checks(num_checks)
    assert len(shown) == min(num_checks, MAX_HISTOGRAMS)
    assert (shown[0], shown[-1]) == (0, num_checks - 1)
    assert np.ptp(np.diff(shown)) <= 1 if num_checks > 1 else shown == 0


def test_tensorboard_reads_the_histograms_of_the_first_seed_and_makes_distributions_of_them(tmp_path: Path) -> None:
    results = watched(make_results(axes={"learning_rate": [0.1, 1.0]}, num_checks=5, seeds=2))
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results)
    runs = read(tmp_path / "tb")
    tags = {f"layer_{layer}/{quantity}" for layer in (1, 2) for quantity in QUANTITIES}
    assert all(set(run.Tags()["histograms"]) == set(run.Tags()["distributions"]) == tags for run in runs.values())
    one = results.sel(learning_rate=1.0, layer=2).isel(seed=0)
    found = runs["learning_rate=1"].Histograms("layer_2/activations")
    assert [event.step for event in found] == results["check_step"].values.tolist()
    for check, event in enumerate(found):
        here, value = one.isel(check=check), event.histogram_value
        counts = here["activations_histogram"].values
        assert list(value.bucket) == np.trim_zeros(counts).tolist()
        assert value.num == 40
        assert value.sum == pytest.approx(40 * here["activations_mean"].item())
        assert value.sum_squares == pytest.approx(
            40 * (here["activations_mean"].item() ** 2 + here["activations_std"].item() ** 2)
        )
    distribution = runs["learning_rate=1"].CompressedHistograms("layer_2/activations")
    for event, histogram_event in zip(distribution, found, strict=True):
        points = [value for _, value in event.compressed_histogram_values]
        assert points == sorted(points)
        assert points[-1] == pytest.approx(histogram_event.histogram_value.max)


@pytest.mark.parametrize("calls", [(0, 1, 2, 5), (3, 3, 5)])
def test_written_in_pieces_is_written_at_once(tmp_path: Path, calls: tuple[int, ...]) -> None:
    results = watched(make_results(axes={"learning_rate": [0.1, 1.0]}, num_checks=5, seeds=2))
    with ScalarWriter(tmp_path / "pieces", 20) as pieces, ScalarWriter(tmp_path / "whole", 20) as whole:
        for checks in calls:
            pieces.write(results.assign(checks_done=xr.full_like(results["checks_done"], checks)))
        whole.write(results)
    whole_runs = read(tmp_path / "whole")
    for name, run in read(tmp_path / "pieces").items():
        for tag in whole_runs[name].Tags()["histograms"]:
            found, expected = run.Histograms(tag), whole_runs[name].Histograms(tag)
            assert [(e.step, e.histogram_value) for e in found] == [(e.step, e.histogram_value) for e in expected]
        for tag in whole_runs[name].Tags()["scalars"]:
            found, expected = run.Scalars(tag), whole_runs[name].Scalars(tag)
            assert [(e.step, e.value) for e in found] == [(e.step, e.value) for e in expected]


def test_a_long_run_writes_histograms_of_a_hundred_checks(tmp_path: Path) -> None:
    results = watched(make_results(axes={}, num_checks=301, eval_every=1, seeds=1), num_layers=1)
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        for checks in (150, 301):
            writer.write(results.assign(checks_done=xr.full_like(results["checks_done"], checks)))
    steps = [event.step for event in read(tmp_path / "tb")["run"].Histograms("layer_1/weights")]
    assert len(steps) == MAX_HISTOGRAMS
    assert (steps[0], steps[-1]) == (0, 300)
    assert max(np.diff(steps)) == 4


def test_a_layer_that_a_setting_lacks_is_left_out(tmp_path: Path) -> None:
    results = watched(make_results(axes={"hidden_sizes": ["none", "8"]}, num_checks=3, seeds=2))
    for values in results.data_vars.values():
        if "layer" in values.dims:
            values[{"hidden_sizes": 0, "layer": 1}] = 0 if "bin" in values.dims else np.nan
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results)
    runs = read(tmp_path / "tb")
    for kind in ("histograms", "scalars"):
        layers = {name: {tag for tag in run.Tags()[kind] if tag.startswith("layer_2")} for name, run in runs.items()}
        assert not layers["hidden_sizes=none"]
        assert layers["hidden_sizes=8"]


def test_scalars_of_layers_are_means_over_the_seeds_that_count(tmp_path: Path) -> None:
    results = watched(make_results(axes={}, num_checks=5, seeds=4, diverged=1))
    results["relative_change"][2, 1] = np.inf  # from a start at zero
    results["dead_fraction"][3, 2:] = np.nan  # stopped
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results)
    run = read(tmp_path / "tb")["run"]
    for name in LAYER_SCALARS:
        counts = np.isfinite(results[name]) & ((results["check_step"] < 100) | (results["diverged_step"] < 0))
        expected = results[name].where(counts).mean("seed")
        for layer in (1, 2):
            found = run.Scalars(f"layer_{layer}/{name}")
            np.testing.assert_array_equal([event.step for event in found], results["check_step"])
            np.testing.assert_allclose([event.value for event in found], expected.sel(layer=layer), rtol=1e-6)


def test_diagnostics_without_histograms_write_none(tmp_path: Path) -> None:
    results = watched(make_results(axes={}, num_checks=3))
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results.drop_vars([f"{quantity}_histogram" for quantity in QUANTITIES]))
    tags = read(tmp_path / "tb")["run"].Tags()
    assert not tags["histograms"]
    assert "layer_2/gradient_norm" in tags["scalars"]
