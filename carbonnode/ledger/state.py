"""The working state: what contracts read and write while blocks execute (the VM's `StateAccess`).

Three layers, newest first:

- `dirty`: values written by blocks that aren't finalised yet, and by the one that runs now
- `clean`: decoded values of the finalised state, a cache
- the store: finalised leaf records (salt and encoded value), some of them not yet flushed to the database

A transaction's writes stand in a journal, so that it can be undone; a block's in a `Layer`, so that it can be discarded while it isn't finalised.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

from carbonnode.chain import values
from carbonnode.chain.values import Value
from carbonnode.ledger.key_index import KeyIndex
from carbonnode.ledger.layout import prefix_end
from carbonnode.ledger.salts import SALT_BYTES, state_salt
from carbonnode.ledger.store import StateStore
from carbonnode.ledger.tree import Leaf, TreeUpdate, commit, delete_leaf, key_hash, make_leaf
from carbonnode.ledger.weights import HASHED_BYTES, LAYER_BYTES, Cache, decoded_weight, raw_weight
from carbonnode.vm.state import ABSENT, Absent

CACHE_BYTES: Final = 128 << 20
"""Decoded values of the finalised state, as `ledger.weights` reckons."""
HASHES_BYTES: Final = 64 << 20
_STALE_KEYS: Final = 256


class _Unset:
    """Marks "not in this dict", where None and ABSENT are answers."""


_UNSET: Final = _Unset()
Stored = Value | Absent | _Unset


class Layer:
    """What one executed block changed.

    `before`: the dirty entry of every changed key before the block; `values`: after it; `records`: leaf records after it, None for deleted
    keys; `nodes`: state tree records after it, None for removed nodes; `weight`: bytes of all that.
    """

    __slots__ = ("before", "height", "nodes", "records", "values", "weight")

    def __init__(self, height: int, before: dict[bytes, Stored]) -> None:
        self.height = height
        self.before = before
        self.values: dict[bytes, Value | Absent] = {}
        self.records: dict[bytes, bytes | None] = {}
        self.nodes: dict[bytes, bytes | None] = {}
        self.weight = 0


class WorkingState:
    """The newest state. Not safe for use by more than one thread."""

    def __init__(self, store: StateStore, cache_bytes: int = CACHE_BYTES) -> None:
        self._store = store
        self._clean: Cache[Value | Absent] = Cache(cache_bytes)
        self._hashes_weight = 0
        self._dirty: dict[bytes, Value | Absent] = {}
        self._journal: list[tuple[bytes, Stored]] = []
        self._before: dict[bytes, Stored] = {}
        self._writer: dict[bytes, int] = {}
        self._layers: list[Layer] = []
        self._pending_nodes: dict[bytes, bytes | None] = {}
        self._dirty_order: list[bytes] = []
        self._dirty_since: list[bytes] = []
        self._hashes: dict[bytes, tuple[bytes, bytes]] = {}
        self._index = KeyIndex(self._walk, self._changed_keys, self._is_present)
        self._final_index = KeyIndex(store.walk_keys, lambda _prefix: (), store.has)

    # What the VM uses.

    def get(self, key: bytes) -> Value | Absent:
        """The value, or `ABSENT`."""
        found = self._dirty.get(key, _UNSET)
        if found is _UNSET:
            found = self._clean.young.get(key, _UNSET)
            if found is _UNSET:
                return self.final_value(key)
        return found  # type: ignore[return-value]  # _UNSET was ruled out

    def put(self, key: bytes, value: Value) -> None:
        """Write a value."""
        before = self._dirty.get(key, _UNSET)
        self._journal.append((key, before))
        current = before
        if before is _UNSET:
            current = self._clean.young.get(key, _UNSET)
            if current is _UNSET:
                current = self.final_value(key)
            self._dirty_since.append(key)
        self._dirty[key] = value
        if current is ABSENT:
            self._index.add(key)

    def delete(self, key: bytes) -> None:
        """Remove a key; nothing happens if it isn't there."""
        if self.get(key) is ABSENT:
            return
        before = self._dirty.get(key, _UNSET)
        self._journal.append((key, before))
        if before is _UNSET:
            self._dirty_since.append(key)
        self._dirty[key] = ABSENT
        self._index.remove(key)

    def next_key(self, prefix: bytes, after: bytes | None) -> bytes | None:
        """The smallest present key with `prefix` that is greater than `after`."""
        return self._index.next_key(prefix, after)

    def prev_key(self, prefix: bytes, before: bytes | None) -> bytes | None:
        """The greatest present key with `prefix` that is less than `before`."""
        return self._index.prev_key(prefix, before)

    def mark(self) -> int:
        """A point to roll back to."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Undo every put and delete since `mark`."""
        journal = self._journal
        while len(journal) > mark:
            key, before = journal.pop()
            self._restore(key, before)

    # What the block executor uses.

    def begin_block(self) -> None:
        """Start a block: nothing may be in progress."""
        if self._journal or self._before:
            raise RuntimeError("a block is in progress already")

    def commit_transaction(self, writer: int) -> None:
        """Keep what was written since the last commit; `writer` is the index of the salt seed of those leaves."""
        before, writers = self._before, self._writer
        for key, entry in self._journal:
            if key not in before:
                before[key] = entry
            writers[key] = writer
        self._journal.clear()

    def written(self, mark: int = 0) -> list[bytes]:
        """The keys written since `mark` and not committed yet, sorted."""
        return sorted({key for key, _ in self._journal[mark:]})

    def abandon_block(self) -> None:
        """Undo everything since `begin_block`."""
        self.rollback(0)
        for key, entry in reversed(self._before.items()):
            self._restore(key, entry)
        self._before.clear()
        self._writer.clear()

    def seal_block(self, height: int, seeds: list[bytes]) -> bytes:
        """End the block: encode and salt its writes, update the tree, return the new state root."""
        layer = Layer(height, self._before)
        leaves: list[Leaf] = []
        layer_values, records = layer.values, layer.records
        dirty, writer, hash_of, encode_value = self._dirty, self._writer, self.hash_of, values.encode_value
        weight = 0
        for key, entry in self._before.items():
            value = layer_values[key] = dirty[key]
            hashed, path = hash_of(key)
            if value is ABSENT:
                was = entry if entry is not _UNSET else self.final_value(key)
                records[key] = None
                if was is not ABSENT:
                    leaves.append(delete_leaf(hashed, path))
                continue
            salt = state_salt(seeds[writer[key]], hashed)
            encoded = encode_value(value)
            records[key] = salt + encoded
            weight += decoded_weight(key, value, len(encoded)) + len(encoded) + LAYER_BYTES
            leaves.append(make_leaf(hashed, commit(salt, encoded), path))
        update = TreeUpdate(self.read_node)
        root = update.apply(leaves)
        layer.nodes = update.writes
        layer.weight = weight + sum([raw_weight(path, node) for path, node in update.writes.items()])
        self._pending_nodes.update(update.writes)
        self._layers.append(layer)
        self._before = {}
        self._writer = {}
        return root

    def discard_above(self, height: int) -> None:
        """Drop every executed block above `height` (none of them finalised)."""
        while self._layers and self._layers[-1].height > height:
            layer = self._layers.pop()
            for key, entry in reversed(layer.before.items()):
                self._restore(key, entry)
            # An entry written by a block that is final by now equals the clean value: nobody owns it, so it goes.
            for key in layer.before:
                if key in self._dirty and not any(key in other.values for other in self._layers):
                    del self._dirty[key]
        self._pending_nodes = {}
        for layer in self._layers:
            self._pending_nodes.update(layer.nodes)

    def finalise(self, height: int) -> Layer:
        """The oldest executed block becomes part of the finalised state; hands its layer over to the store's caller."""
        layer = self._layers.pop(0)
        if layer.height != height:
            self._layers.insert(0, layer)
            raise RuntimeError(f"block {layer.height} is to be finalised before {height}")
        newer: set[bytes] = set().union(*[other.values for other in self._layers])
        clean, dirty = self._clean, self._dirty
        appeared, vanished = [], []
        for key, value in layer.values.items():
            was = self.final_value(key)
            if was is ABSENT and value is not ABSENT:
                appeared.append(key)
            elif was is not ABSENT and value is ABSENT:
                vanished.append(key)
            record = layer.records[key]
            clean.put(key, value, decoded_weight(key, value, 0 if record is None else len(record)))
            if key not in newer:
                del dirty[key]
        for path in layer.nodes:
            if not any(path in other.nodes for other in self._layers):
                del self._pending_nodes[path]
        for key in appeared:
            self._final_index.add(key)
        for key in vanished:
            self._final_index.remove(key)
        self._evict()
        return layer

    # Reading finalised state and nodes.

    def final_value(self, key: bytes) -> Value | Absent:
        """The value in the finalised state."""
        clean = self._clean
        found = clean.young.get(key, _UNSET)
        if found is not _UNSET:
            return found  # type: ignore[return-value]  # _UNSET was ruled out
        record = self._store.record(key)
        found = clean.former.get(key, _UNSET)
        if found is _UNSET:
            found = ABSENT if record is None else values.decode_value(record[SALT_BYTES:])
        value: Value | Absent = found  # type: ignore[assignment]  # _UNSET was ruled out
        clean.put(key, value, decoded_weight(key, value, 0 if record is None else len(record)))
        return value

    def final_next(self, prefix: bytes, after: bytes | None) -> bytes | None:
        """`next_key` in the finalised state."""
        return self._final_index.next_key(prefix, after)

    def final_prev(self, prefix: bytes, before: bytes | None) -> bytes | None:
        """`prev_key` in the finalised state."""
        return self._final_index.prev_key(prefix, before)

    def read_node(self, path: bytes) -> bytes | None:
        """A record of the newest state tree."""
        found = self._pending_nodes.get(path, _UNSET)
        return self._store.node(path) if found is _UNSET else found  # type: ignore[return-value]

    def hash_of(self, key: bytes) -> tuple[bytes, bytes]:
        """The key's hash and path in the tree, cached."""
        found = self._hashes.get(key)
        if found is None:
            self._hashes_weight += len(key) + HASHED_BYTES
            if self._hashes_weight > HASHES_BYTES:
                self._hashes.clear()
                self._hashes_weight = len(key) + HASHED_BYTES
            hashed = key_hash(key)
            found = self._hashes[key] = (hashed, hashed.hex().encode())
        return found

    @property
    def pending_layers(self) -> int:
        """How many executed blocks aren't finalised."""
        return len(self._layers)

    @property
    def pending_weight(self) -> int:
        """Bytes that those blocks hold."""
        return sum([layer.weight for layer in self._layers])

    # Inside.

    def _restore(self, key: bytes, entry: Stored) -> None:
        was_absent = self._dirty[key] is ABSENT
        if entry is _UNSET:
            del self._dirty[key]
            is_absent = self.final_value(key) is ABSENT
        else:
            self._dirty[key] = entry  # type: ignore[assignment]  # _UNSET was ruled out
            is_absent = entry is ABSENT
        if was_absent and not is_absent:
            self._index.add(key)
        elif is_absent and not was_absent:
            self._index.remove(key)

    def _is_present(self, key: bytes) -> bool:
        return self.get(key) is not ABSENT

    def _walk(self, start: bytes, stop: bytes | None, reverse: bool) -> Iterator[bytes]:
        return self._store.walk_keys(start, stop, reverse)

    def _changed_keys(self, prefix: bytes) -> Iterable[bytes]:
        # Kept in order: a contract may ask for one prefix after another, and each asking through all keys of the open blocks would be quadratic.
        order, since = self._dirty_order, self._dirty_since
        if len(since) > _STALE_KEYS:
            self._dirty_order = order = sorted({*order, *since})
        else:
            for key in since:
                place = bisect_left(order, key)
                if place == len(order) or order[place] != key:
                    order.insert(place, key)
        since.clear()
        stop = prefix_end(prefix)
        return [key for key in order[bisect_left(order, prefix) : len(order) if stop is None else bisect_left(order, stop)] if key in self._dirty]

    def _evict(self) -> None:
        if len(self._dirty_order) + len(self._dirty_since) > 2 * len(self._dirty) + _STALE_KEYS:
            self._dirty_order, self._dirty_since = sorted(self._dirty), []


class ReadOnlyState:
    """The half of `StateAccess` that writes, for views: the VM refuses to write before it comes to this."""

    def put(self, key: bytes, value: Value) -> None:  # noqa: ARG002  the protocol's parameters
        """Raises `RuntimeError`."""
        raise RuntimeError(f"a view tried to write {key!r}")

    def delete(self, key: bytes) -> None:
        """Raises `RuntimeError`."""
        raise RuntimeError(f"a view tried to delete {key!r}")

    def mark(self) -> int:
        """Nothing is ever written."""
        return 0

    def rollback(self, mark: int) -> None:
        """Nothing to undo."""


class FinalState(ReadOnlyState):
    """The finalised state for views."""

    def __init__(self, state: WorkingState) -> None:
        self.get = state.final_value
        self.next_key = state.final_next
        self.prev_key = state.final_prev
