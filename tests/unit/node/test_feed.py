"""Certified blocks reach those who follow, each once and in order; who is too slow is told, who waits at the end is let go."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from carbonnode.chain.event import Event
from carbonnode.chain.service import ServiceRefusal
from carbonnode.node import feed as module
from carbonnode.node.feed import BlockEvents, Feed
from carbonnode.node.turns import in_turns

pytestmark = pytest.mark.asyncio


def block(height: int) -> BlockEvents:
    events = (Event("c", "Public", "", height, b"", ()), Event("c", "Mine", "ORIGIN", height, b"", ()), Event("c", "Theirs", "OTHER", height, b"", ()))
    return BlockEvents(height, height * 1_000, tuple(enumerate(events)))


def past(*heights: int) -> Callable[[], AsyncIterator[BlockEvents]]:
    return lambda: in_turns([block(height) for height in heights])


async def test_past_and_present_join_without_gap_or_repeat() -> None:
    feed = Feed()
    seen: list[tuple[int, str]] = []

    async def read() -> None:
        async for record in feed.follow("ORIGIN", past(1, 2)):
            seen.append((record.height, record.event.name))  # noqa: PERF401 - the test looks at the list while it grows

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    # Certified while the past was being read: the reader holds it already, or gets it once.
    for height in (2, 3, 4):
        feed.publish(block(height))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while len(seen) < 8:
            await asyncio.sleep(0.001)
    feed.close()
    await reader
    assert seen == [(height, name) for height in (1, 2, 3, 4) for name in ("Public", "Mine")]
    assert feed.readers == 0


async def test_anonymous_readers_get_the_public_feed_only() -> None:
    feed = Feed()
    stream = feed.follow("", past(1))
    assert [(await anext(stream)).event.name] == ["Public"]
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_a_reader_that_falls_behind_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BUFFERED_BLOCKS", 2)
    feed = Feed()
    stream = feed.follow("", past(1))
    await anext(stream)
    for height in range(2, 6):
        feed.publish(block(height))
    assert [(await anext(stream)).height for _ in range(2)] == [2, 3]
    with pytest.raises(ServiceRefusal) as caught:
        await anext(stream)
    assert caught.value.code == "overloaded"


async def test_waiting_for_a_block_ends_with_it_or_the_time_or_the_node() -> None:
    feed = Feed()
    assert not await feed.next_block(0.01)
    waiting = asyncio.create_task(feed.next_block(5))
    await asyncio.sleep(0)
    feed.publish(block(1))
    assert await waiting
    waiting = asyncio.create_task(feed.next_block(5))
    await asyncio.sleep(0)
    feed.close()
    assert not await waiting
    assert feed.closed
