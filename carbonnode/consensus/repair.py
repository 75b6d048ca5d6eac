"""Lost messages asked for and sent again, batches fetched, laggards helped (PBFT.md 7, 33, 39, 40).

STATUS says where its sender stands; whoever gets it sends what the sender lacks: certificates, the NEW-VIEW, VIEW-CHANGEs, proposals, its own votes.
"""

from collections import deque

from carbonnode.chain.batch import NULL_BATCH
from carbonnode.consensus.core import Core
from carbonnode.consensus.evidence import CHECKPOINT, COMMIT, PREPARE
from carbonnode.consensus.finality import catch_up, claim
from carbonnode.consensus.messages import (
    BatchReply,
    Certified,
    Checkpoint,
    Commit,
    FetchBatch,
    NewView,
    Prepare,
    Signed,
    Status,
    ViewChange,
)
from carbonnode.consensus.views import express_suspicion, hand_on_suspects

STATUS = "status"
_HELD, _PREPARED, _COMMITTED = 1, 2, 4
_MAX_PROPOSALS_SENT = 8
_MAX_CERTIFICATES_SENT = 64
_MAX_FETCHES = 64


def own_status(core: Core) -> Status:
    """Where this replica stands."""
    top = max(core.slots, default=core.ordered)
    slots = []
    for height in range(core.stable + 1, top + 1):
        slot = core.slots.get(height)
        bits = 0
        if slot is not None:
            bits = (_HELD if slot.digest else 0) | (_PREPARED if slot.prepared else 0) | (_COMMITTED if slot.committed else 0)
        slots.append(bits)
    return Status(core.epoch.epoch, core.view, core.active, core.stable, core.ordered, tuple(slots), core.abstaining)


def stuck(core: Core) -> bool:
    """Whether something is under way and nothing has moved for a while."""
    if core.now - core.progress_ms < core.tuning.retransmit_ms:
        return False
    return (
        not core.active
        or core.suspicion is not None
        or bool(core.slots)
        or core.ordered > core.stable
        or bool(core.wanted)
        or core.hint > core.stable
        or core.abstaining
        or bool(core.requests.waiting)
    )


def maintain(core: Core) -> None:
    """The regular round: say where we stand if it is time to, ask again for what is missing, catch up if it can't come any more."""
    is_stuck = stuck(core)
    catch_up(core, stalled=is_stuck)
    if not is_stuck and core.now - core.status_sent_ms < core.tuning.status_ms:
        return
    core.status_sent_ms = core.now
    core.broadcast(own_status(core))
    if not is_stuck:
        return
    for height, digest in sorted(core.wanted)[:_MAX_FETCHES]:
        core.broadcast(FetchBatch(height, digest))
    if core.own_view_change is not None and not core.active:
        core.broadcast(core.own_view_change)
    express_suspicion(core)


def on_status(core: Core, status: Status, sender: int | None) -> None:
    """Send the peer what it lacks; at most one answer in half a retransmission time, so that a flood of STATUS is no lever."""
    if sender is None or sender == core.index:
        return
    _watch_abstainers(core, status, sender)
    if status.epoch > core.epoch.epoch:
        claim(core, sender, status.stable)
    if core.abstaining and status.epoch == core.epoch.epoch:
        core.peer_said[sender] = max(core.peer_said.get(sender, 0), status.stable)
    if status.stable == 0 and not status.abstaining:
        core.peer_certified.setdefault(sender, 0)
    last = core.answered.get(sender)
    if last is not None and core.now - last < core.tuning.retransmit_ms // 2:
        return
    core.answered[sender] = core.now
    _send_certificates(core, status, sender)
    if status.epoch == core.epoch.epoch:
        if status.view < core.view or (status.view == core.view and not status.active):
            _send_view(core, sender)
        if status.active:
            hand_on_suspects(core, sender, status.view)
        if status.view == core.view and status.active and core.active:
            _send_votes(core, status, sender)
        _send_checkpoints(core, status, sender)


def _watch_abstainers(core: Core, status: Status, sender: int) -> None:
    """A network in which too many lost their votes stands still for good: it must say so (PBFT.md 22)."""
    if status.abstaining:
        core.abstainers.add(sender)
    else:
        core.abstainers.discard(sender)
    members, count = len(core.epoch.validators), len(core.abstainers) + core.abstaining
    if count > members - core.quorum:
        detail = f"{count} of {members} validators lost their votes and abstain: no block can be certified any more"
        core.alarm("no-quorum", core.stable, f"{detail}; bring back the journals of {count - members + core.quorum} of them from their old disks")


def _send_certificates(core: Core, status: Status, sender: int) -> None:
    latest = core.stable_certificate
    if latest is None or (status.stable >= core.stable and not status.abstaining):
        return
    missing = [c for c in core.recent if c.height > status.stable][:_MAX_CERTIFICATES_SENT]
    for certificate in missing:
        core.send(sender, Certified(certificate))
    if not missing or missing[-1].height < latest.height:
        core.send(sender, Certified(latest))


def _send_view(core: Core, sender: int) -> None:
    if core.active and core.new_view is not None:
        if not core.abstaining or core.new_view.signer != core.index:  # who abstains sends nothing under its own name, be it what others kept of it
            core.send(sender, core.new_view)
    elif core.own_view_change is not None:
        core.send(sender, core.own_view_change)


def _send_votes(core: Core, status: Status, sender: int) -> None:
    proposals = 0
    for height in sorted(core.slots):
        place = height - status.stable - 1
        if place < 0:
            continue
        bits = status.slots[place] if place < len(status.slots) else 0
        slot = core.slots[height]
        # Who abstains sends nothing under its own name, be it what others kept of it.
        withheld = core.abstaining and slot.proposal is not None and slot.proposal.signer == core.index
        if not bits & _HELD and slot.proposal is not None and not withheld and proposals < _MAX_PROPOSALS_SENT:
            proposals += 1
            core.send(sender, slot.proposal)
        if core.index is None:
            continue
        prepare = core.guard.given(PREPARE, height)
        if not bits & _PREPARED and prepare is not None and prepare.view == core.view:
            core.send(sender, Prepare(prepare.epoch, prepare.view, height, prepare.digest, core.index, prepare.signature))
        commit = core.guard.given(COMMIT, height)
        if not bits & _COMMITTED and commit is not None and commit.view == core.view:
            core.send(sender, Commit(commit.epoch, commit.view, height, commit.digest, core.index, commit.signature))


def _send_checkpoints(core: Core, status: Status, sender: int) -> None:
    if core.index is None:
        return
    for height in range(max(status.stable, core.stable) + 1, core.ordered + 1):
        vote = core.guard.given(CHECKPOINT, height)
        if vote is not None:
            core.send(sender, Checkpoint(vote.epoch, height, vote.digest, core.index, vote.signature))


def on_fetch(core: Core, message: FetchBatch, sender: int | None) -> None:
    """A peer votes for a batch it lacks: hand it over if it is held."""
    held = core.batches.get((message.height, message.digest))
    if sender is not None and held is not None and message.digest != NULL_BATCH.digest:
        core.send(sender, BatchReply(message.height, held.batch.encoded))


# ---- messages that came before their time


def keep_early(core: Core, message: Signed) -> None:
    """Keep a message for a later view, height or epoch; the oldest of the same signer makes room (PBFT.md 7)."""
    key = (message.epoch, message.signer)
    kept = core.early.get(key)
    if kept is None:
        kept = core.early[key] = deque(maxlen=4 * core.window)
    if isinstance(message, ViewChange | NewView):
        # These may be megabytes long, and are said again: the last of a kind will do.
        for old in [held for held in kept if type(held) is type(message)]:
            kept.remove(old)
    kept.append(message)


def take_early(core: Core) -> list[Signed]:
    """Everything kept, to be judged anew; epochs that passed are forgotten."""
    kept = [message for key in sorted(core.early) if key[0] >= core.epoch.epoch for message in core.early[key]]
    core.early.clear()
    return kept
