"""Records reach the journal with the bodies they need, in order, and wait while the disk is full."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from carbonnode.chain.batch import Batch
from carbonnode.consensus.actions import Persist, Record
from carbonnode.errors import DiskFull, StorageError
from carbonnode.node import persister as module
from carbonnode.node.bodies import Body, BodyStore, decode_record
from carbonnode.node.persister import Persister
from carbonnode.storage import journal_format as journal
from carbonnode.storage.journal_writer import GroupCommit
from tests.unit.node.conftest import MakeTransaction

pytestmark = pytest.mark.asyncio


class Disk(GroupCommit):
    """A journal in memory that can be full or broken."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.error: StorageError | None = None

    def persist(self, records: Sequence[journal.Record]) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.error is not None:
            future.set_exception(self.error)
        else:
            self.written += [record.data for record in records]
            future.set_result(None)
        return future


class Desk:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "RETRY_S", 0.01)
        self.disk = Disk()
        self.bodies = BodyStore()
        self.durable: list[int] = []
        self.faults: list[BaseException] = []
        self.told: list[str] = []
        self.persister = Persister(self.disk, self.bodies, self.durable.append, self.faults.append, self.told.append)

    def write(self, token: int, *bodies: bytes) -> None:
        self.persister.persist(Persist(token, (Record(token, b"vote%d" % token),), bodies))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.005)

    async def settle(self, *tokens: int) -> None:
        await self.until(lambda: self.durable == list(tokens))


async def test_a_body_is_written_once_in_front_of_the_vote_that_needs_it(monkeypatch: pytest.MonkeyPatch, make_tx: MakeTransaction) -> None:
    desk = Desk(monkeypatch)
    txs = [make_tx(), make_tx("bob")]
    batch = Batch(5, tuple(tx.wire_hash for tx in txs))
    desk.bodies.add(Body(1, batch, txs, full=False))
    desk.write(1, batch.digest)
    desk.write(2, batch.digest)
    await desk.settle(1, 2)
    body, first, second = desk.disk.written
    assert (first, second) == (b"vote1", b"vote2")
    found, transactions = decode_record(body)
    assert found.digest == batch.digest
    assert [tx.raw for tx in transactions] == [tx.raw for tx in txs]


async def test_a_full_disk_holds_votes_back_and_they_go_on_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.write(1)
    await desk.settle(1)
    desk.disk.error = DiskFull("full")
    desk.write(2)
    desk.write(3)
    await desk.until(lambda: desk.persister.disk_full)
    assert [bool(why) for why in desk.told] == [True]
    assert desk.durable == [1]
    desk.disk.error = None
    desk.write(4)
    await desk.settle(1, 2, 3, 4)
    assert desk.disk.written == [b"vote1", b"vote2", b"vote3", b"vote4"]
    assert desk.persister.disk_full is False
    assert [bool(why) for why in desk.told] == [True, False]
    assert desk.faults == []


async def test_a_broken_disk_stops_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.disk.error = StorageError("broken", code="io")
    desk.write(1)
    await desk.until(lambda: bool(desk.faults))
    assert [str(fault) for fault in desk.faults] == ["broken"]
    assert desk.durable == []


class SlowDisk(Disk):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[list[bytes], asyncio.Future[None]]] = []

    def persist(self, records: Sequence[journal.Record]) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked.append(([record.data for record in records], future))
        return future


async def test_a_vote_behind_one_that_isnt_on_disk_is_never_called_durable_however_slow_the_disk_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    disk = SlowDisk()
    desk.persister = Persister(disk, desk.bodies, desk.durable.append, desk.faults.append, desk.told.append)
    desk.write(1)
    desk.write(2)
    disk.asked[0][1].set_exception(DiskFull("full"))
    await desk.until(lambda: desk.persister.disk_full)
    desk.write(3)
    for _ in range(10):  # many times as long as a retry waits: the second write hasn't been answered, so none may overtake it
        await asyncio.sleep(0.01)
    for _, future in disk.asked[2:]:
        future.set_result(None)
    await asyncio.sleep(0.02)
    assert desk.durable == []
    disk.asked[1][1].set_exception(DiskFull("full"))
    await desk.until(lambda: disk.asked[-1][0] == [b"vote1", b"vote2", b"vote3"])
    disk.asked[-1][1].set_result(None)
    await desk.settle(1, 2, 3)
    assert desk.persister.disk_full is False
    assert desk.faults == []
