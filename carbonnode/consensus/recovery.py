"""Life after a crash: promises rebuilt from the journal, and abstention when they are lost (PBFT.md 19 to 23)."""

from collections.abc import Iterable

from carbonnode.chain.batch import Batch
from carbonnode.consensus.core import Core
from carbonnode.consensus.evidence import PRE_PREPARE
from carbonnode.consensus.journal import Abstaining, Diverged, Entered, Held, JournalRecord, Left, Ordered, Prepared, Proposed, Voted
from carbonnode.consensus.messages import NewView, PrePrepare, ViewChange
from carbonnode.consensus.proofs import outcome

UNKNOWN = -1


def _epoch_of(record: JournalRecord) -> int | None:
    if isinstance(record, Abstaining):
        return None
    if isinstance(record, Proposed | Left | Entered):
        return record.message.epoch
    if isinstance(record, Prepared):
        return record.proof.epoch
    return record.epoch


def replay_journal(core: Core, records: Iterable[JournalRecord]) -> None:
    """Rebuild view, proposals, prepared certificates and votes, in the order written. Records of a later epoch wait for it to begin."""
    left: ViewChange | None = None
    entered: NewView | None = None
    proposals: dict[int, PrePrepare] = {}
    for record in records:
        epoch = _epoch_of(record)
        if epoch is not None and epoch != core.epoch.epoch and not isinstance(record, Diverged):
            if epoch > core.epoch.epoch:
                core.deferred.append(record)
        elif isinstance(record, Left):
            left = record.message
        elif isinstance(record, Entered):
            entered = record.message
        elif isinstance(record, Proposed):
            _hold(core, record.message.height, record.message.batch)
            held = proposals.get(record.message.height)
            if held is None or record.message.view >= held.view:
                proposals[record.message.height] = record.message
        else:
            _replay_one(core, record)
    _resume_view(core, left, entered)
    _resume_slots(core, proposals)


def _replay_one(core: Core, record: Held | Voted | Prepared | Diverged | Abstaining | Ordered) -> None:
    if isinstance(record, Held):
        _hold(core, record.height, record.batch)
    elif isinstance(record, Voted):
        core.guard.remember(record)
    elif isinstance(record, Diverged):
        core.diverged = record.height
    elif isinstance(record, Abstaining):
        core.abstaining = record.target != 0
        core.abstain_target = record.target
    elif isinstance(record, Ordered):
        if record.height > core.stable:
            core.slot(record.height).committed = record.digest
    elif record.proof.height > core.stable:
        slot = core.slot(record.proof.height)
        if slot.proof is None or record.proof.view >= slot.proof.view:
            slot.proof = record.proof


def _hold(core: Core, height: int, data: bytes) -> None:
    if height > core.stable:
        core.hold(height, Batch.decode(data)).durable = True


def _resume_view(core: Core, left: ViewChange | None, entered: NewView | None) -> None:
    """Stand where the last durable promise put us: in a view that was entered, or on the way to one."""
    if entered is not None:
        core.guard.entered(entered.view)
        core.view = entered.view
        core.new_view = entered
        result = outcome(entered.view_changes, core.epoch)
        core.named = dict(result.digests)
        core.named_top = max(core.named, default=result.stable)
        core.next_height = max(core.next_height, core.named_top + 1, result.stable + 1)
    if left is not None and (entered is None or left.view > entered.view):
        core.guard.left_view = left.view
        core.view = left.view
        core.active = False
        core.new_view = None
        core.named.clear()
        core.own_view_change = left
        core.view_changes[left.signer] = left


def _resume_slots(core: Core, proposals: dict[int, PrePrepare]) -> None:
    """Proposals of the current view stand again; what was journaled once had a good time then."""
    for height, message in sorted(proposals.items()):
        # A loss of power takes up to a window of blocks: what was voted on above the marks that are left binds all the same (found by the simulator).
        if not core.stable < height <= core.stable + 2 * core.window or message.view != core.view or not core.active or height <= core.named_top:
            continue
        held = core.hold(height, Batch.decode(message.batch))
        slot = core.slot(height)
        slot.proposal, slot.digest, slot.proposal_signature = message, held.batch.digest, message.signature
        slot.time_ok = True
    given = [record.height for (kind, _), record in core.guard.votes.items() if kind == PRE_PREPARE and record.view == core.view]
    core.next_height = max([core.next_height, *[height + 1 for height in given]])
    for slot in core.slots.values():
        if slot.proof is not None and slot.proof.view == core.view and core.active:
            for index, signature in slot.proof.prepares:
                slot.prepares.add(index, slot.proof.digest, signature)
    core.dirty.update(core.slots)


def abstain(core: Core, reason: str) -> None:
    """Promises may be lost, or another process signs with our key: send no vote until all that could contradict it is certified."""
    if core.abstaining:
        return
    core.abstaining = True
    core.abstain_target = UNKNOWN
    core.peer_certified.clear()  # what they proved long ago says nothing of what was voted on since
    core.peer_said.clear()
    core.out.persist(core.stable + 2 * core.window, Abstaining(UNKNOWN))
    core.alarm("abstaining", core.stable, reason)


def advance(core: Core) -> bool:
    """Find the height from which voting is safe again, and resume there (PBFT.md 22)."""
    if not core.abstaining:
        return False
    if core.abstain_target == UNKNOWN:
        # The first certificate to come in may be the oldest that a peer still has: it counts when it reaches what the peer's STATUS said.
        proven = core.peer_certified.items()
        others = {peer: height for peer, height in proven if peer != core.index and peer in core.peer_said and height >= core.peer_said[peer]}
        if len(others) < min(core.quorum, len(core.epoch.validators) - 1):
            return False
        core.abstain_target = max([*others.values(), core.stable]) + 2 * core.window
        core.out.persist(core.abstain_target, Abstaining(core.abstain_target))
    if core.stable < core.abstain_target:
        return False
    core.abstaining = False
    core.out.persist(core.stable + 2 * core.window, Abstaining(0))
    core.alarm("abstaining-over", core.stable, f"height {core.stable} is certified: this validator votes again")
    return True


def standing_records(core: Core) -> None:
    """Every window of heights, write the promises that outlive heights again, so that the journal may be cut below what is finalised."""
    if core.stable - core.stood_at < core.window:
        return
    core.stood_at = core.stable
    height = core.stable + 2 * core.window
    if core.new_view is not None:
        core.out.persist(height, Entered(core.new_view))
    if core.own_view_change is not None:
        core.out.persist(height, Left(core.own_view_change))
    if core.diverged:
        core.out.persist(height, Diverged(core.epoch.epoch, core.diverged))
    if core.abstaining:
        core.out.persist(height, Abstaining(core.abstain_target))
