"""A node's network in a process of its own, for tests that kill it: `python -m tests.functional.network_process`, settings as JSON on stdin.

Prints one JSON line per event.
"""

import asyncio
import json
import sys
from time import time_ns

import msgspec

from carbonnode.identity import TrustStore, make_verifier
from carbonnode.network import Channel, Network, NetworkConfig, PeerAddress, PeerIdentity, Refusal
from tests.functional.network_harness import CHAIN, DOMAIN


class Settings(msgspec.Struct):
    """What the process is told."""

    name: str
    seed: bytes
    credential: bytes
    root: bytes
    port: int
    peers: tuple[PeerAddress, ...] = ()
    heartbeat_ms: int = 1_000
    dead_after_ms: int = 6_000


class Printer:
    """Events as JSON lines."""

    def __init__(self) -> None:
        self.frames = 0

    def say(self, **event: object) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    def on_frames(self, peer: PeerIdentity, channel: Channel, frames: list[bytes]) -> None:
        self.frames += len(frames)

    def on_peer_up(self, peer: PeerIdentity) -> None:
        self.say(event="up", peer=peer.name)

    def on_peer_down(self, peer: PeerIdentity, reason: str) -> None:
        self.say(event="down", peer=peer.name, reason=reason)

    def on_redial(self, name: str, outcome: str) -> None:
        self.say(event="redial", peer=name, outcome=outcome)

    def on_refused(self, address: str, refusal: Refusal, inbound: bool) -> None:
        self.say(event="refused", code=refusal.code)


async def main() -> None:
    """Run until killed."""
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    config = NetworkConfig(
        node_name=settings.name,
        chain_id=CHAIN,
        port=settings.port,
        peers=settings.peers,
        heartbeat_ms=settings.heartbeat_ms,
        dead_after_ms=settings.dead_after_ms,
    )
    printer = Printer()
    store = TrustStore([settings.root], CHAIN, [DOMAIN])
    network = Network(config, settings.seed, settings.credential, make_verifier(store, lambda: time_ns() // 1_000_000), printer)
    await network.start()
    printer.say(event="listening")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
