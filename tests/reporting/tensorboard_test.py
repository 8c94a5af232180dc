"""TensorBoard: the event files are read back record by record."""

from __future__ import annotations

import struct
import threading
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from jaxreg.reporting.tensorboard import ScalarWriter
from tests.synthetic import make_results


def read_events(path: Path) -> list[Event]:
    """The events of a TFRecord file; fails on a wrong checksum."""
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12])[0] == masked_crc32c(data[:8])
        record, end = data[12 : 12 + length], 16 + length
        assert struct.unpack("<I", data[12 + length : end])[0] == masked_crc32c(record)
        events.append(Event.FromString(record))
        data = data[end:]
    return events


def read_runs(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """The points (step, value) by run and tag."""
    runs: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for path in sorted(folder.rglob("*tfevents*")):
        first, *events = read_events(path)
        assert first.file_version == "brain.Event:2"
        scalars = runs.setdefault(str(path.parent.relative_to(folder)), defaultdict(list))
        for event in events:
            for value in event.summary.value:
                scalars[value.tag].append((event.step, value.simple_value))
    return runs


def so_far(results: xr.Dataset, checks: int) -> xr.Dataset:
    """The results as they are once `checks` checks have been measured."""
    trained = int(results["check_step"][checks - 1]) if checks else 0
    part = results.copy(deep=True)
    for name, values in part.data_vars.items():
        if "check" in values.dims:
            part[name] = values.where(xr.DataArray(np.arange(values.sizes["check"]) < checks, dims="check"))
        if "step" in values.dims:
            part[name] = values.where(values["step"] < trained)
    part["checks_done"][:] = checks
    return part


def test_points_are_the_means_over_seeds_at_the_checks(tmp_path: Path) -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0], "init": ["normal", "he"]}, num_checks=4)
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results)
    runs = read_runs(tmp_path / "tb")
    names = {f"learning_rate={rate},init={init}" for rate in ("0.1", "1") for init in ("normal", "he")}
    assert set(runs) == names
    run = runs["learning_rate=1,init=he"]
    setting = results.sel(learning_rate=1.0, init="he").mean("seed")
    for tag in ("validation/loss", "validation/accuracy", "test/loss", "test/accuracy"):
        step, value = zip(*run[tag], strict=True)
        np.testing.assert_array_equal(step, results["check_step"])
        np.testing.assert_allclose(value, setting[tag.replace("/", "_")], rtol=1e-6)
    step, value = zip(*run["train/loss"], strict=True)
    np.testing.assert_array_equal(step, results["step"])
    np.testing.assert_allclose(value, setting["train_loss"], rtol=1e-6)


@pytest.mark.parametrize("calls", [(0, 1, 2, 5), (1, 1, 3, 3, 5), (5, 5)])
@pytest.mark.parametrize("eval_every", [50, 600])
def test_written_in_pieces_is_written_at_once(tmp_path: Path, calls: tuple[int, ...], eval_every: int) -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, num_checks=5, eval_every=eval_every, diverged=2)
    with ScalarWriter(tmp_path / "pieces", 20) as pieces, ScalarWriter(tmp_path / "whole", 20) as whole:
        for checks in calls:
            pieces.write(so_far(results, checks))
        whole.write(results)
    assert read_runs(tmp_path / "pieces") == read_runs(tmp_path / "whole")


def test_a_check_waits_for_all_seeds_of_its_setting_but_not_for_other_settings(tmp_path: Path) -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, num_checks=5)
    results["checks_done"][0, 2] = 3
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results)
    runs = read_runs(tmp_path / "tb")
    assert [step for step, _ in runs["learning_rate=0.1"]["test/loss"]] == [0, 50, 100]
    assert max(step for step, _ in runs["learning_rate=0.1"]["train/loss"]) == 99
    assert len(runs["learning_rate=1"]["test/loss"]) == 5


def test_diverged_members_leave_the_mean_when_they_diverge(tmp_path: Path) -> None:
    results = make_results(axes={}, num_checks=5, diverged=2)
    results["train_loss"][0, 100] = 1e30  # recorded at the step at which seed 0 diverged
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results)
    train, test = (dict(read_runs(tmp_path / "tb")["run"][tag]) for tag in ("train/loss", "test/loss"))
    assert train[99] == pytest.approx(float(results["train_loss"][:, 99].mean()))
    assert train[100] == pytest.approx(float(results["train_loss"][2:, 100].mean()))
    assert test[200] == pytest.approx(float(results["test_loss"][2:, 4].mean()))


def test_no_point_where_every_member_has_diverged(tmp_path: Path) -> None:
    results = make_results(axes={}, num_checks=5, diverged=3, seeds=3)
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results)
    run = read_runs(tmp_path / "tb")["run"]
    assert [step for step, _ in run["test/loss"]] == [0, 50]
    assert all(np.isfinite(value) for points in run.values() for _, value in points)


def test_train_loss_is_thinned_by_averaging_blocks(tmp_path: Path) -> None:
    results = make_results(axes={}, num_checks=5, eval_every=1001)
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results)
    points = read_runs(tmp_path / "tb")["run"]["train/loss"]
    assert len(points) == -(-4004 // 5)
    assert points[1][0] == 7
    assert points[1][1] == pytest.approx(float(results["train_loss"][:, 5:10].mean()), rel=1e-5)
    assert points[-1][1] == pytest.approx(float(results["train_loss"][:, 4000:].mean()), rel=1e-5)


def test_at_most_max_runs_evenly_spread(tmp_path: Path) -> None:
    results = make_results(axes={"learning_rate": [float(i) for i in range(1, 12)]}, num_checks=3)
    with ScalarWriter(tmp_path / "tb", 3) as writer:
        writer.write(results)
        assert writer.left_out == 8
    assert {run.partition("=")[2] for run in read_runs(tmp_path / "tb")} == {"1", "6", "11"}


def test_no_runs_wanted_writes_nothing(tmp_path: Path) -> None:
    with ScalarWriter(tmp_path / "tb", 0) as writer:
        writer.write(make_results(num_checks=3))
        assert writer.left_out == 4
    assert not (tmp_path / "tb").exists()


def test_starts_clean_and_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    for axes in ({"learning_rate": [0.1, 1.0]}, {"momentum": [0.5]}):
        with ScalarWriter(tmp_path / "tb", 20) as writer:
            writer.write(make_results(axes=axes, num_checks=3))
    assert set(read_runs(tmp_path / "tb")) == {"momentum=0.5"}
    assert threading.active_count() == before
