"""Certified blocks on their way to those who wait: clients that follow events, and calls that wait for transactions."""

import asyncio
from collections.abc import AsyncIterator, Callable

from carbonnode.chain.event import Event
from carbonnode.chain.service import EventRecord, ServiceRefusal
from carbonnode.ledger.access import hears

MAX_BUFFERED_BLOCKS = 2_000


class BlockEvents:
    """The events of one certified block."""

    __slots__ = ("events", "height", "time_ms")

    def __init__(self, height: int, time_ms: int, events: tuple[tuple[int, Event], ...]) -> None:
        self.height = height
        self.time_ms = time_ms
        self.events = events
        """(index among the block's events, event)."""

    def visible_to(self, entity: str) -> list[EventRecord]:
        """Public ones and, if `entity` isn't "", those addressed to it."""
        return [EventRecord(self.height, self.time_ms, index, event) for index, event in self.events if hears(entity, event.to)]


class _Reader:
    __slots__ = ("blocks", "overrun", "wake")

    def __init__(self) -> None:
        self.blocks: list[BlockEvents] = []
        self.wake = asyncio.Event()
        self.overrun = False


class Feed:
    """Hands each certified block to all readers; a reader that falls 2,000 blocks behind is cut off."""

    def __init__(self) -> None:
        self._readers: set[_Reader] = set()
        self._block: asyncio.Event = asyncio.Event()
        self._closed = False

    @property
    def readers(self) -> int:
        """How many follow."""
        return len(self._readers)

    @property
    def closed(self) -> bool:
        """Whether the node stops: loops that wait for blocks end on it, since a cancellation may be lost in `wait_for`."""
        return self._closed

    def publish(self, block: BlockEvents) -> None:
        """A block is certified and stored."""
        self._block.set()
        self._block = asyncio.Event()
        for reader in self._readers:
            if len(reader.blocks) >= MAX_BUFFERED_BLOCKS:
                reader.overrun = True
            else:
                reader.blocks.append(block)
            reader.wake.set()

    async def next_block(self, timeout_s: float) -> bool:
        """Wait for the next certified block; False if none came in time or the node stops."""
        if self._closed:
            return False
        try:
            await asyncio.wait_for(self._block.wait(), timeout_s)
        except TimeoutError:
            return False
        return not self._closed

    async def follow(self, entity: str, past: Callable[[], AsyncIterator[BlockEvents]] | None = None) -> AsyncIterator[EventRecord]:
        """Events of every block that is published from the first step of this iterator on; before them those of `past`, which it asks for then."""
        reader = _Reader()
        self._readers.add(reader)
        after = -1
        try:
            if past is not None:
                async for block in past():
                    after = block.height
                    for record in block.visible_to(entity):
                        yield record
            while not self._closed:
                await reader.wake.wait()
                reader.wake.clear()
                blocks, reader.blocks = reader.blocks, []
                for block in blocks:
                    if block.height > after:
                        for record in block.visible_to(entity):
                            yield record
                if reader.overrun:
                    raise ServiceRefusal("you read more slowly than blocks are made: subscribe again from the last height you have", code="overloaded")
        finally:
            self._readers.discard(reader)

    def close(self) -> None:
        """End all readers and waits: the node stops."""
        self._closed = True
        self._block.set()
        for reader in self._readers:
            reader.wake.set()
