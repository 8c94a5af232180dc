"""TFRecords: checksums of many records at once against the published check values and a byte-by-byte reference."""

from __future__ import annotations

import numpy as np
import pytest
from tensorboardX.record_writer import masked_crc32c as masked_crc32c_of_one

from jaxreg.reporting.tensorboard.records import masked_crc32c, scalar_events, tf_records


@pytest.mark.parametrize(
    ("record", "crc"),
    [
        (b"", 0x00000000),
        (b"123456789", 0xE3069283),  # the check value of CRC-32C
        (bytes(32), 0x8A9136AA),  # RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_published_checksums(record: bytes, crc: int) -> None:
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
    np.testing.assert_array_equal(masked_crc32c([record]), [masked])


def test_many_records_of_any_length_and_order() -> None:
    rng = np.random.default_rng(0)
    records = [rng.bytes(length) for length in rng.integers(0, 90, 60)]
    np.testing.assert_array_equal(masked_crc32c(records), [masked_crc32c_of_one(record) for record in records])


def test_no_records() -> None:
    assert tf_records([]) == []
    assert len(masked_crc32c([])) == 0


def test_the_first_tag_says_which_points_are_written() -> None:
    band = np.array([[1.0, np.nan, 3.0], [0.5, 1.5, np.nan]])
    events = scalar_events(
        np.array([0, 10, 20]), {("mean", "low"): band, ("other",): np.array([[7.0, np.nan, np.nan]])}
    )
    written = [(event.step, [(value.tag, value.simple_value) for value in event.summary.value]) for event in events]
    assert written[0] == (0, [("mean", 1.0), ("low", 0.5), ("other", 7.0)])
    assert (written[1][0], [tag for tag, _ in written[1][1]]) == (20, ["mean", "low"])
    assert len(written) == 2
