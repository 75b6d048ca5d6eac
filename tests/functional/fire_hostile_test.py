"""A member that floods, lies and sends garbage, and strangers on the port: the other three validators go on, and blame nobody but it."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator

import pytest

from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.consensus.messages import Message, Prepare, Suspect, ViewChange, encode_message, prepare_bytes, suspect_bytes, view_change_bytes
from carbonnode.identity import NodeKeys, TrustStore, load_node_keys, make_verifier
from carbonnode.network import Channel, Network, NetworkConfig, PeerAddress
from carbonnode.network.flood import pack_transactions
from carbonnode.node.wire import BulkKind, pack
from tests.functional.fire_kit import burning, grows, view
from tests.functional.fire_load import Payer
from tests.functional.harness import DOMAIN, HOST, PASSPHRASE, NodeHandle, ToyNetwork, signer
from tests.functional.network_harness import Recorder

pytestmark = [pytest.mark.functional, pytest.mark.slow]
FLOOD = 3_000
HUGE_VIEW = 1 << 40


@pytest.fixture(scope="module")
def fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Payer]:
    with burning(tmp_path_factory.mktemp("hostile")) as payer:
        yield payer


class Traitor:
    """The fourth validator's keys and certificate in the hands of somebody else: links as any member's, then whatever it likes."""

    def __init__(self, net: ToyNetwork, node: NodeHandle) -> None:
        self.net = net
        self.index = net.validators.index(node)
        self.keys: NodeKeys = load_node_keys(node.directory.path / "keys", PASSPHRASE)
        self.recorder = Recorder()
        peers = tuple(
            PeerAddress(name=v.name, host=HOST, port=net.nodes[v.name].peer_port, transport_key=v.transport_key)
            for v in net.genesis.validators.validators
            if v.name != node.name
        )
        config = NetworkConfig(node_name=node.name, chain_id=net.genesis.chain_id, peers=peers)
        trust = TrustStore([net.authority.certificate_pem], net.genesis.chain_id, [DOMAIN])
        verify = make_verifier(trust, lambda: time.time_ns() // 1_000_000)
        self.network = Network(config, self.keys.transport_seed, node.directory.certificate(), verify, self.recorder)

    async def join(self) -> None:
        """Until all others have let it in."""
        await self.network.start()
        await self.recorder.until(lambda: len(self.recorder.up) == 3)

    def say(self, *messages: Message) -> None:
        """Consensus messages to everybody."""
        for message in messages:
            self.network.broadcast(Channel.CONSENSUS, encode_message(message))

    def lies(self) -> list[Message]:
        """Properly signed by a member, and all of them wrong: to end views, to jump to a huge one, votes for two digests, far-off heights."""
        chain, sign, me = self.net.genesis.chain_id, self.keys.consensus.sign, self.index
        unsigned = ViewChange(0, HUGE_VIEW, None, (), me, bytes(64))
        found: list[Message] = [ViewChange(0, HUGE_VIEW, None, (), me, sign(view_change_bytes(chain, unsigned)))]
        found += [Suspect(0, number, me, sign(suspect_bytes(chain, 0, number))) for number in (0, 1, 2, HUGE_VIEW)]
        height = self.net.validators[0].height
        for place in (height + 1, height + 2, height + 20, 1 << 50):
            for digest in (b"1" * 32, b"2" * 32):
                found.append(Prepare(0, 0, place, digest, me, sign(prepare_bytes(chain, 0, 0, place, digest))))
        return found


def worthless(net: ToyNetwork, count: int) -> list[bytes]:
    """Well-formed, well-signed transactions of people who own nothing."""
    height = net.validators[0].height
    paupers = [signer(f"pauper {number}") for number in range(20)]
    call = Call("toy", "transfer", (b"x" * 32, 1))
    return [
        Transaction.sign(Body(net.genesis.chain_id, paupers[n % 20].public_key, os.urandom(16), height + 400, 200_000, (call,)), paupers[n % 20]).raw
        for n in range(count)
    ]


def test_a_member_that_floods_and_lies_stops_nobody(fire: Payer) -> None:
    net = fire.net
    node = net.validators[3]
    grows(net, net.validators, 1)
    net.suspects.add(node.name)
    node.kill()
    honest = net.validators[:3]
    grows(net, honest)
    views = max(view(other) for other in honest)

    async def act() -> None:
        traitor = Traitor(net, node)
        await traitor.join()
        raws = worthless(net, FLOOD)
        for start in range(0, FLOOD, 100):
            traitor.network.broadcast(Channel.BULK, pack(BulkKind.TRANSACTIONS, pack_transactions(raws[start : start + 100])))
        for _ in range(50):
            traitor.say(*traitor.lies())
        await asyncio.to_thread(grows, net, honest, 5)
        assert max(view(other) for other in honest) < views + 10, "one member's word moved the others"
        height = honest[0].height
        # In one breath: what stands behind garbage counts as well.
        traitor.network.broadcast(Channel.CONSENSUS, os.urandom(200))
        for _ in range(20):
            traitor.say(Prepare(0, 0, height + 1, b"3" * 32, 0, os.urandom(64)))
        await traitor.recorder.until(lambda: len([name for name, _ in traitor.recorder.downs]) >= 3)
        await asyncio.to_thread(grows, net, honest, 3)
        await traitor.network.stop()

    asyncio.run(act())
    fire.settle()
    for other in honest:
        log = other.directory.log_path.read_text()
        assert '"event":"peer at fault"' in log, other.name
        assert f'"peer":"{node.name}"' in log


def test_garbage_on_every_port_at_once_stops_nobody(fire: Payer) -> None:
    net = fire.net
    honest = net.validators[:3]
    lines: list[socket.socket] = []
    try:
        for node in honest:
            for data in (b"\0" * 50_000, b"\x13/multistream/1.0.0\n\x07/noise\n" + os.urandom(5_000), b"GET / HTTP/1.1\r\n\r\n", b""):
                line = socket.create_connection((HOST, node.peer_port), timeout=5)
                lines.append(line)
                line.sendall(data)
        grows(net, honest)
    finally:
        for line in lines:
            line.close()
    fire.settle()
