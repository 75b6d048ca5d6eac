"""Scores of misbehaving peers, by transport key: points add up, decay with time, and lead to a ban. No clock of its own.

The first ban is short and each further one twice as long: a validator that a fault of some release makes look bad is back before the quorum misses
it, and one that goes on soon wastes nobody's time.
"""

from typing import TypeVar

T = TypeVar("T")

DECAY_POINTS_PER_S = 1
MAX_KEPT = 4096
FORGIVEN_AFTER_BANS = 10
"""Longest bans without a new one after which a peer's first ban is short again."""

VIOLATION_POINTS = {
    "bad-frame": 100,
    "frame-too-large": 100,
    "bad-batch": 50,
    "bad-handshake": 25,
    "bad-proof": 100,
    "wrong-chain": 50,
}
"""Points of what the network finds itself; the daemon reports its own findings with its own points."""


class Standings:
    """Points and bans, bounded in memory."""

    def __init__(self, ban_score: int, first_ban_ms: int, ban_ms: int) -> None:
        self._ban_score = ban_score
        self._first_ban_ms = first_ban_ms
        self._ban_ms = ban_ms
        self._points: dict[bytes, tuple[int, int]] = {}
        self._banned_until: dict[bytes, int] = {}
        self._last_ban: dict[bytes, tuple[int, int]] = {}
        """Length of the last ban and its end."""

    def score(self, key: bytes) -> int:
        """Points as of the last change; 0 for an unknown key."""
        return self._points.get(key, (0, 0))[0]

    def add(self, key: bytes, points: int, now_ms: int) -> bool:
        """Add points; True if this bans the peer (its points start again from 0 after the ban)."""
        old, since = self._points.pop(key, (0, now_ms))
        total = max(0, old - DECAY_POINTS_PER_S * (now_ms - since) // 1000) + points
        if total < self._ban_score:
            self._points[key] = (total, now_ms)
            _bound(self._points)
            return False
        length_ms = self._next_length_ms(key, now_ms)
        self._banned_until[key] = now_ms + length_ms
        self._last_ban[key] = (length_ms, now_ms + length_ms)
        _bound(self._banned_until)
        _bound(self._last_ban)
        return True

    def _next_length_ms(self, key: bytes, now_ms: int) -> int:
        last_ms, ended = self._last_ban.pop(key, (0, 0))
        if not last_ms or now_ms - ended > FORGIVEN_AFTER_BANS * self._ban_ms:
            return min(self._first_ban_ms, self._ban_ms)
        return min(2 * last_ms, self._ban_ms)

    def is_banned(self, key: bytes, now_ms: int) -> bool:
        """Whether the peer is refused at present."""
        until = self._banned_until.get(key)
        if until is None:
            return False
        if now_ms >= until:
            del self._banned_until[key]
            return False
        return True

    def pardon(self, key: bytes) -> None:
        """Forget points and ban."""
        self._points.pop(key, None)
        self._banned_until.pop(key, None)
        self._last_ban.pop(key, None)


def _bound(table: dict[bytes, T]) -> None:
    while len(table) > MAX_KEPT:
        del table[next(iter(table))]
