"""The computation of a network for TensorBoard's Graphs tab: a jaxpr as a GraphDef, without TensorFlow."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr
from tensorboardX.proto import types_pb2
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.node_def_pb2 import NodeDef
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboardX.proto.versions_pb2 import VersionDef

from jaxreg.config import Hparams
from jaxreg.jax_settings import random_key
from jaxreg.nn.losses import Function
from jaxreg.nn.trees import parameter_name
from jaxreg.training.models import Model

_TYPES = {"float16": "HALF", "float32": "FLOAT", "float64": "DOUBLE"}  # others are called as in NumPy
_SHOWN = (bool, int, float, str, tuple)  # parameters of an equation that are worth reading


def network_graph(
    model: Model, hparams: Hparams, input_shape: tuple[int, ...], num_classes: int, loss: Function
) -> Event:
    """The mean loss of one batch of `hparams.batch_size` examples as a graph; only shapes are traced.

    One box per layer (`layer_1`: weights, bias, dot_general, add, sigmoid), one for the loss, and the two inputs.

    Args:
      model: of which `forward` is drawn.
      hparams: sizes, activation and batch size.
      input_shape: shape of one example before it is flattened.
      num_classes: number of logits.
      loss: (logits [batch, classes], labels [batch]) -> [batch].
    """

    def mean_loss(params: Any, inputs: jax.Array, labels: jax.Array) -> jax.Array:
        logits, _ = model.forward(params, hparams, inputs)
        with jax.named_scope("loss"):
            return loss(logits, labels).mean()

    params = jax.eval_shape(lambda: model.init(random_key(0), hparams, input_shape, num_classes))
    inputs = jax.ShapeDtypeStruct((hparams.batch_size, math.prod(input_shape)), jnp.float32)
    labels = jax.ShapeDtypeStruct((hparams.batch_size,), jnp.int32)
    names = [parameter_name(path).removeprefix("params/") for path, _ in jax.tree.leaves_with_path(params)]
    return graph_event(jax.make_jaxpr(mean_loss)(params, inputs, labels), [*names, "inputs", "labels"])


def graph_event(jaxpr: jex.ClosedJaxpr, inputs: Sequence[str]) -> Event:
    """A jaxpr as the graph of a run: a node per input, constant and equation, an edge wherever one reads another.

    An equation stands in the scope that `jax.named_scope` gave it; without one, in the last scope of those inputs that
    it depends on, which for parameters named by layer is its layer. A function that is called (jit, custom_jvp, the
    body of a scan) becomes a scope of its name, or one node where it is a single equation: `layer_1/relu`. Equations
    that no output depends on are left out.

    Each node carries the shapes and the type of its outputs, the parameters of its equation, and operands that are
    plain numbers (`operand_1: 0.0`).

    Args:
      jaxpr: from `jax.make_jaxpr`.
      inputs: the name of each of its inputs, the scope before the slash: `layer_1/weights`.

    Raises:
      ValueError: there is not one name per input.
    """
    used, _ = dce_jaxpr(jaxpr.jaxpr, [True] * len(jaxpr.jaxpr.outvars), instantiate=True)
    if len(inputs) != len(used.invars):
        raise ValueError(f"inputs: {len(inputs)} names for a jaxpr of {len(used.invars)} inputs")
    scopes = list(dict.fromkeys(["", *(name.rpartition("/")[0] for name in inputs)]))
    graph = _Graph(scopes)
    operands = []
    for name, var in zip(inputs, used.invars, strict=True):
        scope, _, _ = name.rpartition("/")
        operands += graph.add(name, "Parameter" if scope else "Placeholder", [], [var], scopes.index(scope))
    graph.draw(used, operands, None)
    definition = GraphDef(node=graph.nodes, versions=VersionDef(producer=22))
    return Event(wall_time=time.time(), graph_def=definition.SerializeToString())


class _Value(NamedTuple):
    """An output of a node, and the place among the scopes of the last input that it depends on."""

    source: str
    place: int


_Operand = _Value | None  # None for a plain number


class _Graph:
    """The nodes so far."""

    def __init__(self, scopes: Sequence[str]) -> None:
        self.nodes: list[NodeDef] = []
        self._scopes = scopes
        self._names: set[str] = set()

    def draw(self, jaxpr: jex.Jaxpr, operands: Sequence[_Operand], scope: str | None) -> list[_Operand]:
        """Adds the equations of a function and returns its outputs; the scope None is the top."""
        values = dict(zip(jaxpr.invars, operands, strict=True))
        for var in jaxpr.constvars:
            (values[var],) = self.add(_join(scope or "", "constant"), "Const", [], [var])
        for equation in jaxpr.eqns:
            outputs = self._draw_equation(equation, _read(equation.invars, values), scope)
            values.update(zip(equation.outvars, outputs, strict=True))
        return _read(jaxpr.outvars, values)

    def _draw_equation(
        self, equation: jex.JaxprEqn, operands: Sequence[_Operand], scope: str | None, name: str = ""
    ) -> Sequence[_Operand]:
        place = max((operand.place for operand in operands if operand), default=0)
        own = str(equation.source_info.name_stack)
        within = _join(scope, own) if scope is not None else own or self._scopes[place]
        called = _called(equation)
        if called is None:
            op = equation.primitive.name
            sources = [operand.source for operand in operands if operand]
            return self.add(_join(within, name or op), op, sources, equation.outvars, place, _attributes(equation))
        name = str(equation.params.get("name", name)).strip("_") or called.debug_info.func_name
        if len(called.eqns) == 1 and not called.constvars and called.outvars == called.eqns[0].outvars:
            (only,) = called.eqns
            values = dict(zip(called.invars, operands, strict=True))
            return self._draw_equation(only, _read(only.invars, values), within, name)
        return self.draw(called, operands, self._free(_join(within, name)))

    def add(
        self,
        name: str,
        op: str,
        operands: Sequence[str],
        outputs: Sequence[Any],
        place: int = 0,
        attributes: Mapping[str, str] | None = None,
    ) -> list[_Value]:
        """A node, under its name or the next free one, as TensorFlow numbers them: add, add_1, add_2."""
        node = NodeDef(name=self._free(name), op=op, input=operands)
        shapes = [TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in var.aval.shape]) for var in outputs]
        node.attr["_output_shapes"].list.shape.extend(shapes)
        if outputs:
            node.attr["dtype"].type = _data_type(str(outputs[0].aval.dtype))
        for key, text in (attributes or {}).items():
            node.attr[key].s = text.encode()
        self.nodes.append(node)
        return [_Value(f"{node.name}:{i}" if i else node.name, place) for i in range(len(outputs))]

    def _free(self, name: str) -> str:
        candidates = (f"{name}_{i}" if i else name for i in itertools.count())
        free = next(candidate for candidate in candidates if candidate not in self._names)
        self._names.add(free)
        return free


def _read(variables: Sequence[Any], values: Mapping[Any, _Operand]) -> list[_Operand]:
    return [None if isinstance(var, jex.Literal) else values[var] for var in variables]


def _called(equation: jex.JaxprEqn) -> jex.Jaxpr | None:
    """The function that an equation applies to its operands, one by one; None for a plain operation."""
    found = list(jex.jaxprs_in_params(equation.params))
    sizes = (len(equation.invars), len(equation.outvars))
    return found[0] if len(found) == 1 and (len(found[0].invars), len(found[0].outvars)) == sizes else None


def _attributes(equation: jex.JaxprEqn) -> dict[str, str]:
    shown = {name: value for name, value in equation.params.items() if isinstance(value, _SHOWN) and value != ()}
    literals = {f"operand_{i}": var.val for i, var in enumerate(equation.invars) if isinstance(var, jex.Literal)}
    numbers = {name: np.asarray(value) for name, value in literals.items()}
    return {name: str(value) for name, value in (shown | numbers).items()}


def _data_type(dtype: str) -> int:
    name = f"DT_{_TYPES.get(dtype, dtype.upper())}"
    return int(dict(types_pb2.DataType.items()).get(name, types_pb2.DT_INVALID))


def _join(scope: str, name: str) -> str:
    return f"{scope}/{name}" if scope and name else scope or name
