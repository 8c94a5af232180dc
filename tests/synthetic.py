"""Made-up results with the shape of real ones, for tests of what is drawn and reported from a Dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr


def make_results(
    *,
    axes: dict[str, list[Any]] | None = None,
    zipped: dict[str, tuple[str, list[Any]]] | None = None,
    seeds: int = 5,
    num_checks: int = 21,
    eval_every: int = 50,
    record_every: int = 1,
    batch_size: int = 100,
    diverged: int = 0,
    key: int = 0,
) -> xr.Dataset:
    """Loss curves that fall at a speed set by the first axis; the last setting's first `diverged` seeds diverge.

    `axes` maps a dimension to its values; `zipped` maps a further coordinate to (the dimension it lies along, values).
    """
    axes = {"learning_rate": [0.001, 0.01, 0.1, 1.0]} if axes is None else axes
    rng = np.random.default_rng(key)
    sizes = [len(values) for values in axes.values()]
    num_steps = eval_every * (num_checks - 1)
    step = np.arange(0, num_steps, record_every)
    check_step = np.arange(num_checks) * eval_every
    speed = np.linspace(0.5, 3.0, sizes[0]) if sizes else np.array(1.0)
    speed = speed.reshape(speed.shape + (1,) * max(len(sizes), 1)) * np.ones([*sizes, 1]) + rng.normal(
        0, 0.02, [*sizes, seeds]
    )

    def loss(at: np.ndarray, noise: float, floor: float = 0.2) -> np.ndarray:
        curve = floor + 2.1 * np.exp(-speed[..., None] * at / num_steps)
        return (curve + rng.normal(0, noise, curve.shape)).astype(np.float32)

    train, validation, test = loss(step, 0.05), loss(check_step, 0.01), loss(check_step, 0.01, 0.22)
    test_batch = loss(check_step, 0.05, 0.22)
    accuracy = {name: np.clip(1 - value / 2.3, 0, 1) for name, value in (("validation", validation), ("test", test))}
    diverged_step = np.full([*sizes, seeds], -1, np.int32)
    if diverged:
        ended: Any = (*[-1] * len(sizes), slice(0, diverged))
        diverged_step[ended] = num_steps // 2
        for values in (validation, test, test_batch, *accuracy.values()):
            values[(*ended, slice(num_checks // 2, None))] = np.nan
        train[(*ended, slice(len(step) // 2, None))] = np.nan
    dims = (*axes, "seed")
    best = np.nanargmin(validation, axis=-1)

    def at_best(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, best[..., None], -1)[..., 0]

    variables: dict[str, tuple[tuple[str, ...], np.ndarray, str, str]] = {
        "train_loss": ((*dims, "step"), train, "nats", "mean loss of the batch before the update"),
        "train_objective": ((*dims, "step"), train, "nats", "the same with penalties"),
        "validation_loss": ((*dims, "check"), validation, "nats", "mean loss of the validation set"),
        "test_loss": ((*dims, "check"), test, "nats", "mean loss of the test set"),
        "test_batch_loss": ((*dims, "check"), test_batch, "nats", "mean loss of one test batch of batch_size examples"),
        "validation_accuracy": ((*dims, "check"), accuracy["validation"], "1", "accuracy on the validation set"),
        "test_accuracy": ((*dims, "check"), accuracy["test"], "1", "accuracy on the test set"),
        "train_accuracy": (dims, accuracy["test"][..., -1] + 0.01, "1", "accuracy on the training set at the end"),
        "final_validation_loss": (dims, validation[..., -1], "nats", "validation loss at the last check"),
        "final_validation_accuracy": (dims, accuracy["validation"][..., -1], "1", "at the last check"),
        "final_test_loss": (dims, test[..., -1], "nats", "test loss at the last check"),
        "final_test_accuracy": (dims, accuracy["test"][..., -1], "1", "at the last check"),
        "final_test_batch_loss": (dims, test_batch[..., -1], "nats", "at the last check"),
        "best_validation_loss": (dims, at_best(validation), "nats", "at the best check"),
        "best_validation_accuracy": (dims, at_best(accuracy["validation"]), "1", "at the best check"),
        "best_test_loss": (dims, at_best(test), "nats", "at the best check"),
        "best_test_accuracy": (dims, at_best(accuracy["test"]), "1", "at the best check"),
        "best_check": (dims, best.astype(np.int32), "1", "check with the lowest validation loss"),
        "stopped_check": (dims, np.full([*sizes, seeds], -1, np.int32), "1", "check at which patience ran out, or -1"),
        "diverged_step": (dims, diverged_step, "steps", "step at which the member diverged, or -1"),
        "checks_done": (dims, np.full([*sizes, seeds], num_checks, np.int32), "1", "checks measured so far"),
    }
    fixed: dict[str, Any] = {"hidden_sizes": "32", "activation": "sigmoid", "init": "normal", "init_variance": 0.01}
    fixed |= {"num_steps": num_steps, "batch_size": batch_size, "learning_rate": 0.1}
    return xr.Dataset(
        {name: (d, values, {"units": u, "description": text}) for name, (d, values, u, text) in variables.items()},
        coords={name: np.array(values) for name, values in axes.items()}
        | {name: ((along,), np.array(values)) for name, (along, values) in (zipped or {}).items()}
        | {
            "seed": np.arange(seeds),
            "step": ("step", step, {"units": "steps"}),
            "check_step": ("check", check_step, {"units": "steps"}),
            "examples_seen": ("check", check_step * batch_size, {"units": "examples"}),
            "seconds": ("check", np.linspace(0, 12.5, num_checks), {"units": "s"}),
        }
        | {name: value for name, value in fixed.items() if name not in axes and name not in (zipped or {})},
        attrs={"experiment": "synthetic", "dataset": "digits"},
    )


def add_surfaces(results: xr.Dataset, examples: int = 20) -> xr.Dataset:
    """With surfaces of the first seed, sigmoid(slope * x1) with the slope 1 + check, and points of two classes."""
    x1, x2 = np.linspace(-2, 2, 9), np.linspace(-1, 1, 9)
    slopes = 1 + np.arange(results.sizes["check"])
    of_check = np.broadcast_to(1 / (1 + np.exp(-slopes[:, None, None] * x1)), (len(slopes), len(x2), len(x1)))
    axes = tuple(dim for dim in results["diverged_step"].dims if dim != "seed")
    shape = (*(results.sizes[dim] for dim in axes), *of_check.shape)
    points = np.random.default_rng(0).normal(size=(2, examples))
    return results.assign(
        surface=((*axes, "check", "x2", "x1"), np.broadcast_to(of_check, shape).astype(np.float32), {"seed": 0}),
        example_x1=("example", points[0]),
        example_x2=("example", points[1]),
        example_label=("example", (points[0] > 0).astype(np.int32)),
    ).assign_coords(x1=x1, x2=x2)


def make_meta() -> dict[str, Any]:
    """A meta.json as a finished run leaves it."""
    return {
        "experiment": "lr_sweep",
        "status": "done",
        "command": "python -m experiments.lr_sweep --flagfile=experiments/flagfiles/quickstart.cfg",
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "versions": {"jaxreg": "0.1.0", "jax": "0.10.2", "python": "3.11.7"},
        "device": "cpu x 2",
        "started": "2026-11-22T20:00:00+00:00",
        "ended": "2026-11-22T20:00:20+00:00",
        "members": 20,
        "finished": 20,
        "stopped": 0,
        "diverged": 0,
        "train_compilations": 1,
        "layout": [{"seeds": 5, "configs": 4, "devices": 2, "tile_seeds": 1, "tile_configs": 4, "chunk_steps": 50}],
        "seconds": {"compile": 1.5, "train": 12.5, "evaluate": 0.4, "write": 0.6},
        "member_steps_per_second": 1600.0,
        "peak_memory_bytes": 700_000_000,
    }
