"""What a large run costs after training: `python -m benchmarks.reporting`, by default 1000 members x 200 checks.

Made-up curves of the size of a real run (10 000 recorded steps each) go through the statistics (summary and verdicts),
through TensorBoard in twenty calls, as during training, and through figures and report page, each timed by the clock.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr
from absl import flags
from rich.console import Console
from rich.table import Table

from experiments.lr_sweep import STUDY
from jaxreg import results as labelled
from jaxreg.claims import judge
from jaxreg.config.experiment import Experiment
from jaxreg.config.flagfile import flag_lines
from jaxreg.config.hparams import Hparams
from jaxreg.data import Data, from_arrays
from jaxreg.measures.summary import write_summary
from jaxreg.population.planning import make_plan
from jaxreg.reporting.assemble import write_report
from jaxreg.reporting.tensorboard import ScalarWriter
from jaxreg.runs.history import CHECK_VARIABLES, History

NUM_STEPS, CALLS = 10_000, 20


def main(argv: list[str]) -> int:
    """Prints a row per part; returns 0."""
    values = flags.FlagValues()
    for name, default in (("settings", 100), ("seeds", 10), ("checks", 200), ("tensorboard_max_runs", 20)):
        flags.DEFINE_integer(name, default, f"Number of {name}.", 1, flag_values=values)
    values(argv)
    settings, seeds, checks, max_runs = (
        int(values[name].value or 0) for name in ("settings", "seeds", "checks", "tensorboard_max_runs")
    )
    experiment = Experiment(
        name=STUDY.name,
        hparams=Hparams(num_steps=NUM_STEPS, batch_size=1000, hidden_sizes=(11,)),
        axes={"learning_rate": np.geomspace(1e-3, 1, settings).tolist()},
        seeds=seeds,
        eval_every=NUM_STEPS // checks,
    )
    results = made_up_results(experiment)
    table = Table(title=f"{settings} settings x {seeds} seeds x {checks} checks, {NUM_STEPS} steps")
    table.add_column("part")
    table.add_column("seconds", justify="right")

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        table.add_row(part, f"{time.perf_counter() - start:.2f}")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with timed("statistics: summary and verdicts"):
            write_summary(results, folder / "summary.csv")
            judge(STUDY.claims, results)
        with timed(f"TensorBoard, {CALLS} calls"):
            writer = ScalarWriter(folder / "tensorboard", max_runs)
            for done in np.linspace(1, results.sizes["check"], CALLS).astype(int):
                writer.write(results.assign(checks_done=xr.full_like(results["checks_done"], done)))
            writer.finish(results)
        with timed("results.nc, written"):
            labelled.save(results, folder / "results.nc")
        meta = {"experiment": STUDY.name, "status": "done", "members": settings * seeds}
        (folder / "meta.json").write_text(json.dumps(meta))
        (folder / "flags.cfg").write_text("\n".join(flag_lines(experiment)))
        with timed("report: results.nc read, figures, verdicts, page"):
            write_report(folder, STUDY)
    Console().print(table)
    return 0


def made_up_results(experiment: Experiment) -> xr.Dataset:
    """Losses that fall faster at larger rates, with noise of seed and step; everything a run would have measured."""
    plan, rng = make_plan(experiment, _data()), np.random.default_rng(0)
    (group,) = plan.sweep.groups
    history = History(plan, group)
    speed = np.array([config.learning_rate for config in group.configs])[:, None, None]
    speed = speed * rng.lognormal(0, 0.1, (1, len(plan.sweep.seeds), 1))

    def loss(steps: np.ndarray, noise: float) -> np.ndarray:
        curve = 0.2 + 2.1 * np.exp(-0.01 * speed * steps)
        return curve + noise * rng.standard_normal(curve.shape)

    checks = np.array(group.check_steps)
    for name in ("train_loss", "train_objective"):
        history.arrays[name][:] = loss(np.arange(history.arrays[name].shape[-1]), 0.05)
    for name in CHECK_VARIABLES:
        values = loss(checks, 0.01)
        history.arrays[name][:] = np.clip(1 - values / 2.3, 0, 1) if "accuracy" in name else values
    history.arrays["final_train_loss"][:] = history.arrays["validation_loss"][..., -1]
    history.arrays["train_accuracy"][:] = history.arrays["validation_accuracy"][..., -1]
    history.arrays["best_check"][:] = history.arrays["validation_loss"].argmin(-1)
    history.arrays["checks_done"][:] = len(checks)
    history.arrays["test_confusion"][:] = np.eye(plan.data.num_classes, dtype=int) * 90 + 1
    history.arrays["seconds"][:] = 1.0
    return labelled.make_dataset(plan, [history])


def _data() -> Data:
    split = (np.zeros((1000, 28, 28), np.float32), np.arange(1000) % 10)
    return from_arrays(split, split, split, name="made up")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
