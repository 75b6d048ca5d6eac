"""Requests this replica admitted and forwarded, and what primaries make of them (PBFT.md 37, 38).

A request counts against a primary only if it was left out of batches that had room. A saturated primary that makes progress stays. And what f + 1 primaries
in a row left out, an honest one left out too, for a reason of its own: it is timed no more, so that no client can keep the views turning.
"""

from dataclasses import dataclass, field

_MAX_REQUESTS = 200_000
_MIN_SAMPLE = 10


@dataclass(slots=True)
class Requests:
    """Waiting requests in order of admission, and the pace of the current view's primary. Times in ms."""

    waiting: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """(admitted, how many primaries had been judged by then) by wire hash."""
    judged: int = 0
    """How many primaries have had room to spare so far."""
    left_out_before: int = -1
    """Requests admitted before this were left out of a batch that had room, in this view."""
    _primary: int = -1
    _judges: list[int] = field(default_factory=list)
    window_start: int = 0
    _waited: int = 0
    _ordered: int = 0

    def admit(self, wire_hashes: tuple[bytes, ...], now_ms: int) -> None:
        """Start timing requests; beyond the bound they aren't timed (memory first)."""
        waiting = self.waiting
        for wire_hash in wire_hashes:
            if len(waiting) >= _MAX_REQUESTS:
                return
            waiting.setdefault(wire_hash, (now_ms, self.judged))

    def drop(self, wire_hashes: tuple[bytes, ...]) -> None:
        """Stop timing requests, without blame."""
        for wire_hash in wire_hashes:
            self.waiting.pop(wire_hash, None)

    def ordered(self, wire_hashes: tuple[bytes, ...], *, full: bool, primary: int, proposed_ms: int, now_ms: int, grace_ms: int) -> None:
        """A batch was committed: its requests are done; if it had room, older ones that aren't in it were left out."""
        waited = count = 0
        pop = self.waiting.pop
        for wire_hash in wire_hashes:
            request = pop(wire_hash, None)
            if request is not None:
                waited += now_ms - request[0]
                count += 1
        if not full:
            self.left_out_before = max(self.left_out_before, proposed_ms - grace_ms)
            self._primary = primary
            self._waited += waited
            self._ordered += count

    def new_view(self, now_ms: int, enough: int) -> None:
        """Another primary: it starts with a clean record. Requests that `enough` (f + 1) primaries left out are let go."""
        if self.left_out_before >= 0 and self._primary not in self._judges:
            self.judged += 1
            # Any `enough` judged one after another are different: a faulty one whose view comes round again must not stand for two.
            self._judges = [*self._judges, self._primary][-(enough - 1) :] if enough > 1 else []
            self._let_go(enough)
        self.left_out_before = -1
        self.restart_window(now_ms)

    def _let_go(self, enough: int) -> None:
        given_up = []
        for wire_hash, (_, judged) in self.waiting.items():
            if self.judged - judged < enough:
                break  # they stand in order of admission
            given_up.append(wire_hash)
        self.drop(tuple(given_up))

    def restart_window(self, now_ms: int) -> None:
        """Begin a new stretch of judging the pace."""
        self.window_start = now_ms
        self._waited = self._ordered = 0

    def oldest(self) -> int | None:
        """When the longest waiting request was admitted."""
        return next((admitted for admitted, _ in self.waiting.values()), None)

    def censored(self, now_ms: int, patience_ms: int) -> bool:
        """Whether a request older than `patience_ms` was left out although there was room."""
        oldest = self.oldest()
        return oldest is not None and now_ms - oldest > patience_ms and oldest < self.left_out_before

    def mean_wait_ms(self) -> int:
        """The mean wait of requests in batches that had room, over this window; 0 while too few say anything."""
        return self._waited // self._ordered if self._ordered >= _MIN_SAMPLE else 0
