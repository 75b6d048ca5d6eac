"""Memory bombs against a real executor process under its real memory limit: it lives, and its peak stays within what docs/adr/0024 reckons.

Every bomb is filled to the gas of its transaction, every block to the gas of a block, with genesis's own parameters. `make bombs` goes on for longer.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import ContractSource, Genesis, Parameters
from carbonnode.chain.memory import EXECUTOR_BYTES, HELD_BYTES, executor_bytes
from carbonnode.chain.receipt import Status
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.chain.validators import Validator
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.node.executor_client import ExecutorClient, ExecutorOptions
from carbonnode.storage import leveldb

KEY = KeySigner(b"b" * 32)
LIMITS = Parameters()
MAPS = 400
BOMB = """
texts = Map(int, str)
rows = Map(int, tuple)
wide_rows = Map(int, tuple)
small = Map(str, int, int)
@export
def hold(count: int, kind: int) -> int:
    wide = "\\u4e2d" * 1300
    held = []
    part = []
    own = [1]
    for i in range(count):
        if kind == 0:
            part.append([j for j in range(1000)])
        elif kind == 1:
            part.append(wide + str(i))
        elif kind == 2:
            part.append([{j: j} for j in range(100)])
        else:
            own.append(wide + str(i))
        if len(part) == 4000:
            held.append(part)
            part = []
        if len(own) == 4000:
            own[0] = held
            held.append(own)
            own = [1]
    return len(held)
@export
def write_texts(first: int, count: int) -> None:
    line = "ab" * 2040
    for i in range(first, first + count):
        texts[i] = line
@export
def write_rows(first: int, count: int) -> None:
    for i in range(first, first + count):
        rows[i] = tuple([70000 + i + j for j in range(4000)])
@export
def write_wide(first: int, count: int) -> None:
    line = "\\U0001f600" * 1020
    for i in range(first, first + count):
        wide_rows[i] = (line, line, line, line, i)
@export
def write_small(first: int, count: int) -> None:
    long = "k" * 480
    for i in range(first, first + count):
        small[long, i] = i
@export
def read_all(first: int, count: int) -> int:
    held = []
    for i in range(first, first + count):
        held.append(texts.get(i, ""))
        held.append(wide_rows.get(i, ()))
    return len(held)
@view
def look(first: int, count: int) -> int:
    held = []
    for i in range(first, first + count):
        held.append(texts.get(i, ""))
        held.append(rows.get(i, ()))
    return len(held)
@export
def shout(count: int) -> None:
    line = "\\u4e2d" * 1300
    for i in range(count):
        emit("Loud", a=line, b=line, c=line, d=line, e=line, f=line, g=line, h=line)
@export
def mutter(count: int) -> None:
    for i in range(count):
        emit("Quiet", number=i)
@export
def tell(count: int) -> tuple:
    line = "\\u4e2d" * 1300
    return (line, line, line, line, line, line, line, line, line, line, line, line)
@export
def later(first: int, count: int) -> None:
    line = "ab" * 2000
    for i in range(first, first + count):
        schedule(0, "heavy", (i, line))
@export
def heavy(number: int, line: str) -> None:
    for i in range(2500):
        texts[1000000 + number * 2500 + i] = line
"""
MANY = (
    "".join(f"m{i} = Map(str, int)\n" for i in range(MAPS))
    + "@export\ndef go(first: int, count: int) -> int:\n    long = 'x' * 100\n    found = 0\n"
    + "    for i in range(first, first + count):\n        key = long + str(i)\n"
    + "".join(f"        found += m{i}.get(key, 0)\n" for i in range(MAPS))
    + "    return found\n"
)


class Rig:
    """An executor process with bombs in its genesis."""

    def __init__(self, path: Path) -> None:
        validator = Validator("v", "super", KeySigner(b"n" * 32).public_key, KeySigner(b"t" * 32).public_key)
        contracts = (ContractSource("bomb", BOMB), *(ContractSource(f"many{i}", MANY) for i in range(3)))
        self.genesis = Genesis(network="bombs", time_ms=1_000, validators=(validator,), ca_roots=(), contracts=contracts)
        leveldb.create(path)
        self.deaths: list[str] = []
        self.client = ExecutorClient(ExecutorOptions(path, self.genesis.to_json(), memory_bytes=EXECUTOR_BYTES), self.deaths.append)
        self.height = self.final = self.sent = 0

    def tx(self, method: str, *args: int, contract: str = "bomb", gas: int = LIMITS.max_transaction_gas) -> bytes:
        self.sent += 1
        body = Body(self.genesis.chain_id, KEY.public_key, self.sent.to_bytes(16, "big"), self.height + 500, gas, (Call(contract, method, args),))
        return Transaction.sign(body, KEY).raw

    async def block(self, *transactions: bytes) -> ExecutedBlock:
        """Execute one, as the pipeline does: only when those that aren't on disk leave room."""
        if self.client.held_bytes > HELD_BYTES:
            await self.finalise()
        self.height += 1
        batch = Batch(1_000 + self.height, tuple(Transaction.decode(raw).wire_hash for raw in transactions))
        return await self.client.execute(self.height, batch, transactions)

    async def finalise(self) -> None:
        while self.final < self.height:
            self.final += 1
            await self.client.finalise(self.final)
            if self.client.held_bytes > HELD_BYTES:
                await self.client.flush()

    def peak(self) -> int:
        """The most memory that the process had at a time, in bytes."""
        status = Path(f"/proc/{self.client.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


async def fill(rig: Rig, method: str, per_item: int, blocks: int, first: int = 0) -> int:
    """Blocks that write as much as their gas allows to fresh keys; the number of items."""
    calls = LIMITS.max_block_gas // LIMITS.max_transaction_gas
    count = (LIMITS.max_transaction_gas - 50_000) // per_item
    at = first
    for _ in range(blocks):
        transactions = []
        for _ in range(calls):
            transactions.append(rig.tx(method, at, count))
            at += count
        block = await rig.block(*transactions)
        assert [receipt.status for receipt in block.receipts[block.job_count :]] == [Status.OK] * calls
    return at


async def holding(rig: Rig, _: int) -> None:
    """Transactions that hold what their gas buys, and leave garbage that holds itself."""
    for kind, per_item in ((0, 3_450), (1, 430), (2, 1_900), (3, 430)):
        count = (LIMITS.max_transaction_gas - 50_000) // per_item
        block = await rig.block(*[rig.tx("hold", count, kind) for _ in range(2)])
        assert [receipt.status for receipt in block.receipts] == [Status.OK] * 2
        assert min(receipt.gas_used for receipt in block.receipts) > 0.6 * LIMITS.max_transaction_gas
    await rig.finalise()


WRITES = (("write_texts", 1_540), ("write_wide", 3_100), ("write_rows", 82_000), ("write_small", 1_020))


async def writing(rig: Rig, rounds: int) -> None:
    """The largest values to fresh keys, up to block gas; then all final, read again while it is rewritten, and by views."""
    for method, per_item in WRITES[: 2 * rounds]:
        await fill(rig, method, per_item, rounds)
    await rig.finalise()
    for first in range(0, 2_000 * rounds, 2_000):
        block = await rig.block(rig.tx("read_all", first, 1_000), rig.tx("write_texts", first, 8_000))
        assert [receipt.status for receipt in block.receipts] == [Status.OK] * 2
        assert (await rig.client.query("bomb", "look", (first // 100, 90), bytes(32))).value == 180
    await rig.finalise()


async def shouting(rig: Rig, _: int) -> None:
    """Events and results: what a gas limit doesn't cover ends as an abort, and what it covers is no more than a node can hand on."""
    loud = await rig.block(rig.tx("shout", 1_000))
    assert (loud.receipts[-1].code, loud.events) == ("chain.output", ())
    assert (await rig.block(rig.tx("tell", 1, gas=30_000))).receipts[-1].code == "chain.output"
    told = await rig.block(*[rig.tx("tell", 1, gas=150_000) for _ in range(300)], *[rig.tx("mutter", 1_000, gas=1_000_000) for _ in range(5)])
    assert {receipt.status for receipt in told.receipts} == {Status.OK}
    assert len(told.encoded) < (LIMITS.max_block_gas + LIMITS.jobs_block_gas) // 2
    await rig.finalise()


async def scheduling(rig: Rig, rounds: int) -> None:
    """Jobs with large arguments that write what their gas allows."""
    await rig.block(*[rig.tx("later", 60 * i, 60) for i in range(2)])
    for _ in range(2 * rounds):
        assert (await rig.block()).job_count > 0
    await rig.finalise()


async def mapping(rig: Rig, rounds: int) -> None:
    """Many contracts with many Maps, each remembering addresses."""
    for i in range(3):
        for turn in range(rounds):
            await rig.block(*[rig.tx("go", 100 * turn + 50 * part, 50, contract=f"many{i}") for part in range(2)])
    await rig.finalise()


BOMBS: tuple[Callable[[Rig, int], Awaitable[None]], ...] = (holding, writing, shouting, scheduling, mapping)


async def bombard(path: Path, rounds: int) -> None:
    rig = Rig(path)
    await rig.client.start()
    try:
        assert any(line.startswith("memory: on") for line in rig.client.confinement)
        for bomb in BOMBS:
            await bomb(rig, rounds)
            assert rig.peak() < executor_bytes(LIMITS), bomb.__name__
        assert (rig.deaths, rig.client.restarts) == ([], 0)
    finally:
        await rig.client.close()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_no_bomb_ends_the_executor(tmp_path: Path) -> None:
    await bombard(tmp_path / "state", 1)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.asyncio
async def test_no_bombs_end_the_executor_for_long(tmp_path: Path) -> None:
    """As many blocks of the largest values as a window has heights."""
    await bombard(tmp_path / "state", 8)
