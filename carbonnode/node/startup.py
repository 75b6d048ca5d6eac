"""Bringing the stores of a validator together at start: state, block store and journal, whatever moment the process was killed at."""

from carbonnode.chain.batch import Batch
from carbonnode.chain.memory import HELD_BYTES
from carbonnode.consensus.config import StableState
from carbonnode.errors import StorageError
from carbonnode.node.bodies import RECORD_MARK, Body, BodyStore, decode_record
from carbonnode.node.mempool import Mempool
from carbonnode.node.ports import ExecutorPort
from carbonnode.node.resolver import batch_is_full
from carbonnode.storage.blocks import BlockStore, StoredBlock
from carbonnode.storage.journal_format import Record


async def align_stores(blocks: BlockStore, executor: ExecutorPort) -> int:
    """Store block 0 on a new node, check that state and blocks agree, and execute again what the state lacks.

    Returns how many blocks were replayed. Raises `StorageError` if the state is ahead of the blocks, or on another chain than they.
    """
    if blocks.height < 0:
        zero = await executor.genesis_block()
        stored = StoredBlock(zero.header, zero.header_hash, Batch(zero.header.time_ms, ()).encoded, (), zero.encoded, None)
        blocks.put(stored, (), sync=True)
    blocks.verify_chain()
    status = await executor.status()
    if status.height > blocks.height:
        raise StorageError(
            f"the state is at height {status.height}, the block store ends at {blocks.height}: blocks were lost; restore a backup with `carbonnode restore`",
            code="corrupt",
        )
    if status.height < blocks.base:
        raise StorageError(
            f"the state is at height {status.height}, the block store begins at {blocks.base}: the state was lost and these blocks can't give it back; run "
            "`carbonnode verify-store --repair`, the node then fetches a snapshot from its peers",
            code="corrupt",
        )
    if status.height >= 0 and blocks.header_hash(status.height) != status.header_hash:
        raise StorageError(
            f"state and block store hold different blocks at height {status.height}: run `carbonnode verify-store`, or remove the state directory "
            "to rebuild it",
            code="corrupt",
        )
    replayed = 0
    for height in range(max(status.height, 0) + 1, blocks.height + 1):
        stored = blocks.block(height)
        outcome = await executor.execute(height, Batch.decode(stored.batch), stored.transactions, stored.header.skip_orders)
        if outcome.header_hash != stored.header_hash:
            raise StorageError(
                f"executing stored block {height} again gives another header: this release or its data differ from what certified it; "
                f"run `carbonnode doctor --height {height}`",
                code="replay",
            )
        await executor.finalise(height)
        if executor.held_bytes > HELD_BYTES:
            await executor.flush()
        replayed += 1
    return replayed


def split_journal(records: tuple[Record, ...], height: int, bodies: BodyStore, pool: Mempool) -> list[bytes]:
    """Put journaled batch bodies above `height` back at hand; returns the consensus records in order."""
    votes: list[bytes] = []
    for record in records:
        if not record.data.startswith(RECORD_MARK):
            votes.append(record.data)
            continue
        if record.height <= height:
            continue
        batch, transactions = decode_record(record.data)
        body = Body(record.height, batch, transactions, batch_is_full(transactions, pool.parameters), durable=True)
        bodies.add(body)
        for tx in transactions:
            pool.add_proposed(tx)
    return votes


def stable_state(blocks: BlockStore) -> StableState:
    """What consensus starts from."""
    return StableState(blocks.height, blocks.tip_hash, blocks.certificate(blocks.height))
