"""Flooding of transactions over direct links: many in a frame, each relayed once.

Validators relay only what they received from clients (HTTP) or user nodes, to the other validators; what comes from a validator has been sent
to everyone by it already and goes no further. So every transaction crosses each link once, and no loop is possible.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from struct import Struct

from carbonnode.errors import PeerViolation

_LENGTH = Struct("!I")
MAX_BATCH_BYTES = 56 * 1024
"""A batch plus its headers stays below one write of 60 KB."""


def pack_transactions(transactions: Iterable[bytes]) -> bytes:
    """One frame body of length-prefixed transactions."""
    parts: list[bytes] = []
    for raw in transactions:
        parts.append(_LENGTH.pack(len(raw)))
        parts.append(raw)
    return b"".join(parts)


def unpack_transactions(body: bytes, *, max_transactions: int = 20_000) -> list[bytes]:
    """The transactions of a frame body; raises `PeerViolation` (`bad-batch`) if it isn't made of whole ones."""
    transactions: list[bytes] = []
    at, end = 0, len(body)
    while at < end:
        if end - at < _LENGTH.size:
            raise PeerViolation("a transaction batch ends inside a length: the sender is broken", code="bad-batch")
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        if length == 0 or length > end - at:
            raise PeerViolation(f"a transaction batch announces {length} bytes where {end - at} are left: the sender is broken", code="bad-batch")
        transactions.append(body[at : at + length])
        at += length
        if len(transactions) > max_transactions:
            raise PeerViolation(f"a transaction batch holds more than {max_transactions} transactions", code="bad-batch")
    return transactions


class SeenHashes:
    """The last `capacity` wire hashes, oldest forgotten first."""

    def __init__(self, capacity: int = 200_000) -> None:
        if capacity < 1:
            raise ValueError("capacity must be positive")
        self._capacity = capacity
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def __contains__(self, wire_hash: bytes) -> bool:
        return wire_hash in self._seen

    def add(self, wire_hash: bytes) -> bool:
        """Remember a hash; False if it was known."""
        if wire_hash in self._seen:
            return False
        self._seen[wire_hash] = None
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return True


class Flooder:
    """Gathers transactions to relay and hands out full frames.

    `offer` what came from a client or a user node (after admission, so that garbage isn't spread); the caller calls `flush` when its linger
    time (a few ms) is over. `emit(body)` gets each frame body, to be broadcast to the validators under the caller's frame type. The class
    has no clock and does no IO.
    """

    def __init__(self, emit: Callable[[bytes], None], *, seen: SeenHashes | None = None, max_batch_bytes: int = MAX_BATCH_BYTES) -> None:
        self._emit = emit
        self._seen = seen if seen is not None else SeenHashes()
        self._max_batch_bytes = max_batch_bytes
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    @property
    def waiting(self) -> int:
        """Transactions gathered and not yet emitted."""
        return len(self._waiting)

    def offer(self, wire_hash: bytes, transaction: bytes) -> bool:
        """Gather a transaction to relay; False if it has been relayed or received before."""
        if not self._seen.add(wire_hash):
            return False
        size = len(transaction) + _LENGTH.size
        if self._waiting and self._waiting_bytes + size > self._max_batch_bytes:
            self.flush()
        self._waiting.append(transaction)
        self._waiting_bytes += size
        return True

    def received(self, wire_hash: bytes) -> bool:
        """Note a transaction that came from a validator, so that it isn't relayed; False if it was known."""
        return self._seen.add(wire_hash)

    def flush(self) -> None:
        """Emit what was gathered."""
        if self._waiting:
            body = pack_transactions(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            self._emit(body)
