"""The machine's clocks, behind the protocol that the daemon's parts are given."""

import time
from collections.abc import Mapping

from carbonnode.errors import ConfigError

OFFSET_VARIABLE = "CARBONNODE_CLOCK_OFFSET_MS"
"""Tests set a node's wall clock wrong with it, as an operator without NTP does: ms that are added to the time of day."""


class SystemClock:
    """`node.ports.Clock` on this machine; `offset_ms` is by how much its wall clock is off."""

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "SystemClock":
        """Read `CARBONNODE_CLOCK_OFFSET_MS`. Raises `ConfigError` if it isn't a whole number."""
        text = environment.get(OFFSET_VARIABLE, "0")
        if not text.lstrip("-").isdecimal():
            raise ConfigError(f"{OFFSET_VARIABLE}={text!r} isn't a whole number of milliseconds: correct it, or remove it outside of tests")
        return cls(int(text))

    def monotonic_ms(self) -> int:
        """Milliseconds that never go back."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000 + self.offset_ms
