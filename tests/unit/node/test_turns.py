"""Long answers leave the loop to others: between any two blocks that are read, everybody gets a turn."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from carbonnode.chain.codec import encode
from carbonnode.chain.service import EventRecord
from carbonnode.node import relay as relay_module
from carbonnode.node.feed import Feed
from carbonnode.node.history import History
from carbonnode.node.relay import UserRelay
from carbonnode.node.service import ValidatorService
from carbonnode.node.turns import in_turns
from carbonnode.node.wire import FetchBlocks, Raws, RequestKind, StatusAnswers, decode_payload
from carbonnode.storage.blocks import BlockStore, StoredBlock
from tests.unit.node.chain_kit import Chain

pytestmark = pytest.mark.asyncio

T = TypeVar("T")
BLOCKS = 30


class Watched:
    """A chain whose blocks are read from the store; `in_a_row` are the most that were read before anything else on the loop ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chain = Chain()
        self.ids: list[bytes] = []
        for _ in range(BLOCKS):
            tx = self.chain.note()
            self.chain.grow(tx)
            self.ids.append(tx.id)
        self.history = History(self.chain.blocks)
        self.feed = Feed()
        self.read = self.in_a_row = self._before = 0
        whole = BlockStore.block

        def counted(store: BlockStore, height: int) -> StoredBlock:
            self.read += 1
            return whole(store, height)

        monkeypatch.setattr(BlockStore, "block", counted)

    async def answer(self, asked: Awaitable[T]) -> T:
        """What `asked` answers, with somebody else on the loop who counts."""
        task = asyncio.ensure_future(asked)
        while not task.done():
            await asyncio.sleep(0)
            self.in_a_row = max(self.in_a_row, self.read - self._before)
            self._before = self.read
        return task.result()

    def service(self) -> ValidatorService:
        node: Any = SimpleNamespace(history=self.history, feed=self.feed)
        network: Any = None
        return ValidatorService(node, network, b"", "ORIGIN")

    def relay(self) -> Any:
        """The answers by kind."""

        async def nobody(_key: bytes) -> str:
            return ""

        answers: dict[int, Any] = {}
        node: Any = SimpleNamespace(
            history=self.history,
            on_block=[],
            on_peer=[],
            peering=SimpleNamespace(answers=answers),
            changes=SimpleNamespace(announced_at=lambda _height: ()),
            organisations=SimpleNamespace(of=nobody),
            pool=SimpleNamespace(status=lambda _id: "unknown"),
        )
        UserRelay(node)
        return answers


PEER = SimpleNamespace(name="user-1", role="user", organisation="ORIGIN")


async def collect(stream: AsyncIterator[EventRecord], count: int) -> list[int]:
    heights: list[int] = []
    async for record in stream:
        heights.append(record.height)
        if len(heights) == count:
            break
    return heights


async def test_each_long_answer_reads_one_block_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    service, answers = watched.service(), watched.relay()

    async def ask(kind: RequestKind, payload: bytes) -> Sequence[bytes]:
        return decode_payload(await answers[kind][1](PEER, payload), Raws).items

    fetch = encode(FetchBlocks(1, BLOCKS, 1 << 20))
    proofs = encode(Raws(tuple(tx_id + bytes(32) for tx_id in watched.ids)))
    cases: list[tuple[Awaitable[Sequence[object]], int]] = [
        (service.blocks(1, BLOCKS), BLOCKS),
        (service.events("ORIGIN", 1, BLOCKS), BLOCKS),
        (collect(service.subscribe("ORIGIN", 1), BLOCKS), BLOCKS),
        (ask(RequestKind.USER_BLOCKS, fetch), BLOCKS),
        (ask(RequestKind.PROOFS, proofs), BLOCKS),
    ]
    for asked, count in cases:
        watched.history.reset()
        before = watched.read
        assert len(await watched.answer(asked)) == count
        assert watched.read - before >= BLOCKS - 1
        assert watched.in_a_row == 1


async def test_statuses_are_looked_up_a_few_at_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    monkeypatch.setattr(relay_module, "STATUSES_A_TURN", 4)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.ensure_future(count())
    payload = encode(Raws(tuple(watched.ids)))
    found = decode_payload(await watched.relay()[RequestKind.TRANSACTION_STATUS][1](PEER, payload), StatusAnswers).answers
    counter.cancel()
    assert [answer.height for answer in found] == list(range(1, BLOCKS + 1))
    assert turns >= BLOCKS // 4


async def test_a_subscriber_misses_no_block_that_comes_before_it_begins_to_read() -> None:
    chain = Chain()
    chain.grow(chain.note())
    history, feed = History(chain.blocks), Feed()
    node: Any = SimpleNamespace(history=history, feed=feed)
    network: Any = None
    stream = ValidatorService(node, network, b"", "ORIGIN").subscribe("ORIGIN", 1)
    chain.grow(chain.note())
    assert await collect(stream, 2) == [1, 2]


async def test_turns_come_after_each_so_many() -> None:
    seen: list[object] = []

    async def other() -> None:
        while True:
            seen.append("other")
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    async for number in in_turns(range(4), 2):
        seen.append(number)  # noqa: PERF401 - the list is written to from two sides
    task.cancel()
    assert seen == [0, 1, "other", 2, 3, "other"]
