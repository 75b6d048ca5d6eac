"""A simulated node: the real replica, and a driver over simulated disk, executor, mempool and links."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus import actions as act
from carbonnode.consensus import events as ev
from carbonnode.consensus.config import StableState
from carbonnode.consensus.messages import Message, Status, verify_signed
from carbonnode.consensus.replica import Replica
from carbonnode.errors import CarbonnodeError
from carbonnode.node.wire import RequestKind
from carbonnode.sim.chain import SHORT_WINDOW, VALIDITY_BLOCKS, Block
from carbonnode.sim.checks import Checks
from carbonnode.sim.disk import Disk, Shelved
from carbonnode.sim.keys import SimSigner
from carbonnode.sim.snapshots import Shelf
from carbonnode.sim.sync import Sync, Transfer
from carbonnode.sim.trace import describe
from carbonnode.sim.world import WALL_START_MS, World

_RETRY_MS = 40
_SYNC_EVERY = SHORT_WINDOW
"""Blocks between two syncs of block store and state: as in the node up to a window, so that a loss of power takes a window of them. Snapshots are made then."""
_FOLLOW_MS = 700


@dataclass
class Speeds:
    """How slow this node's parts are, in ms at most."""

    fsync_ms: int = 6
    execute_ms: int = 4
    hangs: bool = False
    """Its executor answers nothing any more."""
    wrong_roots: bool = False
    """Its executor computes other headers than everybody else's: a fault of one build, say."""


@dataclass
class _Memory:
    """What a crash takes: everything of one run of the process."""

    replica: Replica
    started_ms: int
    clock_base: int
    validators: ValidatorSet
    """Whom indices in `Send` mean: the epoch of the last `EpochEntered`, as in the node's driver."""
    timers: dict[str, int] = field(default_factory=dict)
    overlays: dict[int, Block] = field(default_factory=dict)
    queue: list[act.Execute] = field(default_factory=list)
    executing: bool = False
    proposed: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    unsynced_tokens: list[int] = field(default_factory=list)
    syncing_disk: bool = False
    sync: Sync | None = None


class SimNode:
    """Node `number`; an honest driver. Byzantine nodes override what leaves it."""

    honest = True

    def __init__(self, world: World, number: int, checks: Checks, peers: "dict[int, SimNode]") -> None:
        self.world = world
        self.number = number
        self.checks = checks
        self.peers = peers
        self.signer = SimSigner(number)
        world.ring.add(self.signer)
        self.disk = Disk(blocks=[(world.execution.genesis, None)])
        self.shelf = Shelf(world.execution)
        self.kept_snapshots = world.dice.between(1, 2)
        self.sync_every = _SYNC_EVERY // 2 if world.dice.chance(400) else _SYNC_EVERY
        self.prunes = world.dice.chance(700)
        """Whether it drops the blocks that nobody needs who takes its oldest snapshot."""
        self.transfer: Transfer | None = None
        self.on_transfer: Callable[[], None] = lambda: None
        """Told when it begins to fetch a snapshot."""
        self.transfers = 0
        self.speeds = Speeds()
        self.skew_ms = 0
        self.asleep_until = 0
        self.crashes = 0
        self.pool: dict[bytes, None] = {}
        self.known: set[bytes] = set()
        self.memory: _Memory | None = None
        self.has_voted = False
        """The mark beside the keys: durable before the first vote leaves, and not lost with a disk."""
        self._run = 0
        self._actions: dict[type[act.AnyAction], Callable[[Any], None]] = {
            act.Persist: self._persist,
            act.Broadcast: self._broadcast,
            act.Send: self._send,
            act.SetTimer: self._set_timer,
            act.CancelTimer: self._cancel_timer,
            act.RequestBatch: self._request_batch,
            act.ResolveBatch: self._resolve,
            act.ReleaseBatch: self._release,
            act.Execute: self._execute,
            act.Finalise: self._finalise,
            act.DiscardOverlays: self._discard,
            act.RequestSync: self._request_sync,
            act.ReportEvidence: self._evidence,
            act.ViewEntered: self._view_entered,
            act.EpochEntered: self._epoch_entered,
            act.Blame: lambda action: self.checks.blamed(self.number, action),
            act.Alarm: lambda action: self.checks.alarm(self.number, action.code),
        }

    # ---- life

    @property
    def up(self) -> bool:
        """Whether the process runs."""
        return self.memory is not None

    @property
    def height(self) -> int:
        """The highest certified height on its disk."""
        return self.disk.height

    @property
    def tip(self) -> Block:
        """The block at that height."""
        return self.disk.blocks[-1][0]

    def start(self) -> None:
        """Start the process from what the disk holds."""
        world = self.world
        self._run += 1
        if self.disk.decided is not None:
            self.install_decided()
        block, certificate = self.disk.blocks[-1]
        self.disk.synced_height = self.disk.height
        try:
            journal = self.disk.open_journal()
            replica = Replica.restore(
                signer=self.signer,
                chain_id=world.chain_id,
                epoch=block.following,
                next_epoch=block.decided,
                stable=StableState(block.height, block.header_hash, certificate),
                journal=journal,
                lost_votes=self.has_voted and not journal,
                verifier=world.ring.verify,
            )
        except CarbonnodeError as error:
            world.violation(f"node {self.number} can't start: {error}")
            return
        self.checks.recovered(self.number, journal)
        self.memory = _Memory(replica, world.now, world.dice.below(100_000), block.following.validators)
        world.note(f"n{self.number} starts at height {block.height}")
        self.checks.started(self.number, block)
        self.give(ev.Start(now_ms=self.clock_ms, wall_ms=self.wall_ms))
        waiting = tuple(h for h in self.pool if h not in block.seen)
        if waiting:
            self.give(ev.RequestsAdmitted(now_ms=self.clock_ms, wire_hashes=waiting))
        self._tell_links()
        self.later(_FOLLOW_MS, self._follow)

    def _follow(self) -> None:
        """A node that isn't a validator (not yet, or no more) follows certified blocks, as every node does that no quorum talks to."""
        if self.checks.chain[-1].following.validators.index_of(self.signer.public_key) is None:
            ahead = max((p.height for p in self.peers.values() if p.honest and p.up and self.reaches(p)), default=0)
            if ahead > self.height:
                self.give(ev.PeersAhead(now_ms=self.clock_ms, height=ahead))
        self._offer_again()
        self.later(_FOLLOW_MS, self._follow)

    def _offer_again(self) -> None:
        """Flooding tells each transaction once; what still waits is offered to those who missed it."""
        for wire_hash in self.pool:
            for peer in self.peers.values():
                if peer is not self and wire_hash not in peer.known and self.reaches(peer):
                    peer.later(self.world.dice.between(1, 20), lambda p=peer, h=wire_hash: p.admit(h))  # type: ignore[misc]  # a lambda's defaults

    def crash(self, *, power: bool) -> None:
        """Kill the process; with `power`, the machine."""
        self.world.note(f"n{self.number} {'loses power' if power else 'is killed'} at height {self.height}")
        self.crashes += 1
        self.checks.crashed(self.number)
        self._run += 1
        self.memory = None
        self.transfer = None
        if power:
            self.disk.lose_power(self.world.dice)
            self.pool.clear()
            self.known.clear()
        self._tell_links()

    def _tell_links(self) -> None:
        """The others notice that this process went or came, a little later."""
        for peer in self.peers.values():
            if peer is not self:
                self.world.at(self.world.dice.between(1, 20), lambda p=peer: p.link_changed(self))  # type: ignore[misc]  # a lambda's default

    def link_changed(self, other: "SimNode") -> None:
        """Tell the replica that a validator's process came or went."""
        if self.transfer is not None and not other.up:
            self.transfer.lost(other.number)
        if self.memory is None:
            return
        index = self.memory.validators.index_of(other.signer.public_key)
        if index is None:
            return
        if other.up:
            self.give(ev.PeerReachable(now_ms=self.clock_ms, peer=index))
        else:
            self.give(ev.PeerUnreachable(now_ms=self.clock_ms, peer=index))

    @property
    def clock_ms(self) -> int:
        """Its monotonic clock."""
        assert self.memory is not None
        return self.world.now - self.memory.started_ms + self.memory.clock_base

    @property
    def wall_ms(self) -> int:
        """Its wall clock."""
        return WALL_START_MS + self.world.now + self.skew_ms

    # ---- events

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Let something happen to this run of the process, if it still runs then; a stopped (SIGSTOP) process takes it up when it goes on."""
        run = self._run

        def happen() -> None:
            if self._run != run or self.memory is None:
                return
            if self.world.now < self.asleep_until:
                self.world.at(self.asleep_until - self.world.now, happen)
            else:
                action()

        self.world.at(delay_ms, happen)

    def give(self, event: ev.AnyEvent) -> None:
        """One event to the replica; carry out what it answers; check."""
        memory = self.memory
        if memory is None:
            return
        try:
            answered = memory.replica.step(event)
        except CarbonnodeError as error:
            if self.honest:
                self.world.violation(f"node {self.number} stopped: {type(error).__name__}: {error}")
            self.memory = None
            return
        self.checks.stepped(self.number, memory.replica)
        for action in answered:
            if self.memory is not memory:
                return
            self._actions[type(action)](action)

    def receive(self, source: int, message: Message) -> None:
        """A message from another node arrived: check its signature as the driver does, then hand it on."""
        memory = self.memory
        if memory is None:
            return
        epoch = getattr(message, "epoch", None)
        if epoch is not None and not isinstance(message, Status):
            validators = memory.replica.validators_of(epoch)
            if validators is None:
                return
            if not verify_signed(message, validators, self.world.chain_id, self.world.ring.verify):
                self.checks.unsigned(self.number, source, message)
                return
            self.checks.heard(self.number, message)
        self.world.note(f"n{source} -> n{self.number}  {describe(message)}")
        sender = memory.replica.index_of(self.world.execution.members[source].name)
        self.give(ev.Received(now_ms=self.clock_ms, wall_ms=self.wall_ms, sender=sender, message=message))

    def _view_entered(self, action: act.ViewEntered) -> None:
        assert self.memory is not None
        # A process that starts on its way to a view names that one, without being in it.
        self.checks.view_entered(self.number, action.epoch, action.view, active=self.memory.replica.state().active)

    def _epoch_entered(self, action: act.EpochEntered) -> None:
        assert self.memory is not None
        changed = self.memory.validators is not action.config.validators
        self.memory.validators = action.config.validators
        if changed:
            for peer in self.peers.values():
                if peer is not self and not peer.up:
                    self.link_changed(peer)

    def admit(self, wire_hash: bytes) -> None:
        """A transaction reached this node, from a client or a peer."""
        if self.memory is None or wire_hash in self.known or wire_hash in self.world.invalid:
            return
        self.known.add(wire_hash)
        if wire_hash in self.tip.seen:
            return
        self.pool[wire_hash] = None
        self.give(ev.RequestsAdmitted(now_ms=self.clock_ms, wire_hashes=(wire_hash,)))
        for peer in self.peers.values():
            if peer is not self and (self.number, peer.number) not in self.world.weather.blocked:
                peer.later(self.world.dice.between(1, 20), lambda p=peer: p.admit(wire_hash))  # type: ignore[misc]  # a lambda's default

    # ---- actions: disk

    def _persist(self, action: act.Persist) -> None:
        memory = self.memory
        assert memory is not None
        self.disk.append(action.records)
        self.disk.loose_bodies.update(action.bodies)
        self.checks.persisting(self.number, action, memory.replica)
        memory.unsynced_tokens.append(action.token)
        self._sync_disk()

    def _sync_disk(self) -> None:
        """Group commit: one fdatasync at a time, for all that waits."""
        memory = self.memory
        assert memory is not None
        if memory.syncing_disk or not memory.unsynced_tokens:
            return
        memory.syncing_disk = True
        upto = memory.unsynced_tokens[-1]
        lengths = [(segment, len(segment.data)) for segment in self.disk.segments]
        bodies = set(self.disk.loose_bodies)

        def synced() -> None:
            self.disk.sync(lengths, bodies)
            memory.syncing_disk = False
            memory.unsynced_tokens = [t for t in memory.unsynced_tokens if t > upto]
            self.checks.durable(self.number, upto)
            self.has_voted = True
            self.give(ev.Persisted(now_ms=self.clock_ms, token=upto))
            if self.memory is memory:
                self._sync_disk()

        self.later(self.world.dice.between(0, self.speeds.fsync_ms), synced)

    # ---- actions: links

    def _broadcast(self, action: act.Broadcast) -> None:
        assert self.memory is not None
        for validator in self.memory.validators.validators:
            peer = self.by_key(validator.consensus_key)
            if peer is not self:
                self.transmit(peer, action.message)

    def _send(self, action: act.Send) -> None:
        assert self.memory is not None
        self.transmit(self.by_key(self.memory.validators[action.to].consensus_key), action.message)

    def by_key(self, key: bytes) -> "SimNode":
        """The node of a validator."""
        return next(peer for peer in self.peers.values() if peer.signer.public_key == key)

    def transmit(self, peer: "SimNode", message: Message) -> None:
        """Put a message on the link."""
        assert self.memory is not None
        self.checks.sending(self.number, message, self.memory.replica)
        self.put_on_link(peer, message)

    def put_on_link(self, peer: "SimNode", message: Message) -> None:
        """Bring it across, whatever the weather."""
        self.world.carry(self.number, peer.number, message, lambda m: peer.later(0, lambda: peer.receive(self.number, m)))

    # ---- actions: time

    def _set_timer(self, action: act.SetTimer) -> None:
        memory = self.memory
        assert memory is not None
        stamp = memory.timers.get(action.timer, 0) + 1
        memory.timers[action.timer] = stamp
        self.checks.timer(self.number, action.delay_ms)

        def fire() -> None:
            if self.memory is memory and memory.timers.get(action.timer) == stamp:
                self.give(ev.TimerFired(now_ms=self.clock_ms, timer=action.timer))

        self.later(action.delay_ms, fire)

    def _cancel_timer(self, action: act.CancelTimer) -> None:
        assert self.memory is not None
        self.memory.timers[action.timer] = self.memory.timers.get(action.timer, 0) + 1

    # ---- actions: batches

    def _request_batch(self, action: act.RequestBatch) -> None:
        self.later(self.world.dice.below(3), lambda: self._answer_batch(action))

    def _answer_batch(self, action: act.RequestBatch) -> None:
        memory = self.memory
        assert memory is not None
        in_flight = {h for hashes in memory.proposed.values() for h in hashes}
        waiting = [h for h in self.pool if h not in in_flight and self.would_propose(h)]
        room = self.tip.following.parameters.max_block_transactions
        chosen = tuple(waiting[:room])
        batch = Batch(self.wall_ms, chosen) if chosen or action.allow_empty or self.feigns_work else None
        if batch is not None:
            memory.proposed[action.height] = chosen
        self.give(ev.BatchReady(now_ms=self.clock_ms, height=action.height, batch=batch, more=len(waiting) > room or self.feigns_work))

    @property
    def feigns_work(self) -> bool:
        """Whether it proposes batches without need."""
        return False

    def would_propose(self, _wire_hash: bytes) -> bool:
        """Whether a transaction may stand in a proposal of this node."""
        return True

    def _release(self, action: act.ReleaseBatch) -> None:
        if self.memory is not None:
            self.memory.proposed.pop(action.height, None)

    def _resolve(self, action: act.ResolveBatch) -> None:
        self.later(self.world.dice.below(3), lambda: self._try_resolve(action))

    def _try_resolve(self, action: act.ResolveBatch) -> None:
        if action.height <= self.height:
            return
        hashes = action.batch.wire_hashes
        if any(h in self.world.invalid for h in hashes):
            self.give(ev.BatchResolved(now_ms=self.clock_ms, height=action.height, digest=action.digest, ok=False, full=False))
            return
        if action.digest not in self.disk.bodies:
            for wire_hash in hashes:
                if wire_hash not in self.known and any(p.up and wire_hash in p.known and self.reaches(p) for p in self.peers.values()):
                    self.admit(wire_hash)
            if not all(h in self.known for h in hashes):
                self.later(_RETRY_MS, lambda: self._try_resolve(action))
                return
        full = len(hashes) >= self.tip.following.parameters.max_block_transactions
        for wire_hash in hashes:
            self.admit(wire_hash)  # what came with a proposal waits like any other, should the proposal fall
        self.give(ev.BatchResolved(now_ms=self.clock_ms, height=action.height, digest=action.digest, ok=True, full=full))

    def linked(self, peer: "SimNode") -> bool:
        """Whether there is a connection, be it one that brings nothing across."""
        return peer.up

    def reaches(self, peer: "SimNode") -> bool:
        """Whether both directions of the link are open."""
        blocked = self.world.weather.blocked
        return (self.number, peer.number) not in blocked and (peer.number, self.number) not in blocked

    # ---- actions: blocks

    def _execute(self, action: act.Execute) -> None:
        memory = self.memory
        assert memory is not None
        self.checks.ordered(self.number, action.height, action.digest, action.batch)
        memory.queue.append(action)
        self._run_executor()

    def _run_executor(self) -> None:
        memory = self.memory
        assert memory is not None
        if memory.executing or not memory.queue or self.speeds.hangs:
            return
        memory.executing = True
        action = memory.queue[0]

        def done() -> None:
            memory.executing = False
            if not memory.queue or memory.queue[0] is not action:
                self._run_executor()
                return
            memory.queue.pop(0)
            parent = memory.overlays.get(action.height - 1) or self.tip
            if action.height > self.height and parent.height == action.height - 1:
                block = self.world.execution.run(parent, action.batch)
                if self.speeds.wrong_roots:
                    block = replace(block, header_hash=self.checks.wrong_root(block))
                memory.overlays[action.height] = block
                self.give(ev.Executed(now_ms=self.clock_ms, height=action.height, header_hash=block.header_hash, next_epoch=block.decided))
            elif action.height > self.height:
                self.world.violation(f"node {self.number} was asked to execute {action.height} on {parent.height}")
            if self.memory is memory:
                self._run_executor()

        self.later(self.world.dice.between(0, self.speeds.execute_ms), done)

    def _finalise(self, action: act.Finalise) -> None:
        memory = self.memory
        assert memory is not None
        block = memory.overlays.pop(action.height, None)
        if block is None or action.height != self.height + 1:
            self.world.violation(f"node {self.number} finalised {action.height} on {self.height} without having executed it")
            return
        self._store(block, action.certificate)

    def _store(self, block: Block, certificate: Certificate) -> None:
        self.checks.finalised(self.number, block, certificate)
        self.disk.blocks.append((block, certificate))
        self.disk.note_change(block, certificate)
        for wire_hash in block.applied:
            self.pool.pop(wire_hash, None)
        if self.memory is not None:
            self.memory.proposed.pop(block.height, None)
        if block.height % self.sync_every == 0:
            self._synced_blocks(block, certificate)

    def _synced_blocks(self, block: Block, certificate: Certificate) -> None:
        disk = self.disk
        disk.synced_height = max(disk.synced_height, block.height)
        disk.cut_below(disk.synced_height)
        disk.shelf = [*disk.shelf, Shelved(block, certificate, disk.changes_before(block.height))][-self.kept_snapshots :]
        if self.prunes:
            disk.prune(disk.shelf[0].block.height - VALIDITY_BLOCKS)

    def _discard(self, _action: act.DiscardOverlays) -> None:
        assert self.memory is not None
        self.memory.overlays.clear()
        self.memory.queue.clear()

    def _evidence(self, action: act.ReportEvidence) -> None:
        self.checks.evidence(self.number, action.evidence)

    # ---- actions: sync

    def _request_sync(self, action: act.RequestSync) -> None:
        memory = self.memory
        assert memory is not None
        if memory.sync is None:
            memory.sync = Sync(self)
        memory.sync.want(action.height)

    def forget_work(self) -> None:
        """A sync begins: what is ordered and not final is void."""
        memory = self.memory
        assert memory is not None
        memory.overlays.clear()
        memory.queue.clear()
        memory.proposed.clear()

    def take_over(self, blocks: list[tuple[Block, Certificate | None]]) -> bool:
        """Store certified blocks that follow ours; False if the process ended over it."""
        memory = self.memory
        for block, certificate in blocks:
            assert certificate is not None  # only genesis has none
            self._store(block, certificate)
            # Consensus didn't see this block ordered: it must not wait for what is in it.
            self.give(ev.RequestsDropped(now_ms=self.clock_ms, wire_hashes=block.applied))
            if self.memory is not memory:
                return False
        return True

    def synced(self) -> None:
        """A sync is over."""
        if self.speeds.wrong_roots:
            self.speeds.wrong_roots = False
        block, certificate = self.disk.blocks[-1]
        self.world.note(f"n{self.number} synced to height {block.height}")
        self.checks.synced(self.number, block)
        self.give(
            ev.Synced(
                now_ms=self.clock_ms,
                height=block.height,
                header_hash=block.header_hash,
                certificate=certificate,
                epoch=block.following,
                next_epoch=block.decided,
            )
        )

    # ---- snapshots

    def serve(self, kind: RequestKind, payload: bytes, answer: Callable[[bytes], None]) -> None:
        """Answer a peer that fetches a snapshot."""
        answer(self.shelf.answer(self.disk, kind, payload))

    def install_decided(self) -> None:
        """The state that was decided on takes the place of the old one; what is in it waits no more."""
        decided = self.disk.decided
        assert decided is not None
        self.checks.installed(self.number, decided)
        self.disk.install(decided)
        self.transfers += 1
        self.world.note(f"n{self.number} begins anew from the snapshot of h{decided.block.height}")
        done = tuple(wire_hash for wire_hash in self.pool if wire_hash in decided.block.seen)
        for wire_hash in done:
            del self.pool[wire_hash]
        if self.memory is not None and done:
            self.give(ev.RequestsDropped(now_ms=self.clock_ms, wire_hashes=done))
