"""Time-outs: adaptive to what commits take, doubled by fruitless view changes, capped, back to base on a commit (PBFT.md 35, 36)."""

from dataclasses import dataclass

_LATENCY_FACTOR = 6
_MAX_SHIFT = 16


@dataclass(slots=True)
class Pacing:
    """`attempts` counts view changes since the last commit. Times in ms, integers only."""

    base_ms: int
    max_ms: int
    attempts: int = 0
    latency_ms: int = 0
    """Smoothed time from a proposal to its commit."""

    def committed(self, latency_ms: int) -> None:
        """A height was ordered in this view: back to base, and learn how long it took."""
        self.attempts = 0
        self.latency_ms = (7 * self.latency_ms + max(0, min(latency_ms, self.max_ms))) // 8 if self.latency_ms else max(0, min(latency_ms, self.max_ms))

    def view_changed(self) -> None:
        """Another view change began without a commit since the last."""
        self.attempts += 1

    @property
    def timeout_ms(self) -> int:
        """How long to wait for progress now."""
        base = max(self.base_ms, _LATENCY_FACTOR * self.latency_ms)
        shift = min(max(0, self.attempts - 1), _MAX_SHIFT)
        return int(min(base << shift, self.max_ms))
