"""Nodes on loopback for the network's tests: a throw-away authority, free ports, and a handler that can be waited on."""

import asyncio
import secrets
import socket
from collections.abc import Callable
from time import time_ns

import msgspec

from carbonnode.chain.signing import KeySigner
from carbonnode.identity import CertificateAuthority, NodeRequest, TrustStore, create_authority, make_verifier, network_domain
from carbonnode.network import Channel, Limits, Network, NetworkConfig, PeerAddress, PeerIdentity, Refusal

DAY = 86_400_000
CHAIN = bytes(range(32))
DOMAIN = network_domain("test")
PATIENCE_S = 30.0


class Recorder:
    """Keeps everything that a network reports, and lets a test wait for it."""

    def __init__(self) -> None:
        self.up: dict[str, PeerIdentity] = {}
        self.frames: list[tuple[str, Channel, bytes]] = []
        self.downs: list[tuple[str, str]] = []
        self.redials: list[tuple[str, str]] = []
        self.refusals: list[tuple[Refusal, bool]] = []
        self.ups = 0
        self.on_frame: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    def on_frames(self, peer: PeerIdentity, channel: Channel, frames: list[bytes]) -> None:
        self.on_frame()
        self.frames += [(peer.name, channel, frame) for frame in frames]
        self._changed.set()

    def on_peer_up(self, peer: PeerIdentity) -> None:
        self.ups += 1
        self.up[peer.name] = peer
        self._changed.set()

    def on_peer_down(self, peer: PeerIdentity, reason: str) -> None:
        self.downs.append((peer.name, reason))
        del self.up[peer.name]
        self._changed.set()

    def on_redial(self, name: str, outcome: str) -> None:
        self.redials.append((name, outcome))
        self._changed.set()

    def on_refused(self, address: str, refusal: Refusal, inbound: bool) -> None:
        assert ":" in address
        self.refusals.append((refusal, inbound))
        self._changed.set()

    def codes(self, *, inbound: bool) -> set[str]:
        """Codes of refusals, ours (inbound) or the others'."""
        return {refusal.code for refusal, direction in self.refusals if direction is inbound}

    def received(self, channel: Channel, sender: str) -> list[bytes]:
        """Frames of one sender on one channel, in order."""
        return [frame for name, where, frame in self.frames if name == sender and where is channel]

    async def until(self, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait until the condition holds; it is looked at after every event."""
        async with asyncio.timeout(patience_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Member:
    """What a node of the test network needs to join."""

    def __init__(self, town: "Town", name: str, **changes: object) -> None:
        self.name = name
        self.seed = secrets.token_bytes(32)
        self.key = KeySigner(self.seed).public_key
        now = time_ns() // 1_000_000
        request = NodeRequest(
            name=name,
            organisation=f"{name}-org",
            role="super",
            domain=f"{name}.{DOMAIN}",
            transport_key=self.key,
            chain_id=CHAIN,
            not_before_ms=now - DAY,
            not_after_ms=now + DAY,
        )
        self.credential = town.authority.issue(msgspec.structs.replace(request, **changes))


class Town:
    """An authority and the networks that trust it; stops what it started."""

    def __init__(self) -> None:
        now = time_ns() // 1_000_000
        self.authority: CertificateAuthority = create_authority("Test CA", now - 10 * DAY, now + 10 * DAY)
        self.store = TrustStore([self.authority.certificate_pem], CHAIN, [DOMAIN])
        self._running: list[Network] = []

    async def start(self, member: Member, peers: tuple[PeerAddress, ...] = (), limits: Limits | None = None, **settings: object) -> tuple[Network, Recorder]:
        """A running network for a member."""
        config = NetworkConfig(node_name=member.name, chain_id=CHAIN, peers=peers, limits=limits or Limits())
        config = msgspec.structs.replace(config, **settings)
        recorder = Recorder()
        verifier = make_verifier(self.store, lambda: time_ns() // 1_000_000)
        network = Network(config, member.seed, member.credential, verifier, recorder)
        await network.start()
        self._running.append(network)
        return network, recorder

    async def mesh(self, *members: Member, limits: Limits | None = None) -> list[tuple[Network, Recorder]]:
        """All linked with all."""
        nodes = [await self.start(member, limits=limits) for member in members]
        addresses = [address_of(member, network) for member, (network, _) in zip(members, nodes, strict=True)]
        for index, (network, _) in enumerate(nodes):
            others = tuple(address for at, address in enumerate(addresses) if at != index)
            network.set_peers(msgspec.structs.replace(network.config, peers=others))
        for _, recorder in nodes:
            await recorder.until(lambda r=recorder: len(r.up) == len(members) - 1)  # type: ignore[misc]
        return nodes

    async def pair(self, limits: Limits | None = None) -> tuple[Network, Recorder, Network, Recorder]:
        """`a` and `b`, linked."""
        (a, on_a), (b, on_b) = await self.mesh(Member(self, "a"), Member(self, "b"), limits=limits)
        return a, on_a, b, on_b

    async def close(self) -> None:
        """Stop everything."""
        await asyncio.gather(*(network.stop() for network in self._running))


def address_of(member: Member, network: Network) -> PeerAddress:
    """Where a running member is found."""
    assert network.address is not None
    return PeerAddress(name=member.name, host=network.address[0], port=network.address[1], transport_key=member.key)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
