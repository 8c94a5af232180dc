"""A real TensorBoard shows the run: read back through its HTTP interface, and opened in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from jaxreg.measures.summary import summary
from jaxreg.reporting.tensorboard import ScalarWriter
from jaxreg.reporting.tensorboard.layers import LAYER_SCALARS
from jaxreg.reporting.tensorboard.writer import CHECK_SCALARS, METRICS
from tests.reporting.tensorboard_graph_test import network_results
from tests.reporting.tensorboard_histograms_test import QUANTITIES, watched

pytest.importorskip("tensorboard", reason="TensorBoard is not installed: pip install jaxreg[tensorboard]")

SECONDS_TO_START = 60
CURVES = {*CHECK_SCALARS, "train/loss"}
LAYERS = ("layer_1", "layer_2")
HISTOGRAMS = {f"{layer}/{quantity}" for layer in LAYERS for quantity in QUANTITIES}


@pytest.fixture(scope="module")
def results() -> xr.Dataset:
    """Two axes, one of them with a value that is no JSON number, one with another zipped along it; one seed is left."""
    axes = {"learning_rate": [0.01, 0.1, 1.0], "max_norm": [3.0, float("inf")]}
    zipped = {"batch_size": ("learning_rate", [10, 100, 1000])}
    return watched(network_results(axes=axes, zipped=zipped, num_checks=5, diverged=4))


@pytest.fixture(scope="module")
def server(results: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a TensorBoard that has loaded the results."""
    folder = tmp_path_factory.mktemp("tensorboard")
    with ScalarWriter(folder / "runs", 20) as writer:
        writer.finish(results)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder / "runs"), "--load_fast=false"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--host=127.0.0.1", "--port=0"], stdout=log, stderr=log)
    try:
        yield wait_until_loaded(process, folder / "log", runs=6)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_loaded(process: subprocess.Popen[bytes], log: Path, runs: int) -> str:
    """The address, from the log, once the last scalar of all runs is there."""
    give_up = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < give_up and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            tags = get(found[0], "scalars/tags")
            if sum("~summary/diverged" in of_run for of_run in tags.values()) == runs:
                return found[0]
        time.sleep(0.1)
    pytest.fail(f"TensorBoard did not come up:\n{log.read_text()}")


def get(server: str, route: str, body: dict[str, Any] | None = None, **query: str) -> Any:
    """The answer of a plugin; with a body the request is a POST."""
    return json.loads(get_text(server, route, body, **query))


def get_text(server: str, route: str, body: dict[str, Any] | None = None, **query: str) -> str:
    """The answer as it came."""
    address = f"{server}/data/plugin/{route}?{urllib.parse.urlencode(query)}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.read(), "utf-8")


def test_scalars_are_those_of_the_results(server: str, results: xr.Dataset) -> None:
    run, setting = "learning_rate=0.1,batch_size=100,max_norm=inf", {"learning_rate": 0.1, "max_norm": float("inf")}
    tags = get(server, "scalars/tags")
    ends = {f"~interval/{tag}/{end}" for tag in CURVES for end in ("low", "high")}
    layers = {f"{layer}/{name}" for layer in LAYERS for name in LAYER_SCALARS}
    for of_run in tags.values():
        assert set(of_run) == CURVES | ends | layers | {f"~summary/{name}" for name in (*METRICS, "diverged")}
    for tag, name in CHECK_SCALARS.items():
        _, step, value = zip(*get(server, "scalars/scalars", run=run, tag=tag), strict=True)
        np.testing.assert_array_equal(step, results["check_step"])
        np.testing.assert_allclose(value, results[name].sel(setting).mean("seed"), rtol=1e-6)
    assert len(get(server, "scalars/scalars", run=run, tag="train/loss")) == results.sizes["step"]


def test_margin_charts_find_mean_low_and_high_at_the_same_steps(server: str) -> None:
    (category,) = get(server, "custom_scalars/layout")["category"]
    assert {chart["title"] for chart in category["chart"]} == CURVES
    for chart in category["chart"]:
        (series,) = chart["margin"]["series"]
        for run in get(server, "scalars/tags"):
            tag = "|".join(map(re.escape, series.values()))
            found = get(server, "custom_scalars/scalars", run=run, tag=tag)["tag_to_events"]
            mean, low, high = (found[series[part]] for part in ("value", "lower", "upper"))
            for (_, step, value), *ends in zip(mean, low, high, strict=True):
                assert {at for _, at, _ in ends} == {step}
                below, above = (float(end) for _, _, end in ends)
                assert below <= value <= above or (np.isnan([below, above]).all() and step >= 100)


def test_histograms_and_distributions_are_those_of_the_first_seed(server: str, results: xr.Dataset) -> None:
    run = "learning_rate=0.1,batch_size=100,max_norm=inf"
    one = results.sel(learning_rate=0.1, max_norm=float("inf"), layer=2).isel(seed=0)
    for plugin in ("histograms", "distributions"):
        tags = get(server, f"{plugin}/tags")
        assert len(tags) == 6
        assert all(set(of_run) == HISTOGRAMS for of_run in tags.values())
    found = get(server, "histograms/histograms", run=run, tag="layer_2/weights")
    assert [step for _, step, _ in found] == results["check_step"].values.tolist()
    for (_, _, buckets), counts in zip(found, one["weights_histogram"].values, strict=True):
        left, right, count = np.array(buckets).T
        np.testing.assert_array_equal(count, np.trim_zeros(counts))
        np.testing.assert_array_equal(left[1:], right[:-1])
        assert (right > left).all()
    spread = [
        dict(points)[9332] - dict(points)[668]
        for _, _, points in get(server, "distributions/distributions", run=run, tag="layer_2/weights")
    ]
    np.testing.assert_allclose(spread, 3 * one["weights_std"], rtol=0.5)  # +- 1.5 sd of a normal distribution
    assert spread[-1] > 1.5 * spread[0]


def test_each_run_has_its_graph(server: str) -> None:
    runs = get(server, "graphs/info")
    assert len(runs) == 6
    assert all(info["run_graph"] for info in runs.values())
    run = "learning_rate=0.1,batch_size=100,max_norm=inf"
    text = get_text(server, "graphs/graph", run=run, conceptual="false")
    names = re.findall(r'^  name: "(.*)"$', text, re.MULTILINE)
    assert {name.partition("/")[0] for name in names} == {"inputs", "labels", *LAYERS, "loss"}
    assert {f"layer_1/{name}" for name in ("weights", "bias", "dot_general", "add")} <= set(names)
    assert re.search(r'input: "inputs"\s+input: "layer_1/weights"', text)


def test_hparams_have_a_row_per_setting(server: str, results: xr.Dataset) -> None:
    experiment = get(server, "hparams/experiment", {})
    assert {info["name"]: info["domainDiscrete"] for info in experiment["hparamInfos"]} == {
        "learning_rate": [0.01, 0.1, 1.0],
        "batch_size": [10, 100, 1000],
        "max_norm": ["3", "inf"],
    }
    assert [info["displayName"] for info in experiment["metricInfos"]] == [*METRICS, "diverged"]
    statuses = [f"STATUS_{name}" for name in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]
    request = {"startIndex": 0, "sliceSize": 100, "allowedStatuses": statuses}
    groups = get(server, "hparams/session_groups", request)["sessionGroups"]
    table = summary(results)
    rows = {(row["learning_rate"], f"{row['max_norm']:g}"): row for row in table.to_dict("records")}
    assert len(groups) == len(rows) == 6
    for group in groups:
        hparams, (session,) = group["hparams"], group["sessions"]
        row = rows.pop((hparams["learning_rate"], hparams["max_norm"]))
        assert hparams["batch_size"] == row["batch_size"]
        assert session["status"] == "STATUS_SUCCESS"
        values = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
        expected = {f"~summary/{name}": row[f"{name}_mean"] for name in METRICS} | {
            "~summary/diverged": row["diverged"]
        }
        assert values == pytest.approx(expected, rel=1e-6)


def test_a_browser_shows_bands_table_histograms_and_graph(server: str) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not (chromium := shutil.which("chromium")):
        pytest.skip("no chromium on the path")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        errors: list[str] = []
        requests: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: requests.append(request.url))

        page.goto(f"{server}/#custom_scalars")
        charts = page.locator("tf-custom-scalar-margin-chart-card")
        api.expect(charts.locator("path.area")).to_have_count(6 * len(CURVES), timeout=20_000)
        api.expect(charts).to_have_count(len(CURVES))
        api.expect(page.get_by_text("mean and 95 % interval over seeds")).to_be_visible()

        page.goto(f"{server}/#hparams")
        page.reload()
        rows = page.locator("vaadin-grid-cell-content").filter(has_text=re.compile("learning_rate=.*,max_norm="))
        api.expect(rows).to_have_count(6, timeout=20_000)

        for tab, chart, shape in (
            ("histograms", "vz-histogram-timeseries", ".histogram path"),
            ("distributions", "vz-distribution-chart", "path.area"),
        ):
            page.goto(f"{server}/#{tab}")
            page.reload()
            charts = page.locator(chart)
            api.expect(charts).to_have_count(6 * len(HISTOGRAMS), timeout=20_000)
            api.expect(charts.last.locator(shape).last).to_have_attribute("d", re.compile("[1-9]"))

        page.goto(f"{server}/#graphs")
        page.reload()
        names = page.locator("g.node text title")
        api.expect(names).to_have_text(["layer_1", "layer_2", "inputs", "labels", "loss"], timeout=20_000)
        api.expect(page.locator("g.edge")).to_have_count(4)
        browser.close()
    assert not errors
    assert not [url for url in requests if not url.startswith((server, "data:", "blob:"))]
