"""A state to write on that is thrown away: what a dry run changes lies above a state that can only be read.

Looking for the next key must stay cheap whatever a contract did before: keys that were touched are passed over in the state below by remembered jumps, so
that a run of deleted keys is walked through once, not at every question.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from typing import Protocol

from carbonnode.chain.values import Value
from carbonnode.ledger.layout import prefix_end
from carbonnode.vm.state import ABSENT, Absent

Step = Callable[[bytes, bytes | None], bytes | None]


class Below(Protocol):
    """The state under an overlay: it doesn't change while the overlay is used."""

    def get(self, key: bytes) -> Value | Absent:
        """The value, or `ABSENT`."""
        ...

    def next_key(self, prefix: bytes, after: bytes | None) -> bytes | None:
        """As in `vm.state.StateAccess`."""
        ...

    def prev_key(self, prefix: bytes, before: bytes | None) -> bytes | None:
        """As in `vm.state.StateAccess`."""
        ...


class Overlay:
    """The VM's `StateAccess` above a state that is only read."""

    def __init__(self, below: Below) -> None:
        self._below = below
        self._written: dict[bytes, Value | Absent] = {}
        self._journal: list[tuple[bytes, Value | Absent, bool]] = []
        self._touched: set[bytes] = set()
        """Keys that were ever written: never fewer, so that a jump over them stays right."""
        self._here: list[bytes] = []
        """Touched keys that are present now, in order."""
        self._jumps: dict[tuple[bool, bytes], dict[bytes, bytes | None]] = {}

    def get(self, key: bytes) -> Value | Absent:
        """The value, or `ABSENT`."""
        return self._written[key] if key in self._written else self._below.get(key)

    def put(self, key: bytes, value: Value) -> None:
        """Write a value."""
        self._write(key, value)

    def delete(self, key: bytes) -> None:
        """Remove a key; nothing happens if it isn't there."""
        if self.get(key) is not ABSENT:
            self._write(key, ABSENT)

    def next_key(self, prefix: bytes, after: bytes | None) -> bytes | None:
        """The smallest present key with `prefix` that is greater than `after`."""
        here = self._here
        place = bisect_left(here, prefix) if after is None else max(bisect_left(here, prefix), bisect_right(here, after))
        own = here[place] if place < len(here) and here[place].startswith(prefix) else None
        under = self._untouched(self._below.next_key, prefix, after, forward=True)
        return own if under is None else under if own is None else min(own, under)

    def prev_key(self, prefix: bytes, before: bytes | None) -> bytes | None:
        """The greatest present key with `prefix` that is less than `before`."""
        here, end = self._here, prefix_end(prefix)
        place = len(here) if end is None else bisect_left(here, end)
        if before is not None:
            place = min(place, bisect_left(here, before))
        own = here[place - 1] if place and here[place - 1].startswith(prefix) else None
        under = self._untouched(self._below.prev_key, prefix, before, forward=False)
        return own if under is None else under if own is None else max(own, under)

    def mark(self) -> int:
        """A point to roll back to."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Undo every put and delete since `mark`."""
        while len(self._journal) > mark:
            key, before, was_written = self._journal.pop()
            was_here = self._written[key] is not ABSENT
            if was_written:
                self._written[key] = before
            else:
                del self._written[key]
            self._keep(key, was_here=was_here)

    def clear(self) -> None:
        """Let go of everything that was written: whoever still holds the overlay holds no memory with it."""
        self._written.clear()
        self._journal.clear()
        self._touched.clear()
        self._here.clear()
        self._jumps.clear()

    # Inside.

    def _write(self, key: bytes, value: Value | Absent) -> None:
        was_written = key in self._written
        was_here = key in self._touched and self.get(key) is not ABSENT
        self._journal.append((key, self._written.get(key, ABSENT), was_written))
        self._written[key] = value
        self._touched.add(key)
        self._keep(key, was_here=was_here)

    def _keep(self, key: bytes, *, was_here: bool) -> None:
        """Bring the list of present keys up to date."""
        is_here = self.get(key) is not ABSENT
        if is_here and not was_here:
            insort(self._here, key)
        elif was_here and not is_here:
            del self._here[bisect_left(self._here, key)]

    def _untouched(self, step: Step, prefix: bytes, start: bytes | None, *, forward: bool) -> bytes | None:
        """The next key below that was never touched; those that were stand in `_here` if they are present."""
        key = step(prefix, start)
        if key not in self._touched:
            return key
        jumps = self._jumps.setdefault((forward, prefix), {})
        passed = []
        while key is not None and key in self._touched:
            passed.append(key)
            key = jumps[key] if key in jumps else step(prefix, key)
        for over in passed:
            jumps[over] = key
        return key
