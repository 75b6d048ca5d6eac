"""Who comes in and how a dial ends: connections become proven links here, or are refused by name."""

import secrets

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.stream.net_stream import NetStream
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

from carbonnode.errors import PeerViolation
from carbonnode.network.handshake import HANDSHAKE_CAPS, NONCE_BYTES, Handshake, RefusedByPeer, refusal_frame
from carbonnode.network.link import Link
from carbonnode.network.peer import RefusalCode, transport_key_of
from carbonnode.network.shared import Bridge, LinkHandle, StreamId
from carbonnode.network.switchboard import Switchboard
from carbonnode.network.wire import Frame, FrameKind, FrameParser, encode_frame

PROTOCOLS = ("/carbonnode/link/1", "/carbonnode/bulk/1", "/carbonnode/sync/1")
"""By `StreamId`; the first one carries the handshake, then the consensus frames."""

REFUSAL_LINGER_S = 2.0
READ_BYTES = 64 * 1024


class _Arrival:
    """What is known of a connection until it is a link: its streams as they come in."""

    def __init__(self) -> None:
        self.streams: dict[StreamId, NetStream] = {}
        self.complete = trio.Event()
        self.settled = trio.Event()
        """Set when the connection is a link or has been refused."""
        self.ended = trio.Event()

    def add(self, stream_id: StreamId, stream: NetStream) -> bool:
        """Register a stream; False if there is one of its kind already."""
        if stream_id in self.streams:
            return False
        self.streams[stream_id] = stream
        if len(self.streams) == len(StreamId):
            self.complete.set()
        return True


class Doorman:
    """Runs handshakes on both sides, in the network's thread."""

    def __init__(self, host: BasicHost, closing: trio.Nursery, board: Switchboard, bridge: Bridge) -> None:
        self._host = host
        self._closing = closing
        self._board = board
        self._bridge = bridge
        self._arrivals: dict[int, _Arrival] = {}

    # -- inbound -------------------------------------------------------------------------------------------------------------------------

    def arrival(self, muxed_conn: object) -> _Arrival:
        """The record of a connection, made when first seen."""
        return self._arrivals.setdefault(id(muxed_conn), _Arrival())

    def forget(self, muxed_conn: object) -> None:
        """The connection is gone."""
        arrival = self._arrivals.pop(id(muxed_conn), None)
        if arrival is not None:
            arrival.settled.set()
            arrival.ended.set()

    async def on_stream(self, stream_id: StreamId, stream: NetStream) -> None:
        """A peer opened one of our streams. An exception out of here would stop the swarm, so each ends in a closed connection."""
        if stream.muxed_conn.is_closed:
            return  # it was negotiated for longer than its connection lived: nobody would forget the record again
        arrival = self.arrival(stream.muxed_conn)
        if not arrival.add(stream_id, stream):
            self.close_soon(stream.swarm_conn)
        elif stream_id is StreamId.CONSENSUS:
            try:
                await self._welcome(stream, arrival)
            finally:
                arrival.settled.set()
                arrival.ended.set()
                self.close_soon(stream.swarm_conn)
        else:
            await arrival.ended.wait()

    async def _welcome(self, stream: NetStream, arrival: _Arrival) -> None:
        address = remote_address(stream)
        key = peer_key(stream)
        try:
            if key is None:
                raise PeerViolation("the libp2p key isn't an Ed25519 key: members use Ed25519", code=RefusalCode.NOT_A_MEMBER)
            link = await self._prove(stream, key, arrival, address)
        except PeerViolation as violation:
            self._board.refused(key, address, violation, inbound=True)
            await send_refusal(stream, violation)
        except RefusedByPeer as refused:
            self._board.refused_by_peer(address, refused.refusal)
        except BaseLibp2pError:
            self._board.counters.upgrades_failed += 1
        else:
            arrival.settled.set()
            await link.run((FrameKind.WELCOME, b""))

    async def _prove(self, stream: NetStream, key: bytes, arrival: _Arrival, address: str) -> Link:
        within_ms = self._board.config.handshake_timeout_ms
        with trio.move_on_after(within_ms / 1000):
            handshake, parser = await self._greet(stream, key, outbound=False)
            await arrival.complete.wait()
            link = self._make_link(handshake, parser, arrival.streams, address, outbound=False)
            self._board.admit(link)
            return link
        raise PeerViolation(f"no valid certificate was presented within {within_ms} ms: only members may connect", code=RefusalCode.NOT_A_MEMBER)

    # -- outbound ------------------------------------------------------------------------------------------------------------------------

    async def connect(self, conn: SwarmConn, expected_name: str) -> Link:
        """Make a link of a dialled connection. Raises `PeerViolation`, `RefusedByPeer` or one of libp2p's errors."""
        streams: dict[StreamId, NetStream] = {}
        for stream_id in StreamId:
            stream = await conn.new_stream()
            await self._host.multiselect_client.select_one_of([PROTOCOLS[stream_id]], MultiselectCommunicator(stream))
            streams[stream_id] = stream
        stream = streams[StreamId.CONSENSUS]
        address = remote_address(stream)
        key = peer_key(stream)
        try:
            if key is None:
                raise PeerViolation("the libp2p key isn't an Ed25519 key", code=RefusalCode.NOT_A_MEMBER)
            handshake, parser = await self._greet(stream, key, outbound=True, expected_name=expected_name)
            link = self._make_link(handshake, parser, streams, address, outbound=True)
            self._board.admit(link)
        except PeerViolation as violation:
            self._board.refused(key, address, violation, inbound=False)
            await send_refusal(stream, violation)
            raise
        except RefusedByPeer as refused:
            self._board.refused_by_peer(address, refused.refusal)
            raise
        return link

    # -- both ----------------------------------------------------------------------------------------------------------------------------

    async def _greet(self, stream: NetStream, key: bytes, *, outbound: bool, expected_name: str = "") -> tuple[Handshake, FrameParser]:
        handshake = Handshake(self._board.own_side, key, self._board.verify, secrets.token_bytes(NONCE_BYTES), outbound=outbound, expected_name=expected_name)
        parser = FrameParser(HANDSHAKE_CAPS)
        await _send(stream, handshake.begin())
        data = b""
        while not handshake.done:
            frames = parser.feed(data, only_one=True)
            data = b""
            if frames:
                await _send(stream, handshake.receive(*frames[0]))
            else:
                data = await read_some(stream)
        return handshake, parser

    def _make_link(self, handshake: Handshake, parser: FrameParser, streams: dict[StreamId, NetStream], address: str, *, outbound: bool) -> Link:
        if handshake.identity is None:
            raise AssertionError("a finished handshake has an identity")
        handle = LinkHandle(handshake.identity, address, outbound, self._board.now_ms(), _nothing)
        link = Link(
            handle,
            (streams[StreamId.CONSENSUS], streams[StreamId.BULK], streams[StreamId.SYNC]),
            parser,
            instance=handshake.instance,
            credential=handshake.credential,
            board=self._board,
            bridge=self._bridge,
        )
        handle.wake = link.wake
        return link

    def close_soon(self, conn: SwarmConn | None) -> None:
        """Close a connection without waiting for it: libp2p sleeps in there."""
        if conn is not None:
            self._closing.start_soon(close_connection, conn)


def _nothing() -> None:
    """Placeholder of a wake-up until the link exists."""


def peer_key(stream: NetStream) -> bytes | None:
    """The Ed25519 key that noise authenticated; None for another kind of key."""
    return transport_key_of(stream.muxed_conn.peer_id.to_bytes())


def remote_address(stream: NetStream) -> str:
    """host:port of the other side, for logs."""
    address = stream.get_remote_address()
    return "unknown" if address is None else f"{address[0]}:{address[1]}"


async def close_connection(conn: SwarmConn) -> None:
    """Close a connection; libp2p sleeps in there, so nobody waits for it, and leaves the socket open when it is cancelled."""
    try:
        with trio.move_on_after(5):
            await conn.close()
    finally:
        conn.muxed_conn.secured_conn.abort()


async def send_refusal(stream: NetStream, violation: PeerViolation) -> None:
    """Tell the other side why, and give it a moment to read that before the connection closes."""
    with trio.move_on_after(REFUSAL_LINGER_S):
        try:
            await _send(stream, [refusal_frame(violation.code, str(violation))])
            await stream.close_write()
            while True:
                await read_some(stream)
        except BaseLibp2pError:
            return  # it has read the refusal and hung up, or hung up at once


async def read_some(stream: NetStream) -> bytes:
    """At least one byte; raises `StreamError` when there are no more."""
    data: bytes = await stream.read(READ_BYTES)
    if not data:
        raise StreamEOF
    return data


async def _send(stream: NetStream, frames: list[Frame]) -> None:
    if frames:
        await stream.write(b"".join(encode_frame(kind, payload) for kind, payload in frames))
