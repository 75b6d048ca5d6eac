"""Notices that no block is made any more: the first thing an operator asks about, and the log of a network that stands still would be silent."""

from typing import Final

FIRST_MS: Final = 10_000
"""After the time at which an idle block was due; a view change after a dead primary takes far less."""


class Standstill:
    """Ask it regularly; times are monotonic ms."""

    def __init__(self, now_ms: int) -> None:
        self._height = -1
        self._since_ms = now_ms
        self._tell_after_ms = FIRST_MS
        self.standing_ms = 0
        """How long nothing has moved beyond what is normal; 0 while all is well."""

    def look(self, now_ms: int, height: int, idle_ms: int) -> bool:
        """Whether to tell now: after 10 s without a block, then after twice as long each time. `idle_ms`: when an idle network makes its next block."""
        if height != self._height:
            self._height, self._since_ms, self._tell_after_ms, self.standing_ms = height, now_ms, FIRST_MS, 0
            return False
        late_ms = now_ms - self._since_ms - idle_ms
        self.standing_ms = late_ms if late_ms >= FIRST_MS else 0
        if late_ms < self._tell_after_ms:
            return False
        self._tell_after_ms *= 2
        return True
