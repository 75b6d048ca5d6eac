"""Skip votes: what makes an order, what doesn't, and a block that kills its executor until a quorum skips the transaction."""

import asyncio
from collections.abc import Sequence

import pytest

from carbonnode.chain.batch import Batch, SkipOrder
from carbonnode.chain.certificate import Certificate
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.receipt import Status
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.skip import SkipVote, check_order, sign_skip
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import InvalidBlock, PeerViolation
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.node.bodies import Body, BodyStore
from carbonnode.node.executor_client import DeadlyTransaction
from carbonnode.node.pipeline import FinalBlock, Pipeline
from carbonnode.node.skips import HEIGHTS_AHEAD, MOST_A_HEIGHT, SkipDesk
from carbonnode.node.startup import align_stores
from carbonnode.node.sync import Syncer
from carbonnode.node.wire import Raws, SyncBlock
from carbonnode.storage.blocks import BlockStore
from tests.unit.node.chain_kit import SIGNERS, Chain, LocalExecutor, make_genesis

GENESIS = make_genesis()
TX = b"t" * 32


def vote(number: int, tx_id: bytes = TX, *, height: int = 5, epoch: int = 0, signer: KeySigner | None = None) -> bytes:
    return encode(sign_skip(signer or SIGNERS[number], number, GENESIS.chain_id, epoch, height, tx_id))


class Town:
    """One desk, and what it said."""

    def __init__(self, number: int = 0) -> None:
        self.sent: list[bytes] = []
        self.alarms: list[str] = []
        signer = SIGNERS[number] if number < len(SIGNERS) else KeySigner(b"x" * 32)
        self.desk = SkipDesk(GENESIS.chain_id, signer, lambda: (0, GENESIS.validators), self.sent.append, lambda code, _: self.alarms.append(code))


def test_a_quorum_of_distinct_members_makes_an_order_that_anybody_can_check() -> None:
    town = Town()
    town.desk.died(5, TX, "it died")
    assert decode(town.sent[0], SkipVote).signer == 0
    town.desk.receive(vote(1))
    town.desk.receive(vote(1))
    assert town.desk.orders(5) == ()
    town.desk.receive(vote(3))
    (order,) = town.desk.orders(5)
    assert [signer for signer, _ in order.votes] == [0, 1, 3]
    check_order(order, GENESIS.validators, GENESIS.chain_id, 0)
    assert town.alarms == ["executor-crash", "skip-order"]


def test_an_order_with_too_few_or_foreign_votes_is_refused() -> None:
    votes = [decode(vote(number), SkipVote) for number in range(3)]
    good = tuple((one.signer, one.signature) for one in votes)
    for wrong in (good[:2], (good[0], good[0], good[1]), (*good[:2], (2, good[1][1]))):
        with pytest.raises(InvalidBlock):
            check_order(SkipOrder(5, TX, wrong), GENESIS.validators, GENESIS.chain_id, 0)
    with pytest.raises(InvalidBlock):
        check_order(SkipOrder(6, TX, good), GENESIS.validators, GENESIS.chain_id, 0)
    with pytest.raises(InvalidBlock):
        check_order(SkipOrder(5, TX, good), GENESIS.validators, GENESIS.chain_id, 1)


def test_a_vote_is_said_once_and_repeated_until_the_height_is_final() -> None:
    town = Town()
    town.desk.died(5, TX, "it died")
    town.desk.died(5, TX, "it died again")
    assert len(town.sent) == len(town.alarms) == 1
    town.desk.repeat()
    assert town.sent == [town.sent[0]] * 2
    town.desk.settle(5)
    town.desk.repeat()
    assert len(town.sent) == 2
    town.desk.receive(vote(1))
    assert town.desk.orders(5) == ()


@pytest.mark.parametrize("body", [vote(1, signer=SIGNERS[2]), vote(1, b"short"), encode(SkipVote(0, 5, TX, 9, b"s" * 64)), b"\x90", b""])
def test_forged_and_malformed_votes_are_the_peers_fault(body: bytes) -> None:
    with pytest.raises(PeerViolation):
        Town().desk.receive(body)


def test_votes_of_other_epochs_and_far_heights_are_passed_over() -> None:
    town = Town()
    for number in range(4):
        town.desk.receive(vote(number, epoch=1))
        town.desk.receive(vote(number, height=HEIGHTS_AHEAD + 1))
    assert town.desk.orders(5) == town.desk.orders(HEIGHTS_AHEAD + 1) == ()


def test_one_member_cannot_fill_the_memory() -> None:
    town = Town()
    for number in range(MOST_A_HEIGHT + 10):
        town.desk.receive(vote(1, number.to_bytes(32, "big")))
    assert len(town.desk._votes) == MOST_A_HEIGHT


def test_who_does_not_vote_waits_for_those_who_do() -> None:
    town = Town(number=9)
    town.desk.died(5, TX, "it died")
    assert town.sent == []
    for number in range(3):
        town.desk.receive(vote(number))
    assert [order.tx_id for order in town.desk.orders(5)] == [TX]


def test_too_many_that_die_and_too_many_that_dont_are_told_to_the_operator_once() -> None:
    town = Town()
    said: list[str] = []
    town.desk._alarm = lambda code, detail: said.append(f"{code}: {detail}")
    made = {2: b"h" * 32}
    town.desk.receive(vote(0))
    town.desk.receive(vote(1))
    town.desk.watch({5: made}.get)  # type: ignore[arg-type]  # 5 is the only height
    assert said == [], "a quorum may still come together"
    made[3] = b"h" * 32
    town.desk.watch(lambda height: made if height == 5 else {})
    (alarm,) = said
    names = ", ".join(GENESIS.validators[index].name for index in (0, 1))
    assert alarm.startswith("no-certificate: block 5 can't be certified: ")
    assert f"2 of 4 validators ({names}) die of {TX.hex()}, 2 executed it, and 3 must agree" in alarm
    assert "executor.memory_mb" in alarm
    assert "goes on by itself" in alarm
    town.desk.watch(lambda _: made)
    assert len(said) == 1
    town.desk.settle(5)
    assert not town.desk._stalemates


def test_a_quorum_that_orders_the_skip_is_no_stalemate_and_who_came_through_doesnt_die() -> None:
    town = Town()
    for number in range(3):
        town.desk.receive(vote(number))
    town.desk.watch(lambda _: {2: b"h" * 32, 3: b"h" * 32})
    assert town.alarms == ["skip-order"]
    town = Town()
    town.desk.receive(vote(0))
    town.desk.receive(vote(1))
    town.desk.watch(lambda _: dict.fromkeys((1, 2, 3), b"h" * 32))
    assert town.alarms == []


class DeadlyExecutor(LocalExecutor):
    """Dies of one transaction as long as it isn't skipped."""

    deadly = b""
    tries = 0

    async def execute(self, height: int, batch: Batch, transactions: Sequence[bytes], skip_orders: Sequence[SkipOrder] = ()) -> ExecutedBlock:
        ids = [Transaction.decode(raw).id for raw in transactions]
        if self.deadly in ids and self.deadly not in [order.tx_id for order in skip_orders]:
            self.tries += 1
            raise DeadlyTransaction(height, self.deadly, 4)
        return await super().execute(height, batch, transactions, skip_orders)


class Node:
    """A pipeline over a deadly executor."""

    def __init__(self, chain: Chain) -> None:
        self.town = Town()
        self.executor = DeadlyExecutor(chain.genesis)
        self.blocks = BlockStore(chain.executor.kv.__class__())
        self.bodies = BodyStore()
        self.executed: list[ExecutedBlock] = []
        self.final: list[FinalBlock] = []
        self.faults: list[BaseException] = []
        self.pipeline = Pipeline(
            self.executor, self.blocks, self.bodies, self.town.desk, self._executed, self.final.append, self._durable, self.faults.append
        )

    async def _executed(self, block: ExecutedBlock) -> None:
        self.executed.append(block)

    async def _durable(self, height: int) -> None:
        assert height >= 0


@pytest.mark.asyncio
async def test_the_block_is_executed_without_the_transaction_once_a_quorum_orders_it() -> None:
    chain = Chain()
    node = Node(chain)
    await align_stores(node.blocks, node.executor)
    good, bad = chain.note(text="good"), chain.note(text="bad")
    node.executor.deadly = bad.id
    batch = chain.batch(good, bad)
    node.bodies.add(Body(1, batch, [good, bad], full=False))
    node.pipeline.start()
    node.pipeline.execute(1, batch.digest, batch)
    async with asyncio.timeout(10):
        while not node.town.sent:
            await asyncio.sleep(0)
        assert node.executed == []
        for number in (1, 2):
            node.town.desk.receive(vote(number, bad.id, height=1))
        while not node.executed:
            await asyncio.sleep(0)
    (block,) = node.executed
    assert [receipt.status for receipt in block.receipts] == [Status.OK, Status.ABORTED_BY_QUORUM]
    # Other nodes may have other quorums of the votes: the header holds none of them.
    assert block.header.skip_orders == (SkipOrder(1, bad.id, ()),)
    assert node.executor.tries == 1
    assert node.faults == []
    await node.pipeline.stop()


@pytest.mark.asyncio
async def test_a_sync_takes_over_from_a_block_that_cannot_be_executed() -> None:
    chain = Chain()
    node = Node(chain)
    await align_stores(node.blocks, node.executor)
    bad = chain.note()
    node.executor.deadly = bad.id
    batch = chain.batch(bad)
    node.bodies.add(Body(1, batch, [bad], full=False))
    node.pipeline.start()
    node.pipeline.execute(1, batch.digest, batch)
    async with asyncio.timeout(10):
        while not node.town.sent:
            await asyncio.sleep(0)
        await node.pipeline.pause()
        await node.pipeline.discard()
    assert node.executed == []
    await node.pipeline.stop()


@pytest.mark.asyncio
async def test_a_certified_block_that_only_this_machine_cannot_execute_stops_the_node_by_name() -> None:
    chain = Chain()
    bad = chain.note()
    final = chain.grow(bad)
    node = Node(chain)
    await align_stores(node.blocks, node.executor)
    node.executor.deadly = bad.id
    node.pipeline.start()
    item = encode(SyncBlock(final.stored.header.encoded, final.stored.batch, final.stored.transactions, chain.blocks.certificate(1)))  # type: ignore[arg-type]

    class Host:
        def sync_peers(self, _height: int) -> list[str]:
            return ["peer"]

        def blame(self, _peer: str, _points: int, why: str) -> None:
            raise AssertionError(why)

        def validators_at(self, _height: int) -> ValidatorSet:
            return chain.genesis.validators

        async def synced(self, height: int, header_hash: bytes, certificate: Certificate | None) -> None:
            raise AssertionError(height)

    async def request(_peer: str, _kind: int, _payload: bytes, _timeout: float) -> bytes:
        return encode(Raws((item,)))

    syncer = Syncer(chain.genesis.chain_id, node.blocks, node.executor, node.pipeline, request, Host(), node.faults.append)
    syncer.want(1)
    async with asyncio.timeout(10):
        while not node.faults:
            await asyncio.sleep(0)
    assert "compare this machine" in str(node.faults[0])
    await syncer.stop()
    await node.pipeline.stop()
