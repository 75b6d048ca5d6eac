"""A libp2p peer that doesn't keep to the protocol: the faults of others, played by the library itself, with none of our host's code around it."""

import secrets
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio
from libp2p import new_host
from libp2p.crypto import ed25519, x25519
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as NoiseTransport

from carbonnode.chain.signing import KeySigner
from carbonnode.network import PeerAddress, peer_id_text
from carbonnode.network.doorman import PROTOCOLS
from carbonnode.network.handshake import HANDSHAKE_CAPS, Handshake, OwnSide, RefusedByPeer
from carbonnode.network.tcp import BufferedTCP
from carbonnode.network.wire import FrameParser, encode_frame
from tests.functional.network_harness import CHAIN, Member


@dataclass
class Bystander:
    """Whom the rogue believes to have met."""

    name: str
    organisation: str
    role: str
    transport_key: bytes


@dataclass
class Rogue:
    """One connection of the rogue, and what came back."""

    host: BasicHost
    conn: SwarmConn
    member: Member
    target: PeerAddress
    streams: list[NetStream] = field(default_factory=list)
    refused: str = ""

    async def open_stream(self, protocol: str) -> NetStream:
        """A stream of one of our protocols (or of another)."""
        stream = await self.conn.new_stream()
        await self.host.multiselect_client.select_one_of([protocol], MultiselectCommunicator(stream))
        return stream

    async def join(self) -> None:
        """Behave: open all streams and go through the handshake; the refusal's code stands in `refused` otherwise."""
        self.streams = [await self.open_stream(protocol) for protocol in PROTOCOLS]
        own = OwnSide(KeySigner(self.member.seed), self.member.credential, CHAIN, self.member.name, secrets.token_bytes(16))
        handshake = Handshake(own, self.target.transport_key, lambda _c, key: Bystander("x", "y", "super", key), secrets.token_bytes(32), outbound=True)
        parser = FrameParser(HANDSHAKE_CAPS)
        stream, data = self.streams[0], b""
        for kind, payload in handshake.begin():
            await stream.write(encode_frame(kind, payload))
        try:
            while not handshake.done:
                frames = parser.feed(data, only_one=True)
                data = b""
                if not frames:
                    data = await stream.read(65_536)
                for frame in frames:
                    for kind, payload in handshake.receive(*frame):
                        await stream.write(encode_frame(kind, payload))
        except RefusedByPeer as refused:
            self.refused = refused.refusal.code

    async def until_closed(self, stream: NetStream) -> bytes:
        """Everything that comes until the other side hangs up."""
        collected = b""
        try:
            while True:
                collected += await stream.read(65_536)
        except BaseLibp2pError:
            return collected


def run_rogue(member: Member, target: PeerAddress, act: Callable[[Rogue], Awaitable[None]]) -> Rogue:
    """Connect to the target and act; blocks, so call it in a thread. Returns the rogue with what it saw."""

    async def main() -> Rogue:
        keys = ed25519.create_new_key_pair(member.seed)
        noise = NoiseTransport(keys, noise_privkey=x25519.create_new_key_pair().private_key)
        host = new_host(key_pair=keys, sec_opt={NOISE_ID: noise})
        with trio.fail_after(60):
            async with host.run(listen_addrs=[]):
                tcp = await trio.open_tcp_stream(target.host, target.port)
                try:
                    peer = ID.from_base58(peer_id_text(target.transport_key))
                    conn = await host.get_network().upgrade_outbound_raw_conn(RawConnection(BufferedTCP(tcp), True), peer)
                    rogue = Rogue(host, conn, member, target)
                    await act(rogue)
                    return rogue
                finally:
                    await trio.aclose_forcefully(tcp)

    assert threading.current_thread() is not threading.main_thread()
    return trio.run(main)
