"""The executor as a process: talks, survives kill -9 at any moment, refuses clearly, and can't do what it has no business doing."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from carbonnode.chain.batch import SkipOrder
from carbonnode.chain.genesis import ContractSource
from carbonnode.chain.receipt import Status
from carbonnode.chain.transaction import Call, Transaction
from carbonnode.errors import ConfigError, InvalidBlock, InvariantViolation, RemoteError, StorageError
from carbonnode.ledger.tree_proof import verify_state_proof
from carbonnode.node.executor_client import (
    BUSY_S,
    MAX_DEATHS,
    MAX_QUEUED_VIEWS,
    PROOF_BLOCKS_BUSY,
    VIEW_GAS_BUSY,
    VIEW_GAS_IDLE,
    DeadlyTransaction,
    ExecutorClient,
    ExecutorOptions,
)
from carbonnode.node.executor_watch import VARIABLE as POISON
from carbonnode.storage import leveldb
from carbonnode.vm.keys import storage_key
from tests.unit.ledger.toy import KEY, Chain, genesis

SENDER = bytes(32)


@asynccontextmanager
async def running(path: Path, chain: Chain, flush_blocks: int = 4) -> AsyncIterator[ExecutorClient]:
    if not path.exists():
        leveldb.create(path)
    client = ExecutorClient(ExecutorOptions(path, chain.genesis.to_json(), flush_blocks=flush_blocks))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def advance(client: ExecutorClient, chain: Chain, blocks: int, *, kill_at: int = -1, when: str = "") -> dict[int, bytes]:
    """Execute blocks here and there; they must agree. State roots by height."""
    roots = {}
    for number in range(blocks):
        transactions = [chain.tx("pay", "bank", f"a{index}", 1 + number) for index in range(3)]
        expected = chain.block(*transactions)
        height = expected.header.height
        batch = chain.blocks[-1][0]
        if number == kill_at and when == "before":
            client.kill()
        asked = asyncio.ensure_future(client.execute(height, batch, transactions))
        if number == kill_at and when == "during":
            await asyncio.sleep(0)
            client.kill()
        assert await asked == expected
        if number == kill_at and when == "executed":
            client.kill()
        await client.finalise(height)
        roots[height] = expected.header.state_root
        if number == kill_at and when == "finalised":
            client.kill()
    return roots


@pytest.mark.asyncio
async def test_it_does_what_the_ledger_does(tmp_path: Path) -> None:
    chain = Chain()
    async with running(tmp_path / "state", chain) as client:
        assert await client.genesis_block() == chain.executor.genesis_block()
        await advance(client, chain, 6)
        status = await client.status()
        assert (status.height, status.header_hash) == (6, chain.executor.status().header_hash)
        assert status.durable == 4
        answer = await client.query("toy", "balance", ("a1",), SENDER)
        assert (answer.height, answer.value) == (6, chain.balance("a1"))
        assert (await client.query("toy", "balance", ("a1",), SENDER, 3)).value == chain.balance("a1", 3)
        proof = await client.prove(storage_key("toy", "balances", ("a1",)))
        assert verify_state_proof(proof, status.state_root) == (True, chain.balance("a1"))
        assert await client.contracts() == ("toy",)
        assert await client.abi("toy") == chain.executor.abi("toy")
        assert await client.abi("none") is None
        with pytest.raises(RemoteError, match="isn't certified"):
            await client.query("toy", "balance", ("a1",), SENDER, 99)
        with pytest.raises(InvalidBlock, match="block 6 is the last one"):
            await client.execute(9, chain.blocks[0][0], ())
        assert await client.flush() == 6


@pytest.mark.asyncio
@pytest.mark.parametrize("when", ["before", "during", "executed", "finalised"])
async def test_kill_9_is_invisible_to_the_caller(tmp_path: Path, when: str) -> None:
    chain = Chain()
    async with running(tmp_path / "state", chain) as client:
        await advance(client, chain, 7, kill_at=5, when=when)
        assert (await client.status()).header_hash == chain.executor.status().header_hash
        assert client.restarts == 1


@pytest.mark.asyncio
async def test_a_kill_with_several_blocks_in_memory_restores_them_all(tmp_path: Path) -> None:
    chain = Chain()
    async with running(tmp_path / "state", chain, flush_blocks=100) as client:
        expected = []
        for _ in range(5):
            transactions = [chain.tx("pay", "bank", "alice", 1)]
            expected.append(chain.execute(*transactions))
            await client.execute(expected[-1].header.height, chain.blocks[-1][0], transactions)
        await client.finalise(1)
        await client.finalise(2)
        client.kill()
        await client.finalise(3)
        await client.discard_above(4)
        client.kill()
        status = await client.status()
        assert (status.height, status.executed) == (3, 4)
        batch, transactions = chain.blocks[4]
        assert await client.execute(5, batch, transactions) == expected[4]


@pytest.mark.asyncio
@pytest.mark.parametrize("point", ["execute.before", "execute.after", "finalise.before", "finalise.after", "flush.before", "flush.after"])
async def test_every_crash_point_loses_nothing_that_was_flushed(tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    monkeypatch.setenv("CARBONNODE_CRASH_AT", f"{point}:3")
    async with running(tmp_path / "state", chain, flush_blocks=2) as client:
        asked = asyncio.ensure_future(_rounds(client, chain))
        while client.restarts == 0 and not asked.done():
            await asyncio.sleep(0.01)
        monkeypatch.delenv("CARBONNODE_CRASH_AT")
        await asked
        assert client.restarts >= 1
        assert (await client.status()).header_hash == chain.executor.status().header_hash


async def _rounds(client: ExecutorClient, chain: Chain) -> None:
    for _ in range(5):
        await advance(client, chain, 1)
        await client.flush()


@pytest.mark.asyncio
async def test_a_process_that_keeps_dying_is_fatal_and_says_on_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    monkeypatch.setenv("CARBONNODE_CRASH_AT", "execute.before:1")
    leveldb.create(tmp_path / "state")
    client = ExecutorClient(ExecutorOptions(tmp_path / "state", chain.genesis.to_json()))
    await client.start()
    transactions = [chain.tx("pay", "bank", "alice", 1)]
    with pytest.raises(InvariantViolation, match="during execute of height 1") as caught:
        await client.execute(1, chain.batch(transactions), transactions)
    assert caught.value.code == "executor-crash"
    assert client.restarts == MAX_DEATHS
    with pytest.raises(InvariantViolation):
        await client.status()
    await client.close()


@pytest.mark.asyncio
async def test_the_state_survives_the_process(tmp_path: Path) -> None:
    chain = Chain()
    async with running(tmp_path / "state", chain) as client:
        await advance(client, chain, 3)
    async with running(tmp_path / "state", chain) as client:
        assert (await client.status()).height == 3
        await advance(client, chain, 2)


@pytest.mark.asyncio
async def test_opening_refuses_with_the_reason(tmp_path: Path) -> None:
    chain = Chain()
    client = ExecutorClient(ExecutorOptions(tmp_path / "none", chain.genesis.to_json()))
    with pytest.raises(StorageError, match="carbonnode init"):
        await client.start()
    async with running(tmp_path / "state", chain):
        pass
    with pytest.raises(ConfigError, match="holds the chain"):
        await ExecutorClient(ExecutorOptions(tmp_path / "state", genesis(supply=7).to_json())).start()
    manifest = next(file for file in (tmp_path / "state").iterdir() if file.name.startswith("MANIFEST"))
    manifest.unlink()
    with pytest.raises(StorageError, match="MANIFEST"):
        await ExecutorClient(ExecutorOptions(tmp_path / "state", chain.genesis.to_json())).start()


SLOW = '''"""Views of all lengths."""


@view
def spin(turns: int) -> int:
    n = 0
    for i in range(turns):
        n = n + i
    return n
'''


@pytest.mark.asyncio
async def test_views_are_bounded_in_number_and_in_gas_while_blocks_execute(tmp_path: Path) -> None:
    chain = Chain(genesis=genesis(more=(ContractSource("slow", SLOW),), view_gas=5_000_000))
    async with running(tmp_path / "state", chain) as client:
        assert (await client.query("slow", "spin", (200_000,), SENDER)).status == 0
        await advance(client, chain, 1)
        with pytest.raises(RemoteError, match="needs more time") as caught:
            await client.query("slow", "spin", (1_000_000,), SENDER)
        assert caught.value.code == "busy"
        answers = await asyncio.gather(*[client.query("toy", "clock", (), SENDER) for _ in range(MAX_QUEUED_VIEWS + 5)], return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, RemoteError)]
        assert len(refused) == 5
        assert all(error.code == "busy" for error in refused)


@pytest.mark.asyncio
async def test_dry_runs_stand_in_the_lane_of_views_with_their_gas(tmp_path: Path) -> None:
    chain = Chain(genesis=genesis(more=(ContractSource("slow", SLOW),)))
    pay, burn = Call("toy", "pay", ("bank", "bob", 5)), Call("toy", "burn_gas")
    async with running(tmp_path / "state", chain) as client:
        await advance(client, chain, 1)
        said = await client.estimate([pay], KEY.public_key)
        assert said == chain.executor.estimate([pay], KEY.public_key, gas=VIEW_GAS_IDLE)
        assert (said.status, said.height) == (Status.OK, 1)
        await advance(client, chain, 1)
        long = await client.estimate([burn], KEY.public_key)
        assert (long.status, long.gas_used, long.gas_limit) == (Status.OUT_OF_GAS, VIEW_GAS_BUSY, 0)
        asked = [client.estimate([pay], KEY.public_key) for _ in range(MAX_QUEUED_VIEWS + 5)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, RemoteError)]
        assert [error.code for error in refused] == ["busy"] * 5
        await asyncio.sleep(BUSY_S)
        assert (await client.estimate([burn], KEY.public_key)).gas_used == VIEW_GAS_IDLE
        # The chain goes on as if nobody had asked.
        await advance(client, chain, 2)


@pytest.mark.asyncio
async def test_a_dry_run_that_the_process_dies_of_is_not_made_again(tmp_path: Path) -> None:
    """It would be sent to every new process, and the fourth death ends the node."""
    chain, call = Chain(), Call("toy", "pay", ("bank", "bob", 5))
    async with running(tmp_path / "state", chain) as client:
        await advance(client, chain, 2)
        os.kill(client.pid, signal.SIGSTOP)
        asked = [asyncio.ensure_future(client.estimate([call], KEY.public_key)) for _ in range(3)]
        view = asyncio.ensure_future(client.query("toy", "balance", ("a1",), SENDER))
        await asyncio.sleep(0)
        client.kill()
        for estimate in asked:
            with pytest.raises(RemoteError, match="dry run") as caught:
                await estimate
            assert caught.value.code == "busy"
        assert (await view).value == chain.balance("a1")
        assert client.restarts == 1
        with pytest.raises(RemoteError, match="makes none for a while"):
            await client.estimate([call], KEY.public_key)
        await advance(client, chain, 1)


@pytest.mark.asyncio
async def test_proofs_of_old_heights_wait_until_blocks_leave_time(tmp_path: Path) -> None:
    chain, key = Chain(), storage_key("toy", "balances", ("a1",))
    async with running(tmp_path / "state", chain) as client:
        roots = await advance(client, chain, PROOF_BLOCKS_BUSY + 3)
        assert verify_state_proof(await client.prove(key, 5), roots[5])[0]
        with pytest.raises(RemoteError, match="takes too long while blocks are executed") as caught:
            await client.prove(key, 2)
        assert caught.value.code == "busy"
        await asyncio.sleep(BUSY_S)
        assert verify_state_proof(await client.prove(key, 2), roots[2])[0]


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_flood_of_questions_gets_a_tenth_of_the_time(tmp_path: Path) -> None:
    """Views, proofs, interfaces and dry runs asked for without end, while blocks execute without a pause."""
    chain = Chain(genesis=genesis(more=(ContractSource("slow", SLOW),)))
    async with running(tmp_path / "state", chain) as client:
        asked = 0

        async def flood(number: int) -> None:
            nonlocal asked
            while True:
                with contextlib.suppress(RemoteError):
                    if number % 4 == 0:
                        await client.abi("slow")
                    elif number % 4 == 1:
                        await client.prove(storage_key("toy", "balances", ("a1",)))
                    elif number % 4 == 2:
                        await client.estimate([Call("toy", "burn_gas")], KEY.public_key)
                    else:
                        await client.query("slow", "spin", (20_000,), SENDER)
                    asked += 1
                await asyncio.sleep(0)

        await advance(client, chain, 1)
        floods = [asyncio.ensure_future(flood(number)) for number in range(64)]
        started, before = time.monotonic(), client.question_us
        while time.monotonic() < started + 3.0 or asked < 20:
            await advance(client, chain, 10)
        share = (client.question_us - before) / 1e6 / (time.monotonic() - started)
        for task in floods:
            task.cancel()
        await asyncio.gather(*floods, return_exceptions=True)
        assert share < 0.11


@pytest.mark.asyncio
async def test_the_executor_says_what_confines_it_and_holds_no_open_door(tmp_path: Path) -> None:
    chain = Chain()
    async with running(tmp_path / "state", chain) as client:
        assert client.confinement
        assert all(line.split(":")[0] in {"no_new_privs", "landlock", "seccomp", "none"} for line in client.confinement)
        await advance(client, chain, 5)  # flushes: LevelDB's own threads run
        threads = list(Path(f"/proc/{client.pid}/task").iterdir())
        for thread in threads:
            status = (thread / "status").read_text() if os.access(thread / "status", os.R_OK) else ""
            if status and any(line.startswith("seccomp: on") for line in client.confinement):
                assert "NoNewPrivs:\t1" in status
                assert "Seccomp:\t2" in status


@pytest.mark.asyncio
async def test_a_death_while_it_comes_up_again_is_a_death_like_another(tmp_path: Path) -> None:
    chain = Chain()
    async with running(tmp_path / "state", chain) as client:
        await advance(client, chain, 2)
        client.kill()
        asked = asyncio.ensure_future(advance(client, chain, 2))
        process = client._process
        while client._process is process:  # the next one has started, and opens the state
            await asyncio.sleep(0)
        client.kill()
        await asked
        assert client.restarts == 2
        assert (await client.status()).header_hash == chain.executor.status().header_hash


@pytest.mark.asyncio
async def test_a_process_that_hangs_is_killed_and_replaced(tmp_path: Path) -> None:
    chain, told = Chain(), list[str]()
    leveldb.create(tmp_path / "state")
    client = ExecutorClient(ExecutorOptions(tmp_path / "state", chain.genesis.to_json(), patience_s=1.0), told.append)
    await client.start()
    try:
        await advance(client, chain, 2)
        os.kill(client.pid, signal.SIGSTOP)
        await advance(client, chain, 2)
        assert (client.hangs, client.restarts) == (1, 1)
        assert (await client.status()).header_hash == chain.executor.status().header_hash
        assert told == ["the executor process died during execute of height 3 (killed, no answer for 1 s); it is started again and nothing is lost"]
    finally:
        await client.close()


@pytest.mark.asyncio
async def test_a_process_without_work_may_be_silent_for_long(tmp_path: Path) -> None:
    chain = Chain()
    leveldb.create(tmp_path / "state")
    client = ExecutorClient(ExecutorOptions(tmp_path / "state", chain.genesis.to_json(), patience_s=0.2))
    await client.start()
    try:
        pid = client.pid
        await asyncio.sleep(1.0)  # five times its patience, idle
        assert (await client.status()).height == 0
        assert (client.pid, client.hangs) == (pid, 0)
    finally:
        await client.close()


@pytest.mark.asyncio
async def test_a_process_beyond_its_memory_dies_loudly_and_nothing_is_lost(tmp_path: Path) -> None:
    chain, told = Chain(), list[str]()
    leveldb.create(tmp_path / "state")
    client = ExecutorClient(ExecutorOptions(tmp_path / "state", chain.genesis.to_json(), memory_bytes=128 << 20), told.append)
    await client.start()
    try:
        if not any(line.startswith("memory: on") for line in client.confinement):
            pytest.skip(f"no limit here: {client.confinement}")
        await advance(client, chain, 2)
        batch = chain.batch([chain.tx("pay", "bank", "alice", 1)])
        with pytest.raises(InvariantViolation, match="during execute of height 3") as caught:
            await client.execute(3, batch, [bytes(80 << 20)])  # read, joined and decoded, that is more than it may have
        assert caught.value.code == "executor-crash"
        assert len(told) == MAX_DEATHS + 1
    finally:
        await client.close()
    async with running(tmp_path / "state", chain) as again:
        status = await again.status()
        assert status.height == 0  # nothing had been flushed: the block store's blocks are executed again
        for height, (batch, transactions) in enumerate(chain.blocks, 1):
            await again.execute(height, batch, transactions)
        assert (await again.status()).executed == 2


@pytest.mark.asyncio
async def test_what_kills_it_again_and_again_is_named_and_can_be_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POISON, "toy.pay")
    chain = Chain()
    good, bad = chain.tx("no_such_method"), chain.tx("pay", "bank", "alice", 1)
    batch, bad_id = chain.batch([good, bad]), Transaction.decode(bad).id
    async with running(tmp_path / "state", chain) as client:
        with pytest.raises(DeadlyTransaction) as caught:
            await client.execute(1, batch, [good, bad])
        assert (caught.value.height, caught.value.run_id) == (1, bad_id)
        assert client.restarts == MAX_DEATHS + 1
        # It is known by now: one more death is enough to say so again, and the process is there for everything else.
        with pytest.raises(DeadlyTransaction):
            await client.execute(1, batch, [good, bad])
        assert client.restarts == MAX_DEATHS + 2
        assert (await client.status()).height == 0
        block = await client.execute(1, batch, [good, bad], [SkipOrder(1, bad_id, ())])
        assert block.receipts[-1].status == Status.ABORTED_BY_QUORUM
        await client.finalise(1)
