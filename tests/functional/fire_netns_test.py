"""Four validators in network namespaces of their own, joined by a bridge: packets are dropped by nftables, links go down, lines become thin.

Needs root, iproute2 and nftables; run by `make fire`. On other machines the proxies of `fire_links_test.py` play the same faults.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.functional.fire_kit import grows, others, paying, primary, view
from tests.functional.fire_load import Payer
from tests.functional.harness import HOST, NodeHandle, ToyNetwork

pytestmark = [pytest.mark.functional, pytest.mark.soak, pytest.mark.timeout(900)]
CLONE_NEWNET = 0x40000000
LONG_S = 15.0
"""Longer than the 6 s after which a silent link is given up."""


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


class Space:
    """A namespace with one address on the bridge, and a door for HTTP: nodes answer on their own loopback only."""

    def __init__(self, bridge: str, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.outside, self.inside = f"{name}o", f"{name}i"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", self.outside, "type", "veth", "peer", "name", self.inside, "netns", name)
        run("ip", "link", "set", self.outside, "master", bridge, "up")
        for command in (f"ip addr add {address}/24 dev {self.inside}", f"ip link set {self.inside} up", "ip link set lo up"):
            run("ip", "netns", "exec", name, *command.split())
        self.nft("add table inet fire")
        self.nft("add chain inet fire heard { type filter hook input priority 0 ; }")
        self._inhabitant = ThreadPoolExecutor(1, initializer=self._enter)
        self._listener: socket.socket | None = None

    def nft(self, command: str) -> None:
        """One nftables command in here."""
        run("ip", "netns", "exec", self.name, "nft", command)

    def _enter(self) -> None:
        """The calling thread lives in the namespace from now on; sockets that it makes do, too."""
        with Path(f"/run/netns/{self.name}").open("rb") as file:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns into {self.name}")

    def open_door(self, port: int) -> None:
        """Whoever connects to this port outside reaches the same port inside."""
        listener = self._listener = socket.create_server((HOST, port))

        def serve() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=self._lead_in, args=(caller, port), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()

    def _lead_in(self, caller: socket.socket, port: int) -> None:
        try:
            inner = self._inhabitant.submit(socket.create_connection, (HOST, port), 5).result()
        except OSError:
            caller.close()
            return
        threads = [threading.Thread(target=pour, args=pair, daemon=True) for pair in ((caller, inner), (inner, caller))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        caller.close()
        inner.close()

    def close(self) -> None:
        """Remove it, with its links."""
        if self._listener is not None:
            self._listener.close()
        self._inhabitant.shutdown()
        run("ip", "netns", "del", self.name)


def pour(source: socket.socket, target: socket.socket) -> None:
    """Until the source ends; then the target hears so."""
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one of the two has gone


class SpacedNetwork(ToyNetwork):
    """Each validator in a namespace of its own."""

    def __init__(self, directory: Path, spaces: dict[str, Space]) -> None:
        self.spaces = spaces
        super().__init__(directory)
        for name, node in self.nodes.items():
            node.wrapper = ("ip", "netns", "exec", spaces[name].name)
            spaces[name].open_door(node.api_port)

    def host_of(self, name: str) -> str:
        return self.spaces[name].address

    def deafen(self, hearer: NodeHandle, speakers: list[NodeHandle], how: str = "") -> None:
        """Drop packets of the speakers before the hearer gets them; `how` narrows it to some packets."""
        for speaker in speakers:
            self.spaces[hearer.name].nft(f"add rule inet fire heard ip saddr {self.spaces[speaker.name].address} {how} drop")

    def heal(self) -> None:
        """Every packet arrives again."""
        for space in self.spaces.values():
            space.nft("flush chain inet fire heard")


@pytest.fixture(scope="module")
def spaces() -> Iterator[dict[str, Space]]:
    if os.geteuid() or not shutil.which("ip") or not shutil.which("nft"):
        pytest.skip("network namespaces need root, iproute2 and nftables")
    tag = f"cn{os.getpid() % 10_000}"
    bridge = f"{tag}br"
    made: dict[str, Space] = {}
    try:
        run("ip", "link", "add", bridge, "type", "bridge")
        run("ip", "link", "set", bridge, "up")
        for number, name in enumerate(("super-1", "super-2", "coordination-1", "coordination-2")):
            made[name] = Space(bridge, f"{tag}n{number}", f"10.77.{os.getpid() % 250}.{number + 1}")
        yield made
    finally:
        for space in made.values():
            space.close()
        run("ip", "link", "del", bridge)


@pytest.fixture(scope="module")
def fire(tmp_path_factory: pytest.TempPathFactory, spaces: dict[str, Space]) -> Iterator[Payer]:
    net = SpacedNetwork(tmp_path_factory.mktemp("spaces"), spaces)
    with paying(net, net.heal) as payer:
        yield payer


def network_of(payer: Payer) -> SpacedNetwork:
    assert isinstance(payer.net, SpacedNetwork)
    return payer.net


def test_a_primary_whose_packets_are_dropped_both_ways_is_replaced(fire: Payer) -> None:
    net = network_of(fire)
    grows(net, net.validators)
    lonely = primary(net)
    rest = others(net, lonely)
    before = max(view(node) for node in rest)
    net.deafen(lonely, rest)
    for node in rest:
        net.deafen(node, [lonely])
    net.wait("another view", lambda: min(view(node) for node in rest) > before)
    grows(net, rest, 10)
    net.heal()
    grows(net, net.validators)
    fire.settle()


@pytest.mark.parametrize("deaf", [True, False], ids=["hears nobody", "nobody hears it"])
def test_a_primary_with_one_way_packets(fire: Payer, deaf: bool) -> None:
    net = network_of(fire)
    lonely = primary(net)
    rest = others(net, lonely)
    if deaf:
        net.deafen(lonely, rest)
    else:
        for node in rest:
            net.deafen(node, [lonely])
    grows(net, rest, 20)
    net.heal()
    grows(net, net.validators)
    fire.settle()


def test_halves_that_lose_each_other_for_long(fire: Payer) -> None:
    net = network_of(fire)
    for a in net.validators[:2]:
        for b in net.validators[2:]:
            net.deafen(a, [b])
            net.deafen(b, [a])
    time.sleep(LONG_S)  # the fault itself
    stands = [node.height for node in net.validators]
    assert max(stands) - min(stands) <= 1
    net.heal()
    grows(net, net.validators)
    fire.settle()


def test_a_cable_that_is_pulled_and_put_back(fire: Payer) -> None:
    net = network_of(fire)
    node = primary(net)
    run("ip", "link", "set", net.spaces[node.name].outside, "down")
    grows(net, others(net, node), 20)
    run("ip", "link", "set", net.spaces[node.name].outside, "up")
    grows(net, net.validators)
    fire.settle()


def test_lost_packets_and_thin_lines_hold_nobody_up(fire: Payer) -> None:
    net = network_of(fire)
    for node in net.validators:
        net.deafen(node, others(net, node), "numgen random mod 100 < 5")
    run("tc", "qdisc", "add", "dev", net.spaces[net.validators[0].name].outside, "root", "tbf", "rate", "1mbit", "burst", "32kbit", "latency", "400ms")
    grows(net, net.validators, 30, timeout_s=120.0)
    run("tc", "qdisc", "del", "dev", net.spaces[net.validators[0].name].outside, "root")
    net.heal()
    grows(net, net.validators)
    fire.settle()
