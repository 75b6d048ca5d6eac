"""Ordered access to keys under a prefix, without walking the database for every step.

An order book asks for its best price all the time, and its best orders are deleted all the time: in LevelDB every such step would walk over the
tombstones of all orders filled since the last compaction. So the keys under a prefix that was asked for are kept in a sorted list and
maintained as keys appear and vanish. A prefix with too many keys for that is walked in the layer below, merged with the keys that appeared.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator

from carbonnode.ledger.layout import prefix_end

MAX_LIST_KEYS = 65_536
MAX_TOTAL_BYTES = 48 << 20
"""Of all keys in all lists of an index."""
KEY_BYTES = 48
"""A key object and its place in a list, without the key's own bytes."""
LIST_BYTES = 400

Walk = Callable[[bytes, bytes | None, bool], Iterator[bytes]]
"""(start, stop, reverse): the base layer's keys with start <= key < stop."""


class _Keys:
    """The keys under one prefix: all of them, or (`wide`) only those that appeared since it was loaded."""

    __slots__ = ("keys", "wide")

    def __init__(self, keys: list[bytes], *, wide: bool) -> None:
        self.keys = keys
        self.wide = wide


class KeyIndex:
    """Sorted keys of one view of the state: a base layer plus changes.

    `walk` iterates the base layer, `changes(prefix)` gives the keys whose presence the view changed since, `present` tells whether a key is there in
    the view. The owner reports every later change with `add` and `remove`.
    """

    def __init__(
        self,
        walk: Walk,
        changes: Callable[[bytes], Iterable[bytes]],
        present: Callable[[bytes], bool],
        max_list: int = MAX_LIST_KEYS,
        max_bytes: int = MAX_TOTAL_BYTES,
    ) -> None:
        self._walk = walk
        self._changes = changes
        self._present = present
        self._max_list = max_list
        self._lists: dict[bytes, _Keys] = {}
        self._lengths: dict[int, int] = {}
        self._max_bytes = max_bytes
        self._bytes = 0

    def add(self, key: bytes) -> None:
        """The key, absent before, is present now."""
        for length in self._lengths:
            held = self._lists.get(key[:length])
            if held is None:
                continue
            if held.wide:
                place = bisect_left(held.keys, key)
                if place < len(held.keys) and held.keys[place] == key:
                    continue
            insort(held.keys, key)
            self._bytes += len(key) + KEY_BYTES
        if self._bytes > self._max_bytes:
            self.clear()

    def remove(self, key: bytes) -> None:
        """The key, present before, is absent now."""
        for length in self._lengths:
            held = self._lists.get(key[:length])
            if held is None:
                continue
            place = bisect_left(held.keys, key)
            if place < len(held.keys) and held.keys[place] == key:
                del held.keys[place]
                self._bytes -= len(key) + KEY_BYTES

    def next_key(self, prefix: bytes, after: bytes | None) -> bytes | None:
        """The smallest present key with `prefix` that is greater than `after`."""
        held = self._lists.get(prefix)
        if held is None:
            held = self._load(prefix)
        keys = held.keys
        place = bisect_right(keys, after) if after is not None else 0
        found = keys[place] if place < len(keys) else None
        if not held.wide:
            return found
        start = prefix if after is None or after < prefix else after + b"\0"
        for key in self._walk(start, prefix_end(prefix) if found is None else found, False):
            if self._present(key):
                return key
        return found

    def prev_key(self, prefix: bytes, before: bytes | None) -> bytes | None:
        """The greatest present key with `prefix` that is less than `before`."""
        held = self._lists.get(prefix)
        if held is None:
            held = self._load(prefix)
        keys = held.keys
        place = bisect_left(keys, before) if before is not None else len(keys)
        found = keys[place - 1] if place > 0 else None
        if not held.wide:
            return found
        end = prefix_end(prefix)
        stop = end if before is None or (end is not None and before > end) else before
        for key in self._walk(prefix if found is None else found + b"\0", stop, True):
            if self._present(key):
                return key
        return found

    def _load(self, prefix: bytes) -> _Keys:
        keys: list[bytes] = []
        wide, size = False, LIST_BYTES + len(prefix)
        for key in self._walk(prefix, prefix_end(prefix), False):
            size += len(key) + KEY_BYTES
            if len(keys) >= self._max_list or size > self._max_bytes // 2:
                wide = True
                break
            keys.append(key)
        changed = [key for key in self._changes(prefix) if key.startswith(prefix)]
        if wide:
            held = _Keys(sorted({key for key in changed if self._present(key)}), wide=True)
        elif changed:
            found = set(keys)
            for key in changed:
                if self._present(key):
                    found.add(key)
                else:
                    found.discard(key)
            held = _Keys(sorted(found), wide=False)
        else:
            held = _Keys(keys, wide=False)
        if self._bytes > self._max_bytes:
            self.clear()
        self._lists[prefix] = held
        self._lengths[len(prefix)] = self._lengths.get(len(prefix), 0) + 1
        self._bytes += LIST_BYTES + len(prefix) + sum([len(key) for key in held.keys]) + KEY_BYTES * len(held.keys)
        return held

    def clear(self) -> None:
        """Forget everything; lists are loaded again when asked for."""
        self._lists.clear()
        self._lengths.clear()
        self._bytes = 0
