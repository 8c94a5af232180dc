"""Margin charts in TensorBoard's Custom Scalars tab: each curve with its band over seeds."""

from __future__ import annotations

from collections.abc import Iterable

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.layout_pb2 import Category, Chart, Layout, MarginChartContent
from tensorboardX.proto.tensor_pb2 import TensorProto
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

from jaxreg.reporting.tensorboard.records import plugin_event

CATEGORY = "mean and 95 % interval over seeds"


def band_tags(tag: str) -> tuple[str, str, str]:
    """The tags of the mean, of the lower and of the upper end; "~" sorts the ends behind the curves in all tabs."""
    return tag, f"~interval/{tag}/low", f"~interval/{tag}/high"


def margin_charts(tags: Iterable[str]) -> Event:
    """The layout of the tab: one margin chart per tag. One run that holds it is enough, it counts for all."""
    charts = [Chart(title=tag, margin=MarginChartContent(series=[_series(tag)])) for tag in tags]
    layout = Layout(category=[Category(title=CATEGORY, chart=charts)]).SerializeToString()
    tensor = TensorProto(dtype="DT_STRING", string_val=[layout], tensor_shape=TensorShapeProto())
    return plugin_event("custom_scalars__config__", "custom_scalars", tensor=tensor)


def _series(tag: str) -> MarginChartContent.Series:
    value, lower, upper = band_tags(tag)
    return MarginChartContent.Series(value=value, lower=lower, upper=upper)
