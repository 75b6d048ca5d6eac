"""Events: a bounded page over HTTP, and a stream over WebSocket.

The stream's conversation, all JSON texts:

- The server opens with `{"type": "welcome", "chain_id", "challenge", "height"}`.
- Without `hello=1` in the URL it streams public events at once, from `first_height` if the URL names one, else from now.
- With `hello=1` it waits for `{"type": "hello", "sender", "time_ms", "signature", "first_height"?}`, a signature over `chain.request.hello_bytes`
  with this connection's challenge, answers `{"type": "ready", "entity"}`, and streams public events and those of the sender's entity.
- Events are `{"type": "event", "height", "time_ms", "index", "event"}`; an error is `{"type": "problem", "problem": RFC 9457}` and ends the stream.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from litestar import WebSocket, get, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect, WebSocketException
from litestar.params import QueryParameter

from carbonnode.api.context import ApiContext, context_of
from carbonnode.api.node_routes import Height
from carbonnode.api.problems import describe
from carbonnode.api.schemas import EventRecordView
from carbonnode.chain.request import Credentials, hello_bytes
from carbonnode.chain.service import EventRecord, ServiceRefusal
from carbonnode.errors import CarbonnodeError

HELLO_TIMEOUT_S = 10.0
MAX_SUBSCRIBERS = 64
MAX_PAGE_BLOCKS = 1_000
POLICY_VIOLATION, TRY_AGAIN_LATER = 1008, 1013


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The client's first message on a private stream."""

    type: str
    sender: str
    time_ms: int
    signature: str
    first_height: int | None = None


@get("/v1/events/page", summary="Public events of a range of heights", tags=["events"])
async def event_page(state: State, first: Height, count: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_BLOCKS)] = 100) -> list[EventRecordView]:
    """Certified public events of the heights `first` to `first + count - 1`, in order. For live and private ones use the WebSocket."""
    records = await context_of(state).service.events("", first, first + count - 1)
    return [EventRecordView.of(record) for record in records]


class Streams:
    """Counts the open streams of an application, which are bounded."""

    def __init__(self, limit: int = MAX_SUBSCRIBERS) -> None:
        self._limit = limit
        self._open = 0

    def __enter__(self) -> None:
        if self._open >= self._limit:
            raise ServiceRefusal(f"{self._limit} event streams are open already: close one, or ask another node", code="busy")
        self._open += 1

    def __exit__(self, *_: object) -> None:
        self._open -= 1


@websocket("/v1/events")
async def event_stream(socket: WebSocket[Any, Any, State], state: State) -> None:
    """The stream described above."""
    context = context_of(state)
    await socket.accept()
    code = 1000
    try:
        with state.streams:
            records = await _open(socket, context)
            await _until_closed(socket, _pump(socket, records))
    except WebSocketDisconnect:
        return
    except (CarbonnodeError, WebSocketException, TimeoutError) as error:
        details = describe(error if not isinstance(error, TimeoutError) else ServiceRefusal("no hello came in time", code="timeout"))
        await _say(socket, {"type": "problem", "problem": msgspec.to_builtins(details)})
        code = TRY_AGAIN_LATER if details.status in (429, 503) else POLICY_VIOLATION
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the client may be gone already
        await socket.close(code=code)


async def _open(socket: WebSocket[Any, Any, State], context: ApiContext) -> AsyncIterator[EventRecord]:
    challenge = secrets.token_bytes(32)
    height = (await context.service.status()).height
    await _say(socket, {"type": "welcome", "chain_id": context.service.chain_id.hex(), "challenge": challenge.hex(), "height": height})
    if socket.query_params.get("hello") != "1":
        return context.service.subscribe("", _first_height(socket.query_params.get("first_height")))
    async with asyncio.timeout(HELLO_TIMEOUT_S):
        text = await socket.receive_data(mode="text")
    try:
        hello = msgspec.json.decode(text, type=Hello)
        credentials = Credentials(bytes.fromhex(hello.sender), hello.time_ms, bytes.fromhex(hello.signature))
    except (msgspec.DecodeError, ValueError) as error:
        raise ServiceRefusal(f"not a hello: {error}") from None
    message = hello_bytes(context.service.chain_id, credentials.sender, credentials.time_ms, challenge)
    sender = context.guard.check(credentials, message, context.service.now_ms())
    entity = await context.service.entity_of(sender)
    if not entity:
        raise ServiceRefusal("the key that signed acts for no registered entity: register first, or ask for public events only", code="forbidden")
    await _say(socket, {"type": "ready", "entity": entity})
    return context.service.subscribe(entity, hello.first_height)


def _first_height(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 15:
        raise ServiceRefusal("first_height is a height such as 42")
    return int(text)


async def _pump(socket: WebSocket[Any, Any, State], records: AsyncIterator[EventRecord]) -> None:
    try:
        async for record in records:
            await socket.send_data(msgspec.json.encode(EventRecordView.of(record)).decode(), mode="text")
    finally:
        close = getattr(records, "aclose", None)
        if close is not None:
            await close()


async def _until_closed(socket: WebSocket[Any, Any, State], pump: Any) -> None:
    """Run the pump until it ends or the client goes; what a client says after its hello is read and dropped."""
    sending = asyncio.ensure_future(pump)
    reading = asyncio.ensure_future(_read(socket))
    done, pending = await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


async def _read(socket: WebSocket[Any, Any, State]) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.receive_data(mode="text")


async def _say(socket: WebSocket[Any, Any, State], message: dict[str, Any]) -> None:
    await socket.send_data(msgspec.json.encode(message).decode(), mode="text")


EVENT_ROUTES = [event_page, event_stream]
