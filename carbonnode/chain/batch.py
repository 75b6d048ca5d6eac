"""Batches: what PBFT agrees on for a height (design, section 3).

A batch names its transactions by wire hash; the transactions themselves were flooded before. It holds no parent hash, view or proposer: its
validity is a pure function of its bytes, its height and the epoch's parameters.
"""

from functools import cached_property

from carbonnode.chain.codec import Wire, decode, encode
from carbonnode.chain.hashing import HASH_BYTES, tagged_hash
from carbonnode.errors import InvalidBlock

MAX_BATCH_TRANSACTIONS = 10_000


class SkipOrder(Wire, frozen=True):
    """A quorum's order to answer the transaction `tx_id` at `height` with ABORTED_BY_QUORUM instead of running it."""

    height: int
    tx_id: bytes
    votes: tuple[tuple[int, bytes], ...]


class WireBatch(Wire, frozen=True):
    """[proposed time in ms, wire hashes, skip orders]."""

    time_ms: int
    wire_hashes: tuple[bytes, ...]
    skip_orders: tuple[SkipOrder, ...]


class Batch:
    """An ordered list of transactions (by wire hash) with a proposed time in ms since the epoch."""

    __slots__ = ("__dict__", "skip_orders", "time_ms", "wire_hashes")

    def __init__(self, time_ms: int, wire_hashes: tuple[bytes, ...], skip_orders: tuple[SkipOrder, ...] = ()) -> None:
        self.time_ms = time_ms
        self.wire_hashes = wire_hashes
        self.skip_orders = skip_orders

    @cached_property
    def encoded(self) -> bytes:
        """Canonical bytes."""
        return encode(WireBatch(self.time_ms, self.wire_hashes, self.skip_orders))

    @cached_property
    def digest(self) -> bytes:
        """The digest that votes name, always computed from the bytes."""
        return tagged_hash(b"batch", self.encoded)

    @classmethod
    def decode(cls, data: bytes) -> "Batch":
        """Decode canonical bytes. Raises `InvalidBlock` when malformed, oversized, or when a transaction stands in it twice."""
        wire = decode(data, WireBatch, max_bytes=MAX_BATCH_TRANSACTIONS * (HASH_BYTES + 2) + 65_536)
        if wire.time_ms < 0 or len(wire.wire_hashes) > MAX_BATCH_TRANSACTIONS:
            raise InvalidBlock(f"a batch carries at most {MAX_BATCH_TRANSACTIONS} transactions and a time of at least 0", code="malformed")
        if any(len(h) != HASH_BYTES for h in wire.wire_hashes):
            raise InvalidBlock(f"a batch names transactions by hashes of {HASH_BYTES} bytes", code="malformed")
        if len(set(wire.wire_hashes)) != len(wire.wire_hashes):
            raise InvalidBlock("a batch names a transaction twice", code="duplicate")
        if wire.skip_orders:
            raise InvalidBlock("a batch carries no skip orders: they concern a height that is ordered already, and stand in its header", code="malformed")
        return cls(wire.time_ms, wire.wire_hashes)


NULL_BATCH = Batch(0, ())
"""The null request of a view change: an ordinary empty batch whose time settles to parent + 1 ms."""
