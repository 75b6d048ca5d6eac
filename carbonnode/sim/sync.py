"""Catching up: a simulated node's side of `RequestSync`, by blocks and by a snapshot, in the order in which the node's `sync.Syncer` tries them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from carbonnode.chain.codec import decode
from carbonnode.errors import InvalidBlock, StorageError
from carbonnode.ledger.snapshot import Verified
from carbonnode.node.snapshot_machine import Action, Ask, SnapshotMachine
from carbonnode.node.wire import FetchBlocks, FetchChunk, RequestKind
from carbonnode.sim.snapshots import built

if TYPE_CHECKING:
    from carbonnode.sim.node import SimNode

SNAPSHOT_LAG: Final = 3
"""How many blocks behind a snapshot is worth while."""
_BLOCKS_A_SYNC: Final = 40


class Transfer:
    """One attempt to take over a snapshot: the production's machine over simulated links and disk; tells `then` whether the node stands elsewhere now."""

    def __init__(self, node: "SimNode", then: Callable[[bool], None]) -> None:
        self._node = node
        self._then = then
        self._ended = False
        self._asked: dict[int, int] = {}
        """Whom a question went to, by its number, until it is answered or failed."""
        self._machine = SnapshotMachine(node.world.execution.founding, node.disk.incoming, node.world.ring.verify)
        self._numbers = {member.name: number for number, member in node.world.execution.members.items()}

    def begin(self, above: int) -> None:
        """Look for one of a height above `above`."""
        self._advance(lambda: self._machine.begin(above))

    def _advance(self, step: Callable[[], list[Action]]) -> None:
        node, machine = self._node, self._machine
        if node.transfer is not self or self._ended:
            return
        names = {number: name for name, number in self._numbers.items()}
        machine.peers = [names[number] for number, peer in sorted(node.peers.items()) if peer is not node and peer.up]
        try:
            actions = step()
        except (InvalidBlock, StorageError) as error:
            self._give_up(error)
            return
        for action in actions:
            if isinstance(action, Ask):
                self._ask(action)
            else:
                node.checks.accused(node.number, self._numbers[action.peer], action.why)
        if machine.finished:
            self._ended = True
            self._end(machine.found)

    def _ask(self, ask: Ask) -> None:
        node, world = self._node, self._node.world
        peer = node.peers[self._numbers[ask.peer]]
        world.note(f"n{node.number} asks n{peer.number} for {_describe(ask)}")

        def take(data: bytes) -> None:
            self._asked.pop(ask.number, None)
            self._advance(lambda: self._machine.answered(ask.number, data))

        def answer(data: bytes) -> None:
            world.cross(peer.number, node.number, lambda: node.later(0, lambda: take(data)))

        self._asked[ask.number] = peer.number
        if not node.linked(peer):
            node.later(1, lambda: self._fail(ask.number, timed_out=False))
            return
        world.cross(node.number, peer.number, lambda: peer.later(0, lambda: peer.serve(ask.kind, ask.payload, answer)))
        node.later(ask.timeout_ms, lambda: self._fail(ask.number, timed_out=True))

    def _fail(self, number: int, *, timed_out: bool) -> None:
        self._asked.pop(number, None)
        self._advance(lambda: self._machine.failed(number, timed_out=timed_out))

    def lost(self, peer: int) -> None:
        """The link to a node closed: what was asked of it fails at once, as in the node's network."""
        for number in [number for number, asked in self._asked.items() if asked == peer]:
            self._fail(number, timed_out=False)

    def _end(self, found: Verified | None) -> None:
        node, machine = self._node, self._machine
        if found is None:
            node.world.note(f"n{node.number} finds no snapshot")
            self._over(moved=False)
            return
        sources = ", ".join(f"{count} from n{self._numbers[peer]}" for peer, count in sorted(machine.sources.items()))
        what = f"the snapshot of h{found.header.height}: {len(found.manifest.chunks)} chunks"
        node.world.note(f"n{node.number} has {what}, {machine.resumed} of them before, {sources or 'none new'}")
        node.later(node.world.dice.between(1, 30), lambda: self._build(found))

    def _build(self, found: Verified) -> None:
        node = self._node
        try:
            node.disk.decided = built(found, node.disk.incoming)
        except (InvalidBlock, StorageError) as error:
            self._give_up(error)
            return
        node.later(node.world.dice.between(0, node.speeds.fsync_ms), self._install)

    def _install(self) -> None:
        self._node.install_decided()
        self._over(moved=True)

    def _give_up(self, error: Exception) -> None:
        self._node.world.note(f"n{self._node.number} gives the snapshot up: {error}")
        self._over(moved=False)

    def _over(self, *, moved: bool) -> None:
        self._node.transfer = None
        self._then(moved)


class Sync:
    """One run of a process catches up; every wish is answered by one `Synced`, also if nothing was found."""

    def __init__(self, node: "SimNode") -> None:
        self._node = node
        self._target = 0
        self._asked_all = False

    def want(self, height: int) -> None:
        """Get to `height` at least."""
        begun = self._target != 0
        self._target = max(self._target, height)
        if not begun:
            self._asked_all = False
            self._node.later(self._node.world.dice.between(5, 60), self._begin)

    def _begin(self) -> None:
        node = self._node
        node.forget_work()
        if self._target - node.height > SNAPSHOT_LAG:
            self._transfer(node.height + SNAPSHOT_LAG)
        else:
            self._take_blocks()

    def _transfer(self, above: int) -> None:
        node = self._node
        node.transfer = Transfer(node, lambda _moved: self._take_blocks())
        node.on_transfer()
        node.transfer.begin(above)

    def _take_blocks(self) -> None:
        """Blocks of one peer: they are ours to believe here, since what verifies them is the same for a node that orders. Then what is left of the way."""
        node = self._node
        behind = [p for p in node.peers.values() if p is not node and p.up and p.honest and p.height > node.height >= p.disk.base and node.reaches(p)]
        if behind:
            peer = behind[node.world.dice.below(len(behind))]
            upto = min(peer.height, node.height + 1 + node.world.dice.below(_BLOCKS_A_SYNC))
            if not node.take_over(peer.disk.above(node.height, upto)):
                return
        elif node.height < self._target and not self._asked_all:
            # Whoever is connected may lack the block that comes next here.
            self._asked_all = True
            self._transfer(node.height)
            return
        self._target = 0
        node.synced()


def _describe(ask: Ask) -> str:
    if ask.kind == RequestKind.SNAPSHOTS:
        return "its snapshots"
    if ask.kind == RequestKind.BLOCKS:
        blocks = decode(ask.payload, FetchBlocks)
        return f"blocks {blocks.first} to {blocks.first + blocks.count - 1}"
    chunk = decode(ask.payload, FetchChunk)
    what = "the manifest" if ask.kind == RequestKind.SNAPSHOT_PROOF else f"chunk {chunk.index}"
    return f"{what} of h{chunk.height} {chunk.digest.hex()[:8]}"
