"""TensorBoard's HParams tab: a row per setting, with its swept hyperparameters and what it reached."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboardX.proto import api_pb2 as api
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from jaxreg.measures import value_labels
from jaxreg.reporting.tensorboard.records import plugin_event

MAX_CHOICES = 12  # numbers of an axis that are offered one by one; more of them as a range

Value = bool | int | float | str
Setting = Mapping[str, Value]


def metric_tag(name: str) -> str:
    """The scalar tag of a metric; "~" sorts it behind the curves in all tabs."""
    return f"~summary/{name}"


def as_hparams(settings: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """The settings with values as the tab takes them: all of an axis finite numbers, all truth values, or all text.

    A value that JSON has no number for (`max_norm=inf`) is written as text, and then so is every value of its axis.
    """
    names = settings[0] if settings else ()
    columns = [_one_kind([setting[name] for setting in settings]) for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)] or [{} for _ in settings]


def experiment(settings: Sequence[Setting], metrics: Mapping[str, str]) -> Event:
    """Which columns the table has; one run that holds it is enough.

    Args:
      settings: those that are written, from `as_hparams`.
      metrics: names and descriptions; the values are the last scalars at their `metric_tag`.
    """
    names = settings[0] if settings else ()
    return _event(
        "experiment",
        experiment=api.Experiment(
            time_created_secs=time.time(),
            hparam_infos=[_hparam_info(name, [setting[name] for setting in settings]) for name in names],
            metric_infos=[
                api.MetricInfo(name=api.MetricName(tag=metric_tag(name)), display_name=name, description=description)
                for name, description in metrics.items()
            ],
        ),
    )


def session_start(setting: Setting) -> Event:
    """The hyperparameters of the setting that the run is for."""
    info = SessionStartInfo(start_time_secs=time.time())
    for name, value in setting.items():
        kind = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
        setattr(info.hparams[name], kind, value)
    return _event("session_start_info", session_start_info=info)


def session_end(success: bool) -> Event:
    """Marks the run as ended, well or not."""
    status = api.STATUS_SUCCESS if success else api.STATUS_FAILURE
    return _event("session_end_info", session_end_info=SessionEndInfo(status=status, end_time_secs=time.time()))


def _event(name: str, **content: Any) -> Event:
    return plugin_event(f"_hparams_/{name}", "hparams", HParamsPluginData(version=0, **content).SerializeToString())


def _one_kind(values: Sequence[Any]) -> list[Value]:
    numbers = all(type(value) in (int, float) and math.isfinite(value) for value in values)
    truths = all(type(value) is bool for value in values)
    return list(values) if numbers or truths else list(value_labels(values))


def _hparam_info(name: str, values: Sequence[Value]) -> api.HParamInfo:
    types = {bool: api.DATA_TYPE_BOOL, str: api.DATA_TYPE_STRING}
    info = api.HParamInfo(name=name, type=types.get(type(values[0]), api.DATA_TYPE_FLOAT64))
    distinct = sorted(set(values))  # all of one kind
    if info.type == api.DATA_TYPE_FLOAT64 and len(distinct) > MAX_CHOICES:
        info.domain_interval.min_value, info.domain_interval.max_value = distinct[0], distinct[-1]
    else:
        info.domain_discrete.extend(distinct)
    return info
