"""Scores of misbehaving peers, by transport key: points add up, decay with time, and lead to a ban. No clock of its own."""

DECAY_POINTS_PER_S = 1
MAX_KEPT = 4096

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

    def __init__(self, ban_score: int, ban_ms: int) -> None:
        self._ban_score = ban_score
        self._ban_ms = ban_ms
        self._points: dict[bytes, tuple[int, int]] = {}
        self._banned_until: dict[bytes, int] = {}

    def score(self, key: bytes) -> int:
        """Points as of the last change; 0 for an unknown key."""
        return self._points.get(key, (0, 0))[0]

    def add(self, key: bytes, points: int, now_ms: int) -> bool:
        """Add points; True if this bans the peer (its points start again from 0 after the ban)."""
        old, since = self._points.pop(key, (0, now_ms))
        total = max(0, old - DECAY_POINTS_PER_S * (now_ms - since) // 1000) + points
        if total < self._ban_score:
            self._points[key] = (total, now_ms)
            while len(self._points) > MAX_KEPT:
                del self._points[next(iter(self._points))]
            return False
        self._banned_until[key] = now_ms + self._ban_ms
        while len(self._banned_until) > MAX_KEPT:
            del self._banned_until[next(iter(self._banned_until))]
        return True

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
