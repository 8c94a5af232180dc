"""Modules of Flax as models: Linen and NNX, as they are.

What a step of training and an evaluation do differently is Flax's own: dropout draws in training only, from the
member's own stream of random numbers, and batch statistics are those of the batch in training, and those carried along
in evaluation.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxreg.config import FIELDS, Hparams, resolved
from jaxreg.errors import ConfigError
from jaxreg.jax_settings import random_key
from jaxreg.nn.parts import hyperparameters_of
from jaxreg.nn.trees import Layers, Params
from jaxreg.training.models import Layer, Model, example_shape

if TYPE_CHECKING:
    from flax import linen, nnx  # slow to import

TRAINING = {"train": True, "training": True, "is_training": True, "deterministic": False, "use_running_average": False}
"""Parameters of a Linen module's `__call__` that say whether it is in training, with their value in training."""


def from_linen(module: linen.Module | Callable[..., linen.Module], *, flat: bool = True) -> Model:
    """A Flax Linen module as a model.

    Args:
      module: maps inputs to outputs [batch, outputs]. Or a function that makes it, a class among them, whose parameters
        without a default are static hyperparameters by name. So are the parameters of the module's `__call__` after the
        inputs, where they may be traced numbers; those called `train`, `training`, `is_training`, `deterministic` or
        `use_running_average` say instead whether it is in training.
      flat: whether it takes flat inputs [batch, features]; else examples in their own shape, [batch, height, width,
        channels] of images.

    Returns:
      A model with the parameters {"params": ...} and, beside them, the other collections of the module, such as batch
      statistics, which steps carry along. It shows no activations (no KL sparsity). Diagnostics watch the modules that
      own a `kernel`, as in evaluation; they are named by their paths.

    Raises:
      ConfigError: when it is planned, that the module cannot tell training from evaluation and would have to.
    """
    from flax import linen

    def made(hparams: Hparams) -> linen.Module:
        return module if isinstance(module, linen.Module) else _called(module, hparams, {})

    def inputs_of(input_shape: tuple[int, ...]) -> Array:
        return jnp.zeros((1, math.prod(input_shape)) if flat else (1, *example_shape(input_shape)))

    def arguments(network: linen.Module, hparams: Hparams, *, training: bool) -> dict[str, Any]:
        call = type(network).__call__
        given = {name: TRAINING[name] == training for name in _says_mode(call)}
        return given | {name: resolved(hparams, name) for name in _read_by(call, 2, tuple(TRAINING))}

    def init(key: Array, hparams: Hparams, input_shape: tuple[int, ...], _num_classes: int) -> Params:
        network = made(hparams)
        given = arguments(network, hparams, training=False)
        params = network.init(key, inputs_of(input_shape), **given)
        if len(params) > 1 and not set(given) & set(TRAINING):
            carried = ", ".join(sorted(set(params) - {"params"}))
            raise ConfigError(
                "model",
                type(network).__name__,
                f"carries {carried}, which evaluation does not use as training does; "
                "give its __call__ a parameter train or use_running_average",
            )
        return dict(params)

    def forward(params: Params, hparams: Hparams, inputs: Array) -> tuple[Array, Layers]:
        from flax.errors import InvalidRngError

        network = made(hparams)
        try:
            outputs: Any = network.apply(params, inputs, **arguments(network, hparams, training=False))
        except InvalidRngError as error:
            raise ConfigError(
                "model",
                type(network).__name__,
                "draws random numbers in evaluation; give its __call__ a parameter train or deterministic",
            ) from error
        return outputs, ()

    def train_forward(params: Params, hparams: Hparams, inputs: Array, key: Array) -> tuple[Array, Layers, Params]:
        network = made(hparams)
        carried = [name for name in params if name != "params"]
        outputs, after = network.apply(
            params,
            inputs,
            **arguments(network, hparams, training=True),
            rngs={"params": key, "dropout": key},
            mutable=carried,
        )
        return outputs, (), {name: after[name] for name in carried}

    def watched(params: Params, hparams: Hparams, inputs: Array, signals: _Signals) -> Array:
        with linen.intercept_methods(signals.of_linen):
            return forward(params, hparams, inputs)[0]

    is_the_same_in_training = isinstance(module, linen.Module) and not _says_mode(type(module).__call__)
    own = None if is_the_same_in_training else train_forward
    trace, layers = _looking_into(watched)
    return Model(init, forward, trace, train_forward=own, trained=("params",), flat=flat, layers=layers)


ModulePath = tuple[Any, ...]  # of a module in a model


class _Signals:
    """What each module with a kernel gives, by its path in the order of the calls.

    Perturbations are added to these, in that order.
    """

    def __init__(self, perturbations: Layers) -> None:
        self.found: dict[ModulePath, Array] = {}
        self._perturbations = perturbations

    def add(self, path: ModulePath, given: Array) -> Array:
        """What goes on from a module.

        Raises:
          ConfigError: it is called twice.
        """
        if path in self.found:
            name = _spelled(path)
            raise ConfigError("diagnostics", "true", f"cannot watch {name}, which is called twice; leave it out")
        number = len(self.found)
        self.found[path] = given + self._perturbations[number] if self._perturbations else given
        return self.found[path]

    def of_linen(
        self, function: Callable[..., Any], args: Any, kwargs: Any, context: linen.module.InterceptorContext
    ) -> Any:
        """For `linen.intercept_methods`."""
        given, module = function(*args, **kwargs), context.module
        has_kernel = context.method_name == "__call__" and module.has_variable("params", "kernel")
        return self.add(module.path, given) if has_kernel else given

    def around(self, module: Any, path: ModulePath) -> Any:
        """What takes the place of an NNX module."""
        return _Watched(self, module, path)


class _Watched:
    """An NNX module whose outputs are looked at; else it is that module."""

    def __init__(self, signals: _Signals, module: Any, path: ModulePath) -> None:
        self._signals, self._module, self._path = signals, module, path

    def __call__(self, *args: Any, **kwargs: Any) -> Array:
        return self._signals.add(self._path, self._module(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _put_in(module: Any, path: ModulePath, other: Any) -> None:
    """Something else at the place of a submodule."""
    for name in path[:-1]:
        module = module[name] if isinstance(name, int) else getattr(module, name)
    if isinstance(path[-1], int):
        module[path[-1]] = other
    else:
        vars(module)[path[-1]] = other  # past NNX, which takes modules and arrays only


def _spelled(path: ModulePath) -> str:
    return "/".join(map(str, path)) or "output"


def _looking_into(watched: Callable[[Params, Hparams, Array, _Signals], Array]) -> tuple[Any, Any]:
    """`trace` and `layers` of a model, from a function that runs it and tells the signals what its modules give."""

    def trace(
        params: Params, hparams: Hparams, inputs: Array, perturbations: Layers = ()
    ) -> tuple[Array, Layers, Layers]:
        signals = _Signals(perturbations)
        outputs = watched(params, hparams, inputs, signals)
        return outputs, tuple(signals.found.values()), ()

    def layers(params: Params, hparams: Hparams, inputs: Array) -> Callable[[Params], tuple[Layer, ...]]:
        signals = _Signals(())
        jax.eval_shape(lambda p, x: watched(p, hparams, x, signals), params, inputs)
        paths = list(signals.found)
        if not paths:
            raise ConfigError("diagnostics", "true", "finds no module with a kernel in this model; leave it out")

        def of(tree: Params) -> tuple[Layer, ...]:
            found = []
            for path in paths:
                own = functools.reduce(lambda at, name: at[name], path, tree["params"])
                found.append(Layer(_spelled(path), own["kernel"], own.get("bias")))
            return tuple(found)

        return of

    return trace, layers


def from_nnx(make: Callable[..., nnx.Module], *, flat: bool = True) -> Model:
    """A Flax NNX module as a model.

    Args:
      make: (rngs, hyperparameters by name) -> the module, a class among them: `rngs` is handed over by that name, and
        its other parameters without a default are static hyperparameters by name. Parameters of the module's `__call__`
        after the inputs are hyperparameters by name, too, and may be traced numbers.
      flat: as in `from_linen`.

    Returns:
      A model with the parameters {"params": ..., "statistics": ...}: what is an `nnx.Param`, which is trained, and all
      other variables but random numbers, which steps carry along. `module.train()` and `module.eval()` say which of
      the two it does. It shows no activations (no KL sparsity). Diagnostics watch it as `from_linen` says.
    """
    from flax import nnx

    def made(key: Array, hparams: Hparams) -> nnx.Module:
        return _called(make, hparams, {"rngs": nnx.Rngs(key)})

    def parted(module: nnx.Module) -> Any:
        """Definition, trained variables, random numbers, and what else there is."""
        return nnx.split(module, nnx.Param, nnx.RngState, ...)

    def init(key: Array, hparams: Hparams, _input_shape: tuple[int, ...], _num_classes: int) -> Params:
        _, trained, _, carried = parted(made(key, hparams))
        return {"params": nnx.to_pure_dict(trained), "statistics": nnx.to_pure_dict(carried)}

    def module_with(params: Params, hparams: Hparams, key: Array) -> nnx.Module:
        """The module with these values and the random numbers of a key."""
        definition, trained, random, carried = parted(nnx.eval_shape(lambda: made(random_key(0), hparams)))
        nnx.replace_by_pure_dict(trained, params["params"])
        nnx.replace_by_pure_dict(carried, params["statistics"])
        leaves, structure = jax.tree.flatten(random)
        drawn = [_seeded(leaf, jax.random.fold_in(key, number)) for number, leaf in enumerate(leaves)]
        module: nnx.Module = nnx.merge(definition, trained, jax.tree.unflatten(structure, drawn), carried)
        return module

    def arguments(module: nnx.Module, hparams: Hparams) -> dict[str, Any]:
        return {name: resolved(hparams, name) for name in _read_by(type(module).__call__, 2)}

    def forward(params: Params, hparams: Hparams, inputs: Array) -> tuple[Array, Layers]:
        module: Any = module_with(params, hparams, random_key(0))
        module.eval()
        return module(inputs, **arguments(module, hparams)), ()

    def train_forward(params: Params, hparams: Hparams, inputs: Array, key: Array) -> tuple[Array, Layers, Params]:
        module: Any = module_with(params, hparams, key)
        module.train()
        outputs = module(inputs, **arguments(module, hparams))
        return outputs, (), {"statistics": nnx.to_pure_dict(parted(module)[3])}

    def watched(params: Params, hparams: Hparams, inputs: Array, signals: _Signals) -> Array:
        module: Any = module_with(params, hparams, random_key(0))
        module.eval()
        given = arguments(module, hparams)
        for path, layer in list(nnx.iter_modules(module)):
            if path and hasattr(layer, "kernel"):
                _put_in(module, path, signals.around(layer, path))
        whole = signals.around(module, ()) if hasattr(module, "kernel") else module
        outputs: Array = whole(inputs, **given)
        return outputs

    trace, layers = _looking_into(watched)
    return Model(init, forward, trace, train_forward=train_forward, trained=("params",), flat=flat, layers=layers)


def _says_mode(call: Callable[..., Any]) -> list[str]:
    """The parameters of a module's `__call__` that say whether it is in training."""
    return [name for name in inspect.signature(call).parameters if name in TRAINING]


def _seeded(leaf: jax.ShapeDtypeStruct, key: Array) -> Array:
    """A variable of a stream of random numbers: its keys from this one, its counts 0."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.split(key, leaf.shape) if leaf.shape else key
    return jnp.zeros(leaf.shape, leaf.dtype)


def _called(make: Callable[..., Any], hparams: Hparams, given: dict[str, Any]) -> Any:
    """What a function, or a class, makes of `given` and of hyperparameters by name."""
    part, itself = make, 0
    if isinstance(make, type):  # whose own signature, in NNX, is that of its metaclass
        part, itself = next(vars(base)["__init__"] for base in make.__mro__ if "__init__" in vars(base)), 1
    names = _read_by(part, itself, tuple(given))
    return make(**given, **{name: resolved(hparams, name) for name in names})


@functools.cache
def _read_by(part: Callable[..., Any], num_arguments: int, others: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The hyperparameters that a part of a model reads, without these other parameters.

    Raises:
      ConfigError: one of them is no hyperparameter.
    """
    names = tuple(name for name in hyperparameters_of(part, num_arguments) if name not in others)
    for name in names:
        if name not in FIELDS:
            raise ConfigError(
                "model",
                getattr(part, "__qualname__", type(part).__name__).removesuffix(".__call__").removesuffix(".__init__"),
                f"reads {name}, which is no hyperparameter; jaxreg.add_hyperparameter declares one",
            )
    return names
