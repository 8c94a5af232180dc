"""TensorBoard: the event files are read back record by record."""

from __future__ import annotations

import struct
import threading
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from tensorboardX.proto import api_pb2
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.record_writer import masked_crc32c

from jaxreg.measures.summary import summary
from jaxreg.reporting.tensorboard import ScalarWriter
from jaxreg.reporting.tensorboard.writer import CHECK_SCALARS, METRICS
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
                if value.HasField("simple_value"):
                    scalars[value.tag].append((event.step, value.simple_value))
    return runs


def read_plugins(folder: Path) -> dict[str, list[str]]:
    """The tags by run of what is written for plugins of TensorBoard."""
    return {
        str(path.parent.relative_to(folder)): [
            value.tag
            for event in read_events(path)
            for value in event.summary.value
            if value.metadata.plugin_data.plugin_name
        ]
        for path in folder.rglob("*tfevents*")
    }


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
@pytest.mark.parametrize("eval_every", [50, 601])  # 601: checks inside blocks of 3 steps
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


def test_ends_of_the_band_are_the_t_interval_of_the_sound_seeds(tmp_path: Path) -> None:
    results = make_results(axes={}, num_checks=5, diverged=2)
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results)
    run = read_runs(tmp_path / "tb")["run"]
    for tag, name in (*CHECK_SCALARS.items(), ("train/loss", "train_loss")):
        low, high = (dict(run[f"~interval/{tag}/{end}"]) for end in ("low", "high"))
        assert list(low) == list(high) == [step for step, _ in run[tag]]
        values = results[name].values
        sound = [values[:, 1], values[2:, -1]]  # before and after two of five seeds diverged
        steps = list(low)[1], list(low)[-1]
        for step, at in zip(steps, sound, strict=True):
            expected = scipy.stats.t.interval(0.95, len(at) - 1, at.mean(), scipy.stats.sem(at))
            assert (low[step], high[step]) == pytest.approx(expected, rel=1e-5)


def test_the_band_ends_but_its_steps_go_on_where_one_seed_is_left(tmp_path: Path) -> None:
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(make_results(axes={}, num_checks=5, diverged=4))
    run = read_runs(tmp_path / "tb")["run"]
    ends = [dict(run[tag]) for tag in ("~interval/test/loss/low", "~interval/test/loss/high")]
    for end in ends:  # a margin chart wants the steps of the mean
        assert [step for step, _ in run["test/loss"]] == list(end)
        np.testing.assert_array_equal(np.isfinite(list(end.values())), [True, True, False, False, False])


def test_one_seed_has_no_band_and_no_margin_charts(tmp_path: Path) -> None:
    for seeds in (1, 2):
        with ScalarWriter(tmp_path / f"{seeds}", 20) as writer:
            writer.write(make_results(axes={}, num_checks=3, seeds=seeds))
    assert set(read_runs(tmp_path / "1")["run"]) == {*CHECK_SCALARS, "train/loss"}
    assert len(read_runs(tmp_path / "2")["run"]) == 15
    assert "custom_scalars__config__" not in read_plugins(tmp_path / "1")["run"]
    assert "custom_scalars__config__" in read_plugins(tmp_path / "2")["run"]


def test_a_block_weighs_seeds_equally_also_where_one_diverges_inside_it(tmp_path: Path) -> None:
    results = make_results(axes={}, num_checks=5, eval_every=1001, seeds=3)  # blocks of 5 steps
    results["diverged_step"][0] = 11
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.write(results)
    losses = results["train_loss"].values
    expected = np.mean([losses[0, 10], losses[1, 10:15].mean(), losses[2, 10:15].mean()])
    assert read_runs(tmp_path / "tb")["run"]["train/loss"][2][1] == pytest.approx(expected, rel=1e-5)


def test_finish_writes_the_means_of_the_summary_at_the_last_step(tmp_path: Path) -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, num_checks=5, diverged=2)
    writer = ScalarWriter(tmp_path / "tb", 20)
    writer.write(so_far(results, 3))
    assert not any(tag.startswith("~summary") for run in read_runs(tmp_path / "tb").values() for tag in run)
    for _ in range(2):  # the second time nothing is left to write
        writer.finish(results)
    runs, table = read_runs(tmp_path / "tb"), summary(results)
    for row, run in enumerate(("learning_rate=0.1", "learning_rate=1")):
        assert len(runs[run]["test/loss"]) == 5
        for name in METRICS:
            ((step, value),) = runs[run][f"~summary/{name}"]
            assert step == 200
            assert value == pytest.approx(table[f"{name}_mean"][row], rel=1e-6)
        assert runs[run]["~summary/diverged"] == [(200, table["diverged"][row])]


def test_a_setting_without_a_finished_member_has_no_final_measures_and_failed(tmp_path: Path) -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, num_checks=5, diverged=5)
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.finish(results)
    run = read_runs(tmp_path / "tb")["learning_rate=1"]
    assert {tag for tag in run if tag.startswith("~summary/")} == {
        "~summary/best_validation_loss",
        "~summary/best_test_accuracy",
        "~summary/diverged",
    }
    status = {}
    for path in (tmp_path / "tb").rglob("*tfevents*"):
        content = read_events(path)[-1].summary.value[0].metadata.plugin_data.content
        status[path.parent.name] = HParamsPluginData.FromString(content).session_end_info.status
    assert status == {"learning_rate=0.1": api_pb2.STATUS_SUCCESS, "learning_rate=1": api_pb2.STATUS_FAILURE}


def test_each_run_is_one_session_and_the_first_says_what_counts_for_all(tmp_path: Path) -> None:
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.finish(make_results(axes={"learning_rate": [0.1, 1.0]}, num_checks=3))
    session = ["_hparams_/session_start_info", "_hparams_/session_end_info"]
    first = [session[0], "_hparams_/experiment", "custom_scalars__config__", session[1]]
    assert read_plugins(tmp_path / "tb") == {"learning_rate=0.1": first, "learning_rate=1": session}


def test_a_session_names_what_is_swept_or_else_all_hyperparameters(tmp_path: Path) -> None:
    zipped = {"batch_size": ("learning_rate", [10, 100])}
    for name, results in (
        ("swept", make_results(axes={"learning_rate": [0.1, 1.0]}, zipped=zipped, num_checks=3)),
        ("single", make_results(axes={}, num_checks=3)),
    ):
        with ScalarWriter(tmp_path / name, 20) as writer:
            writer.write(results)
    found = {}
    for path in tmp_path.rglob("*tfevents*"):
        content = read_events(path)[1].summary.value[0].metadata.plugin_data.content
        hparams = HParamsPluginData.FromString(content).session_start_info.hparams
        found[path.parent.name] = {name: value.number_value or value.string_value for name, value in hparams.items()}
    assert found["learning_rate=1,batch_size=100"] == {"learning_rate": 1, "batch_size": 100}
    assert found["run"].items() >= {"learning_rate": 0.1, "batch_size": 100, "init": "normal"}.items()


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
        writer.finish(make_results(num_checks=3))
        assert writer.left_out == 4
    assert not (tmp_path / "tb").exists()


def test_starts_clean_and_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    for axes in ({"learning_rate": [0.1, 1.0]}, {"momentum": [0.5]}):
        with ScalarWriter(tmp_path / "tb", 20) as writer:
            writer.write(make_results(axes=axes, num_checks=3))
    assert set(read_runs(tmp_path / "tb")) == {"momentum=0.5"}
    assert threading.active_count() == before


def test_settings_that_agree_in_six_digits_have_runs_of_their_own(tmp_path: Path) -> None:
    rates = [0.1234567, 0.1234568, 0.1234569]
    with ScalarWriter(tmp_path, 20) as writer:
        writer.finish(make_results(axes={"learning_rate": rates}, seeds=2, num_checks=3))
    assert {run.name for run in tmp_path.iterdir()} == {f"learning_rate={rate}" for rate in rates}
    assert all(len(list(run.iterdir())) == 1 for run in tmp_path.iterdir())


def test_settings_that_no_folder_can_be_named_after_are_numbered(tmp_path: Path) -> None:
    choices = ["a/b", "a_b", "..", "c" * 300, "c" * 301]
    with ScalarWriter(tmp_path / "tb", 20) as writer:
        writer.finish(make_results(axes={"choice": choices}, seeds=1, num_checks=2))
    names = {run.name for run in (tmp_path / "tb").iterdir()}
    assert len(names) == len(choices)
    assert {"choice=a_b~0", "choice=a_b", "choice=.."} < names
