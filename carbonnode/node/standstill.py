"""Notices that no block is made any more: the first thing an operator asks about, and the log of a network that stands still would be silent."""

from collections.abc import Iterable
from typing import Final

FIRST_MS: Final = 10_000
"""After the time at which an idle block was due; a view change after a dead primary takes far less."""

SILENT_MS: Final = 6_000
"""A validator says where it stands every 2 s, and far more often when nothing moves: who isn't heard for this long is silent, or we are deaf to it."""


class Standstill:
    """Ask it regularly; times are monotonic ms."""

    def __init__(self, now_ms: int) -> None:
        self._height = -1
        self._since_ms = now_ms
        self._tell_after_ms = FIRST_MS
        self._began_ms = now_ms
        self._heard: dict[str, int] = {}
        self.standing_ms = 0
        """How long nothing has moved beyond what is normal; 0 while all is well."""

    def heard(self, name: str, now_ms: int) -> None:
        """A message of consensus came from this validator."""
        self._heard[name] = now_ms

    def unheard(self, names: Iterable[str], now_ms: int) -> dict[str, int]:
        """Of these validators, those who have said nothing in consensus for a while, with for how many seconds."""
        silent = {name: now_ms - self._heard.get(name, self._began_ms) for name in names}
        return {name: ms // 1000 for name, ms in sorted(silent.items()) if ms >= SILENT_MS}

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
