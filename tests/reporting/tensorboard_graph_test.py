"""The graph of a network in TensorBoard: what is drawn of a jaxpr, and of which runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from tensorboardX.proto import types_pb2
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.graph_pb2 import GraphDef

from jaxreg.config import Hparams
from jaxreg.nn.activations import ACTIVATIONS
from jaxreg.nn.losses import LOSSES, loss_named
from jaxreg.reporting.tensorboard import ScalarWriter, writer
from jaxreg.reporting.tensorboard.graph import graph_event, network_graph
from jaxreg.training.models import Model, mlp
from tests.synthetic import make_results

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="TensorBoard is not installed: pip install jaxreg[tensorboard]",
)
FLOATS = jax.ShapeDtypeStruct((4,), jnp.float32)


def nodes_of(event: Event) -> dict[str, Any]:
    """The nodes by name, once names are unique and every edge leads to an output of an earlier node."""
    nodes: dict[str, Any] = {}
    for node in GraphDef.FromString(event.graph_def).node:
        assert node.name not in nodes
        for source, _, output in (edge.partition(":") for edge in node.input):
            assert int(output or 0) < len(nodes[source].attr["_output_shapes"].list.shape)
        nodes[node.name] = node
    return nodes


def draw(function: Any, *shapes: Any, inputs: tuple[str, ...]) -> dict[str, Any]:
    return nodes_of(graph_event(jax.make_jaxpr(function)(*shapes), inputs))


def draw_network(**hparams: Any) -> dict[str, Any]:
    given = Hparams(**hparams)
    return nodes_of(network_graph(mlp(), given, (4, 5), 10, loss_named(given.loss).function))


def edges(nodes: Mapping[str, Any]) -> dict[str, list[str]]:
    return {name: list(node.input) for name, node in nodes.items()}


def shape_of(node: Any) -> tuple[int, ...]:
    (shape,) = node.attr["_output_shapes"].list.shape
    return tuple(dim.size for dim in shape.dim)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_network_is_one_box_per_layer_its_loss_and_two_inputs(activation: str, depth: int, loss: str) -> None:
    nodes = draw_network(hidden_sizes=(7,) * depth, activation=activation, loss=loss)
    layers = [f"layer_{number}" for number in range(1, depth + 2)]
    assert {name.partition("/")[0] for name in nodes} == {*layers, "loss", "inputs", "labels"}
    for layer in layers:
        assert {f"{layer}/{part}" for part in ("weights", "bias", "dot_general", "add")} <= set(nodes)
    read_by_box: dict[str, set[str]] = {}
    for name, sources in edges(nodes).items():
        box = name.partition("/")[0]
        read_by_box.setdefault(box, set()).update(source.partition("/")[0] for source in sources)
        read_by_box[box].discard(box)
    chain = ["inputs", *layers]
    assert read_by_box == {"inputs": set(), "labels": set(), "loss": {layers[-1], "labels"}} | {
        layer: {before} for before, layer in zip(chain, layers, strict=False)
    }


def test_a_layer_in_full() -> None:
    nodes = draw_network(hidden_sizes=(7,), activation="relu", batch_size=3)
    assert {name: read for name, read in edges(nodes).items() if name.startswith("layer_1")} == {
        "layer_1/weights": [],
        "layer_1/bias": [],
        "layer_1/dot_general": ["inputs", "layer_1/weights"],
        "layer_1/broadcast_in_dim": ["layer_1/bias"],
        "layer_1/add": ["layer_1/dot_general", "layer_1/broadcast_in_dim"],
        "layer_1/relu": ["layer_1/add"],
    }
    shapes = {name.rpartition("/")[2]: shape_of(node) for name, node in nodes.items() if name.startswith("layer_1")}
    assert shapes == {
        "weights": (20, 7),
        "bias": (7,),
        "dot_general": (3, 7),
        "broadcast_in_dim": (1, 7),
        "add": (3, 7),
        "relu": (3, 7),
    }
    assert (nodes["layer_1/relu"].op, nodes["layer_1/relu"].attr["operand_1"].s) == ("max", b"0.0")
    assert nodes["layer_1/weights"].op == "Parameter"
    assert nodes["inputs"].op == nodes["labels"].op == "Placeholder"
    types = {name: nodes[name].attr["dtype"].type for name in ("inputs", "labels")}
    assert types == {"inputs": types_pb2.DT_FLOAT, "labels": types_pb2.DT_INT32}
    *_, last = nodes.values()
    assert last.name.startswith("loss/")
    assert shape_of(last) == ()


def test_only_shapes_are_traced() -> None:
    nodes = draw_network(hidden_sizes=(10**7, 10**7), batch_size=10**6)  # 400 TB of weights
    assert shape_of(nodes["layer_2/weights"]) == (10**7, 10**7)


def test_what_no_output_depends_on_is_left_out() -> None:
    def half_used(x: jax.Array) -> jax.Array:
        jnp.sin(x)
        return jnp.cos(x)

    assert edges(draw(half_used, FLOATS, inputs=("x",))) == {"x": [], "cos": ["x"]}


def test_a_called_function_is_a_box_or_one_node_where_it_is_one_equation() -> None:
    @jax.jit
    def two(x: jax.Array) -> jax.Array:
        return jnp.sin(x) + 1.5

    @jax.jit
    def one(x: jax.Array) -> jax.Array:
        return jnp.sin(x)

    nodes = draw(lambda x: one(two(two(x))), FLOATS, inputs=("x",))
    assert edges(nodes) == {
        "x": [],
        "two/sin": ["x"],
        "two/add": ["two/sin"],
        "two_1/sin": ["two/add"],
        "two_1/add": ["two_1/sin"],
        "one": ["two_1/add"],
    }
    assert nodes["one"].op == "sin"
    assert nodes["two/add"].attr["operand_1"].s == b"1.5"


def test_functions_with_rules_of_their_own_and_loops_are_drawn_through() -> None:
    @jax.custom_vjp
    def cube(x: jax.Array) -> jax.Array:
        return x * x * x

    cube.defvjp(lambda x: (cube(x), x), lambda x, g: (3 * x * x * g,))

    def running(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda carry, y: (carry + y * y, None), jnp.zeros(()), cube(x))[0]

    found = edges(draw(running, FLOATS, inputs=("x",)))
    assert found["cube/mul"] == ["x", "x"]
    assert found["cube/mul_1"] == ["cube/mul", "x"]
    (square,) = (name for name, read in found.items() if read == ["cube/mul_1", "cube/mul_1"])
    assert any(square in read for read in found.values())


def test_branches_stay_one_node() -> None:
    nodes = draw(lambda p, x: jax.lax.cond(p, jnp.sin, jnp.cos, x), True, FLOATS, inputs=("p", "x"))
    assert nodes["cond"].input[-1] == "x"
    assert not any(node.op in ("sin", "cos") for node in nodes.values())


def test_constants_and_several_outputs() -> None:
    table = np.arange(4, dtype=np.float32)

    def apart(x: jax.Array) -> jax.Array:
        first, second = jnp.split(x + table, 2)
        return second - first

    nodes = draw(apart, FLOATS, inputs=("x",))
    assert nodes["constant"].op == "Const"
    assert list(nodes["add"].input) == ["x", "constant"]
    assert list(nodes["sub"].input) == ["split:1", "split"]


def test_a_scope_given_by_name_comes_first() -> None:
    def scoped(weights: jax.Array, x: jax.Array) -> jax.Array:
        hidden = weights * x
        with jax.named_scope("outer"), jax.named_scope("inner"):
            return jnp.sin(hidden)

    found = edges(draw(scoped, FLOATS, FLOATS, inputs=("layer_1/weights", "x")))
    assert found["layer_1/mul"] == ["layer_1/weights", "x"]
    assert found["outer/inner/sin"] == ["layer_1/mul"]


def test_names_are_one_per_input() -> None:
    with pytest.raises(ValueError, match="2 names for a jaxpr of 1 inputs"):
        draw(jnp.sin, FLOATS, inputs=("x", "y"))


def network_results(**given: Any) -> xr.Dataset:
    """Results as `make_results` gives them that tell which network was trained."""
    results = make_results(**given)
    return results.assign_coords(loss="cross_entropy", label=range(3)).assign_attrs(input_shape=[4, 5])


def read_graphs(folder: Path) -> dict[str, dict[str, Any]]:
    """The nodes by run, as TensorBoard reads them; of runs with a graph only."""
    graphs = {}
    for path in folder.rglob("*tfevents*"):
        events = accumulators.EventAccumulator(str(path))
        events.Reload()
        if events.Tags()["graph"]:
            graphs[path.parent.name] = {node.name: node for node in events.Graph().node}
    return graphs


def test_each_run_has_the_graph_of_its_network(tmp_path: Path) -> None:
    results = network_results(
        axes={"hidden_sizes": ["none", "8x6"], "activation": ["relu", "tanh"]}, num_checks=3, seeds=1
    )
    with ScalarWriter(tmp_path / "tb", 20) as scalars:
        scalars.write(results)
        scalars.finish(results)
    graphs = read_graphs(tmp_path / "tb")
    assert len(graphs) == 4
    deep = graphs["hidden_sizes=8x6,activation=tanh"]
    assert shape_of(deep["layer_1/weights"]) == (20, 8)
    assert shape_of(deep["layer_3/weights"]) == (6, 3)
    assert "layer_2/tanh" in deep
    assert "layer_2/relu" in graphs["hidden_sizes=8x6,activation=relu"]
    assert not any(name.startswith("layer_2") for name in graphs["hidden_sizes=none,activation=relu"])


def test_settings_of_one_network_are_traced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[tuple[int, ...]] = []

    def counted(model: Model, hparams: Hparams, *given: Any) -> Event:
        traced.append(hparams.hidden_sizes)
        return network_graph(model, hparams, *given)

    monkeypatch.setattr(writer, "network_graph", counted)
    results = network_results(
        axes={"learning_rate": [0.1, 1.0, 2.0], "hidden_sizes": ["8", "6"]}, num_checks=3, seeds=1
    )
    with ScalarWriter(tmp_path / "tb", 20) as scalars:
        scalars.write(results)
    assert len(read_graphs(tmp_path / "tb")) == 6
    assert traced == [(8,), (6,)]


@pytest.mark.parametrize("missing", ["own_model", "input_shape", "label", "loss"])
def test_no_graph_where_the_network_is_not_known(tmp_path: Path, missing: str) -> None:
    results = network_results(axes={"learning_rate": [0.1]}, num_checks=3, seeds=1)
    if missing == "own_model":
        results.attrs["own_model"] = 1
    elif missing == "input_shape":
        del results.attrs[missing]
    else:
        results = results.drop_vars(missing)
    with ScalarWriter(tmp_path / "tb", 20) as scalars:
        scalars.write(results)
    assert not read_graphs(tmp_path / "tb")
