"""Timestamps are ISO 8601 with microseconds, from any thread and in any order."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from bedplate.telemetry.logs.timestamp import Stamper


@given(st.lists(st.floats(min_value=0, max_value=4e9), min_size=1, max_size=5))
def test_every_time_is_written_as_datetime_writes_it(times: list[float]) -> None:
    stamp = Stamper()
    for seconds in times:
        written = datetime.fromisoformat(stamp(seconds))
        assert written.tzinfo == UTC
        assert abs(written.timestamp() - seconds) < 2e-6
