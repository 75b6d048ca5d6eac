"""The primary's part: what to propose, and when (design, section 3: cadence)."""

from carbonnode.consensus.actions import ReleaseBatch, RequestBatch
from carbonnode.consensus.core import Core
from carbonnode.consensus.events import BatchReady
from carbonnode.consensus.evidence import PRE_PREPARE
from carbonnode.consensus.journal import Proposed
from carbonnode.consensus.messages import PrePrepare
from carbonnode.consensus.slots import Known

PROPOSE = "propose"


def due_ms(core: Core) -> int | None:
    """When the next proposal may be made; None while nothing may be proposed at all."""
    if not (core.active and core.is_primary and core.may_vote) or core.syncing or core.awaiting_batch is not None:
        return None
    height = core.next_height
    if not core.in_window(height) or height - 1 - core.ordered >= core.tuning.pipeline:
        return None
    parameters = core.epoch.parameters
    if core.work:
        return core.last_proposal_ms + parameters.block_interval_ms
    if height - 1 > core.ordered:
        return None  # an idle block is due only once the others are ordered
    return max(core.last_proposal_ms, core.progress_ms) + parameters.idle_block_ms


def advance(core: Core) -> None:
    """Ask for a batch if one is due."""
    due = due_ms(core)
    if due is not None and core.now >= due:
        core.awaiting_batch = core.next_height
        core.emit(RequestBatch(core.next_height, allow_empty=not core.work))


def on_batch_ready(core: Core, event: BatchReady) -> None:
    """Propose it, unless the moment has passed."""
    stale = core.awaiting_batch != event.height
    core.awaiting_batch = None if not stale else core.awaiting_batch
    core.work = event.more or (stale and core.work)
    batch = event.batch
    if batch is None:
        return
    height = event.height
    if stale or not (core.active and core.is_primary and core.may_vote) or height != core.next_height or not core.in_window(height):
        core.work = True
        core.emit(ReleaseBatch(height, batch.digest))
        return
    assert core.index is not None
    signature, record = core.guard.vote(PRE_PREPARE, core.view, height, batch.digest)
    message = PrePrepare(core.epoch.epoch, core.view, height, batch.encoded, core.index, signature)
    held = core.hold(height, batch)
    held.known, held.durable = Known.GOOD, True
    held.full = event.more
    core.out.persist(height, Proposed(message), batch.digest if batch.wire_hashes else None)
    if record is not None:
        core.out.persist(height, record)
    core.broadcast(message)
    slot = core.slot(height)
    slot.digest, slot.proposal_signature, slot.proposal = batch.digest, signature, message
    slot.received_ms = core.now
    core.dirty.add(height)
    core.next_height = height + 1
    core.last_proposal_ms = core.now
    core.proposal_seen_ms = core.now
