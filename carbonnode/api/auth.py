"""Signed requests: `Authorization: Carbonnode <key hex>:<time ms>:<signature hex>` (design, section 8).

A signature is accepted once, within `REQUEST_WINDOW_MS` of the node's clock: what was overheard can't be sent again.
"""

from collections import deque

from carbonnode.chain.request import REQUEST_WINDOW_MS, Credentials, verify_request
from carbonnode.chain.service import ServiceRefusal

SCHEME = "Carbonnode"
MAX_REMEMBERED = 200_000


def _unauthorized(detail: str) -> ServiceRefusal:
    return ServiceRefusal(detail, code="unauthorized")


def parse_credentials(header: str | None) -> Credentials | None:
    """The credentials of an Authorization header, or None without one. Refuses `unauthorized` when it is malformed."""
    if header is None:
        return None
    scheme, _, rest = header.partition(" ")
    parts = rest.strip().split(":")
    if scheme != SCHEME or len(parts) != 3:
        raise _unauthorized(f"Authorization must read: {SCHEME} <key hex>:<time ms>:<signature hex>")
    try:
        sender, signature = bytes.fromhex(parts[0]), bytes.fromhex(parts[2])
        time_ms = int(parts[1]) if parts[1].isdecimal() and len(parts[1]) <= 15 else -1
    except ValueError:
        sender, signature, time_ms = b"", b"", -1
    if len(sender) != 32 or len(signature) != 64 or time_ms < 0:
        raise _unauthorized("Authorization holds a key of 32 bytes and a signature of 64 bytes, both in hex, and a time in ms since the epoch")
    return Credentials(sender, time_ms, signature)


class RequestGuard:
    """Checks signed requests, and remembers accepted signatures while their window lasts (bounded)."""

    def __init__(self, window_ms: int = REQUEST_WINDOW_MS, max_remembered: int = MAX_REMEMBERED) -> None:
        self._window_ms = window_ms
        self._max = max_remembered
        self._seen: set[bytes] = set()
        self._order: deque[tuple[int, bytes]] = deque()

    def check(self, credentials: Credentials, message: bytes, now_ms: int) -> bytes:
        """The authenticated key. Refuses `unauthorized`: outside the window, bad signature, or used before; `busy` when too many were seen."""
        if abs(now_ms - credentials.time_ms) > self._window_ms:
            raise _unauthorized(
                f"the request was signed at {credentials.time_ms} ms, more than {self._window_ms} ms from this node's clock ({now_ms}): "
                "set the clock and sign again"
            )
        self._forget(now_ms)
        if credentials.signature in self._seen:
            raise _unauthorized("this signed request was used before: sign a new one")
        if not verify_request(credentials, message):
            raise _unauthorized("the signature doesn't cover this request for this chain: sign exactly what is asked, with the key that is named")
        if len(self._seen) >= self._max:
            raise ServiceRefusal("too many signed requests within the replay window: try again in a minute", code="busy")
        self._seen.add(credentials.signature)
        self._order.append((now_ms, credentials.signature))
        return credentials.sender

    def _forget(self, now_ms: int) -> None:
        # A signature from the far edge of the window stays usable for twice its length.
        while self._order and now_ms - self._order[0][0] > 2 * self._window_ms:
            self._seen.discard(self._order.popleft()[1])
