"""Links between nodes in one process, as the real network shows them to a node: two sides that learn of everything at different moments.

A link may be replaced without a word, break with frames on it, be deaf in one direction for a while, or close on one side long after the other. What is lost is
lost; what arrives keeps its order, and comes in bundles.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from carbonnode.errors import CarbonnodeError, RemoteError
from carbonnode.network import Channel
from carbonnode.node.peering import Peering
from tests.functional.inprocess_loop import VirtualLoop, World

REDIAL_FIRST_S, REDIAL_MOST_S = 0.1, 2.0
COURTESY_S = 0.04
DIAL_TIMEOUT_S = 4.0
SILENT_S = 6.0


@dataclass(frozen=True)
class Identity:
    """`network.PeerIdentity`"""

    name: str
    role: str
    organisation: str
    transport_key: bytes


class Host(Protocol):
    """A node that links end at."""

    name: str
    identity: Identity
    loop: VirtualLoop
    port: "Port"

    @property
    def listening(self) -> bool:
        """Whether somebody accepts connections."""
        ...


Job = Callable[["Port"], None]


class Link:
    """One connection; each side sees it up, then down. Queues are by receiving side and channel."""

    def __init__(self, sides: tuple["Port", "Port"]) -> None:
        self.sides = sides
        self.broken = False
        self.deaf: set[str] = set()
        """Names of the sides that hear nothing, though the link stands."""
        self._queues: dict[tuple[str, int], deque[Job]] = {}
        self._last: dict[tuple[str, int], float] = {}

    def other(self, port: "Port") -> "Port":
        return self.sides[1] if self.sides[0] is port else self.sides[0]

    def carry(self, sender: "Port", lane: int, job: Job) -> None:
        """Do `job` at the other side, after what was sent before on this lane."""
        receiver = self.other(sender)
        if self.broken or receiver.dead or receiver.host.name in self.deaf:
            return
        key = (receiver.host.name, lane)
        queue = self._queues.setdefault(key, deque())
        queue.append(job)
        if len(queue) == 1:
            at = max(sender.hub.world.now + sender.hub.latency_s(), self._last.get(key, 0.0), receiver.up_at.get(id(self), 0.0) + 1e-5)
            self._last[key] = at
            receiver.loop.call_at(at, self._deliver, receiver, queue)

    def _deliver(self, receiver: "Port", queue: "deque[Job]") -> None:
        jobs, deaf = list(queue), receiver.host.name in self.deaf
        queue.clear()
        if not deaf and receiver.open_links.get(id(self)) is self:
            receiver.arrived(jobs)


class Port:
    """`node.ports.Sender` of one run of a node, and its side of all links."""

    def __init__(self, hub: "Hub", host: Host, peering: Peering) -> None:
        self.hub = hub
        self.host = host
        self.loop = host.loop
        self.peering = peering
        self.dead = False
        self.links: dict[str, Link] = {}
        self.open_links: dict[int, Link] = {}
        self.up_at: dict[int, float] = {}
        self._numbers = 0
        self._asked: dict[int, tuple[str, asyncio.Future[bytes]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._backoff_s: dict[str, float] = {}
        self._dialling: set[str] = set()
        self._bundle: list[tuple[Identity, Channel, bytes]] = []

    # -- what the node calls

    def send(self, peer_name: str, channel: Channel, frame: bytes) -> bool:
        """`Network.send`"""
        link = self.links.get(peer_name)
        if link is None or self.dead:
            return False
        if channel is Channel.BULK and self.hub.world.dice.random() < self.hub.bulk_loss:
            return True  # its queue was full
        link.carry(self, int(channel), lambda port: port.frame(self.host.identity, channel, frame))
        return True

    def broadcast(self, channel: Channel, frame: bytes, to: Collection[str] | None = None) -> int:
        """`Network.broadcast`"""
        return sum(self.send(name, channel, frame) for name in (list(self.links) if to is None else to))

    async def request(self, peer_name: str, kind: int, payload: bytes, timeout: float) -> bytes:  # noqa: ASYNC109 - as the network's own
        """`Network.request`"""
        link = self.links.get(peer_name)
        if link is None or self.dead:
            raise RemoteError(f"no link to {peer_name}", code="not-connected")
        self._numbers += 1
        number = self._numbers
        future: asyncio.Future[bytes] = self.loop.create_future()
        self._asked[number] = (peer_name, future)
        link.carry(self, 2, lambda port: port.asked(link, number, self.host.identity, kind, payload))
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise RemoteError(f"{peer_name} didn't answer", code="timeout") from None
        finally:
            self._asked.pop(number, None)

    def report(self, peer_name: str, points: int, why: str) -> None:
        """`Network.report`"""
        self.hub.blamed.append(f"{self.hub.world.now:.3f} {self.host.name} blames {peer_name} ({points}): {why}")

    # -- what arrives

    def arrived(self, jobs: list[Job]) -> None:
        for job in jobs:
            job(self)
        self._hand_over()

    def frame(self, sender: Identity, channel: Channel, frame: bytes) -> None:
        self._bundle.append((sender, channel, frame))

    def _hand_over(self) -> None:
        bundle, self._bundle = self._bundle, []
        if bundle:
            self.peering.on_frames(bundle[0][0], bundle[0][1], [frame for _, _, frame in bundle])

    def asked(self, link: Link, number: int, sender: Identity, kind: int, payload: bytes) -> None:
        task = self.loop.create_task(self._answer(link, number, sender, kind, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, link: Link, number: int, sender: Identity, kind: int, payload: bytes) -> None:
        try:
            answer = await self.peering.on_request(sender, kind, payload)
        except CarbonnodeError as error:
            failure = RemoteError(str(error), code=error.code)
            link.carry(self, 2, lambda port: port.answered(number, failure))
        else:
            link.carry(self, 2, lambda port: port.answered(number, answer))

    def answered(self, number: int, answer: bytes | RemoteError) -> None:
        _, future = self._asked.get(number, ("", None))
        if future is None or future.done():
            return
        if isinstance(answer, bytes):
            future.set_result(answer)
        else:
            future.set_exception(answer)

    # -- links

    def link_up(self, name: str, link: Link) -> None:
        """`Reception.link_up`: a link that replaces another isn't announced."""
        self._backoff_s.pop(name, None)
        old, self.links[name] = self.links.get(name), link
        self.open_links[id(link)] = link
        if old is None:
            self.peering.on_peer_up(link.other(self).host.identity)
        else:
            self._fail(name)
            if not old.broken:
                self.hub.lose(old, "replaced", (self.hub.latency_s(), self.hub.latency_s()))

    def link_down(self, name: str, link: Link, reason: str) -> None:
        """`Reception.link_down`: silent if another one has taken its place."""
        self.open_links.pop(id(link), None)
        if self.links.get(name) is not link:
            return
        del self.links[name]
        self._fail(name)
        self.peering.on_peer_down(link.other(self).host.identity, reason)
        self.redial(name, 0.0)

    def _fail(self, name: str) -> None:
        for peer, future in list(self._asked.values()):
            if peer == name and not future.done():
                future.set_exception(RemoteError(f"the link to {name} closed", code="closed"))

    def redial(self, name: str, after_s: float) -> None:
        """Dial a peer until there is a link."""
        if name not in self._dialling:
            self._dialling.add(name)
            own, peer = self.host.identity.transport_key, self.hub.hosts[name].identity.transport_key
            self.loop.call_later(after_s + (0.0 if own < peer else COURTESY_S), self._dial, name)

    def _dial(self, name: str) -> None:
        self._dialling.discard(name)
        if name in self.links or self.dead:
            return
        peer = self.hub.hosts[name]
        if self.hub.is_cut(self.host.name, name) or peer.loop.paused:
            self._dialling.add(name)
            self.loop.call_later(DIAL_TIMEOUT_S, self._failed, name, "timeout")
        elif not peer.listening:
            self._dialling.add(name)
            self.loop.call_later(0.001, self._failed, name, "refused")
        else:
            self.hub.connect(self, peer.port)

    def _failed(self, name: str, outcome: str) -> None:
        self._dialling.discard(name)
        if name in self.links:
            return
        self.peering.on_redial(name, outcome)
        wait = min(REDIAL_MOST_S, max(REDIAL_FIRST_S, 2 * self._backoff_s.get(name, 0.0)))
        self._backoff_s[name] = wait
        self.redial(name, wait * self.hub.world.dice.uniform(0.5, 1.0))


class Hub:
    """All hosts, and what goes wrong between them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hosts: dict[str, Host] = {}
        self.cuts: set[frozenset[str]] = set()
        self.all: list[Link] = []
        self.blamed: list[str] = []
        self.slow = 1.0
        self.bulk_loss = 0.0
        """The chance that a frame of transactions never arrives."""

    def latency_s(self) -> float:
        dice = self.world.dice
        return self.slow * (dice.uniform(0.0002, 0.003) if dice.random() < 0.97 else dice.uniform(0.003, 0.06))

    def is_cut(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self.cuts

    def connect(self, one: Port, other: Port) -> None:
        """A new link, which may take the place of another; its two ends are up at different moments."""
        link = Link((one, other))
        self.all = [known for known in self.all if not known.broken] + [link]
        for side in link.sides:
            at = side.up_at[id(link)] = self.world.now + self.world.dice.uniform(0.001, 0.02)
            side.loop.call_at(at, side.link_up, link.other(side).host.name, link)

    def lose(self, link: Link, reason: str, delays_s: tuple[float, float]) -> None:
        """A link breaks: what is on it is lost, and each side learns of it some time."""
        link.broken = True
        for side, delay in zip(link.sides, delays_s, strict=True):
            if not side.dead:
                side.loop.call_at(max(self.world.now + delay, side.up_at[id(link)]), side.link_down, link.other(side).host.name, link, reason)

    def gone(self, port: Port) -> None:
        """A process died: its kernel closes its connections at once."""
        port.dead = True
        dice = self.world.dice
        for link in self.all:
            if port in link.sides and not link.broken:
                self.lose(link, "closed", (dice.uniform(0.0, 0.01), dice.uniform(0.0, 0.01)))

    def links_of(self, one: str, other: str) -> list[Link]:
        """The link between two nodes, as each sees it."""
        found = [self.hosts[one].port.links.get(other), self.hosts[other].port.links.get(one)]
        return list({id(link): link for link in found if link is not None}.values())

    def cut(self, one: str, other: str, *, told: bool) -> None:
        """Nothing gets through any more: `told` at once, or noticed by each side after some seconds of silence."""
        self.cuts.add(frozenset((one, other)))
        dice = self.world.dice
        for link in self.links_of(one, other):
            delays = (dice.uniform(0, 0.01), dice.uniform(0, 0.01)) if told else (dice.uniform(0.5, SILENT_S), dice.uniform(0.5, SILENT_S))
            self.lose(link, "closed" if told else "silent", delays)

    def mend(self, one: str, other: str) -> None:
        """Dials get through again."""
        self.cuts.discard(frozenset((one, other)))

    def replace(self, one: str, other: str) -> None:
        """A newer link takes over; frames on the old one are lost."""
        if not self.is_cut(one, other) and self.links_of(one, other) and all(not self.hosts[name].port.dead for name in (one, other)):
            for link in self.links_of(one, other):
                self.lose(link, "replaced", (0.05, 0.05))
            self.connect(self.hosts[one].port, self.hosts[other].port)

    def deafen(self, one: str, other: str) -> None:
        """`one` hears nothing of `other` on the link that stands, until it closes it for that."""
        for link in self.links_of(one, other):
            link.deaf.add(one)
            delay = self.world.dice.uniform(0.5, SILENT_S)
            delays = (delay, delay + 0.02) if link.sides[0].host.name == one else (delay + 0.02, delay)

            def close(link: Link = link, delays: tuple[float, float] = delays) -> None:
                if not link.broken:
                    self.lose(link, "silent", (0.0, 0.02))

            self.hosts[one].loop.call_later(min(delays), close)
