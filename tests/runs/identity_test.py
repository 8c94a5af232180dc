"""Which runs are the same: by their flags where these are not at their defaults, and by the user's own parts."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from typing import Any

import numpy as np
import pytest

from jaxreg.config.experiment import DataConfig, Experiment, RunConfig
from jaxreg.config.flagfile import flag_lines
from jaxreg.config.hparams import Hparams
from jaxreg.data import from_arrays
from jaxreg.runs.identity import Identity, default_flags, flag_differences

BEFORE = Experiment(hparams=Hparams(learning_rate=0.2), axes={"batch_size": (10, 20)}, seeds=2)


def earlier_hash(lines: list[str], *own: bytes) -> str:
    """`configuration` as it was before runs kept their identity: SHA-256 of all compared lines, then the own parts."""
    shown = {field.name for field in dataclasses.fields(RunConfig)} | {"seeds"}
    compared = [line for line in lines if line[2:].partition("=")[0] not in shown]
    return digest(["\n".join(compared).encode(), *own])


def digest(pieces: list[bytes]) -> str:
    return hashlib.sha256(b"".join(pieces)).hexdigest()


def kept(experiment: Experiment, data: str = "", **own: str) -> dict[str, Any]:
    return {"identity": Identity(experiment, data, own).record()}


def test_how_a_run_is_kept_is_not_compared_and_all_else_is() -> None:
    shown = RunConfig(
        "here", True, True, checkpoint_every=5, max_minutes=1.0, tensorboard=False, report=False, progress="true"
    )
    same: list[dict[str, Any]] = [{}, {"run": shown}, {"seeds": 3}]  # seeds can be added
    for other in same:
        asked = Identity(dataclasses.replace(BEFORE, **other))
        assert asked.configuration == Identity(BEFORE).configuration
        assert asked.differences(kept(BEFORE), None) == []
    others: list[tuple[dict[str, Any], str]] = [
        ({"first_seed": 2}, "--first_seed=0 there, 2 here"),
        ({"eval_every": 3}, "--eval_every=0 there, 3 here"),
        ({"axes": {"batch_size": (10, 30)}}, "--batch_size=10,20 there, 10,30 here"),
        (
            {"hparams": Hparams(learning_rate=0.25)},
            "--learning_rate=0.2 there, 0.25 here",
        ),
        ({"hparams": Hparams()}, "--learning_rate=0.2 there, 0.1 here"),
        ({"data": DataConfig(dataset="mnist")}, "--dataset=digits there, mnist here"),
        ({"data": DataConfig(validation_size=9)}, "--validation_size=absent there, 9 here"),
    ]
    for other, words in others:
        asked = Identity(dataclasses.replace(BEFORE, **other))
        assert asked.configuration != Identity(BEFORE).configuration
        assert asked.differences(kept(BEFORE), None) == [words]


def test_other_parts_data_and_settings_of_jax_are_another_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    def identity(data: str = "", **own: str) -> Identity:
        return Identity(BEFORE, data, own)

    assert identity(part="1").configuration == identity(part="1").configuration
    others = [identity(part="2"), identity(other="1"), identity(), identity("data", part="1")]
    assert identity(part="1").configuration not in {other.configuration for other in others}
    assert identity(part="1").differences(kept(BEFORE, part="1"), None) == []
    assert identity(part="1").differences(kept(BEFORE, part="2"), None) == ["another part of your own"]
    assert identity(part="1").differences(kept(BEFORE), None) == ["part of your own only here"]
    assert identity().differences(kept(BEFORE, part="1"), None) == ["part of your own only there"]
    assert identity("0123456789").differences(kept(BEFORE, "abcdefghij"), None) == [
        "other data: SHA-256 abcdefgh… there, 01234567… here"
    ]
    before = kept(BEFORE)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    (line,) = identity().differences(before, None)
    assert line.endswith(" there, --xla_cpu_enable_fast_math=true here")
    assert line.startswith("XLA_FLAGS=")


def test_where_data_are_is_not_compared() -> None:
    moved = dataclasses.replace(BEFORE, data=DataConfig(data_dir="elsewhere"))
    assert Identity(moved, "digest").differences(kept(BEFORE, "digest"), None) == []
    assert Identity(moved, "digest").configuration == Identity(BEFORE, "digest").configuration
    before = {"identity": {"flags": Identity(BEFORE).flags | {"data_dir": "there"}, "own": {}}}  # kept without data
    assert Identity(moved, "digest").differences(before, None) == []
    here, there = (dataclasses.replace(BEFORE, data=DataConfig(f"/{folder} #1/set.csv")) for folder in "ab")
    assert Identity(here, "digest").differences(kept(there, "digest"), None) == []
    assert Identity(here, "digest").configuration == Identity(there, "digest").configuration
    assert Identity(BEFORE, "digest").differences(kept(there, "digest"), None) == ["--dataset=PATH there, digits here"]


def test_own_parts_that_were_kept_by_their_source_are_compared_by_it() -> None:
    def one(x: float) -> float:
        return x

    def other(x: float) -> float:
        return x + 1

    part = digest([inspect.getsource(one).encode()])
    before = {"identity": {"flags": Identity(BEFORE).flags, "own": {"model": part}}}
    assert Identity(BEFORE, own={"model": "its trace"}, given={"model": one}).differences(before, None) == []
    asked = Identity(BEFORE, own={"model": "its trace"}, given={"model": other})
    assert asked.differences(before, None) == ["another model of your own"]


def test_a_default_that_has_changed_since_does_not_make_two_runs_one() -> None:
    """All flags are kept, so a run from when another value was the default is told from one at today's default."""
    meta = kept(BEFORE)
    meta["identity"]["flags"]["momentum"] = "0.5"
    assert Identity(BEFORE).differences(meta, None) == ["--momentum=0.5 there, 0 here"]


def test_runs_without_a_kept_identity_are_known_by_the_hash_of_their_flags() -> None:
    lines = flag_lines(BEFORE)
    text = "# made earlier\n" + "\n".join(lines)
    meta = {"configuration": earlier_hash(lines)}
    asked = Identity(dataclasses.replace(BEFORE, seeds=9))
    assert asked.differences(meta, text) == []
    assert asked.differences(meta, None) == []  # flags.cfg was not written yet
    assert Identity(Experiment()).differences(meta, text) == [
        "--learning_rate=0.2 there, 0.1 here",
        "--batch_size=10,20 there, 100 here",
    ]
    assert asked.differences(meta, text + "\n--data_dir=") == ["its flags.cfg changed since"]


def test_a_flag_that_is_newer_than_a_run_has_its_default_there() -> None:
    lines = [line for line in flag_lines(BEFORE) if not line.startswith("--momentum=")]
    meta, text = {"configuration": earlier_hash(lines)}, "\n".join(lines)
    assert Identity(BEFORE).differences(meta, text) == []
    changed = dataclasses.replace(BEFORE, hparams=Hparams(learning_rate=0.2, momentum=0.5))
    assert Identity(changed).differences(meta, text) == ["--momentum=0 there, 0.5 here"]
    assert Identity(BEFORE).differences(meta, text + "\n--learning_rate=0.3") == ["--learning_rate=0.3 there, 0.2 here"]


def test_own_parts_of_a_run_without_a_kept_identity_are_in_its_hash() -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 1])
    data, other = (from_arrays((inputs, y), (inputs, y), (inputs, y)) for inputs in (x, x + 1))
    lines = flag_lines(BEFORE)
    content = b"".join(array.tobytes() for split in (data.train, data.validation, data.test) for array in split)
    meta = {"configuration": earlier_hash(lines, b"\ndata: ", content), "own": ["data"]}
    text = "\n".join(lines)
    assert Identity(BEFORE, given={"data": data}).differences(meta, text) == []
    changed = ["data of your own, or its flags.cfg, changed since"]
    assert Identity(BEFORE, given={"data": other}).differences(meta, text) == changed
    assert Identity(BEFORE).differences(meta, text) == changed


def test_flag_differences() -> None:
    there = "# comment\n--learning_rate=0.1\n--seeds=3\n--workdir=a\n--tensorboard_max_runs=2\n--report\n--zip=a,b\n"
    here = "--seeds=4\n\n# --seeds=4\n--learning_rate=0.2\n--momentum=0.9\n--tensorboard=false\n"
    assert flag_differences(there, there) == {}
    assert flag_differences(there, here) == {
        "learning_rate": ("0.1", "0.2"),
        "zip": ("a,b", "absent"),
        "momentum": ("0", "0.9"),
    }
    assert flag_differences("--zip=a,b\n--zip=c,d", "--zip=e,f\n--zip=c,d") == {"zip": ("a,b; c,d", "e,f; c,d")}
    assert flag_differences("", "--momentum=0\n--learning_rate=1e-1") == {}
    assert flag_differences("--of_a_later_version=1", "") == {"of_a_later_version": ("1", "absent")}
    assert default_flags()["learning_rate"] == "0.1"
