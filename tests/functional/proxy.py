"""Faulty links between real nodes, on any machine: a TCP proxy for each dialled link, whose two directions can each be made bad on their own.

A node dials its peers at the proxies' ports instead of the peers' own. What is said from A to B, over whichever link of the two, goes through
`Way(A, B)`: it can be delayed, throttled, or stalled, so that nothing arrives (a partition; bytes are kept, as TCP's retransmission keeps them,
and arrive after healing). `cut` breaks connections and refuses new ones. One thread with its own event loop carries all of it.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self, TypeVar

HOST = "127.0.0.1"
CHUNK = 64 * 1024
MAX_HELD_BYTES = 8 * 1024 * 1024
"""Bytes on their way in one direction of one connection; above it the sender feels the stall."""

T = TypeVar("T")


@dataclass
class Way:
    """What happens to bytes from one node to another. Changed in the proxy's thread only."""

    delay_ms: int = 0
    stalled: bool = False
    bytes_per_s: int = 0
    """0: no limit."""
    cut: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    carried: int = 0


class _Pump:
    """One direction of one connection."""

    def __init__(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._way = way
        self._reader = reader
        self._writer = writer
        self._held: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._moved = asyncio.Event()
        self._ended = False

    async def run(self) -> None:
        """Until either side hangs up, and what was said before that is delivered."""
        taking = asyncio.create_task(self._take())
        try:
            await self._give()
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = await self._reader.read(CHUNK)
                if not data:
                    break
                self._held.append((time.monotonic() + self._way.delay_ms / 1000, data))
                self._size += len(data)
                self._moved.set()
                while self._size > MAX_HELD_BYTES:
                    self._moved.clear()
                    await self._moved.wait()
        self._ended = True
        self._moved.set()

    async def _give(self) -> None:
        way = self._way
        while True:
            if way.stalled:
                way.changed.clear()
                await way.changed.wait()
                continue
            if not self._held:
                if self._ended:
                    return
                self._moved.clear()
                await self._moved.wait()
                continue
            due, data = self._held[0]
            early = due - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
                continue
            self._held.popleft()
            self._size -= len(data)
            self._moved.set()
            if way.bytes_per_s:
                await asyncio.sleep(len(data) / way.bytes_per_s)
            self._writer.write(data)
            way.carried += len(data)
            await self._writer.drain()


class FaultyLinks:
    """All links of a network. Every method may be called from the test's thread; use as a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._ways: dict[tuple[str, str], Way] = {}
        self._servers: list[asyncio.Server] = []
        self._connections: dict[asyncio.Task[None], frozenset[str]] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty links", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and the thread."""

        async def end() -> None:
            for server in self._servers:
                server.close()
            for task in list(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def route(self, source: str, target: str, target_port: int, target_host: str = HOST) -> int:
        """The port at which `source` dials `target`."""

        async def listen() -> int:
            self._way(source, target)
            self._way(target, source)
            server = await asyncio.start_server(lambda r, w: self._accept(source, target, (target_host, target_port), r, w), HOST, 0)
            self._servers.append(server)
            return int(server.sockets[0].getsockname()[1])

        return asyncio.run_coroutine_threadsafe(listen(), self._loop).result(10)

    # -- weather ------------------------------------------------------------------------------------------------------------------------

    def delay(self, milliseconds: int, pairs: Iterable[tuple[str, str]] | None = None) -> None:
        """One-way delay of everything said from now on (or only on these directed pairs)."""
        self._change(lambda way: setattr(way, "delay_ms", milliseconds), pairs)

    def throttle(self, bytes_per_s: int, pairs: Iterable[tuple[str, str]]) -> None:
        """So many bytes a second on these directed pairs; 0 lifts the limit."""
        self._change(lambda way: setattr(way, "bytes_per_s", bytes_per_s), pairs)

    def stall(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Nothing arrives on these directed pairs: a one-way partition."""
        self._change(lambda way: setattr(way, "stalled", True), pairs)

    def partition(self, group: Iterable[str]) -> None:
        """Nothing passes between the group and the rest, in either direction."""
        inside = set(group)
        self.stall([pair for pair in self._ways if (pair[0] in inside) != (pair[1] in inside)])

    def break_connections(self, a: str, b: str) -> None:
        """Drop what stands between two nodes; they may connect again."""
        self._run(lambda: self._break(frozenset((a, b))))

    def cut(self, a: str, b: str) -> None:
        """Drop what stands between two nodes, and hang up on every new connection."""
        self._change(lambda way: setattr(way, "cut", True), [(a, b), (b, a)])
        self.break_connections(a, b)

    def heal(self) -> None:
        """All directions are good again; connections stay, and what was held on them arrives."""

        def good(way: Way) -> None:
            way.delay_ms = way.bytes_per_s = 0
            way.stalled = way.cut = False

        self._change(good, None)

    def carried(self, source: str, target: str) -> int:
        """Bytes delivered from one node to another so far."""
        return self._run(lambda: self._ways[source, target].carried)

    # -- in the thread ------------------------------------------------------------------------------------------------------------------

    def _way(self, source: str, target: str) -> Way:
        return self._ways.setdefault((source, target), Way())

    def _change(self, change: Callable[[Way], None], pairs: Iterable[tuple[str, str]] | None) -> None:
        chosen = None if pairs is None else list(pairs)

        def apply() -> None:
            for way in self._ways.values() if chosen is None else [self._ways[pair] for pair in chosen]:
                change(way)
                way.changed.set()

        self._run(apply)

    def _run(self, action: Callable[[], T]) -> T:
        async def act() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    def _break(self, pair: frozenset[str]) -> None:
        for task, names in self._connections.items():
            if names == pair:
                task.cancel()

    async def _accept(self, source: str, target: str, address: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = frozenset((source, target))
        ends = [writer]
        try:
            if not self._ways[source, target].cut:
                with contextlib.suppress(OSError):
                    far_reader, far_writer = await asyncio.open_connection(*address)
                    ends.append(far_writer)
                    await self._carry(_Pump(self._ways[source, target], reader, far_writer), _Pump(self._ways[target, source], far_reader, writer))
        except asyncio.CancelledError:
            pass  # the link was cut: hang up on both
        finally:
            for end in ends:
                end.transport.abort()
            del self._connections[task]

    async def _carry(self, *pumps: _Pump) -> None:
        """Until one direction ends: the other has nobody to talk to then."""
        tasks = [asyncio.create_task(pump.run()) for pump in pumps]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
