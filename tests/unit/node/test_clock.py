"""The machine's clock, and how tests set it wrong."""

import time

import pytest

from carbonnode.errors import ConfigError
from carbonnode.node.clock import OFFSET_VARIABLE, SystemClock


def test_the_wall_clock_is_the_machines() -> None:
    assert abs(SystemClock.from_environment({}).wall_ms() - time.time_ns() // 1_000_000) < 1_000


def test_an_offset_moves_the_wall_clock_only() -> None:
    clock = SystemClock.from_environment({OFFSET_VARIABLE: "-3600000"})
    assert abs(clock.wall_ms() + 3_600_000 - time.time_ns() // 1_000_000) < 1_000
    assert abs(clock.monotonic_ms() - time.monotonic_ns() // 1_000_000) < 1_000


def test_an_offset_that_is_no_number_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=OFFSET_VARIABLE):
        SystemClock.from_environment({OFFSET_VARIABLE: "an hour"})
