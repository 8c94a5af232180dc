from __future__ import annotations

import pytest

from benchmarks.cost_model import (
    CPU,
    H200,
    MARKS,
    MESSAGE,
    MESSAGES,
    NETWORK,
    PAGE,
    Device,
    Work,
    at_once,
    seconds,
    table,
)
from benchmarks.cost_model import seconds_of_step as step

ROUND = Device("round numbers", operations=1e12, bandwidth=1e11, memory=1e9)
SMALL = Work(members=100, steps=1000, batch=10, features=20, hidden=5, outputs=2, settings=4, record_every=10)


def test_a_step_by_hand() -> None:
    assert SMALL.parameters == 21 * 5 + 6 * 2
    assert SMALL.operations == 4 * 10 * 20 * 5 + 6 * 10 * 5 * 2
    assert SMALL.bytes == 12 * 117 + 4 * 10 * 20 / 4
    assert step(SMALL, ROUND) == pytest.approx(max(4600 / 1e12, 1604 / 1e11) / 0.5)
    assert at_once(SMALL, ROUND) == int(0.6e9 / (4 * (5 * 117 + 3 * 10 * 7)))


def test_devices_divide_the_members_and_the_fullest_counts() -> None:
    one = seconds(SMALL, ROUND)
    assert one == pytest.approx(100 * 1000 * step(SMALL, ROUND))
    assert seconds(SMALL, ROUND, devices=4) == pytest.approx(one / 4)
    assert seconds(SMALL, ROUND, devices=8) == pytest.approx(one * 13 / 100)


def test_hosts_exchange_what_was_measured_and_agree() -> None:
    training = seconds(SMALL, ROUND, devices=2)
    both = seconds(SMALL, ROUND, devices=1, hosts=2)
    assert both - training == pytest.approx(8 * 100 * 100 / NETWORK + training / 2 * MESSAGES * MESSAGE)


def test_the_rate_of_two_cores_is_the_one_that_was_measured() -> None:
    w2 = Work(members=64, steps=1, batch=32)
    assert 1 / step(w2, CPU) == pytest.approx(23_800, rel=0.02)  # member-steps a second, BUILD.md
    assert step(w2, H200) < step(w2, CPU) / 100


def test_the_page_shows_what_the_model_says() -> None:
    found = MARKS.search(PAGE.read_text("utf-8"))
    assert found
    assert found[0] == table(), "python -m benchmarks.cost_model writes it anew"
