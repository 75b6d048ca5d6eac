"""What nodes say to each other besides consensus messages: frames of the bulk channel, and requests with their answers.

A bulk frame is one kind byte and a body; a request is a kind number and a payload in canonical MessagePack.
"""

from enum import IntEnum
from typing import TypeVar

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.codec import Wire, decode
from carbonnode.chain.transaction import WireCall
from carbonnode.chain.validators import Validator
from carbonnode.errors import InvalidBlock, PeerViolation
from carbonnode.ledger.results import DryRun

T = TypeVar("T")

MAX_PAYLOAD = 32 * 1024 * 1024


class BulkKind(IntEnum):
    """The first byte of a frame on the bulk channel."""

    TRANSACTIONS = 1
    """`network.flood` body: transactions to admit."""
    USER_BLOCK = 2
    """A `UserBlock` for the user node at the other end."""
    TIP = 3
    """A `Tip`: the sender's last certified height."""
    SKIP_VOTE = 4
    """A `chain.skip.SkipVote`: a transaction kills the sender's executor."""


class RequestKind(IntEnum):
    """Kinds of `Network.request`."""

    TRANSACTIONS = 1
    """`FetchTransactions` -> `Raws`: transactions of a proposal, by wire hash. Validators only."""
    BLOCKS = 2
    """`FetchBlocks` -> `Raws` of encoded `SyncBlock`s. Validators only."""
    USER_BLOCKS = 3
    """`FetchBlocks` -> `Raws` of encoded `UserBlock`s for the asking node's organisation."""
    SUBMIT = 4
    """`Raws` of transactions -> `SubmitAnswers`. For user nodes."""
    VIEW = 5
    """`ViewRequest` -> encoded `ledger.results.ViewResult`. For user nodes."""
    STATUS = 6
    """Empty -> `NodeTip`."""
    TRANSACTION_STATUS = 7
    """`Raws` of ids -> `StatusAnswers`: what became of transactions that the asking organisation's node submitted."""
    PROOFS = 9
    """`Raws` of id + wire hash (64 bytes) -> `Raws` of proof files: who knows a wire hash has seen the signed transaction, so it was its own."""
    ABI = 8
    """`AbiRequest` -> encoded `chain.service.ContractAbi`; an empty name asks for the names (`Names`)."""
    ESTIMATE = 13
    """`EstimateRequest` -> `EstimateAnswer`: a dry run of a transaction's calls. For user nodes."""
    SNAPSHOTS = 10
    """Empty -> `SnapshotOffers`: the snapshots of the state that a validator serves. Validators only, like the next two."""
    SNAPSHOT_PROOF = 11
    """`FetchChunk` (its index without meaning) -> encoded `ledger.snapshot.SnapshotProof`; empty: not here."""
    SNAPSHOT_CHUNK = 12
    """`FetchChunk` -> the bytes of a chunk; empty: not here."""


class Tip(Wire, frozen=True):
    """The sender's last certified block."""

    height: int
    header_hash: bytes


class NodeTip(Wire, frozen=True):
    """Where a node stands: last certified height, and the oldest block it serves."""

    height: int
    header_hash: bytes
    oldest: int


class FetchTransactions(Wire, frozen=True):
    """Wire hashes of transactions that a proposal names."""

    wire_hashes: tuple[bytes, ...]


class FetchBlocks(Wire, frozen=True):
    """Certified blocks from `first` on, at most `count` and at most `max_bytes` (but at least one)."""

    first: int
    count: int
    max_bytes: int


class SnapshotOffer(Wire, frozen=True):
    """A snapshot by its height and its manifest's digest: the same on all nodes that have one of that height."""

    height: int
    digest: bytes


class SnapshotOffers(Wire, frozen=True):
    """What a node has, oldest first."""

    offers: tuple[SnapshotOffer, ...]


class FetchChunk(Wire, frozen=True):
    """Chunk `index` of a snapshot."""

    height: int
    digest: bytes
    index: int


class Raws(Wire, frozen=True):
    """Byte strings; an empty one stands for "not here"."""

    items: tuple[bytes, ...]


class SyncBlock(Wire, frozen=True):
    """What a validator needs to execute a certified block again: header bytes, batch bytes, kept transactions, certificate."""

    header: bytes
    batch: bytes
    transactions: tuple[bytes, ...]
    certificate: Certificate


class SubmitAnswer(Wire, frozen=True):
    """As `chain.service.SubmitResult`."""

    tx_id: bytes
    status: str
    code: str
    message: str


class SubmitAnswers(Wire, frozen=True):
    """One answer for each submitted transaction, in order."""

    answers: tuple[SubmitAnswer, ...]


class StatusAnswer(Wire, frozen=True):
    """Status and, when final, height of a transaction."""

    tx_id: bytes
    status: str
    height: int


class StatusAnswers(Wire, frozen=True):
    """One answer for each id, in order."""

    answers: tuple[StatusAnswer, ...]


class ViewRequest(Wire, frozen=True):
    """A view query: `args` are the canonical bytes of each argument (`chain.values`); `height` -1 is the last certified one.

    `sender` is the key that the user node authenticated; 32 zero bytes for nobody.
    """

    contract: str
    view: str
    args: tuple[bytes, ...]
    sender: bytes
    height: int


class EstimateRequest(Wire, frozen=True):
    """Calls to run dry as `sender`, the key that the user node authenticated."""

    calls: tuple[WireCall, ...]
    sender: bytes


class EstimateAnswer(Wire, frozen=True):
    """As `chain.service.GasEstimate`."""

    run: DryRun
    waiting: int


class AbiRequest(Wire, frozen=True):
    """Asks for a contract's interface."""

    name: str


class Names(Wire, frozen=True):
    """Contract names."""

    names: tuple[str, ...]


class OwnEvent(Wire, frozen=True):
    """An event that its reader may see: index among the block's events, leaf salt, canonical bytes of the event."""

    index: int
    salt: bytes
    event: bytes


class OwnTransaction(Wire, frozen=True):
    """A transaction of the reader's organisation: index among the kept ones, raw bytes, salt and bytes of its receipt."""

    index: int
    raw: bytes
    receipt_salt: bytes
    receipt: bytes


class UserBlock(Wire, frozen=True):
    """A certified block as a user node gets it: enough to verify everything it holds against the header.

    Block 0 has no certificate: block 1 certifies its hash. `event_leaves` are all leaf hashes of the events tree (blinded, so they tell nothing).
    `transaction_count` and `transactions_inner` (root below the count) prove how many transactions the block has. `wire_hashes` and `receipt_leaves`
    (jobs first) are given only when it holds a transaction of the reader. `next_validators` is given where the set changes after this block.
    """

    header: bytes
    certificate: Certificate | None
    event_leaves: tuple[bytes, ...]
    events: tuple[OwnEvent, ...]
    transaction_count: int
    transactions_inner: bytes
    wire_hashes: tuple[bytes, ...]
    receipt_leaves: tuple[bytes, ...]
    transactions: tuple[OwnTransaction, ...]
    next_validators: tuple[Validator, ...]


def pack(kind: BulkKind, body: bytes) -> bytes:
    """A frame of the bulk channel."""
    return bytes((kind,)) + body


def decode_payload(data: bytes, kind: type[T]) -> T:
    """Decode what a peer sent. Raises `PeerViolation` (`bad-payload`)."""
    try:
        return decode(data, kind, max_bytes=MAX_PAYLOAD)
    except InvalidBlock as error:
        raise PeerViolation(f"a {kind.__name__} is refused: {error}", code="bad-payload") from None
