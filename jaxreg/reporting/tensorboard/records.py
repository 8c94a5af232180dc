"""Event files: TFRecords of TensorBoard events, without TensorFlow and without a thread."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorboardX.crc32c import CRC_TABLE
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata

_TABLE = np.array(CRC_TABLE, np.uint32)


def version_event() -> Event:
    """The event that opens an event file."""
    return Event(wall_time=time.time(), file_version="brain.Event:2")


def plugin_event(tag: str, plugin: str, content: bytes = b"", **value: Any) -> Event:
    """An event for a plugin of TensorBoard: its `content`, and what else the summary holds (`tensor=...`)."""
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))
    return Event(wall_time=time.time(), summary=Summary(value=[Summary.Value(tag=tag, metadata=metadata, **value)]))


def scalar_events(steps: np.ndarray, scalars: Mapping[tuple[str, ...], np.ndarray]) -> list[Event]:
    """One event per step with the scalars that have a value there.

    Args:
      steps: [point].
      scalars: for some tags their values, [tag, point]. A finite value of the first tag marks the points that are
        written; the others are written at the same points, finite or not, because charts that join them want them all.
    """
    now, events = time.time(), []
    columns = [(tags, values.T.tolist(), np.isfinite(values[0]).tolist()) for tags, values in scalars.items()]
    for i, step in enumerate(steps.tolist()):
        points = [point for tags, rows, known in columns if known[i] for point in zip(tags, rows[i], strict=True)]
        if points:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in points])
            events.append(Event(wall_time=now, step=int(step), summary=summary))
    return events


def tf_records(events: Sequence[Event]) -> list[bytes]:
    """Each event as a TFRecord: its length, the checksum of that, the serialised event, the checksum of that."""
    data = [event.SerializeToString() for event in events]
    lengths = [struct.pack("<Q", len(record)) for record in data]
    of_lengths, of_data = (masked_crc32c(part).astype("<u4").tobytes() for part in (lengths, data))
    return [
        length + of_lengths[4 * i : 4 * i + 4] + record + of_data[4 * i : 4 * i + 4]
        for i, (length, record) in enumerate(zip(lengths, data, strict=True))
    ]


def masked_crc32c(records: Sequence[bytes]) -> np.ndarray:
    """CRC-32C (Castagnoli) of each record, rotated right by 15 bits plus 0xa282ead8, as TFRecord wants it; [record].

    Byte by byte for all records at once: many times faster than one record after the other in Python.
    """
    lengths = np.array([len(record) for record in records], int)
    longest_first = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[longest_first]
    lengths = lengths[longest_first]
    data = np.frombuffer(b"".join(records), np.uint8)
    sums = np.full(len(records), 0xFFFFFFFF, np.uint32)
    for position in range(lengths[0] if len(lengths) else 0):
        crc = sums[: np.searchsorted(-lengths, -position)]  # the records that reach so far
        crc[:] = _TABLE[(crc ^ data[starts[: len(crc)] + position]) & 0xFF] ^ (crc >> 8)
    sums ^= 0xFFFFFFFF
    masked = np.empty_like(sums)
    masked[longest_first] = ((sums >> 15) | (sums << 17)) + np.uint32(0xA282EAD8)
    return masked
