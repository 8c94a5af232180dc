"""Published numbers beside ours: that the tables are read as they stand, and that a small run goes through."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import jaxreg
from experiments import catalogue, cli
from experiments.references import glorot, nielsen, srivastava
from experiments.references.published import table
from jaxreg.claims import judge
from jaxreg.claims.reported import compare
from jaxreg.config.flagfile import experiment_from_flags
from tests.synthetic import make_results
from tests.tables import restored_tables

PARTS = sorted(path.name for path in catalogue.FLAGFILES.glob("nielsen_*.cfg") if "digits" not in path.name)


def test_every_row_of_the_table_is_a_number_of_the_study() -> None:
    rows = table("nielsen")
    assert [entry.value for entry in nielsen.STUDY.reported] == [float(row["value"]) for row in rows]
    assert len({entry.id for entry in nielsen.STUDY.reported}) == len(rows) == 38
    assert not any(entry.fitted for entry in nielsen.STUDY.reported)


@pytest.mark.parametrize("part", PARTS)
def test_the_flagfiles_hold_the_settings_of_the_numbers(part: str) -> None:
    """Each number finds its setting in exactly one of them."""
    text = "".join(line for line in (catalogue.FLAGFILES / part).read_text().splitlines(True) if line[0] == "-")
    asked = experiment_from_flags(text, "nielsen")
    held = {name: [getattr(asked.hparams, name)] for name in ("learning_rate", "l2_strength", "batch_size")}
    held |= {name: list(values) for name, values in asked.axes.items()}
    assert asked.seeds == 10
    assert asked.data.dataset == "mnist_as_published"
    draws = {"nielsen_sizes.cfg": "by_seed", "nielsen_overfitting.cfg": "first", "nielsen_gradients.cfg": "first"}
    assert asked.hparams.train_draw == draws.get(part, "shared")
    found = [
        entry
        for entry in nielsen.STUDY.reported
        if all(
            any(np.isclose(entry.setting[name], value) for value in held[name])
            for name in ("learning_rate", "l2_strength", "batch_size")
        )
    ]
    assert found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nielsen") / "run"
    flags = ["--flagfile=nielsen_digits.cfg", "--num_epochs=1", "--eval_every=60", "--seeds=2"]
    assert cli.main(nielsen.STUDY, ["nielsen", *flags, f"--workdir={folder}", "--tensorboard=false"]) == 0
    return folder


def test_a_small_run_is_measured_reported_and_judged(small: Path) -> None:
    results = jaxreg.load_results(small)
    assert (small / "report.html").exists()
    assert results["bias_gradient_norm"].dims == ("init", "seed", "check", "layer")
    assert np.isfinite(results["bias_gradient_norm"]).all()
    cost = nielsen.training_cost(results)
    assert (cost > results["final_train_loss"]).all()
    assert cost.attrs["units"] == "nats"
    assert compare(results, nielsen.STUDY.reported).empty  # another data set
    judged = {judgement.statement: judgement for judgement in judge(nielsen.CLAIMS, results)}
    assert judged["Weights of variance 1/inputs are ahead after one epoch."].n == 2


def test_the_penalty_of_a_cost_is_that_of_the_set_it_is_measured_on(small: Path) -> None:
    results = jaxreg.load_results(small)
    half = results["half_squared_weights"].isel(check=-1)
    on_test = nielsen.test_cost(results) - results["final_test_loss"]
    np.testing.assert_allclose(on_test, 1197 / 300 * 1e-4 * half, rtol=1e-4)


def test_they_are_found_by_name_and_as_modules() -> None:
    assert "nielsen" in catalogue.names()
    assert catalogue.module_of("nielsen") == "experiments.references.nielsen"
    assert catalogue.module_of("lr_sweep") == "experiments.lr_sweep"
    assert {"published", "source", "__init__"}.isdisjoint(catalogue.names())


def test_signals_shrink_as_the_equations_of_glorot_say(tmp_path: Path) -> None:
    flags = ["--flagfile=glorot_digits.cfg", "--activation=tanh", "--num_steps=2", "--eval_every=2"]
    flags += ["--report=false", "--tensorboard=false", f"--workdir={tmp_path / 'run'}"]
    assert cli.main(glorot.STUDY, ["glorot", *flags]) == 0
    results = jaxreg.load_results(tmp_path / "run")
    judged = judge(glorot.CLAIMS[:-1], results)  # the last is about the end
    at_start = [judgement.verdict for judgement in judged if judgement.in_this_run]
    assert at_start == ["undecided", "supported", "supported"]  # the first wants wider layers, or more seeds
    linear = glorot.BACK.of(results).sel(init="glorot_uniform")
    assert (linear > 1.3 * glorot.LINEAR).all()


def test_gradients_of_several_depths_are_drawn(tmp_path: Path) -> None:
    flags = ["--flagfile=nielsen_digits.cfg", "--hidden_sizes=4x4,4x4x4", "--init=lecun", "--num_steps=2"]
    flags += ["--eval_every=1", "--seeds=2", "--report=false", "--tensorboard=false", f"--workdir={tmp_path / 'run'}"]
    assert cli.main(nielsen.STUDY, ["nielsen", *flags]) == 0
    layers, first, *_ = nielsen.draw(jaxreg.load_results(tmp_path / "run"))
    assert layers.caption.endswith("of each of 3 hidden layers along training.")
    curves = [str(line.get_label()) for line in layers.figure.axes[0].get_lines()]
    assert [label for label in curves if not label.startswith("_")] == [f"hidden_layer={layer}" for layer in (1, 2, 3)]
    assert [label.get_text() for label in first.figure.axes[0].get_xticklabels()] == ["4x4", "4x4x4"]


def regularised(errors: Mapping[tuple[str, float, str], float], seeds: int = 6) -> xr.Dataset:
    """A run of the study on two widths and two lengths; `errors` of (hidden units, epochs, method), others have 5 %."""
    axes: dict[str, list[Any]] = {"hidden_sizes": ["32", "512"], "num_epochs": [2.0, 24.0]}
    axes |= {"method": list(srivastava.ERRORS)}
    results = make_results(axes=axes, zipped={"num_steps": ("num_epochs", [1000, 12_000])}, seeds=seeds)
    accuracy = results["final_test_accuracy"]
    accuracy[:] = 0.95 + np.random.default_rng(0).normal(0, 0.0005, seeds)  # what a seed does to all methods alike
    for (width, epochs, method), error in errors.items():
        accuracy.loc[{"hidden_sizes": width, "num_epochs": epochs, "method": method}] += 0.05 - error
    return results


WITH_L2 = "dropout+input_dropout+l2"


def test_dropout_is_told_to_harm_narrow_networks_and_to_help_wide_ones() -> None:
    results = regularised({("32", 24.0, WITH_L2): 0.08, ("512", 24.0, WITH_L2): 0.03, ("512", 2.0, WITH_L2): 0.09})
    told = srivastava.answer(results)
    assert told.startswith(
        "After 24 epochs: Beside L2, dropout with L2 has a higher test error with 32 hidden units, a lower"
    )
    assert "dropout with max-norm has no clearly other test error with 32 and 512 hidden units: equal at " in told
    assert "undecided: 1, 4 and 10 with 32 hidden units; 4, 1 and 10 with 512 hidden units." in told
    judged = {judgement.statement: judgement.verdict for judgement in judge(srivastava.CLAIMS, results)}
    assert judged["512 hidden units: dropout with L2 has a lower test error than L2."] == "supported"
    assert judged["32 hidden units: dropout with L2 has a lower test error than L2."] == "contradicted"
    assert judged["32 hidden units: max-norm has a lower test error than L2."] == "undecided"
    codes = srivastava.verdicts(results, [(WITH_L2, "l2")]).isel(pair=0)
    assert [[srivastava.VERDICTS[code] for code in row] for row in codes.values] == [
        ["undecided", "contradicted"],
        ["contradicted", "supported"],
    ]
    ratio = srivastava.ratio(results, WITH_L2, "l2").mean("seed")
    np.testing.assert_allclose(ratio.sel(num_epochs=24), [1.6, 0.6], rtol=0.03)
    names = [figure.name for figure in srivastava.draw(results)]
    beside_max_norm = "dropout_against_width_max_norm"
    assert names == ["dropout_against_width", beside_max_norm, "error_against_width", "pairs_of_table_9"]


def test_a_run_of_one_length_and_two_methods_shows_where_dropout_turns_too() -> None:
    results = regularised({("32", 24.0, WITH_L2): 0.08, ("512", 24.0, WITH_L2): 0.03})
    alone = results.isel(num_epochs=1, drop=True).sel({"method": ["l2", WITH_L2]})
    alone = alone.assign_coords(num_steps=12_000, batch_size=100, train_size=50_000)
    told = srivastava.answer(alone)
    assert told == (
        "After 24 epochs: Beside L2, dropout with L2 has a higher test error with 32 hidden units, "
        "a lower test error with 512 hidden units: equal at 121 units (95 % interval 121 to 121, 6 of 6 seeds cross)."
    )
    turning, errors = srivastava.draw(alone)
    assert "beside L2, against hidden units, after 24 epochs. Below the line dropout helps. " in turning.caption
    (axes,) = turning.figure.axes
    assert axes.texts[-1].get_text().startswith("after 24 epochs\nequal at 121 units\n(95 % interval 121 to 121,\n6 of")
    assert errors.name == "error_against_width"
    assert len(srivastava.draw(alone.isel(seed=[0]))) == 2
    deeper = alone.assign_coords(hidden_sizes=["32", "32x32"])
    assert "dropout_against_width" not in [figure.name for figure in srivastava.draw(deeper)]


def ratios(*of_seeds: list[float]) -> xr.DataArray:
    """Ratios of errors of networks of 32, 64 and 128 units, [hidden_sizes, seed]."""
    coords = {"hidden_sizes": ["32", "64", "128"]}
    return xr.DataArray(np.transpose(of_seeds), dims=("hidden_sizes", "seed"), coords=coords)


@pytest.mark.parametrize(
    ("of_seeds", "words"),
    [
        ([[2, 2, 0.5]], "equal at 91 units (one seed, no interval)"),  # half way from 64 to 128 in its logarithm
        ([[2, 1.5, 1.2], [2, 1.1, 0.9]], "equal nowhere from 32 to 128 units on average (1 of 2 seeds cross)"),
        ([[2, 2, 0.5], [2.1, 2.1, 0.48]], "equal at 91 units (95 % interval 89 to 91, 2 of 2 seeds cross)"),
        (
            [[2, 2, 0.5], [2.1, 2.1, 1.01]],
            "equal at 102 units (95 % interval 68 to beyond 128, 1 of 2 seeds cross)",
        ),
        (
            [[1.2, 1.2, 0.8], [0.9, 1, 1.1]],
            "equal at 96 units (95 % interval below 32 to beyond 128, 2 of 2 seeds cross)",
        ),
        ([[2, 2, 0], [2, 2, 0.5]], "equal at 91 units (one seed, no interval)"),  # of no errors there is no ratio
    ],
)
def test_where_errors_are_equal_is_said_with_an_interval(of_seeds: list[list[float]], words: str) -> None:
    given = ratios(*of_seeds)
    found = srivastava.width_of_equal_errors(given)
    assert srivastava.equality_in_words(found, given["hidden_sizes"].values) == words
    backwards = given.isel(hidden_sizes=slice(None, None, -1))
    xr.testing.assert_allclose(srivastava.width_of_equal_errors(backwards), found)


def test_the_pairs_are_those_of_the_table_in_its_order() -> None:
    assert [100 * error for error in srivastava.ERRORS.values()] == pytest.approx([1.62, 1.6, 1.55, 1.35, 1.25, 1.05])
    assert len(set(srivastava.PAIRS)) == 15
    assert all(srivastava.ERRORS[better] < srivastava.ERRORS[worse] for better, worse in srivastava.PAIRS)
    assert [entry.value for entry in srivastava.STUDY.reported] == list(srivastava.ERRORS.values())


@pytest.mark.parametrize("name", sorted(path.stem for path in catalogue.FLAGFILES.glob("srivastava*.cfg")))
def test_the_flagfiles_of_srivastava_hold_the_methods_of_the_table(name: str) -> None:
    text = (catalogue.FLAGFILES / f"{name}.cfg").read_text()
    asked = experiment_from_flags("".join(line for line in text.splitlines(True) if line[0] == "-"), "srivastava")
    methods = list(asked.axes["method"])
    assert methods == ([*srivastava.DROPOUT[0]][::-1] if name == "srivastava_long" else list(srivastava.ERRORS))


def test_the_networks_of_mnist1d_are_those_of_its_source(tmp_path: Path) -> None:
    """By the number of their parameters, which the source's networks have; and shuffling moves no number elsewhere."""
    with restored_tables():
        mnist1d = importlib.import_module("experiments.references.mnist1d")
        sizes = {}
        for name in mnist1d.NETWORKS:
            module = mnist1d.network(name, "as made")
            params = module.init(jax.random.key(0), jnp.zeros((1, 40)))["params"]
            sizes[name] = sum(leaf.size for leaf in jax.tree.leaves(params))
        # 40 x 10; 40 x 256, 256 x 256 and 256 x 10; convolutions of 5 and twice 3 with 25 channels, 125 x 10; biases.
        assert sizes == {"logistic": 410, "mlp": 10_496 + 65_792 + 2_570, "cnn": 150 + 2 * 1_900 + 1_260}
        assert sorted(mnist1d.PERMUTATION) == list(range(40))
        flags = ["--flagfile=mnist1d_digits.cfg", "--network=cnn", "--num_steps=2", "--eval_every=2", "--seeds=2"]
        flags += ["--report=false", "--tensorboard=false", f"--workdir={tmp_path / 'run'}"]
        assert cli.main(mnist1d.STUDY, ["mnist1d", *flags]) == 0
        found = compare(jaxreg.load_results(tmp_path / "run"), mnist1d.STUDY.reported)
        assert found["id"].tolist() == ["M-cnn", "M-cnn-shuffled"]
    sys.modules.pop("experiments.references.mnist1d")  # what it declared is gone with the tables
