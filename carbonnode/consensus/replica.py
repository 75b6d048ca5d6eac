"""The replica: events in, actions out. Reads like a table: each event and message has its row, anything else is an error."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from carbonnode.chain.genesis import Parameters
from carbonnode.chain.signing import Signer, verify
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus import epochs, finality, liveness, ordering, proposing, recovery, repair, views
from carbonnode.consensus.actions import AnyAction, EpochEntered, SetTimer, ViewEntered
from carbonnode.consensus.config import EpochConfig, StableState, Tuning
from carbonnode.consensus.core import Core
from carbonnode.consensus.events import (
    AnyEvent,
    BatchReady,
    BatchResolved,
    Executed,
    PeerReachable,
    PeersAhead,
    PeerUnreachable,
    Persisted,
    Received,
    RequestsAdmitted,
    RequestsDropped,
    Start,
    Synced,
    TimerFired,
    WorkArrived,
)
from carbonnode.consensus.evidence import CHECKPOINT, COMMIT, PRE_PREPARE, PREPARE
from carbonnode.consensus.journal import decode_record
from carbonnode.consensus.messages import (
    BatchReply,
    Certified,
    Checkpoint,
    Commit,
    FetchBatch,
    Message,
    NewView,
    Prepare,
    PrePrepare,
    Signed,
    Status,
    Suspect,
    Verify,
    ViewChange,
    batch_digest,
)
from carbonnode.errors import InvariantViolation, PeerViolation

_MAX_ROUNDS = 1_000


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """Where a replica stands, for status and metrics. Heights, and counts of what it holds."""

    epoch: int
    view: int
    active: bool
    index: int | None
    primary: int
    stable: int
    ordered: int
    syncing: bool
    diverged: bool
    abstaining: bool
    suspicion: str | None
    timeout_ms: int
    waiting_requests: int
    held: int
    """Entries in all bounded tables together."""
    early: int
    """Of them, messages for later views, heights or the next epoch."""
    most_early: int
    """Of them, those of the signer who sent most."""


class Replica:
    """One validator's (or observer's) PBFT state machine."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @classmethod
    def restore(
        cls,
        *,
        signer: Signer,
        chain_id: bytes,
        epoch: EpochConfig,
        stable: StableState,
        journal: Iterable[bytes] = (),
        next_epoch: EpochConfig | None = None,
        lost_votes: bool = False,
        tuning: Tuning | None = None,
        verifier: Verify = verify,
    ) -> "Replica":
        """A replica at its birth (empty journal, genesis as stable state) or after a crash; then give it `Start`.

        `epoch` is the configuration of height `stable.height + 1`. `journal` are the records read back, in order. `lost_votes` says that this key
        voted before and its journal is gone: the replica then abstains until that can do no harm. Raises `StorageError` for unreadable records.
        """
        core = Core(signer=signer, chain_id=chain_id, epoch=epoch, stable=stable, tuning=tuning or Tuning(), verify=verifier)
        core.next_epoch = next_epoch
        recovery.replay_journal(core, [decode_record(record) for record in journal])
        if lost_votes:
            recovery.abstain(core, "the vote journal is lost")
        return cls(core)

    def step(self, event: AnyEvent) -> tuple[AnyAction, ...]:
        """Take in one event; gives the actions that follow, in order.

        Raises `InvariantViolation` for our own bugs and when more than f validators are faulty: stop the node then.
        """
        core = self._core
        core.now = max(core.now, event.now_ms)
        row = _EVENTS.get(type(event))
        if row is None:
            raise InvariantViolation(f"a replica has no row for the event {type(event).__name__}")
        row(core, event)
        _settle(core)
        return core.out.take()

    def validators_of(self, epoch: int) -> ValidatorSet | None:
        """The set that signs messages of an epoch, for the driver's check: the current epoch or the decided next one; None is to be refused."""
        core = self._core
        if epoch == core.epoch.epoch:
            return core.epoch.validators
        if core.next_epoch is not None and epoch == core.next_epoch.epoch:
            return core.next_epoch.validators
        return None

    def index_of(self, name: str) -> int | None:
        """A validator's index in the epoch this replica is in, by its name: what `Received.sender` means."""
        return self._core.epoch.validators.index_of_name(name)

    def header_votes(self, height: int) -> dict[int, bytes]:
        """The header hash that each validator, by index, voted for at a height above the stable checkpoint, as far as known here."""
        return {signer: header_hash for signer, (header_hash, _) in self._core.checkpoints.get(height, {}).items()}

    @property
    def parameters(self) -> Parameters:
        """Those of the epoch this replica is in."""
        return self._core.epoch.parameters

    @property
    def stable(self) -> int:
        """The height of the stable checkpoint: the low water mark."""
        return self._core.stable

    def state(self) -> ReplicaView:
        """Where this replica stands."""
        core = self._core
        heights = (core.slots, core.batches, core.checkpoints, core.certificates, core.header_hashes, core.guard.votes, core.wanted)
        members = (core.view_changes, core.suspects, core.reported)
        early = [len(kept) for kept in core.early.values()]
        held = sum(len(t) for t in (*heights, *members)) + sum(early) + sum(len(v) for v in core.checkpoints.values())
        return ReplicaView(
            epoch=core.epoch.epoch,
            view=core.view,
            active=core.active,
            index=core.index,
            primary=core.primary,
            stable=core.stable,
            ordered=core.ordered,
            syncing=core.syncing,
            diverged=core.diverged != 0,
            abstaining=core.abstaining,
            suspicion=core.suspicion,
            timeout_ms=core.pacing.timeout_ms,
            waiting_requests=len(core.requests.waiting),
            held=held,
            early=sum(early),
            most_early=max(early, default=0),
        )


# ---- events


def _start(core: Core, event: Start) -> None:
    core.wall_offset = event.wall_ms - core.now
    core.progress_ms = core.uncertified_ms = core.view_entered_ms = core.status_sent_ms = core.now
    core.requests.new_view(core.now, core.one_honest)
    core.work = True
    core.emit(EpochEntered(core.epoch, core.index))
    core.emit(ViewEntered(core.epoch.epoch, core.view, core.primary))
    core.dirty.update(core.slots)
    for slot in core.slots.values():
        slot.received_ms = core.now
    core.broadcast(repair.own_status(core))
    if core.own_view_change is not None:
        core.broadcast(core.own_view_change)
    core.timers[repair.STATUS] = core.now + core.tuning.retransmit_ms
    core.emit(SetTimer(repair.STATUS, core.tuning.retransmit_ms))


def _received(core: Core, event: Received) -> None:
    core.wall_offset = event.wall_ms - core.now
    message = event.message
    row = _LINK_MESSAGES.get(type(message))
    try:
        if row is not None:
            row(core, message, event.sender)
        else:
            _signed(core, message, event.sender)  # type: ignore[arg-type]  # what isn't a link message is a signed one
    except PeerViolation as violation:
        core.blame(event.sender, violation)


def _signed(core: Core, message: Signed, sender: int | None) -> None:
    """Sort a signed message by epoch, view and height: now, later, or never."""
    if message.epoch != core.epoch.epoch:
        if message.epoch == core.epoch.epoch + 1:
            repair.keep_early(core, message)
        return
    if message.signer == core.index and not core.abstaining:
        _own_message(core, message)
        return
    if isinstance(message, Suspect):
        views.on_suspect(core, message, sender)
        return
    if not isinstance(message, PrePrepare | Prepare | Commit):
        _ANY_TIME[type(message)](core, message)
        return
    if message.height <= core.stable or message.view < core.view or message.height > core.stable + 2 * core.window:
        return
    if message.view > core.view or not core.active or not core.in_window(message.height):
        repair.keep_early(core, message)
        return
    _VOTES[type(message)](core, message)


_KINDS = {PrePrepare: PRE_PREPARE, Prepare: PREPARE, Commit: COMMIT, Checkpoint: CHECKPOINT}


def _own_message(core: Core, message: Signed) -> None:
    """A vote with our signature came from outside: we gave it, or somebody else signs with our key (PBFT.md 22)."""
    if not isinstance(message, PrePrepare | Prepare | Commit | Checkpoint) or message.height <= core.guard.floor:
        return
    view = 0 if isinstance(message, Checkpoint) else message.view
    digest = message.header_hash if isinstance(message, Checkpoint) else batch_digest(message.batch) if isinstance(message, PrePrepare) else message.digest
    given = core.guard.given(_KINDS[type(message)], message.height)
    if given is None or view > given.view or (view == given.view and digest != given.digest):
        core.alarm("duplicate-key", message.height, f"a vote of height {message.height} bears our signature, but this process didn't give it")
        recovery.abstain(core, "another process signs with this validator's key, or its journal was replaced: stop the other one")


def _timer(core: Core, event: TimerFired) -> None:
    liveness.on_timer(core, event.timer)


def _work(core: Core, _event: WorkArrived) -> None:
    core.work = True


def _persisted(core: Core, event: Persisted) -> None:
    core.out.durable(event.token)


def _synced(core: Core, event: Synced) -> None:
    finality.on_synced(core, event)
    if event.epoch is not None and event.epoch.epoch > core.epoch.epoch and core.stable >= event.epoch.base:
        core.next_epoch = event.epoch
        epochs.advance(core)
        core.next_epoch = event.next_epoch


_Row: TypeAlias = Callable[[Core, Any], None]

_EVENTS: dict[type, _Row] = {
    Start: _start,
    Received: _received,
    TimerFired: _timer,
    WorkArrived: _work,
    BatchReady: proposing.on_batch_ready,
    BatchResolved: ordering.on_batch_resolved,
    Executed: finality.on_executed,
    Persisted: _persisted,
    Synced: _synced,
    PeersAhead: finality.on_peers_ahead,
    RequestsAdmitted: liveness.on_admitted,
    RequestsDropped: liveness.on_dropped,
    PeerUnreachable: liveness.on_unreachable,
    PeerReachable: liveness.on_reachable,
}

_VOTES: dict[type, _Row] = {PrePrepare: ordering.on_pre_prepare, Prepare: ordering.on_prepare, Commit: ordering.on_commit}

_ANY_TIME: dict[type, _Row] = {
    Checkpoint: finality.on_checkpoint,
    ViewChange: views.on_view_change,
    NewView: views.on_new_view,
}


def _batch_reply(core: Core, message: BatchReply, _sender: int | None) -> None:
    ordering.on_batch(core, message.height, message.batch)


_LINK_MESSAGES: dict[type[Message], Callable[[Core, Any, int | None], None]] = {
    Status: repair.on_status,
    FetchBatch: repair.on_fetch,
    BatchReply: _batch_reply,
    Certified: finality.on_certified,
}


# ---- what follows


def _settle(core: Core) -> None:
    """Derive everything that follows from what is known now, until nothing more does; then set timers."""
    for _ in range(_MAX_ROUNDS):
        _replay_early(core)
        ordering.adopt_named(core)
        moved = ordering.advance(core)
        moved |= finality.advance(core)
        moved |= epochs.advance(core)
        moved |= recovery.advance(core)
        moved |= views.advance(core)
        if not moved and not core.replay and not core.dirty:
            break
    else:
        raise InvariantViolation("a replica didn't come to rest after one event")
    finality.catch_up(core, stalled=False)
    recovery.standing_records(core)
    proposing.advance(core)
    liveness.arm(core)


def _replay_early(core: Core) -> None:
    if not core.replay:
        return
    core.replay = False
    for message in repair.take_early(core):
        try:
            _signed(core, message, None)
        except PeerViolation as violation:
            core.blame(message.signer, violation)
