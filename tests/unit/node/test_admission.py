"""Admission: one verification for the same signed bytes, one answer for each, and no verdict borrowed by other bytes."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import pytest_asyncio

from carbonnode.chain.transaction import Transaction
from carbonnode.node.admission import Admission
from carbonnode.node.mempool import Entry, Mempool
from tests.unit.node.conftest import MakePool, MakeTransaction

pytestmark = pytest.mark.asyncio


class Gate:
    """An admission with what it admitted."""

    def __init__(self, pool: Mempool, threads: ThreadPoolExecutor, **settings: int) -> None:
        self.pool = pool
        self.admitted: list[Entry] = []
        self.relayed: list[Entry] = []
        self.admission = Admission(pool, threads, 10, self._hear, **settings)

    def _hear(self, admitted: list[Entry], relay: list[Entry]) -> None:
        self.admitted += admitted
        self.relayed += relay


@pytest_asyncio.fixture
async def threads() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def forge(tx: Transaction) -> bytes:
    return msgspec.msgpack.encode([tx.body_bytes, bytes([tx.signature[0] ^ 1]) + tx.signature[1:]])


async def test_each_gets_its_answer_in_order(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    gate = Gate(make_pool(), threads)
    good, other, fake = make_tx(), make_tx(chain=b"x" * 32), make_tx()
    answers = await gate.admission.submit([good.raw, other.raw, forge(fake), b"junk", good.raw])
    assert [(a.status, a.code) for a in answers] == [
        ("pending", ""),
        ("refused", "wrong-chain"),
        ("refused", "signature"),
        ("refused", "malformed"),
        ("pending", ""),
    ]
    assert [entry.id for entry in gate.relayed] == [good.id]
    assert gate.admission.verified == 2
    assert gate.admission.refused == {"wrong-chain": 1, "signature": 1, "malformed": 1}


async def test_a_bad_signature_on_a_waiting_body_doesnt_pass(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    gate = Gate(make_pool(), threads)
    tx = make_tx()
    real, fake = await asyncio.gather(gate.admission.submit([tx.raw]), gate.admission.submit([forge(tx)]))
    assert real[0].status == "pending"
    assert fake[0].code == "signature"
    assert [entry.wire_hash for entry in gate.admitted] == [tx.wire_hash]


async def test_the_same_bytes_from_all_sides_are_verified_once(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    gate = Gate(make_pool(), threads)
    tx = make_tx()
    waiting = asyncio.gather(*[gate.admission.submit([tx.raw]) for _ in range(5)])
    gate.admission.offer([tx.raw, tx.raw])
    assert {answers[0].status for answers in await waiting} == {"pending"}
    assert gate.admission.verified == 1
    gate.admission.offer([tx.raw])
    assert gate.admission.waiting == 0


async def test_what_a_validator_flooded_isnt_spread_again(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    gate = Gate(make_pool(), threads)
    txs = [make_tx() for _ in range(25)]
    assert gate.admission.offer([*[tx.raw for tx in txs], b"junk"]) == 1
    while gate.admission.waiting:
        await gate.admission.progress(1.0)
    assert [entry.id for entry in gate.admitted] == [tx.id for tx in txs]
    assert gate.relayed == []


async def test_overload_is_shed_before_work_is_spent_on_it(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    gate = Gate(make_pool(), threads, max_waiting=3)
    answers = await gate.admission.submit([make_tx().raw for _ in range(5)])
    assert [a.code for a in answers] == ["", "", "", "mempool-full", "mempool-full"]


async def test_stopping_answers_what_waits(make_pool: MakePool, make_tx: MakeTransaction, threads: ThreadPoolExecutor) -> None:
    gate = Gate(make_pool(), threads)
    waiting = asyncio.create_task(gate.admission.submit([make_tx().raw for _ in range(200)]))  # noqa: RUF006  awaited below
    await asyncio.sleep(0)
    await gate.admission.stop()
    codes = {answer.code for answer in await waiting}
    assert codes <= {"", "stopping"}
    assert "stopping" in codes
