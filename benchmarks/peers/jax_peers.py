"""What one writes in JAX without a library: single runs one after another, and all members by `vmap`.

`train` is the whole of the plain prototype: random batches, a `lax.scan` over the steps, in each a `vmap` over the
members of a seed. No masks, no test for divergence, no checks, no schedule.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from benchmarks.peers.loops import Loop
from benchmarks.workloads import CLASSES, Arrays, Workload
from jaxreg.hardware import use_all_cores

Params = list[tuple[Array, Array]]


def init(workload: Workload, *leading: int) -> Params:
    """Weights and biases of the two layers, behind so many leading axes."""
    rng = np.random.default_rng(0)
    shapes = ((workload.features, workload.hidden), (workload.hidden, CLASSES))
    weights = [jnp.asarray(rng.normal(0, 0.1, (*leading, *shape)), jnp.float32) for shape in shapes]
    return [(w, jnp.zeros((*leading, w.shape[-1]))) for w in weights]


def loss(params: Params, inputs: Array, labels: Array) -> Array:
    """The mean cross-entropy of a batch."""
    (hidden_weights, hidden_bias), (weights, bias) = params
    logits = jax.nn.sigmoid(inputs @ hidden_weights + hidden_bias[None]) @ weights + bias[None]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def step(params: Params, rate: Array, inputs: Array, labels: Array) -> tuple[Params, Array]:
    """One step of plain SGD of one member."""
    value, grads = jax.value_and_grad(loss)(params, inputs, labels)
    return jax.tree.map(lambda p, g: p - rate * g, params, grads), value


def train_one(
    params: Params, rate: Array, key: Array, inputs: Array, labels: Array, *, steps: int, batch: int
) -> tuple[Params, Array]:
    """So many steps of one member; its losses [steps]."""
    rows = jax.random.randint(key, (steps, batch), 0, len(inputs))
    return jax.lax.scan(lambda params, row: step(params, rate, inputs[row], labels[row]), params, rows)


def train(
    params: Params, rates: Array, key: Array, inputs: Array, labels: Array, *, steps: int, batch: int
) -> tuple[Params, Array]:
    """So many steps of the members of one seed, [members, ...]; their losses [steps, members]."""
    rows = jax.random.randint(key, (steps, batch), 0, len(inputs))
    step_all = jax.vmap(step, (0, 0, None, None))
    return jax.lax.scan(lambda params, row: step_all(params, rates, inputs[row], labels[row]), params, rows)


def one_by_one(workload: Workload, arrays: Arrays) -> Mapping[str, Loop]:
    """Each member by itself, by one compiled scan: a call trains one of them, the next call the next."""
    steps = steps_per_call(workload, 1)
    params = [init(workload) for _ in range(workload.members)]
    rates = jnp.tile(jnp.array(workload.learning_rates), workload.seeds)
    keys = jax.random.split(jax.random.key(0), workload.members)
    run_one = jax.jit(functools.partial(train_one, steps=steps, batch=workload.batch), donate_argnums=0)
    inputs, labels = map(jnp.asarray, arrays)
    turn = 0

    def run() -> None:
        nonlocal turn
        number = turn % workload.members
        keys_now = jax.random.fold_in(keys[number], turn)
        params[number], losses = run_one(params[number], rates[number], keys_now, inputs, labels)
        jax.block_until_ready(losses)
        turn += 1

    return {"": Loop(run, steps)}


def prototype(workload: Workload, arrays: Arrays) -> Mapping[str, Loop]:
    """All members by `vmap` on JAX's one default device; of several seeds either side by side or one after another."""
    steps = steps_per_call(workload, workload.members)
    one_seed = functools.partial(train, steps=steps, batch=workload.batch)
    inputs, labels = map(jnp.asarray, arrays)
    rates = jnp.array(workload.learning_rates)

    def side_by_side(params: Params, keys: Array, inputs: Array, labels: Array) -> Any:
        return jax.vmap(lambda params, key: one_seed(params, rates, key, inputs, labels))(params, keys)

    def in_turn(params: Params, keys: Array, inputs: Array, labels: Array) -> Any:
        return jax.lax.map(lambda x: one_seed(x[0], rates, x[1], inputs, labels), (params, keys))

    def loop(program: Callable[..., Any]) -> Loop:
        start = init(workload, workload.seeds, workload.rates)
        return Loop(_going_on(program, start, workload.seeds, inputs, labels), steps * workload.members)

    if workload.seeds == 1:
        return {"": loop(in_turn)}
    return {"seeds side by side": loop(side_by_side), "seeds in turn": loop(in_turn)}


def blocks(workload: Workload, arrays: Arrays) -> Mapping[str, Loop]:
    """The prototype on one device per core, each of which trains its members in blocks, one block after another.

    The map over blocks is outside the scan over the steps, so that the parameters of a block stay in a core's cache.
    """
    steps = steps_per_call(workload, workload.members)
    mesh = jax.make_mesh((jax.local_device_count(),), ("blocks",), axis_types=(jax.sharding.AxisType.Auto,))
    everywhere, divided = (jax.sharding.NamedSharding(mesh, jax.P(*axes)) for axes in ((), ("blocks",)))
    inputs, labels = (jax.device_put(array, everywhere) for array in arrays)

    def loop(width: int) -> Loop:
        per_seed = -(-workload.rates // width)
        count = -(-workload.seeds * per_seed // mesh.size) * mesh.size
        filled = np.resize(workload.learning_rates, per_seed * width).reshape(per_seed, width)
        rates = np.resize(filled, (count, width)).astype(np.float32)
        seeds = np.minimum(np.arange(count) // per_seed, workload.seeds - 1)

        def of_a_device(params: Params, rates: Array, seeds: Array, keys: Array, inputs: Array, labels: Array) -> Any:
            def one_block(block: tuple[Params, Array, Array]) -> Any:
                params, rates, seed = block
                return train(params, rates, keys[seed], inputs, labels, steps=steps, batch=workload.batch)

            return jax.lax.map(one_block, (params, rates, seeds))

        specs = (jax.P("blocks"), jax.P("blocks"), jax.P("blocks"), jax.P(), jax.P(), jax.P())
        mapped = jax.shard_map(of_a_device, mesh=mesh, in_specs=specs, out_specs=jax.P("blocks"), check_vma=False)

        rates_of_blocks, seeds_of_blocks = (jax.device_put(array, divided) for array in (rates, seeds))

        def program(params: Params, keys: Array, inputs: Array, labels: Array) -> Any:
            return mapped(params, rates_of_blocks, seeds_of_blocks, keys, inputs, labels)

        params = jax.device_put(init(workload, count, width), divided)
        return Loop(_going_on(program, params, workload.seeds, inputs, labels), steps * workload.members)

    widths = sorted({min(width, workload.rates) for width in (2, 4, 8, -(-workload.rates // mesh.size))})
    return {f"blocks of {width} on {mesh.size} device(s)": loop(width) for width in widths}


def steps_per_call(workload: Workload, members: int) -> int:
    """Steps that make about 3e10 operations: enough to hide the start of a program, a second or less."""
    return int(np.clip(3e10 / (workload.operations * members), 4, 1000))


def _going_on(
    program: Callable[..., Any], params: Params, seeds: int, inputs: Array, labels: Array
) -> Callable[[], None]:
    """Calls of a program, each of which goes on with the parameters of the one before."""
    jitted = jax.jit(program, donate_argnums=0)
    key = jax.random.key(0)

    def run() -> None:
        nonlocal params, key
        key, now = jax.random.split(key)
        params, losses = jitted(params, jax.random.split(now, seeds), inputs, labels)
        jax.block_until_ready(losses)

    return run


def blocks_on_all_cores(workload: Workload, arrays: Arrays) -> Mapping[str, Loop]:
    """`blocks`, in a process that has not used JAX yet."""
    use_all_cores()
    return blocks(workload, arrays)
