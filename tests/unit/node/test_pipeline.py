"""Execution, storing, start-up and sync over a real executor and block store: every interruption ends in the same chain."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate, verify_certificate
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.header import Header
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.service import ServiceRefusal
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import InvariantViolation, RemoteError, StorageError
from carbonnode.ledger.results import ExecutedBlock, NextEpoch
from carbonnode.node.bodies import Body, BodyStore
from carbonnode.node.history import History
from carbonnode.node.pipeline import SYNC_EVERY_BLOCKS, FinalBlock, Pipeline, sync_phase
from carbonnode.node.skips import SkipDesk
from carbonnode.node.startup import align_stores, split_journal, stable_state
from carbonnode.node.sync import Syncer, serve_blocks
from carbonnode.node.wire import FetchBlocks, Raws, SyncBlock, decode_payload
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.journal_format import Record
from tests.unit.node.chain_kit import SIGNERS, Chain, LocalExecutor, certify
from tests.unit.node.conftest import MakePool

pytestmark = pytest.mark.asyncio


class Node:
    """A pipeline with what it told."""

    def __init__(self, chain: Chain, phase: int = 0) -> None:
        self.chain = chain
        self.executor = LocalExecutor(chain.genesis)
        self.blocks = BlockStore(MemoryKV())
        self.bodies = BodyStore()
        self.executed: list[ExecutedBlock] = []
        self.final: list[FinalBlock] = []
        self.durable: list[int] = []
        self.faults: list[BaseException] = []
        self.votes: list[bytes] = []
        self.alarms: list[str] = []
        self.skips = SkipDesk(
            chain.genesis.chain_id, SIGNERS[0], lambda: (0, chain.genesis.validators), self.votes.append, lambda code, _: self.alarms.append(code)
        )
        self.pipeline = Pipeline(
            self.executor, self.blocks, self.bodies, self.skips, self._executed, self.final.append, self._durable, self.faults.append, phase=phase
        )

    async def _executed(self, block: ExecutedBlock) -> None:
        self.executed.append(block)

    async def _durable(self, height: int) -> None:
        self.durable.append(height)

    async def open(self) -> "Node":
        await align_stores(self.blocks, self.executor)
        self.pipeline.use_window(0, self.chain.genesis.parameters.window)
        self.pipeline.start()
        return self

    def order(self, height: int, batch: Batch, *transactions: Transaction) -> None:
        self.bodies.add(Body(height, batch, list(transactions), full=False))
        self.pipeline.execute(height, batch.digest, batch)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.002)


async def test_ordered_blocks_are_executed_then_stored_in_height_order() -> None:
    chain = Chain()
    node = await Node(chain).open()
    first, second = chain.note(), chain.note()
    finals = [chain.grow(first), chain.grow(second)]
    for final, tx in zip(finals, (first, second), strict=True):
        node.order(final.height, final.batch, tx)
    await node.until(lambda: len(node.executed) == 2)
    assert [block.header_hash for block in node.executed] == [final.outcome.header_hash for final in finals]
    # Certificates may come in before execution is done, and later heights only wait.
    for final in finals:
        assert final.stored.certificate is not None
        node.pipeline.finalise(final.height, final.stored.certificate)
    await node.until(lambda: len(node.final) == 2)
    assert node.blocks.tip_hash == chain.blocks.tip_hash
    assert node.blocks.transaction(second.id) is not None
    await node.pipeline.stop()
    assert node.faults == []


async def test_a_node_whose_storing_failed_can_still_stop() -> None:
    """What is certified and executed behind the failure will never be stored: nobody may wait for that."""
    chain = Chain()
    node = await Node(chain).open()
    first, second = chain.note(), chain.note()
    finals = [chain.grow(first), chain.grow(second)]

    async def lost(height: int) -> int:
        raise StorageError(f"the disk is gone at height {height}", code="disk")

    node.executor.finalise = lost  # type: ignore[method-assign]
    for final, tx in zip(finals, (first, second), strict=True):
        node.order(final.height, final.batch, tx)
    await node.until(lambda: len(node.executed) == 2)
    for final in finals:
        assert final.stored.certificate is not None
        node.pipeline.finalise(final.height, final.stored.certificate)
    await node.until(lambda: bool(node.faults))
    assert "broken" in node.pipeline.state
    async with asyncio.timeout(10):
        await node.pipeline.stop()
    assert [str(fault) for fault in node.faults] == ["the disk is gone at height 1"]


async def test_an_id_that_was_executed_before_is_dropped_and_not_stored_twice() -> None:
    chain = Chain()
    node = await Node(chain).open()
    tx, other = chain.note(), chain.note()
    batches = [Batch(2_000_000, (tx.wire_hash,)), Batch(2_001_000, (tx.wire_hash, other.wire_hash))]
    node.order(1, batches[0], tx)
    node.order(2, batches[1], tx, other)
    await node.until(lambda: len(node.executed) == 2)
    for block in node.executed:
        node.pipeline.finalise(block.header.height, certify(chain.genesis, block))
    await node.until(lambda: len(node.final) == 2)
    assert [len(final.transactions) for final in node.final] == [1, 1]
    place = node.blocks.transaction(tx.id)
    assert place is not None
    assert place.height == 1
    await node.pipeline.stop()


async def test_a_restart_replays_what_the_state_lacks() -> None:
    chain = Chain()
    for _ in range(7):
        chain.grow(chain.note())
    # Another state, behind by 7, then by less, then not at all.
    executor = LocalExecutor(chain.genesis)
    assert await align_stores(chain.blocks, executor) == 7
    assert executor.ledger.status().header_hash == chain.blocks.tip_hash
    assert await align_stores(chain.blocks, executor) == 0
    again = LocalExecutor(chain.genesis, executor.kv)
    assert await align_stores(chain.blocks, again) == 7 - again.executions[0] + 1
    assert stable_state(chain.blocks).header_hash == chain.blocks.tip_hash


async def test_a_state_ahead_of_the_blocks_is_corruption() -> None:
    chain = Chain()
    chain.grow(chain.note())
    with pytest.raises(StorageError, match="state is at height 1, the block store ends at 0"):
        await align_stores(BlockStore(MemoryKV()), chain.executor)


async def test_another_state_than_the_blocks_is_refused() -> None:
    chain, other = Chain(), Chain()
    chain.grow(chain.note())
    other.grow(other.note(text="different"))
    with pytest.raises(StorageError, match="different blocks at height 1"):
        await align_stores(chain.blocks, other.executor)


async def test_bodies_come_back_from_the_journal(make_pool: MakePool) -> None:
    chain = Chain()
    old, new = chain.note(), chain.note()
    bodies, pool = BodyStore(), make_pool()
    records = (
        Record(3, Body(3, chain.batch(old), [old], full=False).record()),
        Record(4, b"\x93vote"),
        Record(5, Body(5, chain.batch(new), [new], full=False).record()),
    )
    assert split_journal(records, 3, bodies, pool) == [b"\x93vote"]
    assert bodies.get(chain.batch(old).digest) is None
    body = bodies.need(chain.batch(new).digest)
    assert body.durable
    assert new.wire_hash in pool
    with pytest.raises(StorageError, match="verify-store"):
        split_journal((Record(9, b"\xc1junk"),), 3, bodies, pool)


class Host:
    """`sync.SyncHost`: peers that serve, lie, or are away."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.peers: dict[str, Callable[[FetchBlocks], Raws]] = {}
        self.blamed: list[str] = []
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.syncer = Syncer(node.chain.genesis.chain_id, node.blocks, node.executor, node.pipeline, self.request, self, node.faults.append)

    async def request(self, peer: str, kind: int, payload: bytes, _timeout: float) -> bytes:
        _ = kind
        return encode(self.peers[peer](decode_payload(payload, FetchBlocks)))

    def sync_peers(self, height: int) -> list[str]:
        _ = height
        return [peer for peer in self.peers if peer not in self.blamed]

    def blame(self, peer: str, points: int, why: str) -> None:
        _ = points, why
        self.blamed.append(peer)

    def validators_at(self, height: int) -> ValidatorSet:
        _ = height
        return self.node.chain.genesis.validators

    async def synced(self, height: int, header_hash: bytes, certificate: Certificate | None) -> None:
        assert (certificate is None) == (height == 0)
        assert certificate is None or certificate.header_hash == header_hash
        self.done.set_result(height)


def lie(chain: Chain, change: Callable[[SyncBlock], SyncBlock]) -> Callable[[FetchBlocks], Raws]:
    def answer(wanted: FetchBlocks) -> Raws:
        return Raws(tuple(encode(change(decode(item, SyncBlock))) for item in serve_blocks(chain.blocks, wanted).items))

    return answer


async def test_a_sync_takes_only_what_verifies() -> None:
    chain = Chain()
    for _ in range(70):
        chain.grow(chain.note())
    node = await Node(chain).open()
    host = Host(node)
    other = Chain()
    other.grow(other.note(text="fork"))
    other_raws = other.finals[0].stored.transactions
    weak = certify(chain.genesis, chain.finals[0].outcome, (0, 1))

    def away(_wanted: FetchBlocks) -> Raws:
        raise RemoteError("away", code="timeout")

    host.peers = {
        "away": away,
        "empty": lambda _: Raws(()),
        "junk": lambda _: Raws((b"junk",)),
        "weak": lie(chain, lambda block: SyncBlock(block.header, block.batch, block.transactions, weak)),
        "other batch": lie(chain, lambda block: SyncBlock(block.header, other.finals[0].batch.encoded, block.transactions, block.certificate)),
        "no transactions": lie(chain, lambda block: SyncBlock(block.header, block.batch, (), block.certificate)),
        "other transactions": lie(chain, lambda block: SyncBlock(block.header, block.batch, other_raws, block.certificate)),
        "skips": lambda wanted: serve_blocks(chain.blocks, FetchBlocks(wanted.first + 1, 3, 10**6)),
        "honest": lambda wanted: serve_blocks(chain.blocks, wanted),
    }
    # Executed, but never certified here: void once the sync begins.
    node.order(1, other.finals[0].batch, *other.finals[0].transactions)
    await node.until(lambda: len(node.executed) == 1)
    host.syncer.want(70)
    assert await asyncio.wait_for(host.done, 20) == 70
    assert node.blocks.tip_hash == chain.blocks.tip_hash
    assert set(host.blamed) == {"junk", "weak", "other batch", "no transactions", "other transactions", "skips"}
    for height in range(1, 71):
        certificate = node.blocks.certificate(height)
        assert certificate is not None
        verify_certificate(certificate, chain.genesis.validators, chain.genesis.chain_id)
    assert node.faults == []
    # Work goes on where the sync ended.
    final = chain.grow(chain.note())
    node.order(71, final.batch, *final.transactions)
    await node.until(lambda: len(node.executed) == 2)
    assert node.executed[-1].header_hash == final.outcome.header_hash
    await node.pipeline.stop()


async def test_a_sync_that_finds_nothing_ends_with_what_there_is() -> None:
    chain = Chain()
    node = await Node(chain).open()
    host = Host(node)
    host.peers = {"empty": lambda _: Raws(()), "also": lambda _: Raws(())}
    host.syncer.want(10**9)
    assert await asyncio.wait_for(host.done, 5) == 0
    assert not host.syncer.active
    # The next wish is a sync of its own.
    chain.grow(chain.note())
    host.done = asyncio.get_running_loop().create_future()
    host.peers["honest"] = lambda wanted: serve_blocks(chain.blocks, wanted)
    host.syncer.want(1)
    assert await asyncio.wait_for(host.done, 5) == 1
    await node.pipeline.stop()


async def test_a_certified_block_that_executes_differently_stops_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, faulty = Chain(), Chain()
    final = chain.grow(chain.note())
    wrong = faulty.grow(faulty.note(text="what a faulty build makes of it")).outcome
    node = await Node(chain).open()

    async def execute(*_: object) -> ExecutedBlock:
        return wrong

    monkeypatch.setattr(node.executor, "execute", execute)
    host = Host(node)
    host.peers["peer"] = lambda wanted: serve_blocks(chain.blocks, wanted)
    host.syncer.want(1)
    await node.until(lambda: bool(node.faults))
    assert isinstance(node.faults[0], InvariantViolation)
    assert f"doctor --height {final.height}" in str(node.faults[0])


async def test_a_paused_pipeline_finishes_what_is_certified_and_forgets_the_rest() -> None:
    chain = Chain()
    node = await Node(chain).open()
    finals = [chain.grow(chain.note()) for _ in range(3)]
    for final in finals[:2]:
        node.order(final.height, final.batch, *final.transactions)
    await node.until(lambda: len(node.executed) == 2)
    assert finals[0].stored.certificate is not None
    node.pipeline.finalise(1, finals[0].stored.certificate)
    await node.pipeline.pause()
    assert node.blocks.height == 1
    node.order(3, finals[2].batch, *finals[2].transactions)
    await node.pipeline.discard()
    node.pipeline.resume()
    assert node.executor.ledger.executed == 1
    assert node.pipeline.executed(2) is None
    await node.pipeline.stop()




class FakeTransfer:
    """`sync.Transfer` that puts another chain's state and blocks in place, as an install does."""

    def __init__(self, host: "Host", height: int, *, far: bool = True) -> None:
        self.host, self.height, self.far = host, height, far
        self.asked: list[tuple[int, int, bool]] = []

    async def run(self, height: int, target: int, *, needed: bool = False) -> bool:
        self.asked.append((height, target, needed))
        if not self.far and not needed:
            return False
        node, chain = self.host.node, self.host.node.chain
        for at in range(height + 1, self.height + 1):
            stored = chain.blocks.block(at)
            node.executor.ledger.execute(at, Batch.decode(stored.batch), stored.transactions)
            node.executor.ledger.finalise(at)
        certificate = chain.blocks.certificate(self.height)
        assert certificate is not None
        node.blocks.install(chain.blocks.header(self.height), certificate, [])
        return True


async def test_a_node_far_behind_begins_with_a_snapshot_then_follows_blocks() -> None:
    chain = Chain()
    for _ in range(20):
        chain.grow(chain.note())
    node = await Node(chain).open()
    host = Host(node)
    host.peers = {"honest": lambda wanted: serve_blocks(chain.blocks, wanted)}
    transfer = host.syncer.transfer = FakeTransfer(host, 15)
    host.syncer.want(20)
    assert await asyncio.wait_for(host.done, 20) == 20
    assert transfer.asked == [(0, 20, False)]
    assert host.syncer.blocks_applied == 5
    assert (node.blocks.base, node.blocks.first, node.blocks.height) == (15, 16, 20)
    # It serves what it has, and nothing that would look like a chain with holes.
    assert serve_blocks(node.blocks, FetchBlocks(15, 3, 10**6)).items == ()
    assert len(serve_blocks(node.blocks, FetchBlocks(16, 3, 10**6)).items) == 3
    history = History(node.blocks)
    assert history.header(15).height == 15
    with pytest.raises(ServiceRefusal, match="from 16 on") as refused:
        history.block(15)
    assert refused.value.code == "pruned"
    with pytest.raises(ServiceRefusal):
        _ = [events async for events in history.events(3, 20)]
    assert len([events async for events in history.events(16, 20)]) == 5
    await node.pipeline.stop()
    assert node.faults == []


async def test_a_node_whose_next_block_nobody_has_takes_a_snapshot_though_it_is_near() -> None:
    chain = Chain()
    for _ in range(20):
        chain.grow(chain.note())
    node = await Node(chain).open()
    host = Host(node)
    host.peers = {"young": lambda wanted: serve_blocks(chain.blocks, wanted) if wanted.first > 15 else Raws(())}
    transfer = host.syncer.transfer = FakeTransfer(host, 15, far=False)
    host.syncer.want(20)
    assert await asyncio.wait_for(host.done, 20) == 20
    assert transfer.asked == [(0, 20, False), (0, 20, True)]
    assert node.blocks.base == 15
    await node.pipeline.stop()
    assert node.faults == []


async def test_a_snapshot_is_frozen_where_it_is_due_with_the_block_on_disk() -> None:
    chain = Chain()
    node = await Node(chain).open()
    frozen: list[tuple[int, int]] = []

    class Maker:
        def due(self, height: int) -> bool:
            return height % 2 == 0

        async def begin(self, header: Header, certificate: Certificate) -> None:
            assert certificate.height == header.height
            frozen.append((header.height, node.executor.ledger.status().durable))

    node.pipeline.snapshots = Maker()
    for _ in range(5):
        tx = chain.note()
        final = chain.grow(tx)
        node.order(final.height, final.batch, tx)
        await node.until(lambda: len(node.executed) == chain.blocks.height)
        assert final.stored.certificate is not None
        node.pipeline.finalise(final.height, final.stored.certificate)
    await node.until(lambda: len(node.final) == 5)
    await node.pipeline.stop()
    assert frozen == [(2, 2), (4, 4)]


async def test_validators_sync_at_different_heights_and_each_as_often_as_all() -> None:
    chain = Chain()
    finals = [chain.grow() for _ in range(2 * SYNC_EVERY_BLOCKS + 1)]
    synced: dict[int, list[int]] = {}
    for index in range(4):
        node = await Node(chain, sync_phase(index, 4)).open()
        for final in finals:
            node.order(final.height, final.batch)
            assert final.stored.certificate is not None
            node.pipeline.finalise(final.height, final.stored.certificate)
        await node.until(lambda node=node: len(node.final) == len(finals))  # type: ignore[misc]  # bound by its default
        await node.pipeline.stop()
        assert node.faults == []
        synced[index] = node.durable
    heights = [height for found in synced.values() for height in found]
    assert len(heights) == len(set(heights))
    for found in synced.values():
        edges = [0, *found, len(finals)]
        assert max(after - before for before, after in pairwise(edges)) <= SYNC_EVERY_BLOCKS


async def test_syncs_follow_a_window_that_is_shorter_than_their_usual_distance() -> None:
    chain = Chain()
    finals = [chain.grow() for _ in range(15)]
    node = await Node(chain).open()

    async def store(first: int, last: int) -> None:
        for final in finals[first - 1 : last]:
            node.order(final.height, final.batch)
            assert final.stored.certificate is not None
            node.pipeline.finalise(final.height, final.stored.certificate)
        await node.until(lambda: len(node.final) == last)

    node.pipeline.use_window(0, 4)
    await store(1, 9)
    assert [height for height in node.durable if height <= 9] == [3, 7]  # what was synced before the start isn't known: -1 stands for it
    await node.pipeline.pause()
    decided = NextEpoch(0, 100, 1, Parameters(window=2), chain.genesis.validators.validators)
    for final in finals[9:12]:
        assert final.stored.certificate is not None
        outcome = await node.executor.execute(final.height, final.batch, [], ())
        await node.pipeline.apply(final.batch, [], msgspec.structs.replace(outcome, next_epoch=decided), final.stored.certificate)
    assert node.durable[2:] == [10, 12], "the window that a stored block tells counts at once"
    await node.pipeline.stop()
    assert node.faults == []


async def test_blocks_of_an_epoch_whose_window_is_unknown_are_synced_one_by_one() -> None:
    chain = Chain()
    finals = [chain.grow() for _ in range(3)]
    node = Node(chain)
    await align_stores(node.blocks, node.executor)
    node.pipeline.start()
    for final in finals:
        node.order(final.height, final.batch)
        assert final.stored.certificate is not None
        node.pipeline.finalise(final.height, final.stored.certificate)
    await node.until(lambda: len(node.final) == 3)
    await node.pipeline.stop()
    assert node.durable == [1, 2, 3]


async def test_the_heights_of_syncs_are_spread_over_any_set() -> None:
    assert [sync_phase(index, 4) for index in range(4)] == [0, 4, 8, 12]
    assert {sync_phase(index, 100) for index in range(100)} == set(range(SYNC_EVERY_BLOCKS))
    assert sync_phase(None, 4) == 0
