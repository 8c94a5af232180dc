"""The settings of JAX that can change numbers: listed once, pinned while jaxreg computes, recorded with each run.

JAX reads them from environment variables (`JAX_ENABLE_X64`) and from `jax.config`, where they hold for a whole process.
A run must not depend on them: the same flags give the same bits.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import jax
from jax import Array
from jax.typing import ArrayLike

_config: Any = jax.config  # its attributes are made at run time

PRNG = "threefry2x32"
"""The random number generator. Of others (`rbg`) a key that is drawn under vmap depends on what is drawn beside it."""

DECIDE_BITS: dict[str, Any] = {
    "jax_default_prng_impl": PRNG,
    "jax_random_seed_offset": 0,
    "jax_threefry_partitionable": True,
    "jax_enable_x64": False,
    "jax_default_matmul_precision": None,  # --matmul_precision decides
    "jax_numpy_dtype_promotion": "standard",
    "jax_softmax_custom_jvp": False,
    "jax_disable_most_optimizations": False,
    "jax_optimization_level": "UNKNOWN",  # which leaves it to XLA
    "jax_exec_time_optimization_effort": 0.0,
}
"""What they are pinned to, by name."""

STAND_IN_THE_WAY: dict[str, Any] = {
    "jax_disable_jit": False,  # a sweep would be interpreted, step by step
    "jax_debug_nans": False,  # a member that diverges is a result
    "jax_debug_infs": False,
    "jax_transfer_guard": "allow",
    "jax_transfer_guard_host_to_device": "allow",
    "jax_transfer_guard_device_to_host": "allow",
    "jax_transfer_guard_device_to_device": "allow",
}
"""Those that change no number and would end or slow a run."""

_IN_THIS_THREAD: dict[str, Any] = {
    "jax_default_prng_impl": jax.default_prng_impl,
    "jax_threefry_partitionable": jax.threefry_partitionable,
    "jax_enable_x64": jax.enable_x64,
    "jax_default_matmul_precision": jax.default_matmul_precision,
    "jax_numpy_dtype_promotion": jax.numpy_dtype_promotion,
    "jax_softmax_custom_jvp": jax.softmax_custom_jvp,
    "jax_disable_jit": jax.disable_jit,
    "jax_debug_nans": jax.debug_nans,
    "jax_debug_infs": jax.debug_infs,
    "jax_transfer_guard": jax.transfer_guard,
}
"""Context managers of JAX, for what a caller has set by them: in their thread they win over the process."""

_set_aside: ContextVar[tuple[str, ...]] = ContextVar("settings of JAX that are set aside", default=())
_PINNED = DECIDE_BITS | STAND_IN_THE_WAY
_UNIMPORTANT_XLA_FLAGS = ("--xla_force_host_platform_device_count", "--xla_dump", "--xla_hlo_profile")


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Settings of JAX as every run has them; those of before are put back at the end.

    What was set otherwise and can change numbers is named by `remark` inside.
    """
    with ThreadPoolExecutor(1) as another_thread:
        of_the_process = another_thread.submit(_differing).result()
    of_this_thread = _differing()
    found = [f"{name}={value}" for name, value in (of_the_process | of_this_thread).items() if name in DECIDE_BITS]
    with contextlib.ExitStack() as stack:
        stack.callback(_set_aside.reset, _set_aside.set((*_set_aside.get(), *found)))
        for name, value in of_the_process.items():
            stack.callback(_config.update, name, value)
            _config.update(name, _PINNED[name])
        for name in of_this_thread.keys() & _IN_THIS_THREAD.keys():
            stack.enter_context(_IN_THIS_THREAD[name](_PINNED[name]))
        yield


def remark() -> str | None:
    """What to tell the user of settings that were found otherwise and are set aside now; None where there are none."""
    found = ", ".join(_set_aside.get())
    promise = "set aside while jaxreg computes, so that equal flags give equal numbers whatever JAX's settings are"
    return f"{found}: {promise}" if found else None


def random_key(seed: ArrayLike) -> Array:
    """The key of a seed, of the generator of every run whatever JAX's default is."""
    return jax.random.key(seed, impl=PRNG)


def key_from(words: Array) -> Array:
    """The keys with these data, uint32 [..., 2]."""
    return jax.random.wrap_key_data(words, impl=PRNG)


def record() -> dict[str, Any]:
    """What a run keeps of the settings it computes with: those that are pinned, and the flags of XLA that act."""
    flags = sorted(
        flag for flag in os.environ.get("XLA_FLAGS", "").split() if not flag.startswith(_UNIMPORTANT_XLA_FLAGS)
    )
    return DECIDE_BITS | {"XLA_FLAGS": " ".join(flags)}


def _differing() -> dict[str, Any]:
    """What the settings are in this thread, where they are not as they are pinned."""
    found = {name: _plain(value) for name, value in _config.values.items() if name in _PINNED}
    allowed = {name: {value, None} if value == "allow" else {value} for name, value in _PINNED.items()}
    return {name: value for name, value in found.items() if value not in allowed[name]}


def _plain(value: Any) -> Any:
    """An enumeration's value, which is what `jax.config.update` takes."""
    return getattr(value, "value", value)
