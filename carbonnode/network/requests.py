"""Requests and answers over the sync stream: numbers, time-outs, and the work done for others."""

import asyncio
from collections.abc import Callable
from struct import Struct

import msgspec

from carbonnode.errors import CarbonnodeError, RemoteError
from carbonnode.network.config import Limits
from carbonnode.network.handler import RequestHandler
from carbonnode.network.metrics import NetworkCounters
from carbonnode.network.shared import LinkHandle
from carbonnode.network.wire import FrameKind

_REQUEST = Struct("!IH")
_NUMBER = Struct("!I")
REQUEST_OVERHEAD = _REQUEST.size
RESPONSE_OVERHEAD = _NUMBER.size
FAILURE_BYTES = 4096
_MAX_KIND = 2**16 - 1

Reply = Callable[[LinkHandle, int, bytes], None]


class Failure(msgspec.Struct, frozen=True):
    """Why a request wasn't answered."""

    code: str
    message: str


class RequestDesk:
    """Open requests of ours, and running requests of others; everything on the loop's thread."""

    def __init__(self, limits: Limits, counters: NetworkCounters) -> None:
        self.handler: RequestHandler | None = None
        self._limits = limits
        self._counters = counters
        self._next = 0
        self._open: dict[int, tuple[str, asyncio.Future[bytes]]] = {}
        self._running: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, peer_name: str, kind: int, payload: bytes) -> tuple[bytes, int]:
        """Register a request; returns its frame payload and its number."""
        if not 0 <= kind <= _MAX_KIND:
            raise ValueError(f"request kind {kind} is outside 0..{_MAX_KIND}")
        number = self._next = (self._next + 1) % 2**32
        self._open[number] = (peer_name, asyncio.get_running_loop().create_future())
        self._counters.requests_out += 1
        return _REQUEST.pack(number, kind) + payload, number

    async def wait(self, number: int, timeout: float) -> bytes:  # noqa: ASYNC109 - it bounds the peer's answer
        """The answer to request `number`; raises `RemoteError` otherwise."""
        peer_name, answer = self._open[number]
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError:
            self._counters.requests_failed += 1
            raise RemoteError(f"{peer_name} didn't answer within {timeout:g} s: ask another peer", code="timeout") from None
        finally:
            self._open.pop(number, None)

    def fail(self, number: int, code: str, message: str) -> None:
        """End one open request without an answer."""
        entry = self._open.get(number)
        if entry is not None and not entry[1].done():
            self._counters.requests_failed += 1
            entry[1].set_exception(RemoteError(message, code=code))

    def fail_peer(self, peer_name: str, why: str) -> None:
        """The link is gone: its open requests fail with `closed`, and work for the peer is dropped when it ends."""
        for number, (name, _) in list(self._open.items()):
            if name == peer_name:
                self.fail(number, "closed", f"request to {peer_name} failed: {why}")

    async def stop(self) -> None:
        """Fail what is open and cancel what runs."""
        for number, (name, _) in list(self._open.items()):
            self.fail(number, "closed", f"request to {name} failed: this node stops")
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def take(self, link: LinkHandle, kind: int, payload: bytes, reply: Reply) -> None:
        """A frame of the sync stream; its form was checked by the network's thread (`well_formed`)."""
        if kind == FrameKind.REQUEST:
            self._serve(link, payload, reply)
            return
        (number,) = _NUMBER.unpack_from(payload)
        entry = self._open.get(number)
        if entry is None or entry[0] != link.identity.name or entry[1].done():
            return  # the answer to a request that timed out
        if kind == FrameKind.RESPONSE:
            entry[1].set_result(payload[RESPONSE_OVERHEAD:])
            return
        try:
            failure = msgspec.json.decode(payload[RESPONSE_OVERHEAD:], type=Failure)
        except msgspec.DecodeError:
            failure = Failure(code="remote", message="the peer sent an unreadable failure")
        self.fail(number, failure.code, f"{link.identity.name}: {failure.message}")

    def _serve(self, link: LinkHandle, payload: bytes, reply: Reply) -> None:
        number, kind = _REQUEST.unpack_from(payload)
        self._counters.requests_in += 1
        name = link.identity.name
        if self.handler is None or self._running.get(name, 0) >= self._limits.max_requests_in_flight:
            code = "busy" if self.handler is not None else "not-served"
            self._reply_failure(link, number, code, "too many requests at a time: wait for answers", reply)
            return
        self._running[name] = self._running.get(name, 0) + 1
        task = asyncio.get_running_loop().create_task(self._answer(link, number, kind, payload[REQUEST_OVERHEAD:], reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, link: LinkHandle, number: int, kind: int, payload: bytes, reply: Reply) -> None:
        name = link.identity.name
        handler = self.handler
        try:
            if handler is None:
                raise RemoteError("this node serves no requests now", code="not-served")
            answer = await handler(link.identity, kind, payload)
            if len(answer) > self._limits.max_response_bytes:
                raise RemoteError(f"the answer has {len(answer)} bytes, {self._limits.max_response_bytes} are admitted: ask for less", code="too-large")
        except CarbonnodeError as error:
            self._reply_failure(link, number, error.code, str(error), reply)
        except Exception as error:
            self._reply_failure(link, number, "internal", f"the request failed at the peer ({type(error).__name__})", reply)
            raise
        else:
            reply(link, FrameKind.RESPONSE, _NUMBER.pack(number) + answer)
        finally:
            left = self._running.get(name, 1) - 1
            if left > 0:
                self._running[name] = left
            else:
                self._running.pop(name, None)

    def _reply_failure(self, link: LinkHandle, number: int, code: str, message: str, reply: Reply) -> None:
        body = msgspec.json.encode(Failure(code=code, message=message[: FAILURE_BYTES // 8]))
        reply(link, FrameKind.FAILURE, _NUMBER.pack(number) + body)


def well_formed(kind: int, payload: bytes) -> bool:
    """Whether a sync frame is long enough to hold its number."""
    return len(payload) >= (REQUEST_OVERHEAD if kind == FrameKind.REQUEST else RESPONSE_OVERHEAD)
