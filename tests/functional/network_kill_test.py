"""Processes that are killed, stopped and started again under a live network."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from carbonnode.network import Channel, PeerAddress
from tests.functional.network_harness import Member, Town, address_of, free_port
from tests.functional.network_process import Settings

pytestmark = [pytest.mark.functional, pytest.mark.asyncio]

ROOT = Path(__file__).resolve().parents[2]
SUSPICION_S = 0.2


class Victim:
    """A node in a process of its own."""

    def __init__(self, town: Town, name: str) -> None:
        self.member = Member(town, name)
        self.address = PeerAddress(name=name, host="127.0.0.1", port=free_port(), transport_key=self.member.key)
        self._root = town.authority.certificate_pem
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The running one."""
        assert self._process is not None
        return self._process

    async def start(self, *peers: PeerAddress) -> None:
        """Start and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.functional.network_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
        )
        member = self.member
        settings = Settings(member.name, member.seed, member.credential, self._root, self.address.port, peers)
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(settings) + b"\n")
        await self.process.stdin.drain()
        await self.event("listening")

    async def event(self, name: str) -> dict[str, object]:
        """The next event of this name."""
        assert self.process.stdout is not None
        async with asyncio.timeout(40):
            while line := await self.process.stdout.readline():
                event: dict[str, object] = json.loads(line)
                if event["event"] == name:
                    return event
        raise AssertionError(f"the process ended before it said {name!r}")

    async def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self.process.kill()
        await self.process.wait()

    async def close(self) -> None:
        """End it if it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)
            await self.kill()


@pytest_asyncio.fixture
async def town() -> AsyncIterator[Town]:
    town = Town()
    yield town
    await town.close()


@pytest_asyncio.fixture
async def victim(town: Town) -> AsyncIterator[Victim]:
    victim = Victim(town, "victim")
    yield victim
    await victim.close()


async def test_a_killed_peer_is_noticed_at_once_and_found_again(town: Town, victim: Victim) -> None:
    await victim.start()
    a, on_a = await town.start(Member(town, "a"), peers=(victim.address,))
    noticed: list[float] = []
    for life in range(3):
        await on_a.until(lambda: "victim" in on_a.up)
        killed = time.monotonic()
        victim.process.kill()
        await on_a.until(lambda n=life: on_a.downs == [("victim", "closed")] * (n + 1))  # type: ignore[misc]
        redials = len(on_a.redials)
        await on_a.until(lambda n=redials: ("victim", "refused") in on_a.redials[max(0, n - 1) :])  # type: ignore[misc]
        noticed.append(time.monotonic() - killed)
        await victim.process.wait()
        await victim.start()
    await on_a.until(lambda: "victim" in on_a.up)
    assert on_a.ups == 4
    assert min(noticed) < SUSPICION_S
    assert max(noticed) < 10 * SUSPICION_S  # where other processes hold both cores
    assert a.is_connected("victim")


async def test_a_link_that_the_peer_opened_ends_the_back_off_too(town: Town) -> None:
    """A node that had dialled in vain for a while waited as long again when the link was lost that the other side had opened meanwhile."""
    member, other = Member(town, "a"), Member(town, "b")
    b, _ = await town.start(other)
    b.block("a")
    a, on_a = await town.start(member, peers=(address_of(other, b),), redial_max_ms=60_000)
    await on_a.until(lambda: ("b", "blocked") in on_a.redials)  # refused for good: the next dial would be half a minute away
    b.unblock("a")
    b.set_peers(msgspec.structs.replace(b.config, peers=(address_of(member, a),)))
    await on_a.until(lambda: "b" in on_a.up)
    await b.stop()
    await on_a.until(lambda: on_a.redials.count(("b", "refused")) >= 3, patience_s=20.0)


async def test_a_restarted_peer_replaces_its_dead_link(town: Town, victim: Victim) -> None:
    """It comes back before its death was noticed: frozen, killed, started again; the old socket is closed by the kernel or by us."""
    a = Member(town, "a")
    network, on_a = await town.start(a)
    assert network.address is not None
    home = PeerAddress(name="a", host="127.0.0.1", port=network.address[1], transport_key=a.key)
    await victim.start(home)
    await on_a.until(lambda: "victim" in on_a.up)
    await victim.kill()
    await victim.start(home)
    await victim.event("up")
    await on_a.until(lambda: "victim" in on_a.up and network.counters.links == 1)
    assert network.send("victim", Channel.BULK, b"x")


async def test_a_frozen_peer_is_closed_as_silent_and_comes_back(town: Town, victim: Victim) -> None:
    await victim.start()
    _, on_a = await town.start(Member(town, "a"), peers=(victim.address,), heartbeat_ms=200, dead_after_ms=2_000, dial_timeout_ms=500)
    await on_a.until(lambda: "victim" in on_a.up)
    downs, redials = len(on_a.downs), len(on_a.redials)
    victim.process.send_signal(signal.SIGSTOP)
    await on_a.until(lambda: ("victim", "silent") in on_a.downs[downs:])
    await on_a.until(lambda: ("victim", "timeout") in on_a.redials[redials:])
    victim.process.send_signal(signal.SIGCONT)
    await on_a.until(lambda: "victim" in on_a.up)
