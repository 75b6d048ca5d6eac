"""Certified blocks as they are read back: statuses, events, proofs, block summaries. The last blocks stay decoded in memory."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.codec import decode
from carbonnode.chain.event import Event
from carbonnode.chain.header import Header
from carbonnode.chain.merkle import inclusion_path, leaf_hash
from carbonnode.chain.proof import PROOF_VERSION, LeafPath, TransactionProof, ValidatorChange
from carbonnode.chain.receipt import Receipt, Status
from carbonnode.chain.service import FINAL, BlockInfo, ServiceRefusal, TransactionStatus
from carbonnode.chain.transaction import Transaction
from carbonnode.ledger.access import hears
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.node.feed import BlockEvents
from carbonnode.node.pipeline import FinalBlock
from carbonnode.node.turns import in_turns
from carbonnode.storage.blocks import MAX_RECORD_BYTES, BlockStore, StoredBlock

RECENT_BLOCKS = 128
OLDER_BLOCKS = 8
"""Older blocks that were asked for last stay decoded too: who asks for one transaction of a block asks for its others."""


class Block(NamedTuple):
    """A certified block, decoded."""

    stored: StoredBlock
    outcome: ExecutedBlock

    @property
    def header(self) -> Header:
        """Its header."""
        return self.stored.header


def decode_outcome(stored: StoredBlock) -> ExecutedBlock:
    """The decoded outcome of a stored block. Raises `InvalidBlock`."""
    return decode(stored.outcome, ExecutedBlock, max_bytes=MAX_RECORD_BYTES)


def events_of(block: Block) -> BlockEvents:
    """A block's events for readers."""
    return BlockEvents(block.header.height, block.header.time_ms, tuple(enumerate(block.outcome.events)))


class History:
    """Reads the block store; everything it answers is certified."""

    def __init__(self, blocks: BlockStore) -> None:
        self._blocks = blocks
        self._recent: OrderedDict[int, Block] = OrderedDict()
        self._recent_ids: dict[bytes, tuple[int, int]] = {}
        self._older: OrderedDict[int, Block] = OrderedDict()
        self.validator_changes: tuple[ValidatorChange, ...] = ()
        """Changes of the validator set since genesis, for proofs; kept by `changes`."""

    @property
    def height(self) -> int:
        """The last certified height."""
        return self._blocks.height

    @property
    def first(self) -> int:
        """The lowest height whose block is here."""
        return self._blocks.first

    def add(self, block: FinalBlock) -> None:
        """A block became final: keep it at hand."""
        self._recent[block.height] = Block(block.stored, block.outcome)
        for index, tx in enumerate(block.transactions):
            self._recent_ids[tx.id] = (block.height, index)
        if len(self._recent) > RECENT_BLOCKS:
            _, old = self._recent.popitem(last=False)
            for receipt in old.outcome.receipts[old.outcome.job_count :]:
                self._recent_ids.pop(receipt.tx_id, None)

    def reset(self) -> None:
        """The store begins elsewhere now: forget what was at hand."""
        self._recent.clear()
        self._recent_ids.clear()
        self._older.clear()

    def header(self, height: int) -> Header:
        """The header at `height`; of the store's base too, whose block isn't here."""
        found = self._recent.get(height)
        return self._blocks.header(height) if found is None else found.header

    def executed_lately(self, tx_id: bytes) -> bool:
        """Whether the id stands in one of the last blocks; costs no look into the store."""
        return tx_id in self._recent_ids

    def executed(self, tx_id: bytes) -> bool:
        """Whether the id stands in a certified block."""
        return tx_id in self._recent_ids or self._blocks.transaction(tx_id) is not None

    def block(self, height: int) -> Block:
        """The block at `height`. Refuses `not-found`."""
        found = self._recent.get(height)
        if found is not None:
            return found
        if not 0 <= height <= self._blocks.height:
            raise ServiceRefusal(f"there is no certified block {height}: the chain is at {self._blocks.height}", code="not-found")
        if height < self._blocks.first:
            raise ServiceRefusal(
                f"block {height} isn't here: this node began from the snapshot of height {self._blocks.base} and has blocks from {self._blocks.first} on; "
                "ask a node that keeps older ones",
                code="pruned",
            )
        held = self._older.pop(height, None)
        if held is None:
            stored = self._blocks.block(height)
            held = Block(stored, decode_outcome(stored))
        self._older[height] = held
        if len(self._older) > OLDER_BLOCKS:
            self._older.popitem(last=False)
        return held

    def place(self, tx_id: bytes) -> tuple[int, int] | None:
        """(height, index among kept transactions), or None."""
        found = self._recent_ids.get(tx_id)
        if found is not None:
            return found
        place = self._blocks.transaction(tx_id)
        return None if place is None else (place.height, place.index)

    def status(self, tx_id: bytes, entity: str) -> TransactionStatus | None:
        """What became of a certified transaction, with the events that `entity` may see; None if it isn't certified."""
        place = self.place(tx_id)
        if place is None:
            return None
        height, index = place
        if height < self._blocks.first:
            # It is final, and runs no second time; what came of it, older nodes know.
            return TransactionStatus(tx_id, FINAL, height, "", "pruned")
        outcome = self.block(height).outcome
        receipt = outcome.receipts[outcome.job_count + index]
        events = outcome.events[receipt.event_index : receipt.event_index + receipt.event_count]
        return final_status(receipt, height, events, entity)

    def info(self, height: int) -> BlockInfo:
        """A block's summary. Refuses `not-found`."""
        stored, outcome = self.block(height)
        ok = sum(1 for receipt in outcome.receipts[outcome.job_count :] if receipt.status == Status.OK)
        size = len(stored.batch) + sum(len(raw) for raw in stored.transactions)
        return BlockInfo(
            header=stored.header,
            header_hash=stored.header_hash,
            certificate=stored.certificate,
            transactions=len(stored.transactions),
            ok=ok,
            jobs=outcome.job_count,
            events=len(outcome.events),
            size_bytes=size,
            gas_used=outcome.gas_used,
        )

    def events(self, first: int, last: int) -> AsyncIterator[BlockEvents]:
        """Events of certified heights first..last, in turns."""
        return in_turns(events_of(self.block(height)) for height in range(max(first, 0), min(last, self.height) + 1))

    def proof(self, tx_id: bytes) -> TransactionProof:
        """The proof file's content. Refuses `not-found`."""
        place = self.place(tx_id)
        if place is None:
            raise ServiceRefusal(f"transaction {tx_id.hex()} isn't in a certified block: only final transactions have proofs", code="not-found")
        height, index = place
        stored, outcome = self.block(height)
        if stored.certificate is None:
            raise ServiceRefusal("genesis has no certificate: it is the root of trust", code="not-found")
        return build_proof(stored, outcome, index, stored.certificate, self.changes_before(stored.header))

    def changes_before(self, header: Header) -> tuple[ValidatorChange, ...]:
        """Changes of the validator set that lead from genesis to the set that certified `header`."""
        return tuple(change for change in self.validator_changes if decode(change.header, Header).height < header.height)


def final_status(receipt: Receipt, height: int, events: Sequence[Event], entity: str) -> TransactionStatus:
    """The status of a certified transaction from its receipt."""
    visible = tuple([event for event in events if hears(entity, event.to)])
    return TransactionStatus(receipt.tx_id, FINAL, height, Status(receipt.status).name, receipt.code, receipt.gas_used, receipt.values, visible)


def wire_hashes_of(stored: StoredBlock) -> list[bytes]:
    """Wire hashes of a block's kept transactions."""
    return [Transaction.decode(raw).wire_hash for raw in stored.transactions]


def build_proof(stored: StoredBlock, outcome: ExecutedBlock, index: int, certificate: Certificate, changes: tuple[ValidatorChange, ...]) -> TransactionProof:
    """Inclusion of kept transaction `index` and of its receipt."""
    transaction_leaves = [leaf_hash(wire_hash) for wire_hash in wire_hashes_of(stored)]
    receipt_leaves = outcome.receipt_leaves()
    receipt_index = outcome.job_count + index
    return TransactionProof(
        version=PROOF_VERSION,
        chain_id=stored.header.chain_id,
        transaction=stored.transactions[index],
        transaction_path=LeafPath(index, len(transaction_leaves), inclusion_path(transaction_leaves, index)),
        receipt=outcome.receipts[receipt_index].encoded,
        receipt_salt=outcome.receipt_salts[receipt_index],
        receipt_path=LeafPath(receipt_index, len(receipt_leaves), inclusion_path(receipt_leaves, receipt_index)),
        header=stored.header.encoded,
        certificate=certificate,
        validator_changes=changes,
    )
