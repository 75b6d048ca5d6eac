"""What the ledger hands out: executed blocks, view results, state proofs, its own position."""

from collections.abc import Sequence

from carbonnode.chain.codec import Wire, encode
from carbonnode.chain.event import Event
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.header import Header
from carbonnode.chain.merkle import leaf_hash
from carbonnode.chain.receipt import Receipt
from carbonnode.chain.validators import Validator
from carbonnode.chain.values import WireValue


class NextEpoch(Wire, frozen=True):
    """A decided change that waits: the epoch that starts at `first_height`, and what holds in it."""

    number: int
    first_height: int
    protocol_version: int
    parameters: Parameters
    validators: tuple[Validator, ...]


class ExecutedBlock(Wire, frozen=True):
    """The outcome of executing a batch.

    `kept` are indices into the transactions that were given: the others were repeats, expired or foreign and aren't part of the block.
    `receipts` are those of scheduled jobs first (`job_count` of them), then one for each kept transaction, in order; `events` are in the order
    of emission and each receipt points at its own. Leaf data of the trees: the wire hash of a kept transaction; salt + encoding of a
    receipt or event. `next_epoch` is set in every block while a decided epoch waits for its height; until `window` heights before that it may
    still change. `next_job_ms` is the market time of the first scheduled call that waits, `market_ms` the block's own market time.
    """

    header: Header
    header_hash: bytes
    kept: tuple[int, ...]
    job_count: int
    receipts: tuple[Receipt, ...]
    receipt_salts: tuple[bytes, ...]
    events: tuple[Event, ...]
    event_salts: tuple[bytes, ...]
    next_epoch: NextEpoch | None
    market_ms: int
    next_job_ms: int | None
    gas_used: int

    @property
    def encoded(self) -> bytes:
        """Canonical bytes."""
        return encode(self)

    def receipt_leaves(self) -> list[bytes]:
        """Leaf hashes of the receipts tree."""
        return leaves(self.receipt_salts, self.receipts)

    def event_leaves(self) -> list[bytes]:
        """Leaf hashes of the events tree."""
        return leaves(self.event_salts, self.events)


def leaves(salts: Sequence[bytes], items: Sequence[Receipt] | Sequence[Event]) -> list[bytes]:
    """Leaf hashes of blinded leaves: hash(0x00 || salt || encoding)."""
    return [leaf_hash(salt + encode(item)) for salt, item in zip(salts, items, strict=True)]


class ViewResult(Wire, frozen=True):
    """What a view answered at a certified height: `status` as in `chain.receipt.Status`, `code` when it isn't OK."""

    height: int
    status: int
    code: str
    value: WireValue
    gas_used: int


class DryRun(Wire, frozen=True):
    """What calls would have come to on the state of a certified height: `status` as in `chain.receipt.Status`, `code` when it isn't OK.

    `gas_limit` is what to declare for them, 0 where they weren't OK; after OUT_OF_GAS `gas_used` is all that a dry run may use.
    """

    height: int
    status: int
    code: str
    gas_used: int
    gas_limit: int


class LedgerStatus(Wire, frozen=True):
    """Where the ledger stands: the last finalised block, the last executed one, and the height whose state is known to be on disk."""

    chain_id: bytes
    height: int
    header_hash: bytes
    state_root: bytes
    executed: int
    durable: int
    oldest_queryable: int
