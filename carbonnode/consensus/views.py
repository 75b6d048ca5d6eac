"""View changes: suspicion, VIEW-CHANGE, NEW-VIEW (PBFT.md 25 to 34).

A replica that mistrusts the primary says SUSPECT and goes on voting; f + 1 suspects start the view change, so that one replica with a bad link
neither moves the network nor leaves it. From the first VIEW-CHANGE on it is Castro and Liskov's.
"""

from carbonnode.chain.certificate import Certificate
from carbonnode.consensus.actions import ReleaseBatch, ViewEntered
from carbonnode.consensus.core import SLOW, Core
from carbonnode.consensus.finality import keep_certificate, request_sync
from carbonnode.consensus.journal import Entered, Left
from carbonnode.consensus.messages import NewView, Reproposal, Suspect, ViewChange
from carbonnode.consensus.proofs import Outcome, check_new_view, check_view_change, outcome, stable_height


def on_suspect(core: Core, message: Suspect, sender: int | None) -> None:
    """A member asks for the end of a view; only the current one counts, and only as long as the request is fresh.

    Anybody may hand it on once. Later only its signer repeats it: or a single liar could keep a doubt that has long passed, and move a view with it.
    """
    if message.view != core.view or (message.signer in core.heard_suspects and sender != message.signer):
        return
    core.heard_suspects.add(message.signer)
    core.suspects[message.signer] = (core.now, message)


def on_view_change(core: Core, message: ViewChange) -> None:
    """A member left all views below `message.view`; one VIEW-CHANGE is kept for each member, that of the highest view."""
    if message.view < core.view or (message.view == core.view and core.active):
        return
    held = core.view_changes.get(message.signer)
    if held is not None and held.view >= message.view:
        return
    check_view_change(message, core.epoch, core.chain_id, core.verify)
    core.view_changes[message.signer] = message
    if message.stable is not None:
        keep_certificate(core, message.stable)


def on_new_view(core: Core, message: NewView) -> None:
    """The primary of a later view, or of the one this replica waits for, proves how it starts."""
    if message.view < core.view or (message.view == core.view and core.active):
        return
    result = check_new_view(message, core.epoch, core.chain_id, core.verify)
    for change in message.view_changes:
        if change.stable is not None:
            keep_certificate(core, change.stable)
    enter(core, message, result)


# ---- what follows


def advance(core: Core) -> bool:
    """Act on suspicion and on VIEW-CHANGEs; gives whether the view moved."""
    if not core.may_vote:
        return False
    express_suspicion(core)
    if core.active and _suspected(core):
        start(core, core.view + 1)
        return True
    target = _pulled_to(core)
    if target is not None:
        start(core, target)
        return True
    if core.active:
        return False
    # Those who went on to a later view have left as well: the last of a scattered group must not wait for ever (found by the simulator).
    gone = sum(1 for vc in core.view_changes.values() if vc.view >= core.view)
    if gone >= core.quorum and core.quorum_left_ms is None:
        core.quorum_left_ms = core.now
    ready = [vc for vc in core.view_changes.values() if vc.view == core.view]
    if len(ready) >= core.quorum and core.is_primary:
        return _propose_new_view(core, ready)
    return False


def express_suspicion(core: Core) -> None:
    """Say SUSPECT for the current view; said again while the suspicion lasts, as it goes stale."""
    if core.suspicion is None or not core.active or core.is_primary or not core.may_vote:
        return
    assert core.index is not None
    held = core.suspects.get(core.index)
    if held is not None and core.now - held[0] < core.tuning.retransmit_ms:
        return
    message = Suspect(core.epoch.epoch, core.view, core.index, core.guard.sign_suspect(core.view))
    core.suspects[core.index] = (core.now, message)
    core.broadcast(message)


def _suspected(core: Core) -> bool:
    """F + 1 members want the view to end: by a fresh SUSPECT, or by having left it already."""
    if not core.suspects and not core.view_changes:
        return False
    patience = 2 * core.pacing.timeout_ms
    fresh = {signer: held for signer, held in core.suspects.items() if core.now - held[0] <= patience}
    core.suspects = fresh
    gone = {signer for signer, vc in core.view_changes.items() if vc.view > core.view}
    if not fresh or len(gone | set(fresh)) < core.one_honest:
        return False
    core.left_on = tuple(message for _, (_, message) in sorted(fresh.items()))
    return True


def hand_on_suspects(core: Core, peer: int, view: int) -> None:
    """Give the SUSPECTs we left `view` on to a peer that is still in it, so that no minority leaves alone.

    Only when asked by a STATUS, a while after we left, and while no quorum has left with us: where nothing was lost everybody heard the same SUSPECTs,
    and all handing all of them on to all at once were O(n^3) messages. A quorum that left pulls the rest by its VIEW-CHANGEs.
    """
    if core.active or core.quorum_left_ms is not None or core.now - core.left_ms < core.tuning.retransmit_ms:
        return
    for message in core.left_on:
        if message.view == view and message.signer != peer:
            core.send(peer, message)


def _pulled_to(core: Core) -> int | None:
    """When f + 1 members went higher than we are: the smallest of the f + 1 highest views, which an honest one reached (PBFT.md 32)."""
    views = sorted((vc.view for vc in core.view_changes.values() if vc.view > core.view), reverse=True)
    return views[core.one_honest - 1] if len(views) >= core.one_honest else None


def start(core: Core, view: int) -> None:
    """Leave all views below `view`: from here on no vote for them (PBFT.md 31)."""
    assert core.index is not None
    core.pacing.view_changed()
    if core.suspicion == SLOW:
        core.slow_strikes += 1
    core.left_ms = core.now
    core.view = view
    core.active = False
    core.new_view = None
    core.named.clear()
    core.named_top = 0
    core.suspects.clear()
    core.heard_suspects.clear()
    core.suspicion = None
    core.quorum_left_ms = None
    core.awaiting_batch = None
    stable = _stable_proof(core)
    proofs = tuple(slot.proof for _, slot in sorted(core.slots.items()) if slot.proof is not None)
    unsigned = ViewChange(core.epoch.epoch, view, stable, proofs, core.index, bytes(64))
    message = ViewChange(core.epoch.epoch, view, stable, proofs, core.index, core.guard.sign_view_change(unsigned))
    core.own_view_change = message
    core.view_changes[core.index] = message
    core.out.persist(core.stable + 2 * core.window, Left(message))
    core.broadcast(message)
    core.replay = True


def _stable_proof(core: Core) -> Certificate | None:
    """The certificate of the stable checkpoint with a quorum of votes and no more, as messages are bounded by it; None for the epoch's base."""
    found = core.stable_certificate
    if found is None or found.epoch != core.epoch.epoch:
        return None
    return Certificate(found.epoch, found.height, found.header_hash, found.votes[: core.quorum])


def _propose_new_view(core: Core, ready: list[ViewChange]) -> bool:
    """As primary of the view, prove its start; first hold the stable state it starts from (PBFT.md 34)."""
    # Any quorum proves a start. One that claims no more than is held here will do, as a state may be held back by the one who proves it (3334).
    held = [vc for vc in ready if stable_height(vc, core.epoch) <= core.stable]
    if len(held) < core.quorum:
        if core.now >= core.sync_pause_until:
            request_sync(core, outcome(ready, core.epoch).stable)
        return False
    # Exactly a quorum, as messages are bounded by it: those that start highest leave least to vote on again.
    highest = sorted(held, key=lambda vc: (-stable_height(vc, core.epoch), vc.signer))[: core.quorum]
    chosen = tuple(sorted(highest, key=lambda vc: vc.signer))
    result = outcome(chosen, core.epoch)
    assert core.index is not None
    proposals = []
    for height, digest in result.digests:
        signature, record = core.guard.sign_reproposal(core.view, height, digest)
        if record is not None:
            core.out.persist(height, record)
        proposals.append(Reproposal(height, digest, signature))
    unsigned = NewView(core.epoch.epoch, core.view, chosen, tuple(proposals), core.index, bytes(64))
    signature = core.guard.sign_new_view(unsigned)
    message = NewView(core.epoch.epoch, core.view, chosen, tuple(proposals), core.index, signature)
    enter(core, message, result)
    core.broadcast(message)
    return True


def enter(core: Core, message: NewView, result: Outcome) -> None:
    """Begin a view whose NEW-VIEW was recomputed: what it names is voted on again, executed heights too, but never executed again."""
    core.view = message.view
    core.active = True
    core.new_view = message
    core.named = dict(result.digests)
    core.named_top = max(core.named, default=result.stable)
    core.guard.entered(message.view)
    core.own_view_change = None
    core.left_on = ()
    core.view_changes = {signer: vc for signer, vc in core.view_changes.items() if vc.view > message.view}
    core.suspects.clear()
    core.heard_suspects.clear()
    core.suspicion = None
    core.quorum_left_ms = None
    core.awaiting_batch = None
    core.view_entered_ms = core.uncertified_ms = core.now
    core.progress()
    core.requests.new_view(core.now, core.one_honest)
    core.out.persist(core.stable + 2 * core.window, Entered(message))
    _release_unnamed(core)
    core.next_height = max(core.named_top, core.stable, result.stable) + 1
    core.last_proposal_ms = core.now - core.epoch.parameters.block_interval_ms
    core.work = True
    core.replay = True
    core.emit(ViewEntered(core.epoch.epoch, core.view, core.primary))


def _release_unnamed(core: Core) -> None:
    """Proposals of ended views that this one doesn't name may be made again elsewhere; memory keeps what proofs and commits refer to."""
    keep = set(core.named.items())
    for slot in core.slots.values():
        if slot.digest is not None and core.named.get(slot.height) != slot.digest and slot.committed != slot.digest:
            core.emit(ReleaseBatch(slot.height, slot.digest))
        if slot.proof is not None:
            keep.add((slot.height, slot.proof.digest))
        if slot.committed is not None:
            keep.add((slot.height, slot.committed))
        slot.new_view()
        core.dirty.add(slot.height)
    for key in [key for key in core.batches if key not in keep]:
        del core.batches[key]
    core.wanted.clear()
