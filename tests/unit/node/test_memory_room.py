"""Blocks that aren't on disk take so much of the executor's memory and no more: the node flushes, and executes no further ahead (docs/adr/0024)."""

import asyncio

import pytest

from carbonnode.chain.memory import HELD_BYTES
from carbonnode.node.startup import align_stores
from tests.unit.node.chain_kit import Chain, LocalExecutor
from tests.unit.node.test_pipeline import Node

pytestmark = pytest.mark.asyncio


class HeavyExecutor(LocalExecutor):
    """Every block takes half of the room until it is flushed."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain.genesis)
        self.ledger._flush_blocks = 0

    @property
    def held_bytes(self) -> int:
        return (self.ledger.executed - self.ledger.status().durable) * (HELD_BYTES // 2 + 1)

    @held_bytes.setter
    def held_bytes(self, _: int) -> None:
        """The kit's own is always 0."""


async def test_no_block_is_executed_before_those_that_fill_the_room_are_on_disk() -> None:
    chain = Chain()
    node = Node(chain)
    node.executor = HeavyExecutor(chain)
    node.pipeline._executor = node.executor
    await node.open()
    notes = [chain.note() for _ in range(5)]
    finals = [chain.grow(note) for note in notes]
    for final, note in zip(finals, notes, strict=True):
        node.order(final.height, final.batch, note)
    await node.until(lambda: len(node.executed) == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(node.executed) == 2, "the third waits for room"
    for final in finals:
        assert final.stored.certificate is not None
        node.pipeline.finalise(final.height, final.stored.certificate)
    await node.until(lambda: len(node.final) == 5)
    assert node.durable, "they were flushed by their bytes, long before the height at which stores are synced"
    assert node.blocks.tip_hash == chain.blocks.tip_hash
    await node.pipeline.stop()
    assert node.faults == []


async def test_a_restart_flushes_by_bytes_while_it_replays() -> None:
    chain = Chain()
    for _ in range(7):
        chain.grow(chain.note())
    executor = HeavyExecutor(chain)
    assert await align_stores(chain.blocks, executor) == 7
    assert executor.held_bytes <= HELD_BYTES
    assert executor.ledger.status().durable >= 5
