"""The network thread's table: who is linked, which of two links to a peer stays, who is banned or blocked. No IO and no clock."""

from collections.abc import Callable
from typing import Protocol

from carbonnode.chain.signing import KeySigner
from carbonnode.errors import PeerViolation
from carbonnode.network.config import NetworkConfig, PeerAddress
from carbonnode.network.handler import VerifyPeer
from carbonnode.network.handshake import OwnSide
from carbonnode.network.metrics import NetworkCounters
from carbonnode.network.peer import CloseReason, PeerIdentity, Refusal, RefusalCode
from carbonnode.network.reception import Reception
from carbonnode.network.shared import Bridge, LinkHandle
from carbonnode.network.standing import VIOLATION_POINTS, Standings

SIMULTANEOUS_MS = 2_000
"""Two links in opposite directions that are younger than this come from both sides dialling at once."""


class LiveLink(Protocol):
    """What the table needs of a link."""

    @property
    def handle(self) -> LinkHandle:
        """The queues, shared with the daemon's thread."""
        ...

    @property
    def instance(self) -> bytes:
        """The peer process."""
        ...

    @property
    def credential(self) -> bytes:
        """What the peer presented."""
        ...

    def close(self, reason: str) -> None:
        """End the link; safe to call twice, the first reason counts."""
        ...


class Switchboard:
    """All methods run in the network's thread once `attach` was called there."""

    def __init__(
        self, config: NetworkConfig, signer: KeySigner, credential: bytes, verify_peer: VerifyPeer, counters: NetworkCounters, reception: Reception
    ) -> None:
        self.config = config
        self.counters = counters
        self.standings = Standings(config.limits.ban_score, config.limits.first_ban_ms, config.limits.ban_ms)
        self.peers: tuple[PeerAddress, ...] = config.peers
        self.dialling: dict[bytes, int] = {}
        """Transport keys of peers that a dial of ours is on its way to, and since when (ms)."""
        self.on_table_change: list[Callable[[], None]] = []
        """Called after a link came or went, and after the configured peers changed."""
        self._signer = signer
        self._credential = credential
        self._verify_peer = verify_peer
        self.reception = reception
        self._blocked: frozenset[str] = frozenset()
        self._links: dict[bytes, LiveLink] = {}
        self._instance = b""
        self._stopping = False
        self._bridge: Bridge | None = None
        self.now_ms: Callable[[], int] = lambda: 0
        self._on_stop: Callable[[], None] = lambda: None

    def attach(self, bridge: Bridge, instance: bytes, now_ms: Callable[[], int], on_stop: Callable[[], None]) -> None:
        """Called once in the network's thread, with its clock (monotonic, ms) and its way to end."""
        self._bridge, self._instance, self.now_ms, self._on_stop = bridge, instance, now_ms, on_stop

    # -- commands of the daemon ----------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Close everything and end the thread."""
        self._stopping = True
        for link in list(self._links.values()):
            link.close(CloseReason.STOPPED)
        self._on_stop()

    def set_blocked(self, names: frozenset[str]) -> None:
        """Refuse these peers, and close their links."""
        self._blocked = names
        for link in list(self._links.values()):
            if link.handle.identity.name in names:
                link.close(CloseReason.BLOCKED)

    def pardon(self, name: str) -> None:
        """Clear the score and ban of a configured or linked peer."""
        keys = [peer.transport_key for peer in self.peers if peer.name == name]
        keys += [key for key, link in self._links.items() if link.handle.identity.name == name]
        for key in keys:
            self.standings.pardon(key)

    def report(self, name: str, points: int, why: str) -> None:
        """The daemon's finding about a linked peer."""
        for key, link in list(self._links.items()):
            if link.handle.identity.name == name:
                self._punish(key, link, points, why)

    def recheck(self) -> None:
        """Verify every credential again."""
        for key, link in list(self._links.items()):
            try:
                self._verify_peer(link.credential, key)
            except PeerViolation as violation:
                self.count_refusal(link.handle.remote, Refusal(violation.code, str(violation)), inbound=True)
                link.close(CloseReason.REVOKED)

    def set_peers(self, peers: tuple[PeerAddress, ...]) -> None:
        """Dial these from now on."""
        self.peers = peers
        self._table_changed()

    def set_credential(self, credential: bytes) -> None:
        """Present this from the next handshake on."""
        self._credential = credential

    @property
    def own_key(self) -> bytes:
        """This node's transport key."""
        return self._signer.public_key

    # -- handshakes ----------------------------------------------------------------------------------------------------------------------

    @property
    def own_side(self) -> OwnSide:
        """What this node presents."""
        return OwnSide(self._signer, self._credential, self.config.chain_id, self.config.node_name, self._instance)

    def verify(self, credential: bytes, transport_key: bytes) -> PeerIdentity:
        """The verdict on a peer: bans and blocks, then the daemon's verifier."""
        if transport_key == self._signer.public_key:
            raise PeerViolation("this node reached itself: remove its own address from its peers", code=RefusalCode.SELF)
        if self.standings.is_banned(transport_key, self.now_ms()):
            raise PeerViolation("this peer is banned for a while after misbehaving: see its operator", code=RefusalCode.BANNED)
        identity = self._verify_peer(credential, transport_key)
        if identity.name in self._blocked:
            raise PeerViolation(f"{identity.name} is blocked by the operator of this node", code=RefusalCode.BLOCKED)
        return identity

    # -- the table -----------------------------------------------------------------------------------------------------------------------

    def is_linked(self, transport_key: bytes) -> bool:
        """Whether a live link to this key exists."""
        return transport_key in self._links

    def admit(self, link: LiveLink) -> None:
        """Put a proven link into the table, in place of an older one to the same peer if there is one.

        Raises `PeerViolation`: `duplicate` if the existing link stays, `too-many-links`, `stopping`, or `banned` since the handshake began.
        """
        handle = link.handle
        key = handle.identity.transport_key
        if self._stopping:
            raise PeerViolation("this node is stopping: try again when it is back", code=RefusalCode.STOPPING)
        if self.standings.is_banned(key, self.now_ms()):
            raise PeerViolation("this peer is banned for a while after misbehaving", code=RefusalCode.BANNED)
        old = self._links.get(key)
        if not handle.outbound and self._is_dialling(key) and self._signer.public_key < key:
            # Refused before either side has sent on it: frames on a link that loses later would be lost with it.
            raise PeerViolation("this node is dialling the same way at this moment, and its key is the lower one", code=RefusalCode.DUPLICATE)
        if old is not None and not self._takes_over(link, old):
            raise PeerViolation("another link between the same two nodes was opened at the same moment and stays", code=RefusalCode.DUPLICATE)
        if old is None and len(self._links) >= self.config.limits.max_links:
            raise PeerViolation(f"all {self.config.limits.max_links} links are taken: try later", code=RefusalCode.TOO_MANY_LINKS)
        self._links[key] = link
        self.counters.links = len(self._links)
        if old is None:
            self._tell(self.reception.link_up, handle, None)
        elif old.instance == link.instance:
            handle.outboxes = old.handle.outboxes
            old.handle.successor = handle
            self._tell(self.reception.link_up, handle, old.handle)
            old.close(CloseReason.REPLACED)
        else:  # what waited was for a process that is gone, and the new one knows nothing of what the old one was told
            self._tell(self.reception.link_down, old.handle, CloseReason.RESTARTED)
            self._tell(self.reception.link_up, handle, None)
            old.close(CloseReason.RESTARTED)
        self._table_changed()

    def _is_dialling(self, key: bytes) -> bool:
        """Whether a dial of ours may still come to an end: one that hangs beyond its time-out keeps nobody out."""
        since = self.dialling.get(key)
        return since is not None and self.now_ms() - since < self.config.dial_timeout_ms

    def _takes_over(self, new: LiveLink, old: LiveLink) -> bool:
        if new.instance != old.instance or new.handle.outbound == old.handle.outbound:
            return True
        if self.now_ms() - old.handle.since_ms >= SIMULTANEOUS_MS:
            return True
        we_are_lower = self._signer.public_key < new.handle.identity.transport_key
        return new.handle.outbound == we_are_lower

    def remove(self, link: LiveLink, reason: str) -> None:
        """A link has ended; its place may have been taken by another one already."""
        self.counters.closed[reason] = self.counters.closed.get(reason, 0) + 1
        key = link.handle.identity.transport_key
        if self._links.get(key) is not link:
            return
        del self._links[key]
        self.counters.links = len(self._links)
        self._tell(self.reception.link_down, link.handle, reason)
        self._table_changed()

    def violated(self, link: LiveLink, violation: PeerViolation) -> None:
        """A linked peer broke the protocol."""
        self.counters.violations += 1
        key = link.handle.identity.transport_key
        self._punish(key, link, VIOLATION_POINTS.get(violation.code, 100), str(violation))
        link.close(CloseReason.VIOLATION)

    def refused(self, transport_key: bytes | None, address: str, violation: PeerViolation, *, inbound: bool) -> None:
        """We refused the side at `address` in the handshake."""
        self.count_refusal(address, Refusal(violation.code, str(violation)), inbound=inbound)
        points = VIOLATION_POINTS.get(violation.code, 0)
        if transport_key is not None and points and self.standings.add(transport_key, points, self.now_ms()):
            self.counters.bans += 1

    def count_refusal(self, address: str, refusal: Refusal, *, inbound: bool) -> None:
        """Count a refusal by its code, and tell the daemon."""
        self.counters.refused[refusal.code] = self.counters.refused.get(refusal.code, 0) + 1
        if refusal.code != RefusalCode.DUPLICATE:  # both sides dialled at once: nobody is at fault
            self._tell(self.reception.refused, address, refusal, inbound)

    def refused_by_peer(self, address: str, refusal: Refusal) -> None:
        """The side at `address` refused us."""
        if refusal.code == RefusalCode.DUPLICATE:
            return
        self.counters.refused_by_peer += 1
        self._tell(self.reception.refused, address, refusal, False)

    def called_duplicate(self, name: str, address: str, for_s: float) -> None:
        """A peer without a link to us has called our dials duplicates for longer than two nodes dial at once."""
        text = f"{name} has taken every dial of this node for a duplicate for {for_s:.0f} s, though no link stands: it may be trying in vain to dial this one"
        self._tell(self.reception.refused, address, Refusal(RefusalCode.DUPLICATE, text), False)

    def redial_failed(self, name: str, outcome: str) -> None:
        """A dial of a configured peer failed."""
        self.counters.dials_failed += 1
        self._tell(self.reception.redial, name, outcome)

    def _punish(self, key: bytes, link: LiveLink, points: int, why: str) -> None:
        if self.standings.add(key, points, self.now_ms()):
            self.counters.bans += 1
            self.count_refusal(link.handle.remote, Refusal(RefusalCode.BANNED, why), inbound=not link.handle.outbound)
            link.close(CloseReason.VIOLATION)

    def _table_changed(self) -> None:
        for callback in self.on_table_change:
            callback()

    def _tell(self, job: Callable[..., None], *arguments: object) -> None:
        if self._bridge is not None:
            self._bridge.to_loop(job, *arguments)
