"""A proposal's transactions are found wherever they are; a verdict is given only when it is certain."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import pytest_asyncio

from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.transaction import Transaction
from carbonnode.errors import RemoteError
from carbonnode.node.admission import Admission
from carbonnode.node.bodies import BodyStore
from carbonnode.node.mempool import Mempool
from carbonnode.node.resolver import Resolver
from tests.unit.node.conftest import CHAIN, MakePool, MakeTransaction

pytestmark = pytest.mark.asyncio


class Town:
    """A resolver whose peers answer from dicts."""

    def __init__(self, pool: Mempool, threads: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.admission = Admission(pool, threads, 10, lambda _a, _r: None)
        self.bodies = BodyStore()
        self.peers: dict[str, dict[bytes, bytes]] = {}
        self.asked: list[str] = []
        self.answers: list[tuple[int, bool, bool]] = []
        self.answered = asyncio.Event()
        self.resolver = Resolver(
            pool, self.admission, self.bodies, CHAIN, self._fetch, lambda: list(self.peers), self._done
        )

    async def _fetch(self, peer: str, wanted: list[bytes]) -> list[bytes]:
        self.asked.append(peer)
        if not self.peers[peer]:
            raise RemoteError("away", code="timeout")
        return [self.peers[peer].get(wire_hash, b"") for wire_hash in wanted]

    def _done(self, height: int, _digest: bytes, ok: bool, full: bool) -> None:
        self.answers.append((height, ok, full))
        self.answered.set()

    async def resolve(self, height: int, batch: Batch) -> None:
        self.resolver.resolve(height, batch.digest, batch)
        await asyncio.wait_for(self.answered.wait(), 10)


@pytest_asyncio.fixture
async def threads() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def batch_of(*txs: Transaction) -> Batch:
    return Batch(1, tuple(tx.wire_hash for tx in txs))


async def test_what_is_here_is_answered_at_once(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    town = Town(make_pool(parameters=Parameters(max_block_transactions=2)), threads)
    one, two = make_tx(), make_tx()
    for tx in (one, two):
        town.pool.add(tx)
    town.resolver.resolve(1, batch_of(one).digest, batch_of(one))
    town.resolver.resolve(2, batch_of(two, one).digest, batch_of(two, one))
    assert town.answers == [(1, True, False), (2, True, True)]
    assert town.pool.waiting == 0


async def test_what_is_missing_is_fetched_from_the_next_peer_too(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    town = Town(make_pool(), threads)
    here, there, elsewhere = make_tx(), make_tx(), make_tx()
    town.pool.add(here)
    town.peers = {"primary": {there.wire_hash: there.raw}, "away": {}, "other": {elsewhere.wire_hash: elsewhere.raw}}
    await town.resolve(1, batch_of(here, there, elsewhere))
    assert town.answers == [(1, True, False)]
    assert town.asked == ["primary", "away", "other"]
    assert town.resolver.fetched == 2
    body = town.bodies.need(batch_of(here, there, elsewhere).digest)
    assert [tx.raw for tx in body.transactions] == [here.raw, there.raw, elsewhere.raw]


async def test_what_is_being_verified_isnt_asked_for(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    town = Town(make_pool(), threads)
    txs = [make_tx() for _ in range(40)]
    town.peers = {"primary": {}}
    town.admission.offer([tx.raw for tx in txs])
    await town.resolve(1, batch_of(*txs))
    assert town.answers == [(1, True, False)]
    assert town.asked == []


async def test_a_bad_signature_in_a_proposal_is_final(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    town = Town(make_pool(), threads)
    tx = make_tx()
    fake = Transaction.decode(msgspec.msgpack.encode([tx.body_bytes, b"\1" * 64]))
    town.peers = {"primary": {fake.wire_hash: fake.raw}}
    await town.resolve(1, batch_of(fake))
    assert town.answers == [(1, False, False)]


async def test_a_foreign_chains_transaction_is_final_too(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    town = Town(make_pool(), threads)
    foreign = make_tx(chain=b"f" * 32)
    town.peers = {"primary": {foreign.wire_hash: foreign.raw}}
    await town.resolve(1, batch_of(foreign))
    assert town.answers == [(1, False, False)]


async def test_a_peer_that_answers_wrongly_isnt_the_batchs_fault(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    town = Town(make_pool(), threads)
    wanted, other = make_tx(), make_tx()
    town.peers = {"liar": {wanted.wire_hash: other.raw}, "fool": {wanted.wire_hash: b"junk"}, "honest": {wanted.wire_hash: wanted.raw}}
    await town.resolve(1, batch_of(wanted))
    assert town.answers == [(1, True, False)]


async def test_limits_hold_for_what_others_propose(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    town = Town(make_pool(parameters=Parameters(max_block_transactions=3, max_block_gas=2_500, max_transaction_gas=2_000)), threads)
    txs = [make_tx(gas=1_000) for _ in range(4)]
    for tx in txs:
        town.pool.add(tx)
    too_many, too_much_gas = batch_of(*txs), batch_of(*txs[:3])
    for height, batch in enumerate((too_many, too_much_gas), 1):
        town.resolver.resolve(height, batch.digest, batch)
    assert town.answers == [(1, False, False), (2, False, False)]


async def test_it_keeps_looking_until_the_height_is_final(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    town = Town(make_pool(), threads)
    wanted = make_tx()
    town.peers = {"primary": {b"x": b""}}
    town.resolver.resolve(5, batch_of(wanted).digest, batch_of(wanted))
    async with asyncio.timeout(5):
        while len(town.asked) < 3:
            await asyncio.sleep(0.01)
    assert town.answers == []
    town.resolver.give_up_to(5)
    await asyncio.sleep(0.01)
    asked = len(town.asked)
    await asyncio.sleep(0.25)
    assert len(town.asked) == asked
    await town.resolver.stop()


async def test_one_batch_at_two_heights_is_answered_for_both(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    """A digest binds no height: who proposes the same batch twice must not keep a validator from voting on the second."""
    town = Town(make_pool(), threads)
    there = make_tx()
    town.peers = {"primary": {there.wire_hash: there.raw}}
    batch = batch_of(there)
    town.resolver.resolve(1, batch.digest, batch)
    town.resolver.resolve(2, batch.digest, batch)
    async with asyncio.timeout(10):
        while len(town.answers) < 2:
            town.answered.clear()
            await town.answered.wait()
    assert sorted(town.answers) == [(1, True, False), (2, True, False)]
    await town.resolver.stop()
