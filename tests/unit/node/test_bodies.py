"""Bodies live until the last height they stand at is final; the null batch needs nobody to resolve it."""

import pytest

from carbonnode.chain.batch import NULL_BATCH, Batch
from carbonnode.errors import InvariantViolation
from carbonnode.node.bodies import Body, BodyStore
from tests.unit.node.conftest import MakeTransaction


def test_the_null_batch_of_a_view_change_is_always_at_hand() -> None:
    store = BodyStore()
    body = store.need(NULL_BATCH.digest)
    assert body.transactions == []
    assert body.durable
    store.drop_below(1_000)
    assert store.get(NULL_BATCH.digest) is body


def test_a_batch_at_two_heights_is_kept_and_journaled_for_the_higher(make_tx: MakeTransaction) -> None:
    store, tx = BodyStore(), make_tx()
    batch = Batch(1, (tx.wire_hash,))
    store.add(Body(5, batch, [tx], full=False))
    store.need(batch.digest).durable = True
    store.add(Body(6, batch, [tx], full=False))
    assert not store.need(batch.digest).durable
    store.drop_below(5)
    assert store.need(batch.digest).height == 6
    store.add(Body(4, batch, [tx], full=False))
    assert store.need(batch.digest).height == 6
    store.drop_below(6)
    with pytest.raises(InvariantViolation, match="never resolved"):
        store.need(batch.digest)


def test_a_transaction_is_found_by_wire_hash(make_tx: MakeTransaction) -> None:
    store, tx = BodyStore(), make_tx()
    store.add(Body(1, Batch(1, (tx.wire_hash,)), [tx], full=False))
    assert store.find_raw(tx.wire_hash) == tx.raw
    assert store.find_raw(b"?" * 32) is None
