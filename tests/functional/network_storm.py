"""A storm over links: nodes that are killed, frozen and started again at any moment of their handshakes; after each round all pairs must talk.

    python -m tests.functional.network_storm --seed 1 --rounds 300

Every node is a process forked from one that has imported libp2p already, so that a life costs milliseconds. All dial all. Between two rounds the
seed draws what happens: kills, several restarted at once, and strokes of SIGSTOP, which stretch a handshake anywhere. Then every pair that lives
must exchange frames of both channels and a request, in both directions, within `PATIENCE_S`, and nobody may be blamed. Prints what it did.
"""

import argparse
import asyncio
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from time import time_ns

import libp2p  # noqa: F401 - before the forks
import msgspec

import carbonnode.network.host  # noqa: F401 - the same
from carbonnode.errors import RemoteError
from carbonnode.identity import TrustStore, make_verifier
from carbonnode.network import Channel, Network, NetworkConfig, PeerAddress, PeerIdentity, Refusal
from tests.functional.network_harness import CHAIN, Member, Town

PATIENCE_S = 30.0
"""Longer than the longest back-off (5 s), a dial that times out (4 s) and a dead link that is noticed by its silence (6 s) together."""
REQUEST_S = 2.0
ECHO = 1
FROZEN_S = (0.005, 0.02, 0.1, 0.3, 0.8, 2.2)
CALM_S = (0.0, 0.02, 0.1, 0.3, 1.0, 2.5)


class Order(msgspec.Struct):
    """The storm to a node: in this round, these peers live."""

    round: int
    peers: list[str]


class Report(msgspec.Struct):
    """A node to the storm. Round 0: it listens."""

    round: int
    seconds: float = 0.0
    silent: list[str] = []
    """What is missing after the patience is over: `peer consensus`, `peer bulk`, `peer request`."""
    faults: int = 0
    """Violations and bans that its network counted."""
    lately: list[str] = []


class Talker:
    """One node's side: says the round's number to everybody all the time, and waits until it has heard it from everybody."""

    def __init__(self, say: Callable[[Report], None]) -> None:
        self._say = say
        self._round = 0
        self._heard: dict[tuple[str, Channel], int] = {}
        self._changed = asyncio.Event()
        self._lately: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    # -- network.NetworkHandler

    def on_frames(self, peer: PeerIdentity, channel: Channel, frames: list[bytes]) -> None:
        self._heard[peer.name, channel] = max(int.from_bytes(frame[:4], "big") for frame in frames)
        self._changed.set()

    def on_peer_up(self, peer: PeerIdentity) -> None:
        self._note(f"up {peer.name}")

    def on_peer_down(self, peer: PeerIdentity, reason: str) -> None:
        self._note(f"down {peer.name} {reason}")

    def on_redial(self, name: str, outcome: str) -> None:
        self._note(f"redial {name} {outcome}")

    def on_refused(self, address: str, refusal: Refusal, inbound: bool) -> None:
        self._note(f"refused {address} {refusal.code} {'inbound' if inbound else ''}")

    def _note(self, what: str) -> None:
        self._lately = [*self._lately[-30:], f"{time.time() % 1000:.2f} {what}"]

    # -- what it does

    async def live(self, network: Network, peers: Sequence[PeerAddress], orders: asyncio.StreamReader) -> None:
        """Until the storm hangs up."""
        network.set_request_handler(self._echo)
        await network.start()
        self._say(Report(0))
        self._start(self._chatter(network, [peer.name for peer in peers]))
        while line := await orders.readline():
            order = msgspec.json.decode(line, type=Order)
            self._round = order.round
            self._start(self._check(network, order))

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _echo(_peer: PeerIdentity, _kind: int, payload: bytes) -> bytes:
        return payload

    async def _chatter(self, network: Network, peers: list[str]) -> None:
        draw = random.Random()
        while True:
            for peer in peers:
                number = self._round.to_bytes(4, "big")
                network.send(peer, Channel.CONSENSUS, number + bytes(draw.randrange(400)))
                if network.queued_bytes(peer, Channel.BULK) < 1_000_000:
                    network.send(peer, Channel.BULK, number + bytes(draw.choice((100, 2_000, 60_000, 300_000))))
            await asyncio.sleep(draw.choice((0.005, 0.02, 0.1)))

    async def _check(self, network: Network, order: Order) -> None:
        began = time.monotonic()
        answered: set[str] = set()

        async def ask(peer: str) -> None:
            while peer not in answered:
                try:
                    await network.request(peer, ECHO, b"?" * 100, REQUEST_S)
                    answered.add(peer)
                except RemoteError:
                    await asyncio.sleep(0.05)
            self._changed.set()

        def silent() -> list[str]:
            unheard = [f"{peer} {channel.name}" for peer in order.peers for channel in Channel if self._heard.get((peer, channel), 0) < order.round]
            return unheard + [f"{peer} request" for peer in order.peers if peer not in answered]

        asking = [asyncio.ensure_future(ask(peer)) for peer in order.peers]
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while silent():
                    self._changed.clear()
                    await self._changed.wait()
        missing = silent()
        for task in asking:
            task.cancel()
        counters = network.counters
        self._say(Report(order.round, time.monotonic() - began, missing, counters.violations + counters.bans, self._lately if missing else []))


def run_node(member: Member, port: int, peers: Sequence[PeerAddress], store: TrustStore, orders: int, reports: int) -> None:
    """Body of a forked node; never returns."""

    def say(report: Report) -> None:
        os.write(reports, msgspec.json.encode(report) + b"\n")

    async def main() -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(orders, "rb"))
        talker = Talker(say)
        config = NetworkConfig(node_name=member.name, chain_id=CHAIN, port=port, peers=tuple(peers))
        verifier = make_verifier(store, lambda: time_ns() // 1_000_000)
        await talker.live(Network(config, member.seed, member.credential, verifier, talker), peers, reader)

    try:
        asyncio.run(main())
    finally:
        os._exit(1)


class Node:
    """A place in the network, and whoever lives there now."""

    def __init__(self, town: Town, name: str) -> None:
        self.member = Member(town, name)
        self.address = PeerAddress(name=name, host="127.0.0.1", port=_low_port(), transport_key=self.member.key)
        self.pid = 0
        self.orders = self.reports = -1
        self.heard: list[Report] = []
        self._buffer = b""

    def start(self, nodes: Sequence["Node"], store: TrustStore) -> None:
        """A new process."""
        (orders, self.orders), (self.reports, reports) = os.pipe(), os.pipe()
        self.heard, self._buffer = [], b""
        pid = os.fork()
        if pid == 0:
            for fd in {fd for node in nodes for fd in (node.orders, node.reports)} - {-1}:
                os.close(fd)  # or a pipe stays open when its owner is gone
            run_node(self.member, self.address.port, [node.address for node in nodes if node is not self], store, orders, reports)
        self.pid = pid
        os.close(orders)
        os.close(reports)

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.orders)
        os.close(self.reports)
        self.pid, self.orders, self.reports = 0, -1, -1

    def read(self) -> None:
        """Take what it reports."""
        data = os.read(self.reports, 1 << 16)
        if not data:
            raise AssertionError(f"{self.member.name} ended by itself")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self.heard += [msgspec.json.decode(line, type=Report) for line in lines]

    def said(self, number: int) -> list[Report]:
        """Its reports of a round."""
        return [report for report in self.heard if report.round == number]


class Storm:
    """Draws what happens to whom."""

    def __init__(self, seed: int, count: int) -> None:
        self._draw = random.Random(seed)
        self._town = Town()
        self.nodes = [Node(self._town, f"node{number}") for number in range(count)]
        self._strokes = (self._kill, self._kill, self._kill_two, self._freeze, self._freeze_and_kill, self._stutter)

    def begin(self) -> None:
        """All start."""
        for node in self.nodes:
            node.start(self.nodes, self._town.store)

    def end(self) -> None:
        """All are gone."""
        for node in self.nodes:
            if node.pid:
                node.kill()

    def blow(self) -> list[str]:
        """One to three strokes, calm in between; gives their names."""
        names = []
        for _ in range(self._draw.choice((1, 1, 2, 3))):
            stroke = self._draw.choice(self._strokes)
            stroke()
            names.append(stroke.__name__.strip("_"))
            time.sleep(self._draw.choice(CALM_S))  # the storm's own rhythm: what follows waits for conditions
        return names

    def _restart(self, *nodes: Node) -> None:
        for node in nodes:
            node.kill()
        for node in nodes:
            node.start(self.nodes, self._town.store)

    def _kill(self) -> None:
        self._restart(self._draw.choice(self.nodes))

    def _kill_two(self) -> None:
        self._restart(*self._draw.sample(self.nodes, 2))

    def _freeze(self, node: Node | None = None) -> None:
        node = node or self._draw.choice(self.nodes)
        os.kill(node.pid, signal.SIGSTOP)
        time.sleep(self._draw.choice(FROZEN_S))
        os.kill(node.pid, signal.SIGCONT)

    def _freeze_and_kill(self) -> None:
        node = self._draw.choice(self.nodes)
        os.kill(node.pid, signal.SIGSTOP)
        time.sleep(self._draw.choice(FROZEN_S))
        self._restart(node)

    def _stutter(self) -> None:
        """Freeze whom chance finds again and again while two of them link up."""
        self._restart(*self._draw.sample(self.nodes, 2))
        until = time.monotonic() + self._draw.choice((1.0, 2.0, 4.0))
        while time.monotonic() < until:
            self._freeze()

    def check(self, number: int) -> list[Report]:
        """All live nodes' reports of a round; now and then one stays dead for it."""
        self._await("listen", 0, self.nodes)
        dead = self._draw.choice(self.nodes) if self._draw.random() < 0.4 else None
        if dead is not None:
            dead.kill()
        alive = [node for node in self.nodes if node.pid]
        for node in alive:
            order = Order(number, [peer.member.name for peer in alive if peer is not node])
            os.write(node.orders, msgspec.json.encode(order) + b"\n")
        self._await("report", number, alive)
        reports = [node.said(number)[0] for node in alive]
        if dead is not None:
            dead.start(self.nodes, self._town.store)
        return reports

    @staticmethod
    def _await(what: str, number: int, nodes: Sequence[Node]) -> None:
        until = time.monotonic() + 2 * PATIENCE_S
        while waiting := [node for node in nodes if not node.said(number)]:
            if time.monotonic() > until:
                raise AssertionError(f"{[node.member.name for node in waiting]} didn't {what} in round {number}")
            readable, _, _ = select.select([node.reports for node in waiting], [], [], 1.0)
            for node in waiting:
                if node.reports in readable:
                    node.read()


def _low_port() -> int:
    """A free port below those that the kernel gives to dialling sockets: a node comes back to it."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def main() -> None:
    """Exit status 1 if a pair stays silent or a node is blamed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--nodes", type=int, default=4)
    options = parser.parse_args()
    storm = Storm(options.seed, options.nodes)
    failed = 0
    took = []
    try:
        storm.begin()
        for number in range(1, options.rounds + 1):
            strokes = storm.blow()
            reports = storm.check(number)
            took.append(max(report.seconds for report in reports))
            bad = [report for report in reports if report.silent or report.faults]
            failed += bool(bad)
            sys.stdout.write(f"round {number}: {' '.join(strokes)}: all talk after {took[-1]:.2f} s\n" if not bad else f"round {number}: {strokes}: {bad}\n")
            sys.stdout.flush()
    finally:
        storm.end()
    took.sort()
    sys.stdout.write(f"seed {options.seed}: {len(took)} rounds, {failed} failed; median {took[len(took) // 2]:.2f} s, longest {took[-1]:.2f} s\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
