"""Snapshots across the process boundary: frozen at a block's end, written while blocks execute, given up when the process dies; another state in its place."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from carbonnode.chain.certificate import Certificate
from carbonnode.errors import StorageError
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.node.executor_client import ExecutorClient, ExecutorOptions
from carbonnode.node.logs import LogFile, Logger, make_logger
from carbonnode.node.snapshot_admin import verify_snapshots
from carbonnode.node.snapshot_keeper import SHARE_BUSY, SHARE_IDLE, SnapshotKeeper, pause_s
from carbonnode.storage import leveldb
from carbonnode.storage.crashpoints import VARIABLE
from carbonnode.storage.snapshots import SnapshotDirectory
from tests.unit.ledger.toy import Chain
from tests.unit.node.snapshot_kit import no_changes
from tests.unit.node.test_store_check import certified

pytestmark = pytest.mark.asyncio


class Running:
    """An executor process beside a ledger in this one."""

    def __init__(self, path: Path) -> None:
        self.chain = Chain()
        self.path = path
        leveldb.create(path)
        self.client = ExecutorClient(ExecutorOptions(path, self.chain.genesis.to_json()))

    async def block(self, transactions: int = 20) -> ExecutedBlock:
        raws = [self.chain.tx("pay", "bank", f"account {self.chain.sent}", 1) for _ in range(transactions)]
        expected = self.chain.block(*raws)
        assert await self.client.execute(expected.header.height, self.chain.blocks[-1][0], raws) == expected
        await self.client.finalise(expected.header.height)
        return expected

    async def frozen(self, blocks: int = 3) -> tuple[ExecutedBlock, Certificate]:
        """After some blocks, all of it on disk."""
        for _ in range(blocks):
            last = await self.block()
        await self.client.flush()
        return last, certified(self.chain.genesis.chain_id, last)


@pytest_asyncio.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    made = Running(tmp_path / "state")
    await made.client.start()
    yield made
    await made.client.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logger]:
    file = LogFile(tmp_path / "node.log")
    yield make_logger(file, "debug")
    file.close()


async def until_idle(keeper: SnapshotKeeper) -> None:
    async with asyncio.timeout(60):
        while keeper.active:
            await asyncio.sleep(0.01)


async def test_a_snapshot_is_of_its_own_height_though_blocks_go_on(running: Running, log: Logger) -> None:
    last, certificate = await running.frozen()
    keeper = SnapshotKeeper(running.client, SnapshotDirectory(running.path / "snapshots"), 3, no_changes, log)
    assert keeper.due(3)
    assert not keeper.due(4)
    await keeper.begin(last.header, certificate)
    assert not keeper.due(6)
    for _ in range(5):
        await running.block()
    await until_idle(keeper)
    assert keeper.directory.heights() == [3]
    (verdict,) = verify_snapshots(running.path.parent, running.chain.genesis, 3)
    assert verdict.ok
    assert keeper.offers().offers[0].height == 3


async def test_no_snapshot_of_a_state_that_stands_elsewhere(running: Running, log: Logger) -> None:
    last, certificate = await running.frozen()
    await running.block()
    keeper = SnapshotKeeper(running.client, SnapshotDirectory(running.path / "snapshots"), 3, no_changes, log)
    await keeper.begin(last.header, certificate)
    assert not keeper.active
    assert list(keeper.directory.path.iterdir()) == []


async def test_a_process_that_dies_in_the_middle_costs_one_snapshot_and_nothing_else(
    tmp_path: Path, log: Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "snapshot.work:1")
    running = Running(tmp_path / "state")
    await running.client.start()
    try:
        last, certificate = await running.frozen()
        keeper = SnapshotKeeper(running.client, SnapshotDirectory(running.path / "snapshots"), 3, no_changes, log)
        await keeper.begin(last.header, certificate)
        await until_idle(keeper)
        assert running.client.restarts == 1
        assert list(keeper.directory.path.iterdir()) == []
        await running.block()
        assert (await running.client.status()).header_hash == running.chain.executor.status().header_hash
    finally:
        await running.client.close()


async def test_a_keeper_that_stops_leaves_nothing_half_done_behind(running: Running, log: Logger) -> None:
    last, certificate = await running.frozen()
    keeper = SnapshotKeeper(running.client, SnapshotDirectory(running.path / "snapshots"), 3, no_changes, log)
    await keeper.begin(last.header, certificate)
    await keeper.stop()
    again = SnapshotKeeper(running.client, SnapshotDirectory(running.path / "snapshots"), 3, no_changes, log)
    assert [path.name for path in again.directory.path.iterdir() if not path.name.isdigit()] == []


async def test_another_state_takes_the_place_while_questions_wait(running: Running) -> None:
    await running.frozen(2)
    await running.client.flush()
    earlier = running.path.with_name("earlier")
    shutil.copytree(running.path, earlier, ignore=shutil.ignore_patterns("LOCK"))
    await running.block()

    def swap() -> None:
        shutil.rmtree(running.path)
        earlier.rename(running.path)

    replaced = asyncio.ensure_future(running.client.replace(swap))
    await asyncio.sleep(0)
    asked = asyncio.ensure_future(running.client.query("toy", "balance", ("account 0",), bytes(32)))
    assert (await replaced).height == 2
    assert (await asked).height == 2
    assert running.client.restarts == 0


async def test_a_disk_that_refuses_is_said_and_the_chain_goes_on(running: Running, log: Logger) -> None:
    last, _ = await running.frozen()
    assert await running.client.snapshot_begin(last.header.height, running.path / "nowhere" / "deep")
    with pytest.raises(StorageError, match="couldn't be written"):
        await running.client.snapshot_work(last.header.height, 10**9)
    await running.client.snapshot_drop()
    await running.block()


async def test_blocks_get_more_of_the_executor_than_a_snapshot_does(running: Running) -> None:
    """The longest pause is bounded, so that a snapshot gets on behind the longest blocks."""
    before = running.client.busy
    await running.block()
    assert (before, running.client.busy) == (False, True)
    for busy, share in ((False, SHARE_IDLE), (True, SHARE_BUSY)):
        assert 0.01 / (0.01 + pause_s(0.01, busy=busy)) == pytest.approx(share)
        assert pause_s(5.0, busy=busy) == pause_s(0.1, busy=busy)
    assert SHARE_BUSY < SHARE_IDLE
