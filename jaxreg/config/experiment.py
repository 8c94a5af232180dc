"""What a run does: the data, the sweep, how it is kept and shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxreg.config.fields import option
from jaxreg.config.hparams import FIELDS, RESERVED, Hparams
from jaxreg.config.validation import ADDRESS, MAX_FLOAT_COUNT, describe, number, one_of, plain, whole_number
from jaxreg.errors import ConfigError

MATMUL_PRECISIONS = ("default", "high", "highest")


def _make_plain(part: Any) -> None:
    """Every option of a configuration as the plain type of its field."""
    for field in dataclasses.fields(part):
        if field.metadata:
            object.__setattr__(part, field.name, plain(getattr(part, field.name), field.metadata["kind"]))


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which examples, and how they are split."""

    dataset: str = option(
        "digits",
        str,
        "data",
        "digits, mnist1d, mnist, fashion_mnist, or an image set that tfds has prepared; mnist_as_published and "
        "fashion_mnist_as_published: the same in the order of their publishers, which tfds changes; "
        "points in the plane: moons, circles, spirals, blobs, xor; "
        "or the path of your own: a .npz, .csv or .parquet file, or a folder of images by class.",
    )
    data_dir: str | None = option(
        None, str, "data", "Folder of tensorflow-datasets; falls back to TFDS_DATA_DIR, then to tfds's default."
    )
    downsample: int = option(1, int, "data", "Average-pooling factor: 4 turns 28x28 into 7x7.", whole_number(1))
    validation_size: int | None = option(
        None,
        int,
        "data",
        "Examples held out of the training split (default 5000 for mnist, 300 for digits, a tenth of your own); of "
        "points, drawn besides (default 500).",
        whole_number(1),
    )
    num_points: int | None = option(
        None, int, "data", "Training examples of a set of points (default 200).", whole_number(2, MAX_FLOAT_COUNT)
    )
    noise: float | None = option(
        None,
        float,
        "data",
        "Standard deviation of the Gaussian noise on a set of points (default 0.2 for moons, 0.7 for blobs, else 0.1).",
        number(0),
    )
    label: str | None = option(
        None, str, "data", "Column of the classes in a .csv or .parquet file (default label, if there is one)."
    )
    test_size: int | None = option(
        None,
        int,
        "data",
        "Test examples held out of your own data that bring none (default a tenth).",
        whole_number(1),
    )

    def __post_init__(self) -> None:
        """Brings NumPy numbers and paths into the plain types of their fields."""
        _make_plain(self)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """How a run is kept and shown. Nothing here changes a number in the results, but for `fewer_devices`."""

    workdir: str | None = option(None, str, "run", "Run folder (default runs/NAME/UTC stamp).")
    resume: bool = option(False, bool, "run", "Go on from the last complete checkpoint in --workdir.")
    overwrite: bool = option(False, bool, "run", "Start over in --workdir, deleting the run that is there.")
    fewer_devices: bool = option(
        False,
        bool,
        "run",
        "With --resume, go on with fewer devices than the run was begun on: to results that are equal only within "
        "rounding.",
    )
    checkpoint_every: int = option(
        0, int, "run", "Steps between checkpoints; 0: at checks, at most one a minute.", whole_number(0)
    )
    max_minutes: float = option(
        0.0, float, "run", "Stop in order after so many minutes, resumable (exit code 75); 0 for no limit.", number(0)
    )
    tensorboard: bool = option(True, bool, "run", "Write TensorBoard scalars.")
    tensorboard_max_runs: int = option(20, int, "run", "At most so many settings in TensorBoard.", whole_number(0))
    report: bool = option(True, bool, "run", "Draw the figures and write report.html.")
    dry_run: bool = option(
        False, bool, "run", "Print members, groups, memory and an estimate of the time, and stop (command line)."
    )
    distributed: bool = option(
        False,
        bool,
        "run",
        "This process is one of several that train the run together, on all their devices (command line). SLURM, Open "
        "MPI, Kubernetes and TPU pods tell which; elsewhere give the three flags that follow.",
    )
    coordinator: str | None = option(None, str, "run", "With --distributed, HOST:PORT of process 0.", ADDRESS)
    num_processes: int | None = option(None, int, "run", "With --distributed, how many there are.", whole_number(1))
    process_id: int | None = option(
        None, int, "run", "With --distributed, which one this is, from 0 on.", whole_number(0)
    )
    gpu_memory: float | None = option(
        None,
        float,
        "run",
        "Share of a GPU's memory that this process takes, and lays the sweep out for, so that several can use one "
        "(command line; default JAX's).",
        number(0, 1, above=True),
    )
    profile: bool = option(
        False, bool, "run", "Write a trace of a few chunks of steps into profile/ of the run folder, for Perfetto."
    )
    progress: str = option(
        "auto", str, "run", "Progress bar: auto (on a terminal), true or false.", one_of(("auto", "true", "false"))
    )

    def __post_init__(self) -> None:
        """Brings NumPy numbers and paths into the plain types of their fields."""
        _make_plain(self)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A sweep: `hparams` is what all members share, `axes` what they differ in, `seeds` how often each is repeated.

    `axes` maps a field of `Hparams` to its values; the sweep is their product. The names of each tuple in `zip` advance
    together as one dimension, named after the first.
    """

    name: str = "run"
    hparams: Hparams = Hparams()
    axes: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    zip: tuple[tuple[str, ...], ...] = ()
    data: DataConfig = DataConfig()
    seeds: int = option(1, int, "sweep", "Replicates: seeds first_seed ... first_seed + seeds - 1.", whole_number(1))
    first_seed: int = option(0, int, "sweep", "First seed.", whole_number(0, 2**32 - 1))
    base_seed: int = option(0, int, "sweep", "Another base seed makes other replicates.", whole_number(0, 2**32 - 1))
    eval_every: int = option(0, int, "training", "Steps between checks; 0 for num_steps/20.", whole_number(0))
    check_train: bool = option(
        False, bool, "training", "At every check, loss and accuracy on the whole training set too."
    )
    record_every: int = option(
        0,
        int,
        "training",
        "Steps between recorded batch losses; 0: 1, or as many as keep them under 256 MB.",
        whole_number(0),
    )
    members_per_program: int = option(
        0, int, "sweep", "Members trained at once; 0: as many as fit in memory.", whole_number(0)
    )
    compaction: bool = option(
        True,
        bool,
        "sweep",
        "Once the members still training fit half the program, recompile it at half the width: faster, but equal only "
        "within rounding.",
    )
    diagnostics: bool = option(
        False,
        bool,
        "diagnostics",
        "At every check, statistics of weights, signals and gradients per layer, and a verdict.",
    )
    histograms: bool = option(
        False, bool, "diagnostics", "At every check, histograms of them too, for results.nc and TensorBoard."
    )
    surfaces: bool = option(
        False,
        bool,
        "diagnostics",
        "At every check, the probability of class 1 over the plane, for 2-D data; of the first seed.",
    )
    part: str | None = option(
        None,
        str,
        "sweep",
        "K/N: train the Kth of N parts of the sweep alone, into a folder of its own; python -m jaxreg.join joins them.",
    )
    layout: str | None = option(
        None,
        str,
        "sweep",
        "Pins the shape of the one compiled program, as jaxreg.extract does: equal widths give equal bits.",
    )
    matmul_precision: str = option(
        "default", str, "training", "Precision of matrix products on accelerators.", one_of(MATMUL_PRECISIONS)
    )
    run: RunConfig = RunConfig()

    def __post_init__(self) -> None:
        """Brings values that came as lists, paths or NumPy numbers into the plain types of their fields."""
        _make_plain(self)
        hparams = {name: _plain(name, getattr(self.hparams, name)) for name in FIELDS}
        for name, values in self.axes.items():
            is_array = getattr(values, "ndim", 0) == 1
            if isinstance(values, str) or not (is_array or isinstance(values, Sequence)):
                raise ConfigError(name, describe(values), "an axis is a list of values; a single one goes into hparams")
        axes = {name: tuple(_plain(name, value) for value in values) for name, values in self.axes.items()}
        object.__setattr__(self, "hparams", Hparams(**hparams))
        object.__setattr__(self, "axes", axes)


RESERVED.update(field.name for part in (Experiment, DataConfig, RunConfig) for field in dataclasses.fields(part))


def _plain(name: str, value: Any) -> Any:
    return plain(value, FIELDS[name].metadata["kind"]) if name in FIELDS else value
