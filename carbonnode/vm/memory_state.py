"""A `StateAccess` in memory: a dict with an ordered list of keys and an undo journal. For tests, calculators and `contract run`."""

from bisect import bisect_left, bisect_right, insort

from carbonnode.chain.values import Value
from carbonnode.vm.state import ABSENT, Absent


class MemoryState:
    """All data in one dict; `journal` holds (key, value before) of every write since the start."""

    def __init__(self, data: dict[bytes, Value] | None = None) -> None:
        self.data: dict[bytes, Value] = dict(data or {})
        self._order: list[bytes] = sorted(self.data)
        self._journal: list[tuple[bytes, Value | Absent]] = []

    def get(self, key: bytes) -> Value | Absent:
        """The value, or `ABSENT`."""
        return self.data.get(key, ABSENT)

    def put(self, key: bytes, value: Value) -> None:
        """Write a value."""
        before = self.data.get(key, ABSENT)
        self._journal.append((key, before))
        if before is ABSENT:
            insort(self._order, key)
        self.data[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key if it is there."""
        before = self.data.get(key, ABSENT)
        if before is ABSENT:
            return
        self._journal.append((key, before))
        self._forget(key)

    def next_key(self, prefix: bytes, after: bytes | None) -> bytes | None:
        """The smallest key with `prefix` that is greater than `after`."""
        place = bisect_left(self._order, prefix) if after is None or after < prefix else bisect_right(self._order, after)
        if place < len(self._order) and self._order[place].startswith(prefix):
            return self._order[place]
        return None

    def prev_key(self, prefix: bytes, before: bytes | None) -> bytes | None:
        """The greatest key with `prefix` that is less than `before`."""
        place = self._end_of(prefix)
        if before is not None:
            place = min(place, bisect_left(self._order, before))
        if place > 0 and self._order[place - 1].startswith(prefix):
            return self._order[place - 1]
        return None

    def mark(self) -> int:
        """A point to roll back to."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Undo every write since `mark`."""
        while len(self._journal) > mark:
            key, before = self._journal.pop()
            if before is ABSENT:
                self._forget(key)
                continue
            if key not in self.data:
                insort(self._order, key)
            self.data[key] = before

    def changed_keys(self, since: int = 0) -> list[bytes]:
        """The keys written since a mark, in order and without repeats."""
        return sorted({key for key, _ in self._journal[since:]})

    def _forget(self, key: bytes) -> None:
        del self.data[key]
        del self._order[bisect_left(self._order, key)]

    def _end_of(self, prefix: bytes) -> int:
        """The place behind the last key with `prefix`."""
        bound = prefix.rstrip(b"\xff")
        if not bound:
            return len(self._order)
        return bisect_left(self._order, bound[:-1] + bytes([bound[-1] + 1]))
