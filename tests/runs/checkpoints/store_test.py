"""Checkpoints come back bit for bit, or not at all and with the reason."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxreg.errors import CheckpointError
from jaxreg.runs.checkpoints import manifest
from jaxreg.runs.checkpoints import store as checkpoints
from jaxreg.runs.checkpoints.checksums import checksums
from jaxreg.runs.checkpoints.store import Checkpoints, Found


class State(NamedTuple):
    params: dict[str, Any]
    opt_state: Any
    best: tuple[Any, ...]
    other: Any


def make_state(seed: int = 0) -> State:
    params = {"w": jax.random.normal(jax.random.key(seed), (3, 4)), "b": jnp.zeros((4,))}
    nan_with_payload = np.array([0x7FC12345, 0xFFC00001, 0x7F800000], np.uint32).view(np.float32)
    other = {
        "bfloat16": jnp.array([1.5, -0.0, jnp.nan], jnp.bfloat16),
        "payload": jnp.asarray(nan_with_payload),
        "signs": jnp.array([0.0, -0.0]),
        "uint32": jnp.array([0, 2**32 - 1], jnp.uint32),
        "int8": jnp.array([-128, 127], jnp.int8),
        "bool": jnp.array([True, False]),
        "key": jax.random.split(jax.random.key(seed), 2),
        "rbg": jax.random.key(seed, impl="rbg"),
        "empty": jnp.zeros((0, 3)),
        "host": np.array([1.0, -0.0, np.nan]),
        "host count": np.array(2**40),
        "host empty": np.zeros((2, 0), np.int64),
        "none": None,
    }
    return State(params, optax.adam(0.1).init(params), (None, jnp.float32(seed), ()), other)


def struct(shape: tuple[int, ...], dtype: Any, sharding: Any = None) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def abstract(state: Any) -> Any:
    return jax.tree.map(lambda x: x if isinstance(x, np.ndarray) else struct(x.shape, x.dtype, x.sharding), state)


def bits(leaf: Any) -> bytes:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf).tobytes()


def assert_same_bits(a: Any, b: Any) -> None:
    assert str(jax.tree.structure(a)) == str(jax.tree.structure(b))
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert isinstance(x, np.ndarray) == isinstance(y, np.ndarray)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        assert bits(x) == bits(y)


def found(store: Checkpoints) -> Found:
    latest = store.latest()
    assert latest is not None
    return latest


def small(value: float) -> dict[str, jax.Array]:
    return {"w": jnp.full((3,), value, jnp.float32)}


@pytest.fixture
def store(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", "hash")


def names(store: Checkpoints) -> list[str]:
    return sorted(path.name for path in store.directory.iterdir())


def test_every_kind_of_leaf_comes_back_bit_for_bit(store: Checkpoints) -> None:
    state = make_state()
    store.save(12, state, {"position": [1, 2], "seconds": 0.1, "loss": float("nan")})
    latest = found(store)
    assert (latest.step, latest.about) == (12, {"position": [1, 2], "seconds": 0.1, "loss": None})
    assert_same_bits(latest.restore(abstract(state)), state)
    assert_same_bits(latest.restore(state), state)
    assert names(store) == ["000000000012"]


def test_leaves_may_come_back_on_the_host(store: Checkpoints) -> None:
    store.save(0, {"w": jnp.array([1.0, jnp.nan, -0.0], jnp.bfloat16)}, {})
    target = {"w": np.zeros(3, jnp.bfloat16)}
    restored = found(store).restore(target)
    assert isinstance(restored["w"], np.ndarray)
    np.testing.assert_array_equal(restored["w"].view(np.uint16), [0x3F80, 0x7FC0, 0x8000])


def test_a_part_of_the_tree_is_read_by_its_keys(store: Checkpoints) -> None:
    blocks = {f"block {i}": {"weights": np.full((2, i), i, np.float32), "bias": (np.arange(3) + i,)} for i in range(3)}
    store.save(1, {"params": blocks, "other": np.ones(2)}, {})
    part = found(store).restore_tree("params", "block 1")
    assert list(part) == ["params"]
    assert_same_bits(part["params"], {"block 1": blocks["block 1"]})
    assert_same_bits(found(store).restore_tree("params")["params"], blocks)
    assert found(store).restore_tree("params", "block") == {}
    assert sorted(found(store).restore_tree()) == ["other", "params"]


def test_a_state_without_elements(store: Checkpoints) -> None:
    for state in ({}, {"a": None, "b": jnp.zeros((0,))}):
        store.save(1, state, {})
        assert_same_bits(found(store).restore(abstract(state)), state)


def test_never_saved_is_none(store: Checkpoints) -> None:
    assert store.latest() is None
    store.directory.mkdir()
    assert store.latest() is None


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ({"w": np.zeros(4, np.float32)}, "['w']"),
        ({"w": np.zeros((3, 1), np.float32)}, "['w']"),
        ({"w": np.zeros(3, np.int32)}, "['w']"),
        ({"w": struct((3,), jnp.bfloat16)}, "['w']"),
        ({"v": np.zeros(3, np.float32)}, "['w']"),
        ({"w": np.zeros(3, np.float32), "x": np.zeros(3, np.float32)}, "['x']"),
        ({"w": None}, "['w']"),
        ([np.zeros(3, np.float32)], "['w']"),
    ],
)
def test_another_tree_shape_or_dtype_is_refused(store: Checkpoints, target: Any, path: str) -> None:
    store.save(1, small(1.0), {})
    with pytest.raises(CheckpointError) as refusal:
        found(store).restore(target)
    assert path in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "leaf", [1.0, np.float32(1), np.array(["a"]), np.array([1j]), jnp.asarray(1.0), np.zeros(2, ">f4")], ids=repr
)
def test_leaves_that_would_not_come_back_are_refused(store: Checkpoints, leaf: Any) -> None:
    with pytest.raises(TypeError, match=r"\['leaf'\]"):
        store.save(1, {"leaf": leaf}, {})
    assert not store.directory.exists()


def test_keeps_the_newest_and_leaves_strangers_alone(store: Checkpoints) -> None:
    store.directory.mkdir()
    for stranger in ("9", "notes", "000000000099x"):
        (store.directory / stranger).mkdir()
    (store.directory / "000000000500").write_text("a file")
    for step in (1, 2, 3, 10):
        store.save(step, small(step), {})
    assert names(store) == ["000000000003", "000000000010", "000000000099x", "000000000500", "9", "notes"]
    assert found(store).step == 10


def test_same_step_again_replaces(store: Checkpoints) -> None:
    for value in (1.0, 2.0):
        store.save(5, small(value), {"value": value})
    latest = found(store)
    assert latest.about == {"value": 2.0}
    assert_same_bits(latest.restore(small(0.0)), small(2.0))
    assert names(store) == ["000000000005"]


@pytest.mark.parametrize("step", [-1, 4, 10**12])
def test_steps_do_not_go_back(store: Checkpoints, step: int) -> None:
    store.save(5, small(1.0), {})
    with pytest.raises(ValueError, match="step"):
        store.save(step, small(1.0), {})
    assert found(store).step == 5


def test_another_configuration_is_refused_and_not_touched(store: Checkpoints) -> None:
    store.save(5, small(1.0), {})
    with pytest.raises(CheckpointError, match="another configuration"):
        Checkpoints(store.directory, "other hash").latest()
    assert found(store).step == 5


def test_every_flipped_bit_is_noticed(store: Checkpoints) -> None:
    state = {"w": jax.random.normal(jax.random.key(0), (50, 20)), "n": jnp.array([1, 2], jnp.uint32)}
    store.save(1, state, {"position": 3, "seconds": 1.25})
    folder = store.directory / "000000000001"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rng = np.random.default_rng(0)
    for flip in range(10 * len(files)):
        file = files[flip % len(files)]
        content = file.read_bytes()
        damaged = bytearray(content)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        try:
            latest = store.latest()
        except CheckpointError:
            assert folder.exists()  # where it was: a copy of the file can be put back
        else:  # only white space in the manifest means the same after a flip
            assert file.name == "manifest.json"
            assert json.loads(damaged) == json.loads(content)
            assert latest is not None
            assert_same_bits(latest.restore(abstract(state)), state)
        file.write_bytes(content)
    assert_same_bits(found(store).restore(abstract(state)), state)


@pytest.mark.parametrize(
    "change", [('"position": 3', '"position": 7'), ('"hash"', '"hasi"'), ('"step": 1', '"step": 3')]
)
def test_a_manifest_that_is_still_json_is_damaged_all_the_same(store: Checkpoints, change: tuple[str, str]) -> None:
    store.save(1, small(1.0), {"position": 3})
    manifest = store.directory / "000000000001" / "manifest.json"
    text = manifest.read_text()
    assert text.count(change[0]) == 1
    manifest.write_text(text.replace(*change))
    with pytest.raises(CheckpointError, match="only damaged"):
        store.latest()


@pytest.mark.parametrize("damage", ["truncate", "remove", "empty"])
def test_damaged_newest_is_set_aside_and_the_one_before_used(
    store: Checkpoints, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        store.save(step, small(step), {})
    newest = store.directory / "000000000002"
    num_files = sum(path.is_file() for path in newest.rglob("*"))
    for n in range(num_files):
        file = sorted(path for path in newest.rglob("*") if path.is_file())[n]
        if damage == "remove":
            file.unlink()
        else:
            os.truncate(file, 0 if damage == "empty" else file.stat().st_size - 2)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "jaxreg"):
            latest = found(store)
        assert_same_bits(latest.restore(small(0.0)), small(1.0))
        (message,) = caplog.messages
        assert message.startswith("checkpoint 2 is damaged")
        assert f"damaged-000000000002-{n}" in message
        store.save(2, small(2.0), {})
    assert len(names(store)) == num_files + 2


def test_callers_that_only_read_skip_damage_and_rename_nothing(store: Checkpoints) -> None:
    for step in (1, 2):
        store.save(step, small(step), {})
    (store.directory / "000000000002" / "manifest.json").unlink()
    before = names(store)
    latest = store.latest(repair=False)
    assert latest is not None
    assert latest.step == 1
    (skipped,) = latest.skipped
    assert skipped.startswith("step 2, manifest.json cannot be read")
    assert names(store) == before


def test_a_checkpoint_of_another_format_is_refused(store: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "FORMAT", manifest.FORMAT + 1)
        store.save(1, small(1.0), {})
    with pytest.raises(CheckpointError, match="has format 2, this jaxreg reads 1"):
        store.latest()
    assert names(store) == ["000000000001"]


def test_a_checkpoint_under_the_name_of_another_step_is_not_used(store: Checkpoints) -> None:
    for step in (1, 2):
        store.save(step, small(step), {})
    (store.directory / "000000000001").rename(store.directory / "000000000009")
    assert found(store).step == 2


def test_never_starts_over_when_only_damaged_ones_are_left(store: Checkpoints) -> None:
    for step in (1, 2):
        store.save(step, small(step), {})
        (store.directory / f"{step:012d}" / "manifest.json").unlink()
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"only damaged .*\(step 2, manifest.json cannot be read"):
            store.latest()
    assert names(store) == ["000000000001", "000000000002"]


def test_values_that_differ_from_the_saved_ones_are_refused(
    store: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(1, small(1.0), {})
    monkeypatch.setattr(checkpoints, "read_arrays", lambda *_, **__: [jnp.array([1.0, 1.0, 1.0000001])])
    with pytest.raises(CheckpointError, match=r"\['w'\] came back with other values"):
        found(store).restore(small(0.0))


DISK_FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    ValueError("RESOURCE_EXHAUSTED: Error writing local file ... [OS error 28: ENOSPC No space left on device]"),
]


@pytest.mark.parametrize("error", DISK_FULL, ids=["OSError", "TensorStore"])
@pytest.mark.parametrize(
    ("module", "at"),
    [
        (checkpoints, "write_arrays"),
        (manifest, "flush_to_disk"),
        (manifest, "write_atomically"),
    ],
    ids=["arrays", "flush", "manifest"],
)
def test_full_disk_names_the_last_good_step(
    store: Checkpoints, monkeypatch: pytest.MonkeyPatch, error: Exception, module: ModuleType, at: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    store.save(1, small(1.0), {})
    with monkeypatch.context() as patch:
        patch.setattr(module, at, fail)
        with pytest.raises(CheckpointError, match=r"no space left on device.*last good one is step 1"):
            store.save(2, small(2.0), {})
    assert names(store) == ["000000000001"]
    assert_same_bits(found(store).restore(small(0.0)), small(1.0))
    store.save(2, small(2.0), {})


def test_really_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of 1 MB can only be mounted as root; the simulated failures above still run")
    try:
        store = Checkpoints(disk / "checkpoints", "hash")
        store.save(1, small(1.0), {})
        with pytest.raises(CheckpointError, match=r"no space left on device.*last good one is step 1"):
            store.save(2, {"w": jax.random.normal(jax.random.key(0), (1_000_000,))}, {})
        assert names(store) == ["000000000001"]
        store.save(2, small(2.0), {})
        assert_same_bits(found(store).restore(small(0.0)), small(2.0))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# What a save does to the disk, one call at a time; a kill may come before any of them.
OPERATIONS = [
    (checkpoints, "write_arrays"),
    (checkpoints, "flush_to_disk"),
    (manifest, "flush_to_disk"),
    (manifest, "write_atomically"),
    (Path, "mkdir"),
    (Path, "rename"),
    (os, "unlink"),
    (os, "rmdir"),
]


class Killed(BaseException):
    """Passes every `except Exception`, as kill -9 does."""


def kill_before(operation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets that many operations of a save pass and kills before the next."""
    left = operation

    def counted(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return original(*args, **kwargs)

        return call

    for owner, name in OPERATIONS:
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


@pytest.mark.parametrize("step", [1, 2], ids=["same step", "next step"])
def test_a_kill_at_any_moment_leaves_a_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    before = Checkpoints(tmp_path / "before", "hash", keep=1)
    before.save(1, small(1.0), {})
    values = []
    for operation in range(1000):
        store = Checkpoints(tmp_path / f"{operation}", "hash", keep=1)
        shutil.copytree(before.directory, store.directory)
        with monkeypatch.context() as patch:
            kill_before(operation, patch)
            try:
                store.save(step, small(2.0), {})
            except Killed:
                killed = True
            else:
                killed = False
        values.append(float(found(store).restore(small(0.0))["w"][0]))
        store.save(3, small(3.0), {})
        assert names(store) == ["000000000003"]
        if not killed:
            break
    # The old one up to some operation, the new one from then on: a save happens at one moment.
    assert values == sorted(values)
    assert set(values) == {1.0, 2.0}
    assert len(values) > 30


KILLED_SAVE = """
import os, sys
from pathlib import Path
import jax.numpy as jnp
from jaxreg.runs.checkpoints import Checkpoints, manifest

store = Checkpoints(Path(sys.argv[1]), "hash")
store.save(1, {"w": jnp.ones(3)}, {})
manifest.write_atomically = lambda *_: os._exit(9)
store.save(2, {"w": 2 * jnp.ones(3)}, {})
"""


def test_a_process_that_dies_leaves_a_good_checkpoint(store: Checkpoints) -> None:
    child = subprocess.run([sys.executable, "-c", KILLED_SAVE, str(store.directory)], timeout=120, check=False)
    assert child.returncode == 9
    assert names(store) == ["000000000001", "saving-000000000002"]
    assert_same_bits(found(store).restore(small(0.0)), small(1.0))
    store.save(2, small(3.0), {})
    assert names(store) == ["000000000001", "000000000002"]


def test_another_sharding(store: Checkpoints) -> None:
    if jax.device_count() < 2:
        pytest.skip("needs two devices")
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("members",))
    specs = [P("members"), P(None, "members"), P()]
    rows, columns, everywhere = (NamedSharding(mesh, spec) for spec in specs)
    one = jax.sharding.SingleDeviceSharding(jax.devices()[1])
    w = jax.random.normal(jax.random.key(0), (4, 6))
    keys = jax.random.split(jax.random.key(1), 4)
    state = {"w": jax.device_put(w, rows), "keys": jax.device_put(keys, rows), "count": jnp.zeros((), jnp.int32)}
    store.save(1, state, {})
    for sharding in (rows, columns, everywhere, one):
        along_members = rows if sharding is columns else sharding
        target = {
            "w": struct(w.shape, w.dtype, sharding),
            "keys": struct(keys.shape, keys.dtype, along_members),
            "count": state["count"],
        }
        restored = found(store).restore(target)
        assert_same_bits(restored, state)
        assert restored["w"].sharding.is_equivalent_to(sharding, 2)
        assert checksums([restored["w"]]) == checksums([w])
