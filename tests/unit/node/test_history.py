"""Certified blocks read back: what was asked for stays at hand, within a bound."""

import gc

import pytest

from carbonnode.node.history import OLDER_BLOCKS, History, decode_outcome
from carbonnode.storage.blocks import BlockStore, StoredBlock
from tests.unit.node.chain_kit import Chain


def test_a_block_of_long_ago_is_read_once_for_all_its_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    blocks = [[chain.note() for _ in range(3)] for _ in range(OLDER_BLOCKS + 1)]
    for transactions in blocks:
        chain.grow(*transactions)
    read: list[int] = []
    whole = BlockStore.block

    def counted(store: BlockStore, height: int) -> StoredBlock:
        read.append(height)
        return whole(store, height)

    monkeypatch.setattr(BlockStore, "block", counted)
    history = History(chain.blocks)
    for _ in range(2):
        for tx in blocks[0]:
            found = history.status(tx.id, "")
            assert found is not None
            assert (found.status, found.height, found.outcome) == ("final", 1, "OK")
    assert read == [1]
    for height in range(2, OLDER_BLOCKS + 2):
        history.block(height)
    history.block(1)
    assert read == [*range(1, OLDER_BLOCKS + 2), 1]


def test_a_block_kept_in_memory_is_none_of_the_collectors_business() -> None:
    """What makes the short passes of `app.GC_THRESHOLDS` cheap: the first one lets a decoded block go for good."""
    chain = Chain()
    chain.grow(*[chain.note() for _ in range(30)])
    outcome = decode_outcome(chain.blocks.block(1))
    gc.collect(0)
    parts = [outcome, outcome.receipts, outcome.events, *outcome.receipts, *outcome.events, *[receipt.values for receipt in outcome.receipts]]
    assert len(outcome.receipts) == 30
    assert not [part for part in parts if gc.is_tracked(part)]
