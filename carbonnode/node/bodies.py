"""Batches whose transactions are all here and verified: from a proposal until its height is final.

A body is what a batch needs to be executed. It is journaled before this node votes for it, so that a crash of every validator at once loses
no transaction that could have been committed.
"""

from dataclasses import dataclass, field

from carbonnode.chain.batch import NULL_BATCH, Batch
from carbonnode.chain.codec import Wire, decode, encode
from carbonnode.chain.transaction import Transaction
from carbonnode.errors import InvalidBlock, InvariantViolation, StorageError

RECORD_MARK = b"\xc1"
"""First byte of a body's journal record: the one byte that MessagePack, and so no consensus record, ever starts with."""
MAX_RECORD_BYTES = 64 * 1024 * 1024


class _BodyRecord(Wire, frozen=True):
    batch: bytes
    transactions: tuple[bytes, ...]


@dataclass(slots=True, eq=False)
class Body:
    """A batch with its transactions in order. `full`: it had no room for one more of ordinary size."""

    height: int
    batch: Batch
    transactions: list[Transaction]
    full: bool
    durable: bool = field(default=False)

    def record(self) -> bytes:
        """The journal record that keeps it."""
        return RECORD_MARK + encode(_BodyRecord(self.batch.encoded, tuple([tx.raw for tx in self.transactions])))


_NULL_BODY = Body(0, NULL_BATCH, [], full=False, durable=True)


def decode_record(data: bytes) -> tuple[Batch, list[Transaction]]:
    """The batch and transactions of a body record. Raises `StorageError` if it isn't one."""
    try:
        record = decode(data[1:], _BodyRecord, max_bytes=MAX_RECORD_BYTES)
        return Batch.decode(record.batch), [Transaction.decode(raw) for raw in record.transactions]
    except InvalidBlock as error:
        raise StorageError(f"the journal holds an unreadable batch body ({error}): run `carbonnode verify-store`", code="corrupt") from None


class BodyStore:
    """Resolved bodies by digest."""

    def __init__(self) -> None:
        self._bodies: dict[bytes, Body] = {}

    def __len__(self) -> int:
        return len(self._bodies)

    def add(self, body: Body) -> None:
        """Remember a resolved body. One batch may stand at several heights (a digest binds no height): it is kept, and journaled, for the highest."""
        known = self._bodies.setdefault(body.batch.digest, body)
        if body.height > known.height:
            known.height = body.height
            known.durable = False

    def get(self, digest: bytes) -> Body | None:
        """The body, if it was resolved; the null batch of a view change always is."""
        return _NULL_BODY if digest == NULL_BATCH.digest else self._bodies.get(digest)

    def need(self, digest: bytes) -> Body:
        """The body of a batch that consensus says was resolved. Raises `InvariantViolation` if it wasn't."""
        body = self.get(digest)
        if body is None:
            raise InvariantViolation(f"batch {digest.hex()[:16]} is to be used, but its transactions were never resolved")
        return body

    def drop_below(self, height: int) -> None:
        """Forget bodies of heights up to `height`: they are final, or void."""
        for digest in [digest for digest, body in self._bodies.items() if body.height <= height]:
            del self._bodies[digest]

    def find_raw(self, wire_hash: bytes) -> bytes | None:
        """A transaction by wire hash among the bodies; rare (peers ask the pool first), so it is searched."""
        for body in self._bodies.values():
            for tx in body.transactions:
                if tx.wire_hash == wire_hash:
                    return tx.raw
        return None
