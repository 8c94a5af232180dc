from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import jax
import pytest

from experiments import cli, lr_sweep
from jaxreg import results
from jaxreg.runs.profile import CHUNKS, Profile
from tests.training_run import assert_same_bits

FLAGS = ("--hidden_sizes=4", "--num_steps=60", "--eval_every=10", "--seeds=2", "--tensorboard=false", "--report=false")


def train(*flags: str) -> int:
    return cli.main(lr_sweep.STUDY, ["lr_sweep", *FLAGS, *flags])


def test_a_trace_holds_a_few_chunks_and_no_compilation_and_the_run_is_the_same(tmp_path: Path) -> None:
    assert train("--workdir=traced", "--profile") == 0
    assert train("--workdir=plain") == 0
    assert_same_bits(results.load("traced"), results.load("plain"))
    (trace,) = (tmp_path / "traced" / "profile").rglob("perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    chunks = [event for event in events if event.get("name") == "train"]
    assert [chunk["args"]["steps"] for chunk in chunks] == ["10"] * CHUNKS
    assert any(event.get("name") == "evaluate" for event in events)
    operations = {event["args"]["hlo_op"] for event in events if "hlo_op" in event.get("args", {})}
    program = (tmp_path / "traced" / "profile" / "train.hlo.txt").read_text()
    assert any(operation.startswith("while") and f"{operation} = " in program for operation in operations)
    assert not any("ompile" in event.get("name", "") for event in events)
    # It is no part of what the run is, and of what repeats it.
    assert "profile" not in (tmp_path / "traced" / "flags.cfg").read_text()
    assert train("--workdir=plain", "--resume", "--profile") == 0


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of JAX's profiler, which writes nothing."""
    calls: list[str] = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda *_, **__: calls.append("begin"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("end"))
    return calls


PROGRAM: Any = type("Program", (), {"as_text": lambda _: "HloModule"})()


def test_it_begins_with_the_second_chunk_and_ends_once(traced: list[str], tmp_path: Path) -> None:
    profile = Profile(tmp_path / "profile")
    for number in range(2 * CHUNKS):
        profile.before_chunk(PROGRAM, is_first=number == 0, is_last=False)
        traced.append(f"chunk {number}")
    profile.end()
    within = [f"chunk {number}" for number in range(1, CHUNKS + 1)]
    assert traced == ["chunk 0", "begin", *within, "end", *(f"chunk {n}" for n in range(CHUNKS + 1, 2 * CHUNKS))]


def test_the_only_chunk_of_a_block_is_traced(traced: list[str], tmp_path: Path) -> None:
    profile = Profile(tmp_path / "profile")
    profile.before_chunk(PROGRAM, is_first=True, is_last=True)
    profile.end()
    assert traced == ["begin", "end"]
    profile.before_chunk(PROGRAM, is_first=False, is_last=True)  # of the next block
    assert traced == ["begin", "end"]


def test_a_trace_that_cannot_be_written_ends_no_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("Profile has already been started.\nmore of it")

    monkeypatch.setattr(jax.profiler, "start_trace", refuse)
    monkeypatch.setattr(logging.getLogger("jaxreg"), "propagate", True)
    profile = Profile(tmp_path / "profile")
    for number in range(3):
        profile.before_chunk(PROGRAM, is_first=number == 0, is_last=False)
    profile.end()
    (said,) = caplog.messages
    assert said.endswith("no profile could be written (Profile has already been started.); the run goes on without")


def test_what_trains_nothing_has_no_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--profile", "--dry_run") == 1
    assert capsys.readouterr().err == "--profile=true: contradicts --dry_run, which trains nothing; give one of them\n"
