"""What the daemon gives to the network: a handler of its events, all called on the asyncio loop, in order."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from carbonnode.network.peer import Channel, PeerIdentity, Refusal

VerifyPeer = Callable[[bytes, bytes], PeerIdentity]
"""`verify(credential, transport_key)`: whom the credential proves to be behind the key.

Called in the network's thread: it must be quick, thread-safe and without IO. Raises `PeerViolation` with the refusal's `code`.
"""

RequestHandler = Callable[[PeerIdentity, int, bytes], Awaitable[bytes]]
"""`handle(peer, kind, payload)` on the asyncio loop; a raised `CarbonnodeError` travels back as its code and message."""


class NetworkHandler(Protocol):
    """Receives everything; none of these may block."""

    def on_frames(self, peer: PeerIdentity, channel: Channel, frames: list[bytes]) -> None:
        """All frames of one read, oldest first."""
        ...

    def on_peer_up(self, peer: PeerIdentity) -> None:
        """A link to a verified peer is usable. A link that replaces another one isn't announced again."""
        ...

    def on_peer_down(self, peer: PeerIdentity, reason: str) -> None:
        """The link is gone (`CloseReason`). `closed` plus a refused redial within 200 ms is what suspicion of a dead primary waits for."""
        ...

    def on_redial(self, name: str, outcome: str) -> None:
        """An attempt to dial the configured peer `name` failed: `refused` (nobody listens), `timeout`, `unreachable` or a refusal code."""
        ...

    def on_refused(self, address: str, refusal: Refusal, inbound: bool) -> None:
        """We refused the side at `address` (inbound) or it refused us."""
        ...
