"""What the route handlers work with: the node's service, the guard of signed requests, and bounded caches. One per application."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec
from litestar import Request, Response
from litestar.datastructures import State

from carbonnode.api.auth import RequestGuard, parse_credentials
from carbonnode.api.market_tape import MarketTape
from carbonnode.api.ports import NodeService
from carbonnode.chain.hashing import HASH_BYTES
from carbonnode.chain.request import read_bytes
from carbonnode.chain.service import ANONYMOUS, ContractAbi, ServiceRefusal

MSGPACK = "application/msgpack"
JSON = "application/json"
ABI_CACHE_MS = 2_000
MAX_CACHED_ABIS = 256
T = TypeVar("T")
MessageOf = Callable[[bytes, int], bytes]
"""(sender key, time in ms) -> the bytes that a signed request covers."""


class ApiContext:
    """State of one API application."""

    def __init__(self, service: NodeService) -> None:
        self.service = service
        self.guard = RequestGuard()
        self.tape = MarketTape(service)
        self._abis: dict[str, tuple[int, ContractAbi]] = {}

    async def abi(self, contract: str) -> ContractAbi:
        """The contract's interface, at most `ABI_CACHE_MS` old: code changes only at epochs. Refuses `not-found`."""
        now = self.service.now_ms()
        cached = self._abis.get(contract)
        if cached is not None and 0 <= now - cached[0] < ABI_CACHE_MS:
            return cached[1]
        abi = await self.service.abi(contract)
        if len(self._abis) >= MAX_CACHED_ABIS:
            self._abis.clear()
        self._abis[contract] = (now, abi)
        return abi

    def sender_of(self, authorization: str | None, message_of: MessageOf) -> bytes:
        """The authenticated key of a request, or `ANONYMOUS` for an unsigned one. Refuses `unauthorized`."""
        credentials = parse_credentials(authorization)
        if credentials is None:
            return ANONYMOUS
        return self.guard.check(credentials, message_of(credentials.sender, credentials.time_ms), self.service.now_ms())

    def reader_of(self, request: "AnyRequest", tx_ids: Sequence[bytes]) -> bytes:
        """The authenticated key of a request to read these transactions, or `ANONYMOUS`."""
        chain_id = self.service.chain_id
        return self.sender_of(request.headers.get("authorization"), lambda sender, time_ms: read_bytes(chain_id, sender, time_ms, tx_ids))


AnyRequest = Request[Any, Any, State]


def context_of(state: State) -> ApiContext:
    """The application's context."""
    return cast(ApiContext, state.context)


def content_type(request: AnyRequest) -> str:
    """The media type of the body, without parameters, lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def decode_body(request: AnyRequest, body: bytes, kind: type[T]) -> T:
    """A body of the documented shape from JSON or MessagePack, by content type. Refuses `bad-request` naming what is wrong."""
    media = content_type(request)
    try:
        if media == JSON:
            return msgspec.json.decode(body, type=kind)
        if media == MSGPACK:
            return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ServiceRefusal(f"the body isn't of the documented form: {error}") from None
    raise unsupported(media)


def unsupported(media: str) -> ServiceRefusal:
    """The refusal of a body in a format that isn't served."""
    return ServiceRefusal(f"content type {media or '(none)'} isn't served here: send {JSON} or {MSGPACK}", code="unsupported-media-type")


def answer(request: AnyRequest, content: T, status_code: int = 200) -> Response[T]:
    """JSON, or MessagePack where the client asks for it."""
    if MSGPACK in request.headers.get("accept", ""):
        return Response(cast(T, msgspec.msgpack.encode(content)), status_code=status_code, media_type=MSGPACK)
    return Response(content, status_code=status_code, media_type=JSON)


def parse_hash(text: str, what: str) -> bytes:
    """A 32-byte hash from hex. Refuses `bad-request` naming `what`."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != HASH_BYTES:
        raise ServiceRefusal(f"{what} {text[:80]!r} isn't {2 * HASH_BYTES} hex digits")
    return value
