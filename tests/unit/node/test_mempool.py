"""The pool: who comes in, what is proposed in which order, what becomes of it; and that its counts always add up."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from carbonnode.chain.batch import Batch
from carbonnode.chain.codec import encode
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction, WireTransaction
from carbonnode.errors import InvalidTransaction
from carbonnode.node.config import MempoolSection
from carbonnode.node.mempool import LANES, Mempool, lane_of
from tests.unit.node.conftest import CHAIN, MakePool, MakeTransaction


def refusal(pool: Mempool, tx: Transaction) -> str:
    with pytest.raises(InvalidTransaction) as caught:
        pool.check(tx)
    return caught.value.code


def test_every_refusal_has_its_code(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    done = make_tx()
    pool = make_pool(executed=lambda tx_id: tx_id == done.id)
    pool.height = 10
    waiting = make_tx()
    pool.add(waiting)
    limits = Parameters()
    assert refusal(pool, make_tx(chain=b"d" * 32)) == "wrong-chain"
    assert refusal(pool, waiting) == "known"
    assert refusal(pool, make_tx(valid_until=10)) == "expired"
    assert refusal(pool, make_tx(valid_until=10 + limits.validity_blocks + limits.window + 1)) == "valid-until"
    assert refusal(pool, make_tx(gas=limits.max_transaction_gas + 1)) == "gas-limit"
    assert refusal(pool, done) == "executed"
    pool.check(make_tx(valid_until=11))


def test_an_account_has_a_quota_and_others_arent_affected(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool(per_account=2)
    for _ in range(2):
        pool.add(make_tx())
    assert refusal(pool, make_tx()) == "quota"
    pool.add(make_tx("bob"))
    pool.settle(1, pool.build(1, 0).wire_hashes, [])
    pool.add(make_tx())


def test_a_full_pool_sheds_the_ordinary_lanes_first(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool(max_transactions=20)
    for number in range(16):
        pool.add(make_tx(str(number)))
    assert refusal(pool, make_tx("x")) == "mempool-full"
    for number in range(3):
        pool.add(make_tx(f"o{number}", contract="matching"))
    assert refusal(pool, make_tx("x", contract="matching")) == "mempool-full"
    pool.add(make_tx("g", contract="compliance"))
    assert refusal(pool, make_tx("g", contract="compliance")) == "mempool-full"
    assert pool.shed == 3


def test_a_batch_goes_by_lane_then_arrival(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool()
    rest = [make_tx() for _ in range(3)]
    orders = [make_tx(contract="matching") for _ in range(3)]
    surrender = make_tx(contract="compliance")
    for tx in [*rest, *orders, surrender]:
        pool.add(tx)
    assert pool.build(1, 7).wire_hashes == tuple(tx.wire_hash for tx in [surrender, *orders, *rest])


def test_the_last_lane_keeps_room_while_orders_wait(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool(parameters=Parameters(max_block_transactions=10))
    other = make_tx()
    for tx in [*(make_tx(contract="matching") for _ in range(20)), other]:
        pool.add(tx)
    assert pool.build(1, 0).wire_hashes[-1] == other.wire_hash


def test_a_transaction_rides_in_the_lane_of_its_most_ordinary_call() -> None:
    key = KeySigner(b"k" * 32)
    calls = (Call("compliance", "submit"), Call("matching", "place"), Call("toy", "act"))
    assert [lane_of(Body(CHAIN, key.public_key, bytes(16), 1, 1, calls[:number])) for number in (1, 2, 3)] == list(LANES)


def test_blocks_are_bounded_by_bytes_and_gas(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool(parameters=Parameters(max_block_gas=2_500, max_transaction_gas=2_000))
    for _ in range(4):
        pool.add(make_tx(gas=1_000))
    assert [len(pool.build(height, 0).wire_hashes) for height in (1, 2, 3)] == [2, 2, 0]
    pool = make_pool(parameters=Parameters(max_block_bytes=2_500))
    for _ in range(3):
        pool.add(make_tx(size=900))
    assert [len(pool.build(height, 0).wire_hashes) for height in (1, 2)] == [2, 1]


def test_what_is_released_is_proposed_again_in_its_old_place(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool(parameters=Parameters(max_block_transactions=2))
    txs = [make_tx() for _ in range(6)]
    for tx in txs:
        pool.add(tx)
    first, second = pool.build(1, 0), pool.build(2, 0)
    pool.release(2)
    pool.release(1)
    assert pool.build(1, 0).wire_hashes == first.wire_hashes
    assert pool.build(2, 0).wire_hashes == second.wire_hashes
    assert pool.waiting == 2


def test_a_proposal_of_another_sets_its_transactions_aside(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool()
    mine, foreign = make_tx(), make_tx("bob")
    pool.add(mine)
    batch = Batch(1, (mine.wire_hash, foreign.wire_hash))
    assert pool.missing(batch) == [foreign.wire_hash]
    pool.add_proposed(foreign)
    assert pool.missing(batch) == []
    pool.assign(1, batch)
    assert pool.build(2, 0).wire_hashes == ()
    assert pool.status(mine.id) == "ordered"
    pool.release(1)
    # What came with the proposal only waits on when the proposal falls: somebody paid for it.
    assert set(pool.build(2, 0).wire_hashes) == {mine.wire_hash, foreign.wire_hash}


def test_what_expired_while_its_proposal_waited_leaves_when_the_proposal_falls(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool()
    late, good = make_tx(valid_until=3), make_tx(valid_until=9)
    for tx in (late, good):
        pool.add(tx)
    pool.build(2, 0)
    for height in (1, 3):  # height 2 was decided by a sync: its proposal still stands here
        pool.settle(height, [], [])
    assert pool.status(late.id) == "ordered"
    pool.release(2)
    assert pool.status(late.id) == "expired"
    assert pool.take_dropped() == (late.wire_hash,), "nobody is to blame for leaving it out"
    assert (len(pool), pool.waiting) == (1, 1)
    assert pool.build(4, 0).wire_hashes == (good.wire_hash,)


def test_what_a_batch_brought_too_late_has_expired(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool()
    late, last, done = make_tx(valid_until=4), make_tx(valid_until=5), make_tx(valid_until=4)
    for tx in (late, last, done):
        pool.add(tx)
    batch = pool.build(5, 0, 3)
    assert batch.wire_hashes == (last.wire_hash,), "a primary proposes nothing that is late already"
    pool = make_pool()
    for tx in (late, last, done):
        pool.add(tx)
    batch = pool.build(3, 0)
    # A NEW-VIEW may name a batch again, at its height; what is certified there says what ran.
    pool.settle(5, batch.wire_hashes, [last.id, done.id])
    assert [pool.status(tx.id) for tx in (late, last, done)] == ["expired", "unknown", "unknown"]


def test_what_only_a_proposal_may_carry_never_waits(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool()
    late, hungry = make_tx(valid_until=0), make_tx(gas=Parameters().max_transaction_gas + 1)
    batch = Batch(1, (late.wire_hash, hungry.wire_hash))
    for tx in (late, hungry):
        pool.add_proposed(tx)
    assert pool.waiting == 0
    pool.assign(1, batch)
    pool.release(1)
    assert len(pool) == 0
    # One whose proposal never came so far goes after two windows.
    pool.add_proposed(late)
    pool.settle(2 * Parameters().window, [], [])
    assert len(pool) == 0
    assert pool.take_dropped() == ()


def unsigned(sender: bytes, height: int, number: int) -> Transaction:
    """A transaction whose signature nobody looks at any more."""
    nonce = height.to_bytes(8, "big") + number.to_bytes(8, "big")
    return Transaction.decode(encode(WireTransaction(Body(CHAIN, sender, nonce, 100, 1_000, (Call("toy", "act", ()),)).encode(), bytes(64))))


def test_a_queue_of_proposed_transactions_isnt_walked_through_at_every_arrival(make_pool: MakePool) -> None:
    """When execution is behind, most of the queue is proposed and not settled: 900 a second then cost more than there was time for."""
    pool = make_pool(per_account=100_000)
    signer = KeySigner(b"\x01" * 32)
    for height in range(1, 41):
        block = [unsigned(signer.public_key, height, number) for number in range(200)]
        for tx in block:
            pool.add(tx)
        pool.assign(height, Batch(0, tuple(tx.wire_hash for tx in block)))
    assert pool.compactions <= 4
    assert pool.waiting == 0


def test_a_block_settles_what_it_holds_and_frees_what_it_left_out(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool()
    held, left = make_tx(), make_tx()
    pool.add(held)
    pool.add(left)
    pool.build(1, 0)
    pool.settle(1, [held.wire_hash], [held.id])
    assert pool.status(held.id) == "unknown"
    assert pool.status(left.id) == "pending"
    assert pool.build(2, 0).wire_hashes == (left.wire_hash,)


def test_the_same_body_under_another_signature_leaves_with_the_executed_one(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool()
    tx = make_tx()
    pool.add(tx)
    pool.settle(1, [b"h" * 32], [tx.id])
    assert len(pool) == 0
    assert pool.take_dropped() == (tx.wire_hash,)
    assert pool.take_dropped() == ()


def test_what_was_executed_while_it_was_verified_stays_out(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    done: set[bytes] = set()
    pool = make_pool(executed=done.__contains__)
    tx = make_tx()
    pool.check(tx)
    done.add(tx.id)
    with pytest.raises(InvalidTransaction) as caught:
        pool.add(tx)
    assert caught.value.code == "executed"


def test_what_can_not_be_valid_any_more_expires(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool()
    short, long = make_tx(valid_until=3), make_tx(valid_until=9)
    pool.add(short)
    pool.add(long)
    pool.settle(2, [], [])
    assert pool.status(short.id) == "pending"
    pool.settle(3, [], [])
    assert pool.status(short.id) == "expired"
    assert pool.status(long.id) == "pending"
    # Two blocks at once, as after a sync.
    pool.settle(20, [], [])
    assert pool.status(long.id) == "expired"
    assert (len(pool), pool.bytes, pool.waiting) == (0, 0, 0)


def test_only_what_waited_through_two_looks_is_late(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    pool = make_pool()
    old = make_tx()
    pool.add(old)
    assert pool.waiting_longer(10) == []
    young = make_tx()
    pool.add(young)
    assert pool.waiting_longer(10) == [old]
    pool.build(1, 0)
    assert pool.waiting_longer(10) == []


class PoolMachine(RuleBasedStateMachine):
    """Random lives of a pool; after each step its counts must be those of its entries."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Mempool(MempoolSection(max_transactions=30, per_account=8), Parameters(max_block_transactions=5), CHAIN, lambda _: False)
        self.nonce = 0
        self.next = 1
        self.open: list[int] = []

    def _tx(self, who: int, contract: str, life: int) -> Transaction:
        self.nonce += 1
        signer = KeySigner(bytes([who + 1]) * 32)
        body = Body(CHAIN, signer.public_key, self.nonce.to_bytes(16, "big"), self.pool.height + life, 100, (Call(contract, "act"),))
        return Transaction.sign(body, signer)

    @rule(who=st.integers(0, 4), contract=st.sampled_from(["rules", "matching", "toy"]), life=st.integers(1, 12))
    def admit(self, who: int, contract: str, life: int) -> None:
        refused = ""
        try:
            self.pool.add(self._tx(who, contract, life))
        except InvalidTransaction as error:
            refused = error.code
        assert refused in ("", "quota", "mempool-full")

    @rule()
    def propose(self) -> None:
        height = max([self.pool.height, *self.open]) + 1
        self.pool.build(height, 0)
        self.open.append(height)

    @rule(extra=st.integers(0, 2))
    def foreign_proposal(self, extra: int) -> None:
        height = max([self.pool.height, *self.open]) + 1
        known = [entry.wire_hash for entry in list(self.pool._entries.values())[:3]]
        new = [self._tx(9, "toy", 5) for _ in range(extra)]
        for tx in new:
            self.pool.add_proposed(tx)
        self.pool.assign(height, Batch(0, tuple(known + [tx.wire_hash for tx in new])))
        self.open.append(height)

    @rule()
    def void(self) -> None:
        if self.open:
            self.pool.release(self.open.pop())

    @rule()
    def certify(self) -> None:
        if self.open:
            height = self.open.pop(0)
            hashes = [entry.wire_hash for entry in self.pool._assigned.get(height, [])]
            self.pool.settle(height, hashes[:-1] if len(hashes) > 2 else hashes, [])

    @invariant()
    def counts_add_up(self) -> None:
        entries = list(self.pool._entries.values())
        assert self.pool.bytes == sum(entry.size for entry in entries)
        assert self.pool.waiting == sum(1 for entry in entries if entry.admitted and not entry.height)
        queued = [entry for lane in self.pool._lanes for entry in lane if not entry.gone and not entry.height]
        assert len(queued) == self.pool.waiting
        per_account: dict[bytes, int] = {}
        for entry in entries:
            if entry.admitted:
                per_account[entry.sender] = per_account.get(entry.sender, 0) + 1
        assert self.pool._accounts == per_account


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestPoolMachine = PoolMachine.TestCase


@given(st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_arrival_order_is_kept_over_many_blocks(count: int) -> None:
    pool = Mempool(MempoolSection(), Parameters(max_block_transactions=7), CHAIN, lambda _: False)
    signer = KeySigner(b"s" * 32)
    txs = [Transaction.sign(Body(CHAIN, signer.public_key, n.to_bytes(16, "big"), 50, 1, (Call("toy", "act"),)), signer) for n in range(count)]
    for tx in txs:
        pool.add(tx)
    proposed: list[bytes] = []
    for height in range(1, 8):
        proposed.extend(pool.build(height, 0).wire_hashes)
    assert proposed == [tx.wire_hash for tx in txs]


def test_what_no_block_can_hold_any_more_holds_nobody_up(make_pool: MakePool, make_tx: MakeTransaction) -> None:
    """The next epoch's blocks may be smaller, by vote: what was admitted before must not stand at the head of its lane until it expires."""
    pool = make_pool()
    greedy, long, plain = make_tx(gas=20_000_000), make_tx(size=60_000), make_tx()
    for tx in (greedy, long, plain):
        pool.add(tx)
    pool.parameters = Parameters(max_block_gas=10_000_000, max_transaction_gas=10_000_000, max_block_bytes=50_000)
    assert pool.build(1, 1).wire_hashes == (plain.wire_hash,)
    assert [pool.status(tx.id) for tx in (greedy, long)] == ["expired", "expired"]
    assert set(pool.take_dropped()) == {greedy.wire_hash, long.wire_hash}
