"""The network's events, sorted: consensus frames to the intake, transactions to admission, tips noted, requests answered."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from carbonnode.errors import PeerViolation
from carbonnode.network import Channel, PeerIdentity, Refusal
from carbonnode.node.logs import Logger
from carbonnode.node.wire import RequestKind

BAD_FRAME_POINTS = 20

BulkHandler = Callable[[PeerIdentity, bytes], None]
Answer = Callable[[PeerIdentity, bytes], Awaitable[bytes]]


class LinkEvents(Protocol):
    """What a node does about its links."""

    def consensus_frames(self, peer: PeerIdentity, frames: list[bytes]) -> None:
        """Frames on the consensus channel."""
        ...

    def peer_up(self, peer: PeerIdentity) -> None:
        """A link stands."""
        ...

    def peer_down(self, peer: PeerIdentity, reason: str) -> None:
        """A link is gone."""
        ...

    def redial_failed(self, name: str, outcome: str) -> None:
        """A configured peer couldn't be dialled."""
        ...


class Peering:
    """`network.NetworkHandler` of a node."""

    def __init__(self, links: LinkEvents, blame: Callable[[str, int, str], None], log: Logger) -> None:
        self._links = links
        self._blame = blame
        self._log = log
        self.bulk: dict[int, BulkHandler] = {}
        """Handlers by `BulkKind`; a kind that isn't here is the peer's fault."""
        self.answers: dict[int, tuple[frozenset[str], Answer]] = {}
        """By `RequestKind`: roles that may ask, and the handler."""

    def on_frames(self, peer: PeerIdentity, channel: Channel, frames: list[bytes]) -> None:
        """All frames of one read."""
        if channel is Channel.CONSENSUS:
            self._links.consensus_frames(peer, frames)
            return
        for frame in frames:
            handler = self.bulk.get(frame[0]) if frame else None
            if handler is None:
                self._blame(peer.name, BAD_FRAME_POINTS, f"a bulk frame of kind {frame[:1].hex()} isn't admitted here")
                return
            try:
                handler(peer, frame[1:])
            except PeerViolation as error:
                self._blame(peer.name, BAD_FRAME_POINTS, str(error))
                return

    def on_peer_up(self, peer: PeerIdentity) -> None:
        """A link to a verified peer is usable."""
        self._log.info("peer up", peer=peer.name, role=peer.role, organisation=peer.organisation)
        self._links.peer_up(peer)

    def on_peer_down(self, peer: PeerIdentity, reason: str) -> None:
        """The link is gone."""
        self._log.info("peer down", peer=peer.name, reason=reason)
        self._links.peer_down(peer, reason)

    def on_redial(self, name: str, outcome: str) -> None:
        """A dial failed."""
        self._log.debug("dial failed", peer=name, outcome=outcome)
        self._links.redial_failed(name, outcome)

    def on_refused(self, address: str, refusal: Refusal, inbound: bool) -> None:
        """Somebody was refused, or refused us."""
        self._log.warning("refused", address=address, code=refusal.code, message=refusal.message, inbound=inbound)

    async def on_request(self, peer: PeerIdentity, kind: int, payload: bytes) -> bytes:
        """`network.RequestHandler`."""
        known = self.answers.get(kind)
        name = RequestKind(kind).name if kind in RequestKind._value2member_map_ else str(kind)
        if known is None:
            raise PeerViolation(f"this node answers no request of kind {name}", code="unknown-request")
        roles, answer = known
        if peer.role not in roles:
            raise PeerViolation(f"a {peer.role} node may not ask for {name}", code="forbidden")
        return await answer(peer, payload)


