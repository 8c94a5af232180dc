"""The hyperparameters: what a member is trained with.

A hyperparameter is either *traced*, a number that every member has for itself inside one compiled program, or
*static*, a choice that decides array shapes or code and so splits a sweep into groups. Flags, axes, groups, result
coordinates and their documentation are derived from the declarations in `FIELDS`: a new hyperparameter of the package
is one more field of `Hparams`, a user's own is one call of `add_hyperparameter`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import jax

from jaxreg.config.fields import FrozenMapping, hyperparameter
from jaxreg.config.validation import MAX_FLOAT_COUNT, METHOD, RADIUS, SIZES, Rule, number, one_of, whole_number
from jaxreg.errors import ConfigError
from jaxreg.nn.activations import ACTIVATIONS
from jaxreg.nn.initializers import INITIAL_SCHEMES, default_variance
from jaxreg.nn.losses import LOSSES
from jaxreg.nn.optimizers import OPTIMIZERS, SCHEDULES

AFTER_STOP = ("halt", "continue")
SHARED, BY_SEED, FIRST = "shared", "by_seed", "first"  # draws of training examples

DEFAULT_NUM_STEPS = 1000


@dataclasses.dataclass(frozen=True)
class Hparams:
    """The hyperparameters of one member; stacked along a leading axis they are those of a population.

    Those that `add_hyperparameter` declares are given and read like the fields: `Hparams(l4_strength=0.5)`,
    `hparams.l4_strength`, `dataclasses.replace(hparams, l4_strength=1.0)`.
    """

    hidden_sizes: tuple[int, ...] = hyperparameter(
        (32,), tuple, SIZES, "model", "Units of each hidden layer; none for softmax regression.", static=True
    )
    activation: str = hyperparameter(
        "sigmoid",
        str,
        one_of(ACTIVATIONS),
        "model",
        "Activation of the hidden layers; gelu in its tanh form.",
        static=True,
    )
    init: str = hyperparameter(
        "normal",
        str,
        one_of(INITIAL_SCHEMES),
        "model",
        "Scheme of the initial weights.",
        static=True,
    )
    init_variance: float | None = hyperparameter(
        None,
        float,
        number(0),
        "model",
        "Variance of the initial weights for normal and uniform (default 0.01); "
        "a factor on the scheme's own variance for the others (default 1).",
        read_by_parts=True,
    )
    bias_variance: float | None = hyperparameter(
        None,
        float,
        number(0),
        "model",
        "Variance of normal initial biases, added to those of the scheme, which are 0 except for torch (default none).",
    )
    output_activation: str = hyperparameter(
        "identity",
        str,
        one_of(ACTIVATIONS),
        "model",
        "Activation of the output layer, before the loss; the cross-entropies bring their own softmax or sigmoid.",
        static=True,
    )
    loss: str = hyperparameter(
        "cross_entropy",
        str,
        one_of(LOSSES),
        "training",
        "What is minimised: cross-entropies in nats; sigmoid_cross_entropy and squared_error summed over the outputs.",
        static=True,
    )
    optimizer: str = hyperparameter(
        "sgd",
        str,
        one_of(OPTIMIZERS),
        "optimizer",
        "Update rule; rmsprop has its epsilon of 1e-8 inside the root, as in Optax and unlike PyTorch.",
        static=True,
    )
    learning_rate: float = hyperparameter(0.1, float, number(0, above=True), "optimizer", "Step size at its start.")
    momentum: float = hyperparameter(
        0.0,
        float,
        number(0, 1, below=True),
        "optimizer",
        "Decay of the gradient trace.",
        read_by_parts=True,
    )
    beta1: float = hyperparameter(
        0.9, float, number(0, 1, below=True), "optimizer", "First-moment decay of Adam.", read_by_parts=True
    )
    beta2: float = hyperparameter(
        0.999,
        float,
        number(0, 1, below=True),
        "optimizer",
        "Second-moment decay of Adam and RMSProp.",
        read_by_parts=True,
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
        read_by_parts=True,
    )
    decay_rate: float = hyperparameter(
        0.1,
        float,
        number(0, 1, above=True),
        "optimizer",
        "Factor per decay_steps of the exponential schedule.",
        read_by_parts=True,
    )
    warmup_steps: float = hyperparameter(
        0.0, float, number(0), "optimizer", "Steps over which the learning rate rises linearly to its start."
    )
    batch_size: int = hyperparameter(100, int, whole_number(1), "training", "Examples per step.", static=True)
    train_size: int | None = hyperparameter(
        None,
        int,
        whole_number(1, MAX_FLOAT_COUNT),
        "training",
        "Training examples, drawn from the training set without replacement (default all).",
        static=True,
    )
    train_draw: str = hyperparameter(
        SHARED,
        str,
        one_of((SHARED, BY_SEED, FIRST)),
        "training",
        "Which train_size examples: shared, one draw for all seeds and base seeds; by_seed, a draw of each seed's own; "
        "or first, those that the data set has first. In each a smaller set is a part of a larger one.",
        static=True,
    )
    num_steps: int | None = hyperparameter(
        None,
        int,
        whole_number(1),
        "training",
        "Optimizer steps (default 1000, or what num_epochs asks for).",
        static=True,
    )
    num_epochs: float = hyperparameter(
        0.0, float, number(0), "training", "Passes over the training set; > 0 sets num_steps.", static=True
    )
    patience: int = hyperparameter(
        0,
        int,
        whole_number(0, MAX_FLOAT_COUNT),
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
        "Factor on the KL divergence of the mean activation of each hidden unit from kl_target, in the objective; of "
        "relu and softplus a/(1+a) is averaged, of tanh and softsign (a+1)/2.",
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
    input_dropout_rate: float = hyperparameter(
        0.0, float, number(0, 1, below=True), "regularisation", "Probability that an input is dropped in a step."
    )
    label_smoothing: float = hyperparameter(
        0.0,
        float,
        number(0, 1, below=True),
        "regularisation",
        "Share of each target that is spread evenly over the classes, in the objective.",
    )
    own_traced: Mapping[str, Any] = dataclasses.field(default=FrozenMapping({}), repr=False)
    own_static: tuple[tuple[str, Any], ...] = dataclasses.field(default=(), repr=False)

    def replace(self, **values: Any) -> Hparams:
        """The same hyperparameters but for these, as `dataclasses.replace` makes them."""
        return dataclasses.replace(self, **values)

    if not TYPE_CHECKING:  # a type checker knows the fields above, and their types

        def __getattr__(self, name):
            """The value of a declared hyperparameter; called for names that are no fields."""
            values = self.__dict__
            for own in (values.get("own_traced", {}), dict(values.get("own_static", ()))):
                if name in own:
                    return own[name]
            if name in FIELDS:  # declared after this object was made
                return FIELDS[name].default
            raise AttributeError(f"no hyperparameter is named {name}; jaxreg.add_hyperparameter declares one")


_OWN_FIELDS = ("own_traced", "own_static")  # hold the values of the declared ones

FIELDS: dict[str, dataclasses.Field[Any]] = {
    field.name: field for field in dataclasses.fields(Hparams) if field.name not in _OWN_FIELDS
}
"""Every hyperparameter by name, those declared with `add_hyperparameter` last."""

_SHIPPED = frozenset(FIELDS)


class _Names(Sequence[str]):
    """The names of the hyperparameters of one kind, as FIELDS holds them now."""

    def __init__(self, holds: Callable[[Mapping[str, Any]], bool]) -> None:
        self._holds = holds

    def _names(self) -> list[str]:
        return [name for name, field in FIELDS.items() if self._holds(field.metadata)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._names()[index]

    def __repr__(self) -> str:
        return repr(self._names())


STATIC = _Names(lambda metadata: metadata["static"])
LABELS = _Names(lambda metadata: metadata["label"])
TRACED = _Names(lambda metadata: not (metadata["static"] or metadata["label"]))

jax.tree_util.register_dataclass(Hparams, [*TRACED, "own_traced"], [*STATIC, *LABELS, "own_static"])


def add_hyperparameter(
    name: str,
    default: float | int | str | tuple[int, ...],
    rule: Rule,
    help: str,
    *,
    subject: str = "own",
    static: bool = False,
) -> None:
    """Declares a hyperparameter of the user's own, which is from then on given, swept and kept like the others.

    It is a flag and may be an axis, a coordinate of the results, and what parts name as a parameter. Declare it before
    the first experiment that uses it, in every process that trains, resumes or reads such a run. The same declaration
    may be made again, as when a cell of a notebook is run again.

    Args:
      name: a new name.
      default: its value where none is given; its type is that of all values.
      rule: which values it may take: `number(0)`, `whole_number(1)`, `one_of(...)`.
      help: one sentence for --help and the results.
      subject: the heading of its flag in --help.
      static: whether it decides array shapes or code, and so splits a sweep into groups; text and sizes do.

    Raises:
      ConfigError: the name is taken or is no name, or the default breaks the rule.
    """
    kind = type(default)
    if name in FIELDS and name not in _SHIPPED and _declaration(FIELDS[name]) == (default, rule.allowed, help, static):
        return
    if not name.isidentifier() or name in RESERVED or name in FIELDS or hasattr(Hparams, name):
        raise ConfigError(name, "", "cannot be declared: the name is taken or is no name")
    if kind not in (int, float, str, tuple) or (kind in (str, tuple) and not static):
        raise ConfigError(name, default, "must default to a number, or to text or sizes if it is static")
    if not rule.holds(default):
        raise ConfigError(name, default, rule.allowed)
    field: dataclasses.Field[Any] = hyperparameter(default, kind, rule, subject, help, static=static)
    field.name = name
    FIELDS[name] = field


def _declaration(field: dataclasses.Field[Any]) -> tuple[Any, ...]:
    told = field.metadata
    return field.default, told["rule"].allowed, told["help"], told["static"]


RESERVED = {"seed", "step", "check", "layer", "bin", "check_step", "examples_seen", "seconds", "zip", "select", "out"}
RESERVED |= {"help", "flagfile", "undefok", *_OWN_FIELDS}
"""Names that flags and results use otherwise; the options of an experiment are among them."""


def resolved(hparams: Hparams, name: str) -> Any:
    """The value of a hyperparameter, where it is None its default.

    Without a default stay `train_size`, which a data set decides, and `bias_variance`: a program draws no biases where
    none of its members asks for any.
    """
    value = getattr(hparams, name)
    if value is None and name == "num_steps":
        return DEFAULT_NUM_STEPS
    return default_variance(hparams.init) if value is None and name == "init_variance" else value


def _accept_own(init: Callable[..., None]) -> Callable[..., None]:
    """The constructor that sorts declared hyperparameters into the fields that hold them."""

    def __init__(self: Hparams, *args: Any, **fields: Any) -> None:  # noqa: N807 - the constructor
        declared = [name for name in FIELDS if name not in _SHIPPED]
        given = {name: fields.pop(name) for name in declared if name in fields}
        if "own_traced" not in fields:
            given = {name: FIELDS[name].default for name in declared} | given
        if given:
            static = {name: value for name, value in given.items() if FIELDS[name].metadata["static"]}
            traced = {name: value for name, value in given.items() if name not in static}
            fields["own_traced"] = FrozenMapping({**fields.get("own_traced", {}), **traced})
            fields["own_static"] = tuple((dict(fields.get("own_static", ())) | static).items())
        init(self, *args, **fields)

    return __init__


Hparams.__init__ = _accept_own(Hparams.__init__)  # type: ignore[method-assign]
