"""The machine's clocks, behind the protocol that the daemon's parts are given."""

import time


class SystemClock:
    """`node.ports.Clock` on this machine."""

    def monotonic_ms(self) -> int:
        """Milliseconds that never go back."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000
