"""The finalised state on disk: leaf records, tree nodes, undo records, headers and ids, over a KV.

`absorb` takes the layer of a finalised block; `flush` writes what was absorbed since the last flush as one atomic batch, the tip with it. Blocks are
coalesced between flushes: what a crash loses is replayed from the block store, which is durable before a block is finalised here. Hot nodes and
balances, rewritten by every block, reach the disk once a flush.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final

from carbonnode.chain.codec import Wire, decode, encode
from carbonnode.chain.header import Header
from carbonnode.chain.ports import KV
from carbonnode.errors import InvalidBlock, StorageError
from carbonnode.ledger import layout
from carbonnode.ledger.tree import EMPTY_RECORD, node_hash
from carbonnode.ledger.weights import Cache, raw_weight

CACHE_BYTES: Final = 64 << 20
"""Leaf records, and as much again of node records, as `ledger.weights` reckons."""
_MAX_RECORD: Final = 1 << 30
_REPAIR = "run `carbonnode verify-store`, or remove the state directory: it's rebuilt from the blocks"


class _Unset:
    """Marks "not in this dict"."""


_UNSET: Final = _Unset()


class Tip(Wire, frozen=True):
    """Where the stored state stands."""

    chain_id: bytes
    height: int
    header_hash: bytes
    state_root: bytes


class Undo(Wire, frozen=True):
    """Leaf records as they were before a block, None where there was none."""

    records: tuple[tuple[bytes, bytes | None], ...]


class StateStore:
    """Finalised leaf records and nodes, flushed or not."""

    def __init__(self, kv: KV, cache_bytes: int = CACHE_BYTES) -> None:
        """Raises `StorageError` if the tip is unreadable or the state's root isn't the recorded one."""
        self._kv = kv
        self._records: Cache[bytes | None] = Cache(cache_bytes)
        self._nodes: Cache[bytes | None] = Cache(cache_bytes)
        self._new_records: dict[bytes, bytes | None] = {}
        self._new_nodes: dict[bytes, bytes | None] = {}
        self._new_other: dict[bytes, bytes | None] = {}
        self._new_sorted: list[bytes] | None = None
        self.new_weight = 0
        """Bytes at most of what was absorbed since the last flush."""
        self.tip: Tip | None = None
        """The last finalised block, flushed or not; None before genesis."""
        self.flushed = -1
        """The height of the last flush."""
        self.base = int.from_bytes(kv.get(layout.BASE) or b"", "big")
        """The height of the snapshot that this state began from, 0 where it began at genesis."""
        raw = kv.get(layout.TIP)
        if raw is not None:
            self.tip = self._decoded(raw, Tip, "tip")
            self.flushed = self.tip.height
            self._check_root(self.tip)

    def _check_root(self, tip: Tip) -> None:
        if node_hash(self.node(b"") or EMPTY_RECORD) != tip.state_root:
            raise StorageError(f"the state's root isn't the one recorded for height {tip.height}: {_REPAIR}", code="corrupt")

    # Reading.

    def record(self, key: bytes) -> bytes | None:
        """The leaf record (salt and encoded value) of a state key."""
        found = self._new_records.get(key, _UNSET)
        if found is _UNSET:
            found = self._records.young.get(key, _UNSET)
            if found is _UNSET:
                found = self._records.former.get(key, _UNSET)
                raw = self._kv.get(layout.VALUE + key) if found is _UNSET else found
                self._records.put(key, raw, raw_weight(key, raw))  # type: ignore[arg-type]  # _UNSET was ruled out
                return raw  # type: ignore[return-value]  # the same
        return found  # type: ignore[return-value]  # _UNSET was ruled out

    def has(self, key: bytes) -> bool:
        """Whether the key is present."""
        return self.record(key) is not None

    def node(self, path: bytes) -> bytes | None:
        """A node's record."""
        found = self._new_nodes.get(path, _UNSET)
        if found is _UNSET:
            found = self._nodes.young.get(path, _UNSET)
            if found is _UNSET:
                found = self._nodes.former.get(path, _UNSET)
                raw = self._kv.get(layout.NODE + path) if found is _UNSET else found
                self._nodes.put(path, raw, raw_weight(path, raw))  # type: ignore[arg-type]  # _UNSET was ruled out
                return raw  # type: ignore[return-value]  # the same
        return found  # type: ignore[return-value]  # _UNSET was ruled out

    def walk_keys(self, start: bytes, stop: bytes | None, reverse: bool) -> Iterator[bytes]:
        """State keys present with start <= key < stop, in order."""
        end = layout.prefix_end(layout.VALUE) if stop is None else layout.VALUE + stop
        stored = (key[1:] for key, _ in self._kv.iterate(start=layout.VALUE + start, stop=end, reverse=reverse))
        new = self._new_between(start, stop)
        if reverse:
            new.reverse()
        return self._merge(stored, new, reverse=reverse)

    def _new_between(self, start: bytes, stop: bytes | None) -> list[bytes]:
        if self._new_sorted is None:
            self._new_sorted = sorted(self._new_records)
        keys = self._new_sorted
        return keys[bisect_left(keys, start) : len(keys) if stop is None else bisect_left(keys, stop)]

    def _merge(self, stored: Iterator[bytes], new: list[bytes], *, reverse: bool) -> Iterator[bytes]:
        place = 0
        for key in stored:
            while place < len(new) and (new[place] > key if reverse else new[place] < key):
                if self._new_records[new[place]] is not None:
                    yield new[place]
                place += 1
            if self._new_records.get(key, b"") is not None:
                yield key
            if place < len(new) and new[place] == key:
                place += 1
        for key in new[place:]:
            if self._new_records[key] is not None:
                yield key

    def undo(self, height: int) -> Undo | None:
        """The undo record of a height, None if it was pruned."""
        raw = self._other(layout.height_key(layout.UNDO, height))
        return None if raw is None else self._decoded(raw, Undo, f"undo record of height {height}")

    def undo_size(self, height: int) -> int:
        """Bytes of the undo record of a height, 0 if it was pruned."""
        return len(self._other(layout.height_key(layout.UNDO, height)) or b"")

    def header(self, height: int) -> Header | None:
        """The header of a height, None if it was pruned."""
        raw = self._other(layout.height_key(layout.HEADER, height))
        return None if raw is None else self._decoded(raw, Header, f"header of height {height}")

    def ids(self, height: int) -> bytes | None:
        """The transaction ids executed at a height, one after another; None if pruned."""
        return self._other(layout.height_key(layout.IDS, height))

    def genesis_outcome(self) -> bytes | None:
        """The encoded outcome of block 0."""
        return self._other(layout.GENESIS)

    def _other(self, key: bytes) -> bytes | None:
        found = self._new_other.get(key, _UNSET)
        return self._kv.get(key) if found is _UNSET else found  # type: ignore[return-value]  # _UNSET was ruled out

    def _decoded(self, raw: bytes, kind: type[Wire], what: str) -> Any:
        try:
            return decode(raw, kind, max_bytes=_MAX_RECORD)
        except InvalidBlock as error:
            raise StorageError(f"the {what} in the state database is damaged ({error}): {_REPAIR}", code="corrupt") from None

    # Writing.

    def absorb(self, records: dict[bytes, bytes | None], nodes: dict[bytes, bytes | None], header: Header, header_hash: bytes, ids: bytes) -> None:
        """Take over a finalised block: its changed leaf records and nodes, its header and the ids it executed."""
        before = tuple([(key, self.record(key)) for key in records])
        height = header.height
        self._new_records.update(records)
        self._new_nodes.update(nodes)
        self._new_sorted = None
        other = self._new_other
        other[layout.height_key(layout.UNDO, height)] = undo = encode(Undo(before))
        other[layout.height_key(layout.HEADER, height)] = header.encoded
        other[layout.height_key(layout.IDS, height)] = ids
        self.tip = Tip(header.chain_id, height, header_hash, header.state_root)
        other[layout.TIP] = encode(self.tip)
        self.new_weight += sum([raw_weight(key, record) for key, record in records.items()]) + sum([raw_weight(path, node) for path, node in nodes.items()])
        self.new_weight += len(undo) + len(ids)

    def put_genesis_outcome(self, outcome: bytes) -> None:
        """Keep block 0's outcome, for the node to ask for."""
        self._new_other[layout.GENESIS] = outcome

    def prune(self, kind: bytes, height: int) -> None:
        """Drop the undo record, header or ids of a height."""
        if height >= 0:
            self._new_other[layout.height_key(kind, height)] = None

    def flush(self, *, sync: bool) -> None:
        """Write what was absorbed, atomically. Raises `StorageError` with everything still waiting."""
        if self.tip is None or self.tip.height == self.flushed:
            return
        puts: list[tuple[bytes, bytes]] = []
        deletes: list[bytes] = []
        for prefix, items in ((layout.VALUE, self._new_records), (layout.NODE, self._new_nodes), (b"", self._new_other)):
            for key, value in items.items():
                if value is None:
                    deletes.append(prefix + key)
                else:
                    puts.append((prefix + key, value))
        self._kv.write(puts, deletes, sync=sync)
        # What is new replaces what was read: a generation that is dropped on the way must not leave an older record behind.
        for cache, new in ((self._records, self._new_records), (self._nodes, self._new_nodes)):
            for key, record in new.items():
                cache.put(key, record, raw_weight(key, record))
        self._new_records, self._new_nodes, self._new_other = {}, {}, {}
        self._new_sorted = None
        self.new_weight = 0
        self.flushed = self.tip.height

