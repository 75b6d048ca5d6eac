"""Links as a node's own network sees them (`node/validator.py`, `network/dialer.py`): they stand or they don't.

What is under way on a link that breaks is lost, requests over it fail at once; who redials a dead process is refused, mostly, and says so once; a process that
came back hears nobody until it is linked again. In the other runs links are the weather's, and processes learn of each other's death within 20 ms.
"""

from typing import Any, Final

from carbonnode.consensus import actions as act
from carbonnode.consensus import events as ev
from carbonnode.consensus.messages import Message
from carbonnode.sim.checks import Checks
from carbonnode.sim.node import SimNode
from carbonnode.sim.world import World

_REDIAL_MS: Final = 1_500
_LINK_UP_MS: Final = 2_000
_TIMES_OUT: Final = 150
"""So many dials of a thousand to a dead process aren't refused: nothing can be concluded from them, and some are the last for long."""

Links = dict[tuple[int, int], int]
"""By pair of nodes, the lower first: how often it was linked; negative while it isn't."""


class LinkedNode(SimNode):
    """A node whose `links`, shared by all, come and go. A kill takes its mempool, as there is no file of it."""

    def __init__(self, world: World, number: int, checks: Checks, peers: dict[int, SimNode], links: Links) -> None:
        super().__init__(world, number, checks, peers)
        self.links = links
        self.gone = False
        """Whether it was killed for good."""
        self._named: dict[bytes, tuple[bytes, ...]] = {}
        """The transactions of every batch that was proposed here, by digest."""

    def crash(self, *, power: bool) -> None:
        """`SimNode.crash`"""
        super().crash(power=power)
        self.pool.clear()
        self.known = {wire_hash for digest in self.disk.bodies | self.disk.loose_bodies for wire_hash in self._named.get(digest, ())}

    def give(self, event: ev.AnyEvent) -> None:
        """`SimNode.give`"""
        if isinstance(event, ev.BatchReady) and event.batch is not None:
            self._named[event.batch.digest] = event.batch.wire_hashes
        super().give(event)

    def _resolve(self, action: act.ResolveBatch) -> None:
        self._named[action.digest] = action.batch.wire_hashes
        super()._resolve(action)

    # ---- links

    def _pair(self, peer: SimNode) -> tuple[int, int]:
        return min(self.number, peer.number), max(self.number, peer.number)

    def linked(self, peer: SimNode) -> bool:
        """`SimNode.linked`"""
        return self.links.get(self._pair(peer), 0) > 0

    def reaches(self, peer: SimNode) -> bool:
        """`SimNode.reaches`"""
        return self.linked(peer)

    def put_on_link(self, peer: SimNode, message: Message) -> None:
        """`SimNode.put_on_link`"""
        pair, stamp = self._pair(peer), self.links.get(self._pair(peer), 0)

        def arrive(arrived: Message) -> None:
            if self.links.get(pair) == stamp:
                peer.later(0, lambda: peer.receive(self.number, arrived))

        if stamp > 0:
            self.world.carry(self.number, peer.number, message, arrive)

    def _tell_links(self) -> None:
        """This process came, and dials; or it went, and all its links with it."""
        for peer in self.peers.values():
            if peer is self or not isinstance(peer, LinkedNode):
                continue
            if self.up:
                self._dial(peer)
            elif self.linked(peer):
                self.part(peer)
                peer.redial(self, self.world.dice.between(1, _REDIAL_MS))

    def _dial(self, peer: "LinkedNode") -> None:
        """Stand a link up a little later, if both processes still run then."""
        runs = (self.memory, peer.memory)

        def connect() -> None:
            if self.memory is None or self.memory is not runs[0] or peer.memory is not runs[1] or self.linked(peer):
                return
            pair = self._pair(peer)
            self.links[pair] = abs(self.links.get(pair, 0)) + 1
            self.world.weather.blocked -= {pair, pair[::-1]}
            for one, other in ((self, peer), (peer, self)):
                one.later(self.world.dice.between(0, 15), lambda one=one, other=other: one.meet(other))  # type: ignore[misc]  # a lambda's defaults

        self.world.at(self.world.dice.between(3, _LINK_UP_MS), connect)

    def meet(self, peer: "LinkedNode") -> None:
        """A link came up: tell the replica, and hand over what waits."""
        self.tell(peer, reachable=True)
        for wire_hash in self.pool:
            if wire_hash not in peer.known:
                peer.later(self.world.dice.between(1, 20), lambda h=wire_hash: peer.admit(h))  # type: ignore[misc]  # a lambda's default

    def part(self, peer: SimNode) -> None:
        """The link to a peer breaks."""
        pair = self._pair(peer)
        self.links[pair] = -self.links[pair]
        self.world.weather.blocked |= {pair, pair[::-1]}
        for one, other in ((self, peer), (peer, self)):
            if one.transfer is not None:
                one.transfer.lost(other.number)

    def redial(self, peer: SimNode, delay_ms: int) -> None:
        """Dial a process that is gone: mostly it is refused, which is told once; a dial that ends otherwise tells nothing."""
        dice = self.world.dice

        def dial() -> None:
            if self.linked(peer) or peer.up:
                return
            if not dice.chance(_TIMES_OUT):
                self.tell(peer, reachable=False)
            elif dice.chance(700):
                self.redial(peer, dice.between(300, _REDIAL_MS))

        self.later(delay_ms, dial)

    def flap(self, peer: "LinkedNode") -> None:
        """The link between two that live breaks and comes back; a redial may be refused meanwhile."""
        if not self.linked(peer):
            return
        dice = self.world.dice
        self.world.note(f"the link of n{self.number} and n{peer.number} breaks")
        self.part(peer)
        for one, other in ((self, peer), (peer, self)):
            if dice.chance(400):
                one.later(dice.between(1, 800), lambda one=one, other=other: one.tell(other, reachable=False))  # type: ignore[misc]  # a lambda's defaults
        self._dial(peer)

    def tell(self, peer: SimNode, *, reachable: bool) -> None:
        """Tell the replica of a link."""
        assert self.memory is not None
        index = self.memory.replica.index_of(self.world.execution.members[peer.number].name)
        kind: Any = ev.PeerReachable if reachable else ev.PeerUnreachable
        if index is not None:
            self.give(kind(now_ms=self.clock_ms, peer=index))
