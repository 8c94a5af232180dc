"""Parts of a user's own, one of each kind, added from outside the package and used through the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

import jaxreg
from experiments import cli, lr_sweep
from jaxreg import extract
from jaxreg.config import FIELDS, TRACED, Experiment, Hparams, number
from jaxreg.config.sweeps import make_sweep
from jaxreg.errors import ConfigError
from jaxreg.nn.activations import ACTIVATIONS, Activation
from jaxreg.nn.initializers import INITIAL_SCHEMES
from jaxreg.nn.losses import LOSSES
from jaxreg.nn.optimizers import OPTIMIZERS, SCHEDULES
from jaxreg.nn.regularisers import REGULARISERS, Regulariser
from jaxreg.training.problem import Problem
from jaxreg.training.unread_axes import refuse_unread_axes
from tests.tables import restored_tables
from tests.training_run import train

# What each setting has besides those before it, the toy of one kind each: the last one has them all.
ADDED: dict[str, dict[str, str]] = {
    "none": {},
    "penalty": {"toy_strength": "0.01"},
    "projection": {"toy_bound": "0.1"},
    "initial scheme": {"init": "toy_constant"},
    "activation": {"activation": "toy_swish"},
    "hyperparameter": {"toy_slope": "3"},
    "loss": {"loss": "toy_square"},
    "schedule": {"schedule": "toy_steps"},
    "optimizer": {"optimizer": "toy_sign"},
}
BASE = {"activation": "sigmoid", "loss": "cross_entropy", "init": "normal", "optimizer": "sgd", "schedule": "constant"}
BASE |= {"toy_strength": "0", "toy_bound": "inf", "toy_slope": "1"}
TOYS = {flag: value for added in ADDED.values() for flag, value in added.items()}
PATIENCE = [f"{50 + place}" for place in range(len(ADDED))]  # never runs out: it only tells the settings apart


def settings() -> dict[str, list[str]]:
    """The value of each flag in each setting."""
    chosen, rows = dict(BASE), []
    for added in ADDED.values():
        chosen |= added
        rows.append(dict(chosen))
    return {flag: [row[flag] for row in rows] for flag in BASE}


SMALL = ["--hidden_sizes=4", "--batch_size=20", "--num_steps=12", "--eval_every=6", "--learning_rate=0.05"]
SMALL += ["--init_variance=0.1", "--momentum=0.5", "--report=false", "--tensorboard=false", "--progress=false"]


def toy_l4(params: Any, toy_strength: Any) -> Any:
    return toy_strength * sum(jnp.sum(layer["weights"] ** 4) for layer in params)


def toy_box(params: Any, toy_bound: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.clip(leaf, -toy_bound, toy_bound), params)


def add_toys() -> None:
    """What a user writes to have parts of their own."""
    jaxreg.add_hyperparameter("toy_slope", 1.0, number(0), "Slope of the toy activation.", subject="model")
    jaxreg.add_hyperparameter("toy_strength", 0.0, number(0), "Factor on the sum of w^4.", subject="regularisation")
    radius = FIELDS["max_norm"].metadata["rule"]
    jaxreg.add_hyperparameter("toy_bound", float("inf"), radius, "Bound on each parameter.", subject="regularisation")
    ACTIVATIONS["toy_swish"] = Activation(lambda x, toy_slope: x * jax.nn.sigmoid(toy_slope * x))
    INITIAL_SCHEMES["toy_constant"] = lambda key, shape, variance: variance + 0.01 * jax.random.normal(key, shape)
    LOSSES["toy_square"] = lambda logits, labels: jnp.sum((logits - jax.nn.one_hot(labels, logits.shape[-1])) ** 2, -1)
    OPTIMIZERS["toy_sign"] = lambda momentum: optax.chain(optax.trace(momentum), optax.scale_by_sign())
    SCHEDULES["toy_steps"] = lambda elapsed, decay_rate: jnp.where(elapsed < 3, 1.0, decay_rate)
    REGULARISERS["toy_l4"] = Regulariser("toy_strength", 0.0, penalty=toy_l4)
    REGULARISERS["toy_box"] = Regulariser("toy_bound", float("inf"), projection=toy_box)


@contextlib.contextmanager
def toys() -> Iterator[None]:
    """The tables with the toys, and as they were afterwards."""
    with restored_tables():
        add_toys()
        yield


def run(*flags: str) -> int:
    return cli.main(lr_sweep.STUDY, ["lr_sweep", *SMALL, *flags])


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xr.Dataset]:
    """All settings side by side for one seed, then with a second one added, and one member by itself."""
    folder = tmp_path_factory.mktemp("toys")
    flags = [f"--{flag}={','.join(values)}" for flag, values in {"patience": PATIENCE, **settings()}.items()]
    flags += [f"--zip={','.join(['patience', *BASE])}", f"--workdir={folder}/run"]
    with toys():
        assert run(*flags, "--seeds=1") == 0
        assert run(*flags, "--seeds=2", "--resume") == 0
        yield jaxreg.load_results(folder / "run").assign_attrs(folder=str(folder))


def test_every_kind_acts(swept: xr.Dataset) -> None:
    objective = swept["train_objective"].isel(seed=0).transpose("patience", "step").values
    assert np.isfinite(objective).all()
    for kind, without, with_it in zip(list(ADDED)[1:], objective[:-1], objective[1:], strict=True):
        assert not np.array_equal(without, with_it), f"{kind} does nothing"


def test_they_stand_in_the_results(swept: xr.Dataset) -> None:
    for flag, given in settings().items():
        held = swept[flag].values.tolist()
        assert held == (given if isinstance(held[0], str) else list(map(float, given)))
    assert swept["toy_slope"].attrs["description"] == "Slope of the toy activation."


def test_a_resumed_run_goes_on_with_them(swept: xr.Dataset) -> None:
    losses = swept["train_loss"].transpose("seed", "patience", "step").values
    assert losses.shape == (2, len(ADDED), 12)
    assert np.isfinite(losses).all()
    assert (losses[0] != losses[1]).any(-1).all()


def test_a_member_with_all_of_them_is_extracted_and_trains_alone(
    swept: xr.Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = swept.attrs["folder"]
    select = f"patience={PATIENCE[-1]},seed=1"
    assert extract.main(["extract", f"{folder}/run", f"--select={select}", f"--out={folder}/member"]) == 0
    assert "with the same bits" in capsys.readouterr().out
    flags = (f"--flagfile={folder}/member/flags.cfg", f"--workdir={folder}/alone")
    assert cli.main(lr_sweep.STUDY, ["lr_sweep", *flags]) == 0
    alone = jaxreg.load_results(f"{folder}/alone")
    there = swept.sel(patience=int(PATIENCE[-1]), seed=1)
    np.testing.assert_array_equal(alone["train_objective"].squeeze(), there["train_objective"])
    member = jaxreg.load_member(f"{folder}/alone")
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(member.params)) <= np.float32(0.1)


@pytest.mark.usefixtures("swept")
def test_they_stand_in_the_help_and_in_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for flag, name in {**TOYS, "method": "toy_l4"}.items():
        _, _, line = text.partition(f" --{flag}: ")
        assert line
        assert not name.startswith("toy") or f", {name}" in line.partition(" --")[0]
    assert "--toy_slope: Slope of the toy activation. A finite number >= 0. [1]" in text
    assert run("--activation=toy_swihs") == 1
    assert "did you mean toy_swish?" in capsys.readouterr().err


@pytest.mark.usefixtures("swept")
def test_methods_and_remarks_know_them(caplog: pytest.LogCaptureFixture) -> None:
    axes = {"method": ["none", "toy_l4", "toy_box", "toy_l4+toy_box"]}
    hparams: Any = Hparams
    given = hparams(toy_strength=0.1, toy_bound=0.5, num_steps=2, hidden_sizes=(3,))
    made = make_sweep(Experiment(hparams=given, axes=axes), 1000)
    assert [group.terms for group in made.groups] == ["toy_l4+toy_box"]
    effective: list[Any] = list(made.groups[0].configs)
    assert [config.toy_strength for config in effective] == [0.0, 0.1, 0.0, 0.1]
    assert [config.toy_bound for config in effective] == [np.inf, np.inf, 0.5, 0.5]
    assert not caplog.records


# Every traced hyperparameter


SHARED: dict[str, Any] = {"hidden_sizes": (6,), "num_steps": 40, "batch_size": 20, "schedule": "exponential"}
ON: dict[str, float] = {"learning_rate": 0.02, "momentum": 0.5, "init_variance": 0.1, "decay_steps": 20.0}
ON |= {"warmup_steps": 4.0, "l1_strength": 1e-3, "l1_start": 0.5, "l2_strength": 1e-3, "kl_strength": 0.1}
ON |= {"max_norm": 1.0, "dropout_rate": 0.2, "weight_decay": 0.1, "bias_variance": 0.01}
ON |= {"input_dropout_rate": 0.1, "label_smoothing": 0.1}
CHANGED: dict[str, float] = {
    **{"init_variance": 0.2, "learning_rate": 0.03, "momentum": 0.9, "beta1": 0.5, "beta2": 0.9, "weight_decay": 0.5},
    **{"decay_steps": 10.0, "decay_rate": 0.5, "warmup_steps": 8.0, "patience": 1, "l1_strength": 1e-2},
    **{
        "l1_start": 0.1,
        "l2_strength": 1e-2,
        "kl_strength": 1.0,
        "kl_target": 0.3,
        "max_norm": 0.5,
        "dropout_rate": 0.5,
        "bias_variance": 0.3,
        "input_dropout_rate": 0.3,
        "label_smoothing": 0.5,
    },
}


UNREAD = {"rmsprop": ("beta1",), "adam": ("momentum",)}


@pytest.fixture(scope="module")
def one_changed() -> dict[str, xr.Dataset]:
    """Under two optimizers, a setting with everything on and then, for each hyperparameter, with that one changed."""
    results = {}
    for optimizer in ("rmsprop", "adam"):
        hparams = Hparams(optimizer=optimizer, **(SHARED | ON))
        names = [name for name in CHANGED if name not in UNREAD[optimizer]]
        axes: dict[str, Any] = {}
        for name in names:
            base = getattr(hparams, name)
            axes[name] = [base, *(CHANGED[name] if name == other else base for other in names)]
        asked = Experiment(hparams=hparams, axes=axes, zip=(tuple(names),), eval_every=1, compaction=False)
        results[optimizer] = train(asked)  # not validated: a swept list holds no value twice
    return results


@pytest.mark.parametrize("name", CHANGED)
def test_every_traced_hyperparameter_changes_the_results(name: str, one_changed: dict[str, xr.Dataset]) -> None:
    optimizer = "adam" if name == "beta1" else "rmsprop"
    results, names = one_changed[optimizer], [name for name in CHANGED if name not in UNREAD[optimizer]]
    place = 1 + names.index(name)
    compared = ("train_objective", "train_loss", "stopped_check")
    base, changed = (results.isel({next(iter(CHANGED)): at}) for at in (0, place))
    assert any(not np.array_equal(base[each], changed[each], equal_nan=True) for each in compared)


def test_all_traced_hyperparameters_are_among_them() -> None:
    assert {name for name in TRACED if not name.startswith("toy")} == set(CHANGED)


@pytest.mark.parametrize("name", CHANGED)
def test_with_the_defaults_it_is_read_or_refused(name: str) -> None:
    unread = {"momentum", "beta1", "beta2", "decay_steps", "decay_rate", "l1_start", "kl_target"}
    asked = Experiment(hparams=Hparams(num_steps=10), axes={name: [CHANGED[name], CHANGED[name] / 2]})
    refused = pytest.raises(ConfigError, match=f"^--{name}=.*without effect") if name in unread else None
    with refused or contextlib.nullcontext():
        refuse_unread_axes(asked, make_sweep(asked, 1000), Problem(), (8, 8), 10)
