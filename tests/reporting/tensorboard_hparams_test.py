"""HParams: hyperparameters become values and domains that the tab can show."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tensorboardX.proto import api_pb2 as api
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from jaxreg.reporting.tensorboard import hparams


def content(event: Any) -> Any:
    """What an event holds for the plugin."""
    (value,) = event.summary.value
    assert value.metadata.plugin_data.plugin_name == "hparams"
    return HParamsPluginData.FromString(value.metadata.plugin_data.content)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 1.0], [0.1, 1.0]),
        ([1, 100], [1, 100]),
        (["he", "normal"], ["he", "normal"]),
        ([True, False], [True, False]),
        ([3.0, math.inf], ["3", "inf"]),  # JSON has no number for it
        ([0.5, math.nan], ["0.5", "nan"]),
        ([1, "auto"], ["1", "auto"]),
        ([True, 2], ["True", "2"]),
    ],
)
def test_an_axis_has_values_of_one_kind(values: list[Any], expected: list[Any]) -> None:
    found = [setting["axis"] for setting in hparams.as_hparams([{"axis": value} for value in values])]
    assert [(type(value), value) for value in found] == [(type(value), value) for value in expected]


@pytest.mark.parametrize("settings", [[], [{}], [{}, {}]])
def test_settings_without_hyperparameters_keep_their_number(settings: list[dict[str, Any]]) -> None:
    assert hparams.as_hparams(settings) == settings


@pytest.mark.parametrize(
    ("values", "kind", "domain"),
    [
        ([1.0, 0.1, 0.1], api.DATA_TYPE_FLOAT64, [0.1, 1.0]),
        (["b", "a"], api.DATA_TYPE_STRING, ["a", "b"]),
        ([True, False], api.DATA_TYPE_BOOL, [False, True]),
        ([f"{i:02}" for i in range(40)], api.DATA_TYPE_STRING, [f"{i:02}" for i in range(40)]),
    ],
)
def test_few_values_or_texts_are_a_choice(values: list[Any], kind: int, domain: list[Any]) -> None:
    (info,) = content(hparams.experiment([{"axis": value} for value in values], {})).experiment.hparam_infos
    assert (info.name, info.type, list(info.domain_discrete)) == ("axis", kind, domain)


def test_many_numbers_are_a_range() -> None:
    settings = [{"axis": float(i)} for i in range(hparams.MAX_CHOICES, -1, -1)]
    (info,) = content(hparams.experiment(settings, {})).experiment.hparam_infos
    assert (info.domain_interval.min_value, info.domain_interval.max_value) == (0, hparams.MAX_CHOICES)


def test_metrics_are_found_at_their_tags() -> None:
    (info,) = content(hparams.experiment([{}], {"final_test_loss": "nats"})).experiment.metric_infos
    assert (info.name.tag, info.name.group) == (hparams.metric_tag("final_test_loss"), "")
    assert (info.display_name, info.description) == ("final_test_loss", "nats")


def test_a_session_holds_numbers_texts_and_truths_as_such() -> None:
    start = content(hparams.session_start({"rate": 0.1, "size": 3, "init": "he", "bias": True})).session_start_info
    kinds = {name: value.WhichOneof("kind") for name, value in start.hparams.items()}
    assert kinds == {"rate": "number_value", "size": "number_value", "init": "string_value", "bias": "bool_value"}
    assert (start.hparams["rate"].number_value, start.hparams["init"].string_value) == (0.1, "he")
