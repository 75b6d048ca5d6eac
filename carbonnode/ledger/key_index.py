"""Ordered access to keys under a prefix, without walking the database for every step.

An order book asks for its best price all the time, and its best orders are deleted all the time: in LevelDB every such step would walk over the
tombstones of all orders filled since the last compaction. So the keys under a prefix that was asked for are kept in a sorted list and
maintained as keys appear and vanish. A prefix with too many keys for that is walked in the layer below, merged with the keys that appeared.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator

from carbonnode.ledger.layout import prefix_end
from carbonnode.vm.keys import part_ends

MAX_LIST_KEYS = 65_536
MAX_TOTAL_BYTES = 48 << 20
"""Of all keys in all lists of an index. Lists are made up to two thirds of it; then what has no list is walked in the layer below."""
KEY_BYTES = 48
"""A key object and its place in a list, without the key's own bytes."""
LIST_BYTES = 400
STEPS_BETWEEN_CLEARS = 16_384
"""Steps and changes, each paid for, before all lists may be forgotten again: filling the index again and again would take longer than was paid."""
_STORED = b"c/"
_FEW_LENGTHS = 6

Walk = Callable[[bytes, bytes | None, bool], Iterator[bytes]]
"""(start, stop, reverse): the base layer's keys with start <= key < stop."""


def _map_of(key: bytes) -> bytes:
    """The part of a contract's key, or of a prefix of keys, that names contract and Map."""
    return key[: key.index(b"\0", key.index(b"\0") + 1) + 1]


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
        self._all_lengths: set[int] = set()
        """Of all prefixes: while they are few, trying each is cheaper than looking at the key."""
        self._lengths: set[int] = set()
        """Of the ledger's own prefixes."""
        self._maps: dict[bytes, set[int]] = {}
        """Of a contract's prefixes, by Map: most Maps are never walked."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._steps = 0
        self._full = False
        """Whether a list wasn't made for want of room."""

    def add(self, key: bytes) -> None:
        """The key, absent before, is present now."""
        for held in self._holding(key):
            if held.wide:
                place = bisect_left(held.keys, key)
                if place < len(held.keys) and held.keys[place] == key:
                    continue
            insort(held.keys, key)
            self._bytes += len(key) + KEY_BYTES
        self._steps += 1
        self._make_room()

    def remove(self, key: bytes) -> None:
        """The key, present before, is absent now."""
        for held in self._holding(key):
            place = bisect_left(held.keys, key)
            if place < len(held.keys) and held.keys[place] == key:
                del held.keys[place]
                self._bytes -= len(key) + KEY_BYTES

    def _holding(self, key: bytes) -> list[_Keys]:
        """The lists that a key belongs to."""
        ends: Iterable[int] = self._all_lengths
        if len(self._all_lengths) <= _FEW_LENGTHS:
            pass
        elif not key.startswith(_STORED):
            ends = self._lengths
        else:
            lengths = self._maps.get(_map_of(key))
            if lengths is None:
                return []
            # A contract could ask for prefixes of hundreds of lengths: then the parts of the key tell which of them it may have.
            ends = lengths if len(lengths) <= _FEW_LENGTHS else part_ends(key)
        lists = self._lists
        return [held for end in ends if (held := lists.get(key[:end])) is not None]

    def next_key(self, prefix: bytes, after: bytes | None) -> bytes | None:
        """The smallest present key with `prefix` that is greater than `after`."""
        self._steps += 1
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
        self._steps += 1
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
        self._make_room()
        keys: list[bytes] = []
        wide, size = False, LIST_BYTES + len(prefix)
        room = max(0, min(self._max_bytes // 2, self._max_bytes * 2 // 3 - self._bytes))
        for key in self._walk(prefix, prefix_end(prefix), False):
            size += len(key) + KEY_BYTES
            if len(keys) >= self._max_list or size > room:
                wide = True
                self._full = self._full or room < size <= self._max_bytes // 2
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
        self._lists[prefix] = held
        self._all_lengths.add(len(prefix))
        if prefix.startswith(_STORED):
            self._maps.setdefault(_map_of(prefix), set()).add(len(prefix))
        else:
            self._lengths.add(len(prefix))
        self._bytes += LIST_BYTES + len(prefix) + sum([len(key) for key in held.keys]) + KEY_BYTES * len(held.keys)
        return held

    def _make_room(self) -> None:
        """Forget everything where the index is full, but not all the time: until then what has no list is walked below."""
        rested = self._steps >= STEPS_BETWEEN_CLEARS
        if (rested and (self._full or self._bytes > self._max_bytes)) or self._bytes > 2 * self._max_bytes:
            self.clear()

    def clear(self) -> None:
        """Forget everything; lists are loaded again when asked for."""
        self._lists.clear()
        self._lengths.clear()
        self._all_lengths.clear()
        self._maps.clear()
        self._bytes = self._steps = 0
        self._full = False
