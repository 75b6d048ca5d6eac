"""Byzantine nodes: a real replica whose words are twisted on the way out, and which says more than it should.

Each strategy is a function of a message that is about to leave for one peer; it gives what leaves instead. The node signs with its own key only.
"""

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from carbonnode.chain.batch import NULL_BATCH, Batch
from carbonnode.chain.certificate import Certificate, checkpoint_bytes
from carbonnode.consensus.messages import (
    BatchReply,
    Certified,
    Checkpoint,
    Commit,
    Message,
    NewView,
    Prepare,
    PrePrepare,
    Reproposal,
    Status,
    Suspect,
    ViewChange,
    batch_digest,
    commit_bytes,
    new_view_bytes,
    pre_prepare_bytes,
    prepare_bytes,
    suspect_bytes,
    view_change_bytes,
)
from carbonnode.node.wire import RequestKind
from carbonnode.sim.checks import Checks
from carbonnode.sim.liars import LIES, Lie
from carbonnode.sim.node import SimNode
from carbonnode.sim.world import World

_MAX_REMEMBERED = 64
_HUGE_VIEW = 1 << 40
_AGREEMENT_MS = 500


class ByzantineNode(SimNode):
    """Follows one strategy at a time, and changes it now and then."""

    honest = False

    def __init__(self, world: World, number: int, checks: Checks, peers: dict[int, SimNode]) -> None:
        super().__init__(world, number, checks, peers)
        self.strategy: Strategy = obedient
        self.remembered: list[Message] = []
        self.victims: set[int] = set()
        self.twin: dict[bytes, bytes] = {}
        self.overheard: list[Prepare | Commit | Checkpoint | Suspect] = []
        self.lie: Lie = LIES[0]
        self.agrees = True
        """Whether it takes to another lie at every fetch, mostly with its kind."""
        self.agreed_ms = 0

    def choose_strategy(self) -> None:
        """Another one, against other victims."""
        dice = self.world.dice
        self.strategy = dice.pick(STRATEGIES)
        numbers = [number for number in sorted(self.peers) if number != self.number]
        self.victims = set(dice.some(numbers, dice.between(1, max(1, len(numbers) - 1))))
        self.world.note(f"n{self.number} turns to {self.strategy.__name__} against {sorted(self.victims)}")

    def receive(self, source: int, message: Message) -> None:
        """Remember what others signed: it may be of use elsewhere."""
        if isinstance(message, Prepare | Commit | Checkpoint | Suspect):
            if len(self.overheard) >= _MAX_REMEMBERED:
                self.overheard.pop(self.world.dice.below(_MAX_REMEMBERED))
            self.overheard.append(message)
        super().receive(source, message)

    def serve(self, kind: RequestKind, payload: bytes, answer: Callable[[bytes], None]) -> None:
        """Corrupt snapshots, or none. Whoever fetches meets another lie each time; the villains mostly agree on one."""
        if self.agrees and kind == RequestKind.SNAPSHOTS and self.world.now - self.agreed_ms > _AGREEMENT_MS:
            self._agree()
        told = self.lie(self, kind, payload)
        if told is not None:
            answer(told)

    def _agree(self) -> None:
        lie = self.world.dice.pick(LIES)
        for peer in self.peers.values() if self.world.dice.chance(700) else (self,):
            if isinstance(peer, ByzantineNode):
                peer.lie, peer.agreed_ms = lie, self.world.now
        self.world.note(f"n{self.number} lies: {lie.__name__}")

    def settle_down(self) -> None:
        """The ways that hurt longest, when all other trouble is over."""
        if self.world.dice.chance(400):
            self.strategy = self.world.dice.pick((censor, censor, silent, selectively_silent, equivocate))
            self.world.note(f"n{self.number} stays with {self.strategy.__name__}")

    @property
    def feigns_work(self) -> bool:
        """A censor keeps the blocks coming, so that no timer runs out."""
        return self.strategy is censor

    def would_propose(self, wire_hash: bytes) -> bool:
        """A censor leaves out every other transaction, for good."""
        return self.strategy is not censor or wire_hash[0] % 2 == 0

    def transmit(self, peer: SimNode, message: Message) -> None:
        """Twist what leaves."""
        if len(self.remembered) >= _MAX_REMEMBERED:
            self.remembered.pop(self.world.dice.below(_MAX_REMEMBERED))
        self.remembered.append(message)
        strategy = self.strategy
        if isinstance(message, NewView | ViewChange) and self.world.dice.chance(500):
            strategy = self.world.dice.pick((forged_new_views, forged_new_views, stale_view_changes))  # view changes are rare: no chance is let pass
        elif isinstance(message, BatchReply):
            strategy = wrong_batches
        for twisted in strategy(self, peer, message):
            self.put_on_link(peer, twisted)


Strategy: TypeAlias = Callable[[ByzantineNode, SimNode, Message], tuple[Message, ...]]


def obedient(_node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Say what an honest node would."""
    return (message,)


def silent(_node: ByzantineNode, _peer: SimNode, _message: Message) -> tuple[Message, ...]:
    """Say nothing to anyone."""
    return ()


def selectively_silent(node: ByzantineNode, peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Say nothing to the victims."""
    return () if peer.number in node.victims else (message,)


def equivocate(node: ByzantineNode, peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Propose another batch to the victims, and vote for both everywhere."""
    chain = node.world.chain_id
    if isinstance(message, PrePrepare):
        batch = Batch.decode(message.batch)
        other = Batch(batch.time_ms + 1, batch.wire_hashes[1:], batch.skip_orders)
        node.twin[batch.digest] = other.digest
        if peer.number in node.victims:
            signature = node.signer.sign(pre_prepare_bytes(chain, message.epoch, message.view, message.height, other.digest))
            return (PrePrepare(message.epoch, message.view, message.height, other.encoded, message.signer, signature),)
    if isinstance(message, Commit | Prepare) and message.digest in node.twin:
        other_digest = node.twin[message.digest]
        sign = commit_bytes if isinstance(message, Commit) else prepare_bytes
        signature = node.signer.sign(sign(chain, message.epoch, message.view, message.height, other_digest))
        double = type(message)(message.epoch, message.view, message.height, other_digest, message.signer, signature)
        return (double, message) if peer.number in node.victims else (message, double)
    return (message,)


def vote_for_anything(node: ByzantineNode, peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Vote for digests nobody proposed, beside the right ones, and commit before anything is prepared."""
    chain = node.world.chain_id
    if isinstance(message, Prepare) and peer.number in node.victims:
        digest = node.world.dice.bytes(32)
        prepare = node.signer.sign(prepare_bytes(chain, message.epoch, message.view, message.height, digest))
        commit = node.signer.sign(commit_bytes(chain, message.epoch, message.view, message.height, message.digest))
        return (
            Commit(message.epoch, message.view, message.height, message.digest, message.signer, commit),
            Prepare(message.epoch, message.view, message.height, digest, message.signer, prepare),
            message,
        )
    return (message,)


def no_checkpoints(_node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Help with the order, and keep every header to itself: certificates then need all others."""
    return () if isinstance(message, Checkpoint) else (message,)


def wrong_roots(node: ByzantineNode, peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Vote for headers that nobody else computed, different ones to different peers."""
    if isinstance(message, Checkpoint) and peer.number in node.victims:
        header_hash = node.world.dice.bytes(32)
        signature = node.signer.sign(checkpoint_bytes(node.world.chain_id, message.epoch, message.height, header_hash))
        return (Checkpoint(message.epoch, message.height, header_hash, message.signer, signature),)
    return (message,)


def replay(node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Say old things again."""
    return (message, node.world.dice.pick(node.remembered))


def huge_views(node: ByzantineNode, peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Claim to be in a far view, or just the next one, to pull the others along."""
    if not isinstance(message, Prepare | Commit | Status) or peer.number not in node.victims:
        return (message,)
    memory = node.memory
    index = memory.replica.state().index if memory is not None else None
    if memory is None or index is None:
        return (message,)
    state = memory.replica.state()
    view = state.view + 1 if node.world.dice.chance(500) else _HUGE_VIEW
    suspect = node.signer.sign(suspect_bytes(node.world.chain_id, state.epoch, state.view))
    unsigned = ViewChange(state.epoch, view, None, (), index, bytes(64))
    change = ViewChange(state.epoch, view, None, (), index, node.signer.sign(view_change_bytes(node.world.chain_id, unsigned)))
    return (message, Suspect(state.epoch, state.view, index, suspect), change)


def stale_view_changes(node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Hide what is prepared, or the stable checkpoint, when a view changes."""
    if not isinstance(message, ViewChange) or message.signer != _index(node):
        return (message,)
    stable = None if node.world.dice.chance(500) else message.stable
    unsigned = ViewChange(message.epoch, message.view, stable, (), message.signer, bytes(64))
    return (ViewChange(message.epoch, message.view, stable, (), message.signer, node.signer.sign(view_change_bytes(node.world.chain_id, unsigned))),)


def forged_new_views(node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """As primary of a new view, leave out what must be proposed again; forge proofs as backup."""
    if isinstance(message, NewView) and message.signer == _index(node):
        kept = message.proposals[:-1] if message.proposals else ()
        if message.proposals and node.world.dice.chance(700):
            first, digest = message.proposals[0], NULL_BATCH.digest
            signed = node.signer.sign(pre_prepare_bytes(node.world.chain_id, message.epoch, message.view, first.height, digest))
            kept = (Reproposal(first.height, digest, signed), *message.proposals[1:])
        unsigned = NewView(message.epoch, message.view, message.view_changes, kept, message.signer, bytes(64))
        signature = node.signer.sign(new_view_bytes(node.world.chain_id, unsigned))
        return (NewView(message.epoch, message.view, message.view_changes, kept, message.signer, signature),)
    if isinstance(message, ViewChange) and message.prepared:
        proof = message.prepared[0]
        forged = replace(proof, view=max(proof.view, message.view - 1), digest=node.world.dice.bytes(32))
        unsigned_change = ViewChange(message.epoch, message.view, message.stable, (forged, *message.prepared[1:]), message.signer, bytes(64))
        signature = node.signer.sign(view_change_bytes(node.world.chain_id, unsigned_change))
        return (ViewChange(message.epoch, message.view, message.stable, unsigned_change.prepared, message.signer, signature),)
    return (message,)


def false_claims(node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Claim certificates that don't exist, and a status far ahead."""
    if not isinstance(message, Status):
        return (message,)
    dice = node.world.dice
    height = message.stable + dice.between(1, 100)
    certificate = Certificate(message.epoch, height, dice.bytes(32), tuple((i, dice.bytes(64)) for i in range(len(node.peers))))
    return (Status(message.epoch, message.view, message.active, height, height, (), message.abstaining), Certified(certificate))


def invalid_transactions(node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Propose batches that hold a transaction with a bad signature."""
    if not isinstance(message, PrePrepare) or message.signer != _index(node):
        return (message,)
    batch = Batch.decode(message.batch)
    twisted = Batch(batch.time_ms, (*batch.wire_hashes, *sorted(node.world.invalid)[:1]), batch.skip_orders)
    signature = node.signer.sign(pre_prepare_bytes(node.world.chain_id, message.epoch, message.view, message.height, batch_digest(twisted.encoded)))
    return (PrePrepare(message.epoch, message.view, message.height, twisted.encoded, message.signer, signature),)


def relabel(node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Say what others signed in another place: of another kind, view, height or epoch."""
    if not isinstance(message, Prepare | Commit | Status) or not node.overheard:
        return (message,)
    dice = node.world.dice
    old = dice.pick(node.overheard)
    if isinstance(old, Prepare | Commit) and dice.chance(300):
        other = Commit if isinstance(old, Prepare) else Prepare
        return (message, other(old.epoch, old.view, old.height, old.digest, old.signer, old.signature))
    field = dice.pick([name for name in ("epoch", "view", "height", "view", "height") if hasattr(old, name)])
    value = message.view if field == "view" and isinstance(message, Status) and message.view != getattr(old, field) else getattr(old, field) + 1
    return (message, replace(old, **{field: value}))


def wrong_batches(_node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Answer requests for batches with others."""
    if not isinstance(message, BatchReply):
        return (message,)
    batch = Batch.decode(message.batch)
    return (BatchReply(message.height, Batch(batch.time_ms + 7, batch.wire_hashes[1:], batch.skip_orders).encoded),)


def usurp(node: ByzantineNode, peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Propose without being the primary."""
    if not isinstance(message, Prepare | Commit) or peer.number not in node.victims or message.signer != _index(node):
        return (message,)
    height = message.height + node.world.dice.below(2)
    batch = Batch(node.wall_ms, ())
    signature = node.signer.sign(pre_prepare_bytes(node.world.chain_id, message.epoch, message.view, height, batch.digest))
    return (PrePrepare(message.epoch, message.view, height, batch.encoded, message.signer, signature), message)


def flood(node: ByzantineNode, peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Vote in many views that are still to come."""
    if not isinstance(message, Prepare | Commit) or peer.number not in node.victims or message.signer != _index(node):
        return (message,)
    dice = node.world.dice
    more: list[Message] = []
    for _ in range(6):
        view, digest = message.view + dice.between(1, 1_000), dice.bytes(32)
        signature = node.signer.sign(prepare_bytes(node.world.chain_id, message.epoch, view, message.height, digest))
        more.append(Prepare(message.epoch, view, message.height, digest, message.signer, signature))
    return (message, *more)


def censor(_node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Do everything right, but leave some transactions out of the proposals (see `would_propose`)."""
    return (message,)


def wrong_times(node: ByzantineNode, _peer: SimNode, message: Message) -> tuple[Message, ...]:
    """Propose times far from the truth."""
    if not isinstance(message, PrePrepare) or message.signer != _index(node):
        return (message,)
    batch = Batch.decode(message.batch)
    twisted = Batch(max(0, batch.time_ms + 86_400_000 * (1 if message.height % 2 else -1)), batch.wire_hashes, batch.skip_orders)
    signature = node.signer.sign(pre_prepare_bytes(node.world.chain_id, message.epoch, message.view, message.height, twisted.digest))
    return (PrePrepare(message.epoch, message.view, message.height, twisted.encoded, message.signer, signature),)


def _index(node: ByzantineNode) -> int | None:
    return node.memory.replica.state().index if node.memory is not None else None


# What only a primary can do bites rarely: it stands here more than once.
STRATEGIES: tuple[Strategy, ...] = (
    obedient,
    silent,
    selectively_silent,
    equivocate,
    equivocate,
    equivocate,
    vote_for_anything,
    wrong_roots,
    no_checkpoints,
    replay,
    huge_views,
    stale_view_changes,
    forged_new_views,
    forged_new_views,
    forged_new_views,
    false_claims,
    invalid_transactions,
    wrong_times,
    relabel,
    wrong_batches,
    usurp,
    flood,
    censor,
    censor,
    censor,
)
