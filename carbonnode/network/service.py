"""The asyncio side of the network: what the daemon holds."""

import asyncio
from collections.abc import Callable, Collection
from threading import Thread
from time import monotonic

from carbonnode.chain.signing import KeySigner
from carbonnode.errors import ConfigError, RemoteError
from carbonnode.network.config import NetworkConfig, PeerAddress
from carbonnode.network.handler import NetworkHandler, RequestHandler, VerifyPeer
from carbonnode.network.hostthread import run_host_thread
from carbonnode.network.metrics import NetworkCounters
from carbonnode.network.peer import Channel, PeerIdentity, PeerStatus
from carbonnode.network.reception import Reception
from carbonnode.network.requests import RequestDesk
from carbonnode.network.shared import Bridge, LinkHandle, StreamId
from carbonnode.network.switchboard import Switchboard
from carbonnode.network.wire import FrameKind

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0


class Network:
    """Links to the other nodes.

    `transport_seed` is the 32-byte seed of this node's libp2p key, `credential` what it presents (a PEM chain), `verify_peer` decides who a
    peer is (see `VerifyPeer`), `handler` receives every event on the loop that called `start`. All methods are for that loop's thread.
    """

    def __init__(self, config: NetworkConfig, transport_seed: bytes, credential: bytes, verify_peer: VerifyPeer, handler: NetworkHandler) -> None:
        config.validate()
        self.config = config
        self.counters = NetworkCounters()
        self.transport_key = KeySigner(transport_seed).public_key
        self._transport_seed = transport_seed
        self._desk = RequestDesk(config.limits, self.counters)
        self._reception = Reception(handler, self._desk, self._put_reply)
        self._links = self._reception.links
        self._switchboard = Switchboard(config, KeySigner(transport_seed), credential, verify_peer, self.counters, self._reception)
        self._blocked: set[str] = set()
        self._bridge: Bridge | None = None
        self._thread: Thread | None = None
        self._ended: asyncio.Future[None] | None = None
        self._address: tuple[str, int] | None = None

    # -- life ---------------------------------------------------------------------------------------------------------------------------

    async def start(self) -> tuple[str, int]:
        """Listen, begin to dial the configured peers, and return (host, port) as bound.

        The first start imports libp2p in the network's thread, which takes seconds. Raises `ConfigError` if the port is busy.
        """
        if self._thread is not None:
            raise ConfigError("the network was started before: make a new Network to start again")
        loop = asyncio.get_running_loop()
        self._bridge = Bridge(loop, lambda error: loop.call_exception_handler({"message": "fault in a network event handler", "exception": error}))
        listening: asyncio.Future[tuple[str, int]] = loop.create_future()
        self._ended = loop.create_future()
        arguments = (self._transport_seed, self._switchboard, self._bridge, loop, listening, self._ended)
        self._thread = Thread(target=run_host_thread, args=arguments, name="network", daemon=True)
        self._thread.start()
        self._address = await asyncio.wait_for(listening, START_TIMEOUT_S)
        return self._address

    def on_fault(self, tell: Callable[[BaseException], None]) -> None:
        """Have `tell` called, on the daemon's loop, if the network's thread dies by itself: the node is deaf then. Call it after `start`."""
        assert self._ended is not None, "the network was never started"

        def ended(future: "asyncio.Future[None]") -> None:
            fault = None if future.cancelled() else future.exception()
            if fault is not None:
                tell(fault)

        self._ended.add_done_callback(ended)

    async def stop(self) -> None:
        """Close all links and the host; waits for the thread. Pending requests fail. Safe to call twice."""
        if self._thread is None or self._bridge is None or self._ended is None:
            return
        self._bridge.to_trio(self._switchboard.stop)
        await asyncio.wait_for(asyncio.shield(self._ended), STOP_TIMEOUT_S)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join, STOP_TIMEOUT_S)
        await self._desk.stop()

    # -- sending ------------------------------------------------------------------------------------------------------------------------

    def send(self, peer_name: str, channel: Channel, frame: bytes) -> bool:
        """Queue `frame` for a peer. False, and counted, if there is no link, its queue is full, or the frame exceeds the limit."""
        return self._put(self._links.get(peer_name), StreamId(channel), FrameKind.DATA, frame)

    def broadcast(self, channel: Channel, frame: bytes, to: Collection[str] | None = None) -> int:
        """Queue `frame` for the named peers, or for all links; returns how many took it."""
        names = self._links.keys() if to is None else to
        stream = StreamId(channel)
        return sum(self._put(self._links.get(name), stream, FrameKind.DATA, frame) for name in names)

    async def request(self, peer_name: str, kind: int, payload: bytes, timeout: float) -> bytes:  # noqa: ASYNC109 - it bounds the peer's answer
        """Ask a peer (`kind` is 0..65535) and wait for its answer at most `timeout` seconds.

        Raises `RemoteError`: `not-connected`, `timeout`, `closed`, `too-large`, `busy`, or the code of the error raised by the peer's handler.
        """
        link = self._links.get(peer_name)
        if link is None:
            raise RemoteError(f"no link to {peer_name}: ask another peer or wait until it is up", code="not-connected")
        if len(payload) > self.config.limits.max_request_bytes:
            raise RemoteError(f"a request of {len(payload)} bytes exceeds {self.config.limits.max_request_bytes}: split it", code="too-large")
        frame, number = self._desk.open(peer_name, kind, payload)
        if not self._put(link, StreamId.SYNC, FrameKind.REQUEST, frame):
            self._desk.fail(number, "busy", f"too much waits to be sent to {peer_name} already: try again later")
        return await self._desk.wait(number, timeout)

    def set_request_handler(self, handler: RequestHandler) -> None:
        """Who answers other nodes' requests."""
        self._desk.handler = handler

    def _put(self, link: LinkHandle | None, stream: StreamId, kind: FrameKind, payload: bytes) -> bool:
        if link is None or self._bridge is None:
            self.counters.frames_dropped += 1
            return False
        limits = self.config.limits
        outbox = link.outboxes[stream]
        oversized = stream is not StreamId.SYNC and len(payload) > limits.max_frame_bytes
        if oversized or outbox.waiting_bytes + len(payload) > limits.max_queue_bytes:
            self.counters.frames_dropped += 1
            return False
        outbox.put(kind, payload)
        self._bridge.to_trio(link.rouse)
        return True

    def _put_reply(self, link: LinkHandle, kind: int, payload: bytes) -> None:
        # A dropped answer runs into the asking side's time-out; it was counted as dropped here.
        self._put(link, StreamId.SYNC, FrameKind(kind), payload)

    # -- peers --------------------------------------------------------------------------------------------------------------------------

    @property
    def address(self) -> tuple[str, int] | None:
        """Where this node listens; None before `start`."""
        return self._address

    def connected(self) -> list[PeerIdentity]:
        """Identities behind the live links."""
        return [link.identity for link in self._links.values()]

    def is_connected(self, peer_name: str) -> bool:
        """Whether a link to the peer is up."""
        return peer_name in self._links

    def queued_bytes(self, peer_name: str, channel: Channel) -> int:
        """Bytes that wait to be written to a peer; 0 without a link. Senders of bulk data hold back on it."""
        link = self._links.get(peer_name)
        return 0 if link is None else link.outboxes[StreamId(channel)].waiting_bytes

    def peers(self) -> list[PeerStatus]:
        """One row per live link and per configured peer without one, by name."""
        rows = [self._row(link) for link in self._links.values()]
        rows += [self._absent(peer) for peer in self.config.peers if peer.name not in self._links]
        return sorted(rows, key=lambda row: row.name)

    def _absent(self, peer: PeerAddress) -> PeerStatus:
        return PeerStatus(
            name=peer.name,
            transport_key=peer.transport_key,
            address=f"{peer.host}:{peer.port}",
            blocked=peer.name in self._blocked,
            last_error=self._reception.last_error.get(peer.name, ""),
        )

    def _row(self, link: LinkHandle) -> PeerStatus:
        who = link.identity
        return PeerStatus(
            name=who.name,
            organisation=who.organisation,
            role=who.role,
            transport_key=who.transport_key,
            connected=True,
            address=link.remote,
            outbound=link.outbound,
            rtt_ms=link.rtt_ms,
            connected_ms=int(monotonic() * 1000) - link.since_ms,
            frames_in=link.frames_in,
            frames_out=link.frames_out,
            bytes_in=link.bytes_in,
            bytes_out=link.bytes_out,
            queued_bytes=sum(box.waiting_bytes for box in link.outboxes),
            score=self._switchboard.standings.score(who.transport_key),
        )

    def block(self, peer_name: str) -> None:
        """Close the link to a peer, and refuse it until `unblock`."""
        self._blocked.add(peer_name)
        self._to_trio(self._switchboard.set_blocked, frozenset(self._blocked))

    def unblock(self, peer_name: str) -> None:
        """Let a blocked or banned peer in again."""
        self._blocked.discard(peer_name)
        self._to_trio(self._switchboard.set_blocked, frozenset(self._blocked))
        self._to_trio(self._switchboard.pardon, peer_name)

    def report(self, peer_name: str, points: int, why: str) -> None:
        """The daemon found a fault of the peer (bad signature, foreign chain id, ...): `points` of its 100; at 100 it is dropped and banned."""
        self._to_trio(self._switchboard.report, peer_name, points, why)

    def recheck(self) -> None:
        """Verify every live link's credential again, after a revocation or a governance change; who fails is closed as `revoked`."""
        self._to_trio(self._switchboard.recheck)

    def set_peers(self, config: NetworkConfig) -> None:
        """Replace the configured peers (membership changed); other settings of `config` are ignored."""
        config.validate()
        self.config = config
        self._to_trio(self._switchboard.set_peers, config.peers)

    def replace_credential(self, credential: bytes) -> None:
        """Present another certificate from the next handshake on (renewal without restart)."""
        self._to_trio(self._switchboard.set_credential, credential)

    def _to_trio(self, job: Callable[..., None], *arguments: object) -> None:
        if self._bridge is None:
            raise ConfigError("the network hasn't been started: call start() first")
        self._bridge.to_trio(job, *arguments)
