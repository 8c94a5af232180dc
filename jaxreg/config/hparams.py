"""The vocabulary: what a member is trained with (`Hparams`) and what a run does (`Experiment` and its parts).

`Hparams` is the one list of hyperparameters. A field is either *traced*, a number that every member has for itself
inside one compiled program, or *static*, a choice that decides array shapes or code and so splits a sweep into groups.
Flags, axes, groups, result coordinates and their documentation are derived from these fields: a new hyperparameter is
one more field.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import numpy as np

from jaxreg.errors import ConfigError

ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu", "elu", "silu", "softplus", "identity")
INITS = ("zeros", "normal", "uniform", "lecun", "glorot", "he", "orthogonal", "torch")
LOSSES = ("cross_entropy", "cross_entropy_on_probabilities")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop")
AFTER_STOP = ("halt", "continue")
SCHEDULES = ("constant", "inverse_time", "exponential", "cosine")
MATMUL_PRECISIONS = ("default", "high", "highest")

# What a method may be made of: the field that holds its strength, and the value at which it is off.
REGULARISERS: dict[str, tuple[str, float]] = {
    "l1": ("l1_strength", 0.0),
    "late_l1": ("l1_strength", 0.0),
    "l2": ("l2_strength", 0.0),
    "kl": ("kl_strength", 0.0),
    "max_norm": ("max_norm", math.inf),
    "dropout": ("dropout_rate", 0.0),
    "weight_decay": ("weight_decay", 0.0),
    "early_stopping": ("patience", 0),
}


def strengths_of(method: str) -> dict[str, float]:
    """The fields that hold the strengths of a method, in its order, with the values at which they are off.

    Empty for all and none, which name no regulariser.
    """
    return dict(REGULARISERS[name] for name in method.split("+") if name in REGULARISERS)


TERMS = ("l1", "l2", "kl", "max_norm", "dropout")  # of these: compiled in only where a member needs them

DEFAULT_NUM_STEPS = 1000
MAX_STEPS = 2**31 - 1  # steps are int32 on the device
MAX_FLOAT_COUNT = 2**24  # counts up to here are exact as float32, which traced hyperparameters are


@dataclasses.dataclass(frozen=True)
class Rule:
    """What values a field may take: a test, and the words for it."""

    holds: Callable[[Any], bool]
    allowed: str


def _float32(value: float) -> float:
    """The number as the device will see it: 1e39 is infinite there and 1e-50 zero."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.float32(value))


def number(lowest: float = -math.inf, highest: float = math.inf, *, above: bool = False, below: bool = False) -> Rule:
    """Finite float32 numbers in [lowest, highest]; `above` and `below` leave the ends out."""
    words = [f"{'>' if above else '>='} {lowest:g}"] if lowest > -math.inf else []
    words += [f"{'<' if below else '<='} {highest:g}"] if highest < math.inf else []

    def holds(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        x = _float32(value)
        return math.isfinite(x) and (x > lowest if above else x >= lowest) and (x < highest if below else x <= highest)

    return Rule(holds, f"must be a finite number {' and '.join(words)}".rstrip())


def whole(lowest: int, highest: int = MAX_STEPS) -> Rule:
    """Whole numbers in [lowest, highest]."""
    return Rule(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest,
        f"must be a whole number from {lowest} to {highest}",
    )


def one_of(names: Sequence[str]) -> Rule:
    """One of the names."""
    return Rule(lambda value: value in names, f"must be one of {', '.join(names)}")


def _is_method(text: Any) -> bool:
    parts = text.split("+") if isinstance(text, str) else [text]
    if len(set(parts)) < len(parts) or {"l1", "late_l1"} <= set(parts):
        return False
    return text in ("all", "none") or set(parts) <= set(REGULARISERS)


METHOD = Rule(
    _is_method,
    f"must be one of all, none, {', '.join(REGULARISERS)}, or several of them joined by +, each once, "
    "all and none alone, l1 not beside late_l1",
)
RADIUS = Rule(lambda value: value == math.inf or number(0, above=True).holds(value), "must be a number > 0, or inf")

SIZES = Rule(
    lambda value: isinstance(value, tuple) and all(isinstance(size, int) and size >= 1 for size in value),
    "must be layer sizes >= 1, `x` between layers and a comma between axis values (32,64x64), or none",
)


def hyperparameter(
    default: Any,
    kind: type,
    rule: Rule,
    subject: str,
    help: str,
    *,
    static: bool = False,
    label: bool = False,
    used_by: str = "",
) -> Any:
    """A field of `Hparams`; `used_by="optimizer=momentum,nesterov"` names the only choices in which it acts.

    A `label` is neither traced nor static: text that is spelled out in other fields before anything is compiled.
    """
    metadata = {"kind": kind, "rule": rule, "subject": subject, "help": help, "used_by": used_by}
    metadata |= {"static": static, "label": label}
    return flax.struct.field(pytree_node=not (static or label), default=default, metadata=metadata)


def option(default: Any, kind: type, subject: str, help: str, rule: Rule | None = None) -> Any:
    """A field of the configurations around `Hparams`: set once per run, never an axis."""
    metadata = {"kind": kind, "rule": rule, "subject": subject, "help": help}
    return dataclasses.field(default=default, metadata=metadata)


@flax.struct.dataclass
class Hparams:
    """The hyperparameters of one member; stacked along a leading axis they are those of a population."""

    hidden_sizes: tuple[int, ...] = hyperparameter(
        (32,), tuple, SIZES, "model", "Units of each hidden layer; none for softmax regression.", static=True
    )
    activation: str = hyperparameter(
        "sigmoid", str, one_of(ACTIVATIONS), "model", "Activation of the hidden layers.", static=True
    )
    init: str = hyperparameter("normal", str, one_of(INITS), "model", "Scheme of the initial weights.", static=True)
    init_variance: float | None = hyperparameter(
        None,
        float,
        number(0),
        "model",
        "Variance of the initial weights for normal and uniform (default 0.01); "
        "a factor on the scheme's own variance for the others (default 1).",
        used_by="init=normal,uniform,lecun,glorot,he,orthogonal,torch",
    )
    loss: str = hyperparameter(
        "cross_entropy", str, one_of(LOSSES), "training", "What is minimised, in nats.", static=True
    )
    optimizer: str = hyperparameter("sgd", str, one_of(OPTIMIZERS), "optimizer", "Update rule.", static=True)
    learning_rate: float = hyperparameter(0.1, float, number(0, above=True), "optimizer", "Step size at its start.")
    momentum: float = hyperparameter(
        0.0,
        float,
        number(0, 1, below=True),
        "optimizer",
        "Decay of the gradient trace.",
        used_by="optimizer=momentum,nesterov,rmsprop",
    )
    beta1: float = hyperparameter(
        0.9, float, number(0, 1, below=True), "optimizer", "First-moment decay of Adam.", used_by="optimizer=adam,adamw"
    )
    beta2: float = hyperparameter(
        0.999,
        float,
        number(0, 1, below=True),
        "optimizer",
        "Second-moment decay of Adam and RMSProp.",
        used_by="optimizer=adam,adamw,rmsprop",
    )
    weight_decay: float = hyperparameter(
        0.0,
        float,
        number(0),
        "optimizer",
        "Decoupled decay of the weights (not the biases), times the learning rate; with it, adam is adamw.",
    )
    schedule: str = hyperparameter(
        "constant", str, one_of(SCHEDULES), "optimizer", "How the learning rate falls.", static=True
    )
    decay_steps: float = hyperparameter(
        0.0,
        float,
        number(0),
        "optimizer",
        "Time constant of the schedule in steps; 0 for the steps that follow the warm-up.",
        used_by="schedule=inverse_time,exponential,cosine",
    )
    decay_rate: float = hyperparameter(
        0.1,
        float,
        number(0, 1, above=True),
        "optimizer",
        "Factor per decay_steps of the exponential schedule.",
        used_by="schedule=exponential",
    )
    warmup_steps: float = hyperparameter(
        0.0, float, number(0), "optimizer", "Steps over which the learning rate rises linearly to its start."
    )
    batch_size: int = hyperparameter(100, int, whole(1), "training", "Examples per step.", static=True)
    num_steps: int | None = hyperparameter(
        None, int, whole(1), "training", "Optimizer steps (default 1000, or what num_epochs asks for).", static=True
    )
    num_epochs: float = hyperparameter(
        0.0, float, number(0), "training", "Passes over the training set; > 0 sets num_steps.", static=True
    )
    patience: int = hyperparameter(
        0,
        int,
        whole(0, MAX_FLOAT_COUNT),
        "training",
        "Checks without a lower validation loss after which a member stops; 0 for never.",
    )
    after_stop: str = hyperparameter(
        "halt",
        str,
        one_of(AFTER_STOP),
        "training",
        "What a member does when its patience runs out: halt, or continue and only record the stop.",
        static=True,
    )
    method: str = hyperparameter(
        "all",
        str,
        METHOD,
        "regularisation",
        "Which of the strengths act: all as given, none, or those named, + between (l2+kl). l1 acts from the start, "
        "late_l1 after l1_start, early_stopping is patience.",
        label=True,
    )
    l1_strength: float = hyperparameter(
        0.0, float, number(0), "regularisation", "Factor on the sum of |w| over the weights, in the objective."
    )
    l1_start: float = hyperparameter(
        0.0, float, number(0, 1), "regularisation", "Fraction of training before L1 sets in."
    )
    l2_strength: float = hyperparameter(
        0.0, float, number(0), "regularisation", "Factor on half the sum of w^2 over the weights, in the objective."
    )
    kl_strength: float = hyperparameter(
        0.0,
        float,
        number(0),
        "regularisation",
        "Factor on the KL divergence of the mean activation of each hidden unit from kl_target, in the objective.",
    )
    kl_target: float = hyperparameter(
        0.05,
        float,
        number(0, 1, above=True, below=True),
        "regularisation",
        "Mean activation that KL sparsity wants.",
    )
    max_norm: float = hyperparameter(
        math.inf, float, RADIUS, "regularisation", "Bound on the norm of the incoming weights of each unit."
    )
    dropout_rate: float = hyperparameter(
        0.0, float, number(0, 1, below=True), "regularisation", "Probability that a hidden unit is dropped in a step."
    )


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which examples, and how they are split."""

    dataset: str = option(
        "digits",
        str,
        "data",
        "digits, mnist, fashion_mnist, or an image set that tfds has prepared; "
        "or points in the plane: moons, circles, spirals, blobs, xor.",
    )
    data_dir: str | None = option(
        None, str, "data", "Folder of tensorflow-datasets; falls back to TFDS_DATA_DIR, then to tfds's default."
    )
    downsample: int = option(1, int, "data", "Average-pooling factor: 4 turns 28x28 into 7x7.", whole(1))
    validation_size: int | None = option(
        None,
        int,
        "data",
        "Examples held out of the training split (default 5000 for mnist, 300 for digits); of points, drawn besides "
        "(default 500).",
        whole(1),
    )
    num_points: int | None = option(
        None, int, "data", "Training examples of a set of points (default 200).", whole(2, MAX_FLOAT_COUNT)
    )
    noise: float | None = option(
        None,
        float,
        "data",
        "Standard deviation of the Gaussian noise on a set of points (default 0.2 for moons, 0.7 for blobs, else 0.1).",
        number(0),
    )


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """How a run is kept and shown. Nothing here changes a number in the results."""

    workdir: str | None = option(None, str, "run", "Run folder (default runs/NAME/UTC stamp).")
    resume: bool = option(False, bool, "run", "Go on from the last complete checkpoint in --workdir.")
    overwrite: bool = option(False, bool, "run", "Start over in --workdir, deleting the run that is there.")
    checkpoint_every: int = option(
        0, int, "run", "Steps between checkpoints; 0: at checks, at most one a minute.", whole(0)
    )
    max_minutes: float = option(
        0.0, float, "run", "Stop in order after so many minutes, resumable (exit code 75); 0 for no limit.", number(0)
    )
    tensorboard: bool = option(True, bool, "run", "Write TensorBoard scalars.")
    tensorboard_max_runs: int = option(20, int, "run", "At most so many settings in TensorBoard.", whole(0))
    report: bool = option(True, bool, "run", "Draw the figures and write report.html.")
    dry_run: bool = option(
        False, bool, "run", "Print members, groups, memory and an estimate of the time, and stop (command line)."
    )
    progress: str = option(
        "auto", str, "run", "Progress bar: auto (on a terminal), true or false.", one_of(("auto", "true", "false"))
    )


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
    seeds: int = option(1, int, "sweep", "Replicates: seeds first_seed ... first_seed + seeds - 1.", whole(1))
    first_seed: int = option(0, int, "sweep", "First seed.", whole(0, 2**32 - 1))
    base_seed: int = option(0, int, "sweep", "Another base seed makes other replicates.", whole(0, 2**32 - 1))
    eval_every: int = option(0, int, "training", "Steps between checks; 0 for num_steps/20.", whole(0))
    record_every: int = option(
        0, int, "training", "Steps between recorded batch losses; 0: 1, or as many as keep them under 256 MB.", whole(0)
    )
    members_per_program: int = option(
        0, int, "sweep", "Members trained at once; 0: as many as fit in memory.", whole(0)
    )
    compaction: bool = option(
        True,
        bool,
        "sweep",
        "Halve the program once whole settings or seeds have been halted by patience: faster, and equal as far as "
        "rounding does not grow, not to the bit.",
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
        """Brings values that came as lists or NumPy numbers into the plain types of their fields."""
        hparams = {name: _plain(name, getattr(self.hparams, name)) for name in FIELDS}
        for name, values in self.axes.items():
            if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
                raise ConfigError(name, describe(values), "an axis is a list of values; a single one goes into hparams")
        axes = {name: tuple(_plain(name, value) for value in values) for name, values in self.axes.items()}
        object.__setattr__(self, "hparams", Hparams(**hparams))
        object.__setattr__(self, "axes", axes)


FIELDS: dict[str, dataclasses.Field[Any]] = {field.name: field for field in dataclasses.fields(Hparams)}
STATIC = tuple(name for name, field in FIELDS.items() if field.metadata["static"])
LABELS = tuple(name for name, field in FIELDS.items() if field.metadata["label"])
TRACED = tuple(name for name in FIELDS if name not in (*STATIC, *LABELS))


def _plain(name: str, value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    kind = FIELDS[name].metadata["kind"] if name in FIELDS else None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(size.item() if isinstance(size, np.generic) else size for size in value)
    return value


def describe(value: Any) -> str:
    """The value as a flag spells it: 0.1, 64x64, relu."""
    if isinstance(value, tuple):
        return "x".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)


def check_value(name: str, value: Any, rule: Rule | None) -> None:
    """Raises ConfigError where the rule does not hold, with the nearest name for a mistyped one."""
    if rule is None:
        return
    try:
        holds = rule.holds(value)
    except (TypeError, ValueError, OverflowError):
        holds = False
    if holds:
        return
    nearest = difflib.get_close_matches(str(value), rule.allowed.removeprefix("must be one of ").split(", "), n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise ConfigError(name, describe(value), rule.allowed + hint)


def validate(experiment: Experiment) -> None:
    """Refuses every value that can be refused without the data.

    Raises:
      ConfigError: naming the flag, the value and what is allowed.
    """
    for part in (experiment, experiment.data, experiment.run):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if not field.metadata or (value is None and field.default is None):
                continue
            if value is None:
                raise ConfigError(field.name, "", f"needs a value; the default is {describe(field.default)}")
            check_value(field.name, value, field.metadata["rule"])
    following = {name for names in experiment.zip for name in names[1:]}  # the first one labels the dimension
    for name, field in FIELDS.items():
        values = experiment.axes.get(name, [getattr(experiment.hparams, name)])
        if name in experiment.axes and len(values) == 0:
            raise ConfigError(name, "", "an empty list; give at least one value")
        seen = set()
        for value in values:
            if value is None and field.default is None:
                continue
            check_value(name, value, field.metadata["rule"])
            if value in seen and name not in following:
                raise ConfigError(name, ",".join(map(describe, values)), f"{describe(value)} is in the list twice")
            seen.add(value)
    for name in experiment.axes:
        if name not in FIELDS:
            nearest = difflib.get_close_matches(name, FIELDS, n=1)
            raise ConfigError(
                name, "...", "not a hyperparameter" + (f"; did you mean {nearest[0]}?" if nearest else "")
            )
    _validate_zip(experiment)
    last = experiment.first_seed + experiment.seeds - 1
    if last >= 2**32:
        raise ConfigError("seeds", experiment.seeds, f"the last seed would be {last}; seeds end at {2**32 - 1}")
    if experiment.run.resume and experiment.run.workdir is None:
        raise ConfigError("resume", "true", "needs --workdir, the run to go on with")
    if experiment.run.resume and experiment.run.overwrite:
        raise ConfigError("overwrite", "true", "contradicts --resume; give one of them")


def _validate_zip(experiment: Experiment) -> None:
    zipped: list[str] = []
    for names in experiment.zip:
        text = ",".join(names)
        for name in names:
            if name not in FIELDS:
                nearest = difflib.get_close_matches(name, FIELDS, n=1)
                hint = f"; did you mean {nearest[0]}?" if nearest else ""
                raise ConfigError("zip", text, f"{name} is not a hyperparameter{hint}")
            if name in zipped:
                raise ConfigError("zip", text, f"{name} is zipped twice")
            zipped.append(name)
        for name in names:
            if len(experiment.axes.get(name, ())) < 2:
                raise ConfigError("zip", text, f"--{name} has one value; give it a list")
        lengths = {name: len(experiment.axes[name]) for name in names}
        if len(names) < 2:
            raise ConfigError("zip", text, "give two or more names, comma between")
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ConfigError("zip", text, f"the lists differ in length: {counts}")
