"""HTTP to one of several nodes: the next is asked where one can't be reached. Problem details become `NodeRefusal`."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from carbonnode.errors import ConfigError, RemoteError

T = TypeVar("T")
JSON, MSGPACK = "application/json", "application/msgpack"


class NodeRefusal(RemoteError):
    """A node answered with problem details; `code` is its stable code, `status` the HTTP status."""

    def __init__(self, message: str, *, code: str, status: int) -> None:
        super().__init__(message, code=code)
        self.status = status


class _Problem(msgspec.Struct, frozen=True):
    detail: str = ""
    code: str = "error"


def check_url(url: str) -> str:
    """A node's base URL without a trailing slash. Raises `ConfigError`."""
    cleaned = url.strip().rstrip("/")
    if not cleaned.startswith(("http://", "https://")) or len(cleaned) <= len("https://"):
        raise ConfigError(f"{url!r} is no node address: give one such as http://127.0.0.1:27001")
    return cleaned


class Transport:
    """A keep-alive HTTP client over the base URLs of nodes that serve one chain."""

    def __init__(self, urls: Sequence[str], *, timeout_s: float, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if not urls:
            raise ConfigError("no node address is given: pass --node URL or set CARBONNODE_NODE")
        self._urls = [check_url(url) for url in urls]
        self._current = 0
        # Environment proxies are for the outside world, not for a node on this machine.
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 3.0)), trust_env=False, transport=transport)

    @property
    def url(self) -> str:
        """The base URL that is asked first."""
        return self._urls[self._current]

    def rotate(self) -> None:
        """Ask the next node first from now on."""
        self._current = (self._current + 1) % len(self._urls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def fetch(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        extra_wait_s: float = 0,
    ) -> bytes:
        """The body of a successful answer. Every request of this API may be sent twice, so it is repeated at the next node on a broken link.

        Raises `NodeRefusal` with the node's code, `RemoteError` (`unreachable`, `malformed`).
        """
        failures = []
        for _ in self._urls:
            base = self.url
            timeout = httpx.Timeout(self._http.timeout.read + extra_wait_s if self._http.timeout.read else None, connect=self._http.timeout.connect)
            try:
                answer = await self._http.request(method, base + path, params=params, content=content, headers=headers, timeout=timeout)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                failures.append(f"{base} ({type(error).__name__}{': ' + str(error) if str(error) else ''})")
                self.rotate()
                continue
            if answer.is_success:
                return answer.content
            raise self._refusal(answer, base)
        raise RemoteError(f"no node answers at {', '.join(failures)}: start it, or name another with --node or CARBONNODE_NODE", code="unreachable")

    @staticmethod
    def _refusal(answer: httpx.Response, base: str) -> RemoteError:
        try:
            problem = msgspec.json.decode(answer.content, type=_Problem)
        except msgspec.DecodeError:
            return RemoteError(f"{base} answered {answer.status_code} without problem details: is it a carbonnode node?", code="malformed")
        return NodeRefusal(problem.detail or f"{base} answered {answer.status_code}", code=problem.code, status=answer.status_code)

    async def get(self, path: str, kind: type[T], **options: Any) -> T:
        """A JSON answer of the documented shape."""
        return decode(await self.fetch("GET", path, **options), kind)

    async def post(self, path: str, body: object, kind: type[T], headers: Mapping[str, str] | None = None, extra_wait_s: float = 0) -> T:
        """A JSON question and answer."""
        sent = {"content-type": JSON, **(headers or {})}
        return decode(await self.fetch("POST", path, content=msgspec.json.encode(body), headers=sent, extra_wait_s=extra_wait_s), kind)

    async def post_packed(self, path: str, content: bytes, kind: type[T]) -> T:
        """A MessagePack question and answer."""
        data = await self.fetch("POST", path, content=content, headers={"content-type": MSGPACK, "accept": MSGPACK})
        return decode(data, kind, packed=True)


def decode(data: bytes, kind: type[T], *, packed: bool = False) -> T:
    """An answer's body. Raises `RemoteError` (`malformed`)."""
    try:
        return msgspec.msgpack.decode(data, type=kind) if packed else msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise RemoteError(f"the node's answer isn't of the documented form: {error}: is it a carbonnode node of this release?", code="malformed") from None
