"""The short form of `python -m benchmarks.peers`: tiny sweeps, in this process."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import workloads
from benchmarks.peers import __main__ as command
from benchmarks.peers import contestants, costs, figure, jax_peers, tables, variants, versus
from benchmarks.peers.loops import Loop, Seconds, fastest
from benchmarks.peers.processes import FailedError, Remote
from benchmarks.peers.results import Results, load, save
from benchmarks.peers.rounds import Readings, Ready, Spread, interleave, ratio, spread
from benchmarks.workloads import Workload
from jaxreg.errors import ConfigError

TINY = Workload("tiny", 3, 2, 4, hidden=5, features=6, examples=40)
ONE_SEED = dataclasses.replace(TINY, rates=4, seeds=1)


class Here:
    """In place of `Remote`: the object in this process."""

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        self._held = make(*arguments)

    def ask(self, method: str, *arguments: Any) -> Any:
        return getattr(self._held, method)(*arguments)

    def close(self) -> None:
        pass


def readings(*wall: float, member_steps: int = 100) -> Readings:
    return Readings("as it is", member_steps, wall, tuple(2 * each for each in wall))


def made_up_results() -> Results:
    about = {
        "started": "2031-05-28T09:30:00Z",
        "rounds": 2,
        "seconds": 0.1,
        "load_average": [0.0, 1.0],
        "cores": 2,
        "processor": "A Processor",
        "l2_bytes_per_core": 2**21,
        "device": {"platform": "cpu", "kind": "cpu", "count": 2},
        "versions": {"jax": "0.10.2", "python": "3.11.7"},
        "git": {"commit": "0123456789abcdef", "dirty": False},
    }
    peers = {"jaxreg": readings(1.0, 2.0), "jax": readings(4.0, 6.0), "products": readings(0.5, 1.0)}
    layouts = {variants.CHOSEN: readings(1.0, 1.0)}
    start = costs.Start(Ready("a layout", 100), 1.5, 3.25, 2**20)
    return Results(
        about,
        [versus.Versus(ONE_SEED, peers)],
        [
            variant(variants.PLAIN, layouts),
            variant("Adam", {variants.CHOSEN: readings(1.5, 1.5)}),
        ],
        [costs.Cost("eval_every", 0, start, 2**21, readings(1.0, 1.0))],
    )


def variant(name: str, layouts: dict[str, Readings]) -> variants.Variant:
    return variants.Variant(ONE_SEED, name, layouts)


def test_useful_operations_are_those_of_the_products() -> None:
    batch, inputs, hidden, classes = 4, 6, 5, 10
    forward = 2 * batch * inputs * hidden + 2 * batch * hidden * classes
    gradients_of_weights = forward
    gradient_of_hidden = 2 * batch * hidden * classes
    assert TINY.operations == forward + gradients_of_weights + gradient_of_hidden


@pytest.mark.parametrize("name", ["jax", "sklearn", "prototype", "blocks", "torch", "torch.func"])
def test_each_peer_is_timed(name: str) -> None:
    pytest.importorskip(contestants.PEERS[name].package)
    contestant = contestants.Contestant(name)
    ready = contestant.prepare(TINY, 1e-3)
    taken = contestant.time()
    assert taken.wall > 0
    assert ready.member_steps > 0
    one_by_one = {"jax", "sklearn", "torch"}
    assert name in one_by_one or ready.member_steps % TINY.members == 0


def test_the_prototype_takes_the_step_of_plain_sgd() -> None:
    rng = np.random.default_rng(0)
    params = jax_peers.init(TINY)
    (w1, b1), (w2, b2) = jax.device_get(params)
    x, y = rng.random((4, 6), np.float32), rng.integers(0, 10, 4)
    hidden = 1 / (1 + np.exp(-(x @ w1 + b1)))
    logits = hidden @ w2 + b2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    delta = (probabilities - np.eye(10)[y]) / 4
    delta_hidden = delta @ w2.T * hidden * (1 - hidden)
    expected = [w1 - 0.5 * x.T @ delta_hidden, b1 - 0.5 * delta_hidden.sum(0)]
    expected += [w2 - 0.5 * hidden.T @ delta, b2 - 0.5 * delta.sum(0)]
    params, loss = jax_peers.step(params, jnp.float32(0.5), jnp.asarray(x), jnp.asarray(y))
    assert loss == pytest.approx(-np.log(probabilities[np.arange(4), y]).mean(), rel=1e-5)
    for found, wanted in zip(jax.tree.leaves(params), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", ["seeds side by side", "seeds in turn"])
def test_torch_func_takes_the_steps_of_single_models(way: str) -> None:
    torch: Any = pytest.importorskip("torch")
    peers: Any = importlib.import_module("benchmarks.peers.torch_peers")
    inputs, labels = map(torch.from_numpy, workloads.made_up_arrays(TINY.examples, TINY.features))
    models = [peers.make_model(TINY) for _ in range(TINY.members)]
    rows = torch.tensor([[0, 3, 5, 9], [1, 2, 30, 39]])
    params = peers.stacked(TINY, models)
    peers.steps_of_many(TINY, inputs, labels)[way](params, rows)
    for number, model in enumerate(models):
        seed, rate = divmod(number, TINY.rates)
        optimizer = torch.optim.SGD(model.parameters(), lr=TINY.learning_rates[rate])
        torch.nn.functional.cross_entropy(model(inputs[rows[seed]]), labels[rows[seed]]).backward()
        optimizer.step()
        for name, value in model.named_parameters():
            torch.testing.assert_close(params[name][seed, rate], value.detach(), rtol=1e-5, atol=1e-7)


def test_the_fastest_way_does_most_member_steps_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.cumsum([0.0, 1, 0, 1, 0, 3, 0, 3]).tolist())
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    loops = {"short": Loop(lambda: None, 10), "long": Loop(lambda: None, 40)}
    assert fastest(loops, 0.0) == ("long", 3.0)


def test_ratios_are_taken_round_by_round() -> None:
    one, other = readings(1.0, 2.0, 4.0), readings(3.0, 2.0, 2.0, member_steps=200)
    assert ratio(one, other) == Spread(0.5, 0.25, 1.5)
    assert ratio(one, other, "cpu") == ratio(one, other)
    assert spread(one.rates()) == Spread(50.0, 25.0, 100.0)
    assert spread(one.rates("cpu")) == Spread(25.0, 12.5, 50.0)


def test_each_round_begins_with_another_one() -> None:
    order: list[str] = []

    def call(name: str) -> Callable[[], Seconds]:
        def timed() -> Seconds:
            order.append(name)
            return Seconds(len(order), 0.0)

        return timed

    taken = interleave({name: call(name) for name in "abc"}, 4)
    assert "".join(order) == "abcbcacababc"
    assert [each.wall for each in taken["a"]] == [1, 6, 8, 10]


def test_a_process_answers_and_says_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    process = Remote(importlib.import_module, "os")
    assert process.ask("getenv", "OPENBLAS_CORETYPE") is None
    assert process.ask("getenv", "XLA_PYTHON_CLIENT_PREALLOCATE") == "false"
    with pytest.raises(FailedError, match=r"^TypeError: "):
        process.ask("strerror", "no number")
    with pytest.raises(FailedError, match="ended with exit code 3"):
        process.ask("_exit", 3)
    process.close()


def test_a_contestant_that_fails_is_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(Here):
        def ask(self, method: str, *arguments: Any) -> Any:
            raise FailedError(f"MemoryError: too large to {method} {arguments[0]}")

    monkeypatch.setattr(versus, "Remote", Failing)
    (found,) = versus.measure([ONE_SEED], ["jax"], 1, 1e-3)
    assert not found.peers
    assert "JAX, one by one: left out, MemoryError: too large to prepare tiny: " in capsys.readouterr().out


def test_the_command_keeps_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (command, versus, variants, costs):
        monkeypatch.setattr(module, "Remote", Here)
    monkeypatch.setattr(command, "WORKLOADS", (ONE_SEED,))
    monkeypatch.setattr(command, "USUAL_VARIANTS", (ONE_SEED.name,))
    monkeypatch.setattr(variants, "VARIANTS", {"Adam": variants.VARIANTS["Adam"]})
    in_turn = {"in turn": lambda layout: dataclasses.replace(layout, tile_configs=1)}
    monkeypatch.setattr(variants, "LAYOUTS", {variants.CHOSEN: variants.LAYOUTS[variants.CHOSEN]} | in_turn)
    monkeypatch.setattr(costs, "GRID", {"eval_every": (20,)})
    monkeypatch.setattr(costs, "BASE", ONE_SEED)
    flags = ["--peers=jaxreg,prototype", "--rounds=2", "--seconds=1e-3", f"--out={tmp_path}"]
    assert command.main(["peers", *flags]) == 0
    results = load(tmp_path / "peers.json")
    (found,) = results.workloads
    assert list(found.peers) == ["jaxreg", "prototype"]
    assert len(found.peers["jaxreg"].wall) == 2
    assert found.peers["jaxreg"].setting.startswith("seeds:1,configs:4,")
    (adam,) = results.variants
    assert adam.name == "Adam"
    assert "tile_configs:2" in adam.layouts[variants.CHOSEN].setting  # of four on two devices
    assert adam.layouts["in turn"].setting == adam.layouts[variants.CHOSEN].setting.replace("configs:2", "configs:1")
    (cost,) = results.costs
    assert (cost.direction, cost.value) == ("eval_every", 20)
    assert cost.readings.member_steps % (4 * 20) == 0
    assert 0 < cost.start.compile_seconds < cost.start.first_step_seconds
    assert (tmp_path / "peers.png").stat().st_size > 10_000
    assert (tmp_path / "costs.png").stat().st_size > 10_000
    assert "plain scan over vmap" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--peers=jaxreg,keras", "--peers=keras: must be of jaxreg, torch"),
        ("--parts=all", "--parts=all: must be of workloads, variants, costs"),
        ("--only=W9", "--only=W9: must be of W1, W2"),
        ("--table=absent.json", "absent.json: cannot be used"),
    ],
)
def test_what_is_not_known_is_refused_in_one_line(flag: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["peers", flag]) == 1
    said = capsys.readouterr().err
    assert said.startswith(words)
    assert said.count("\n") == 1


def test_json_holds_all_and_nothing_else_is_taken_for_it(tmp_path: Path) -> None:
    results, path = made_up_results(), tmp_path / "peers.json"
    save(results, path)
    assert load(path) == results
    path.write_text(json.dumps({"format": 1}))
    with pytest.raises(ConfigError, match=r"^--table=.*peers\.json: is no JSON that"):
        load(path)


def test_the_tables_say_how_many_times_as_fast() -> None:
    made = {table.title: table for table in tables.tables(made_up_results())}
    speeds = made["Speed of each contestant"]
    assert speeds.headings == ("member-steps/s", "tiny: 4 rates, batch 4, hidden 5")
    assert speeds.rows == (("jaxreg", "75.0 (50.0 to 100)"), ("JAX, one by one", "20.8 (16.7 to 25.0)"))
    (by_the_clock,) = (table for title, table in made.items() if "by the clock" in title)
    assert by_the_clock.rows[0] == ("JAX, one by one", "3.50 (3.00 to 4.00)")
    assert by_the_clock.rows[1][1] == "0.50 (0.50 to 0.50)"
    (steps,) = (table for title, table in made.items() if "other steps" in title)
    assert steps.rows == (("Adam", "1.50 (1.50 to 1.50)"),)
    assert made["Cost along eval_every"].rows == (("none", "100 (100 to 100)", "1.5", "3.2", "2", "1"),)


def test_a_layout_is_set_beside_the_chosen_one() -> None:
    layouts = {variants.CHOSEN: readings(1.0, 1.0), "no blocks": readings(2.0, 3.0)}
    results = dataclasses.replace(made_up_results(), variants=[variant(variants.PLAIN, layouts)])
    (beside,) = (table for table in tables.tables(results) if table.title.endswith("as fast as no blocks"))
    assert beside.rows == ((variants.PLAIN, "2.50 (2.00 to 3.00)"),)


def test_on_an_accelerator_the_processor_is_not_asked() -> None:
    results = made_up_results()
    results = dataclasses.replace(
        results, about={**results.about, "device": {"platform": "gpu", "kind": "GPU", "count": 1}}
    )
    assert not [table for table in tables.tables(results) if "processor time" in table.title]


def test_each_direction_changes_one_number() -> None:
    assert costs.sweep_of("members", 9, ONE_SEED) == (dataclasses.replace(ONE_SEED, rates=9), 0)
    assert costs.sweep_of("hidden", 9, ONE_SEED) == (dataclasses.replace(ONE_SEED, hidden=9), 0)
    assert costs.sweep_of("batch", 9, ONE_SEED) == (dataclasses.replace(ONE_SEED, batch=9), 0)
    assert costs.sweep_of("eval_every", 9, ONE_SEED) == (ONE_SEED, 9)


def test_a_page_is_rewritten_between_the_marks_only(tmp_path: Path) -> None:
    page = tmp_path / "PAGE.md"
    page.write_text(f"before\n\n{tables.BEGIN}\nold\n{tables.END}\n\nafter\n", encoding="utf-8")
    tables.rewrite(page, made_up_results())
    once = page.read_text(encoding="utf-8")
    assert once.startswith(f"before\n\n{tables.BEGIN}\n\n2031-05-28, 2 cores of A Processor, 2 MiB L2")
    assert once.endswith(f"\n\n{tables.END}\n\nafter\n")
    assert "old" not in once
    assert "| JAX, one by one | 3.50 (3.00 to 4.00) |" in once
    tables.rewrite(page, made_up_results())
    assert page.read_text(encoding="utf-8") == once
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"PAGE\.md: needs the lines"):
        tables.rewrite(page, made_up_results())


def test_the_documentation_has_the_marks() -> None:
    text = command.PAGE.read_text(encoding="utf-8")
    assert text.index(tables.BEGIN) < text.index(tables.END)


def test_the_figure_names_everyone_that_was_timed() -> None:
    drawn = figure.speeds(made_up_results())
    (axes,) = drawn.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["jaxreg", "JAX, one by one"]
    assert axes.get_xscale() == "log"
    assert axes.get_title(loc="left") == str(ONE_SEED)


def test_the_figure_of_costs_has_a_panel_for_each_direction() -> None:
    results = made_up_results()
    further = [dataclasses.replace(results.costs[0], direction="batch", value=value) for value in (1, 10)]
    checks, batches = figure.costs(dataclasses.replace(results, costs=[*results.costs, *further])).axes
    assert [label.get_text() for label in checks.get_xticklabels()] == ["none"]
    assert [label.get_text() for label in batches.get_xticklabels()] == ["1", "10"]
