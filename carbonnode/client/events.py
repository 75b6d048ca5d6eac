"""Following a node's events over WebSocket (the conversation is described in `api/event_routes.py`)."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from carbonnode.chain.request import hello_bytes
from carbonnode.chain.signing import Signer
from carbonnode.client.transport import decode
from carbonnode.client.types import EventInfo
from carbonnode.errors import RemoteError

MAX_MESSAGE_BYTES = 256 * 1024
OPEN_TIMEOUT_S = 10.0


async def follow(url: str, *, first_height: int | None, signer: Signer | None, chain_id: bytes, time_ms: int) -> AsyncIterator[EventInfo]:
    """Events of the node at `url` until the reader stops. With a signer also those addressed to its entity.

    Raises `RemoteError`: the node's code, or `unreachable` when the link can't be made or ends.
    """
    # Imported here: most commands never follow events, and this costs them 90 ms.
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    base = "ws" + url.removeprefix("http")
    query = "hello=1" if signer is not None else ("" if first_height is None else f"first_height={first_height}")
    try:
        async with connect(f"{base}/v1/events?{query}", max_size=MAX_MESSAGE_BYTES, open_timeout=OPEN_TIMEOUT_S, proxy=None) as socket:
            welcome = _message(await socket.recv())
            if signer is not None:
                hello = _hello(signer, chain_id, bytes.fromhex(welcome["challenge"]), time_ms, first_height)
                await socket.send(msgspec.json.encode(hello).decode())
            async for text in socket:
                message = _message(text)
                if message["type"] == "event":
                    yield msgspec.convert(message, EventInfo)
    except (OSError, WebSocketException) as error:
        raise RemoteError(f"no event stream from {url}: {error}: start the node, or name another", code="unreachable") from None
    raise RemoteError(f"{url} closed the event stream: ask again from the last height, or another node", code="unreachable")


def _hello(signer: Signer, chain_id: bytes, challenge: bytes, time_ms: int, first_height: int | None) -> dict[str, Any]:
    signature = signer.sign(hello_bytes(chain_id, signer.public_key, time_ms, challenge))
    return {"type": "hello", "sender": signer.public_key.hex(), "time_ms": time_ms, "signature": signature.hex(), "first_height": first_height}


def _message(text: str | bytes) -> dict[str, Any]:
    message = decode(text.encode() if isinstance(text, str) else text, dict[str, Any])
    if message.get("type") == "problem":
        problem = message.get("problem", {})
        raise RemoteError(str(problem.get("detail", "")), code=str(problem.get("code", "error")))
    return message
