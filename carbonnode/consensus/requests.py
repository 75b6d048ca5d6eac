"""Requests this replica admitted and forwarded, and what primaries make of them (PBFT.md 37, 38).

A request counts against a primary only if it was left out of batches that had room. A saturated primary that makes progress stays.
"""

from dataclasses import dataclass, field

_MAX_REQUESTS = 200_000
_MIN_SAMPLE = 10


@dataclass(slots=True)
class Requests:
    """Waiting requests in order of admission, and the pace of the current view's primary. Times in ms."""

    waiting: dict[bytes, int] = field(default_factory=dict)
    left_out_before: int = -1
    """Requests admitted before this were left out of a batch that had room, in this view."""
    window_start: int = 0
    _waited: int = 0
    _ordered: int = 0

    def admit(self, wire_hashes: tuple[bytes, ...], now_ms: int) -> None:
        """Start timing requests; beyond the bound they aren't timed (memory first)."""
        waiting = self.waiting
        for wire_hash in wire_hashes:
            if len(waiting) >= _MAX_REQUESTS:
                return
            waiting.setdefault(wire_hash, now_ms)

    def drop(self, wire_hashes: tuple[bytes, ...]) -> None:
        """Stop timing requests, without blame."""
        for wire_hash in wire_hashes:
            self.waiting.pop(wire_hash, None)

    def ordered(self, wire_hashes: tuple[bytes, ...], *, full: bool, proposed_ms: int, now_ms: int, grace_ms: int) -> None:
        """A batch was committed: its requests are done; if it had room, older ones that aren't in it were left out."""
        waited = count = 0
        pop = self.waiting.pop
        for wire_hash in wire_hashes:
            admitted = pop(wire_hash, -1)
            if admitted >= 0:
                waited += now_ms - admitted
                count += 1
        if not full:
            self.left_out_before = max(self.left_out_before, proposed_ms - grace_ms)
            self._waited += waited
            self._ordered += count

    def new_view(self, now_ms: int) -> None:
        """Another primary: it starts with a clean record."""
        self.left_out_before = -1
        self.restart_window(now_ms)

    def restart_window(self, now_ms: int) -> None:
        """Begin a new stretch of judging the pace."""
        self.window_start = now_ms
        self._waited = self._ordered = 0

    def oldest(self) -> int | None:
        """When the longest waiting request was admitted."""
        return next(iter(self.waiting.values()), None)

    def censored(self, now_ms: int, patience_ms: int) -> bool:
        """Whether a request older than `patience_ms` was left out although there was room."""
        oldest = self.oldest()
        return oldest is not None and now_ms - oldest > patience_ms and oldest < self.left_out_before

    def mean_wait_ms(self) -> int:
        """The mean wait of requests in batches that had room, over this window; 0 while too few say anything."""
        return self._waited // self._ordered if self._ordered >= _MIN_SAMPLE else 0
