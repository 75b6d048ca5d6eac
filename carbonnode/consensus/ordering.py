"""The normal case: pre-prepare, prepare, commit (PBFT.md 8 to 12, 15, 18, 19)."""

from msgspec.structs import replace

from carbonnode.chain.batch import Batch
from carbonnode.consensus.actions import Execute, ResolveBatch
from carbonnode.consensus.core import EQUIVOCATION, INVALID, UNREACHABLE, Core
from carbonnode.consensus.events import BatchResolved
from carbonnode.consensus.evidence import COMMIT, PRE_PREPARE, PREPARE, equivocation
from carbonnode.consensus.journal import Held, Prepared, Proposed
from carbonnode.consensus.messages import Commit, FetchBatch, Prepare, PreparedProof, PrePrepare
from carbonnode.consensus.slots import HeldBatch, Known, Slot
from carbonnode.errors import InvalidBlock, InvariantViolation, PeerViolation


def on_pre_prepare(core: Core, message: PrePrepare) -> None:
    """A proposal of the current view, from its primary, within the water marks (the caller saw to view and window)."""
    if message.signer != core.primary:
        raise PeerViolation(f"validator {message.signer} proposed height {message.height} in view {message.view}, whose primary it isn't", code="not-primary")
    try:
        batch = Batch.decode(message.batch)
    except InvalidBlock as error:
        raise PeerViolation(f"validator {message.signer} proposed a malformed batch for height {message.height}: {error}", code="bad-batch") from None
    if len(batch.wire_hashes) > core.epoch.parameters.max_block_transactions:
        raise PeerViolation(f"validator {message.signer} proposed {len(batch.wire_hashes)} transactions for height {message.height}", code="bad-batch")
    slot = core.slot(message.height)
    if slot.digest is not None and slot.digest != batch.digest:
        said = (message,) if slot.proposal is None else (slot.proposal, message)
        _equivocated(core, PRE_PREPARE, slot, (slot.digest, slot.proposal_signature), (batch.digest, message.signature), *said)
        return
    if slot.digest is None:
        if message.height <= core.named_top:
            raise PeerViolation(f"validator {message.signer} proposed height {message.height} again, which its NEW-VIEW settled", code="settled")
        core.unreachable.pop(message.signer, None)
        if core.suspicion == UNREACHABLE:
            core.suspicion = None
        _accept(core, slot, batch.digest, message.signature)
        core.proposal_seen_ms = core.now
    slot.proposal = message
    core.hold(message.height, batch)
    _tell_dissenters(core, slot)


def _accept(core: Core, slot: Slot, digest: bytes, signature: bytes) -> None:
    slot.digest = digest
    slot.proposal_signature = signature
    slot.received_ms = core.now
    core.dirty.add(slot.height)


def adopt_named(core: Core) -> None:
    """Take the proposals of the current NEW-VIEW that are within the water marks by now."""
    if not core.active or core.new_view is None:
        return
    for proposal in core.new_view.proposals:
        if not core.in_window(proposal.height):
            continue
        slot = core.slot(proposal.height)
        if slot.digest is None:
            if slot.committed is not None and slot.committed != proposal.digest:
                raise InvariantViolation(f"a new view settles height {slot.height} otherwise than it was committed here: more than f validators are faulty")
            _accept(core, slot, proposal.digest, proposal.signature)
            if core.batch(proposal.height, proposal.digest) is None and (proposal.height, proposal.digest) not in core.wanted:
                core.wanted.add((proposal.height, proposal.digest))
                core.broadcast(FetchBatch(proposal.height, proposal.digest))


def on_prepare(core: Core, message: Prepare) -> None:
    """A vote that a valid proposal is held; the primary's own is its pre-prepare."""
    if message.signer == core.primary:
        return
    slot = core.slot(message.height)
    old = slot.prepares.add(message.signer, message.digest, message.signature)
    if old is not None:
        _equivocated(core, PREPARE, slot, old, (message.digest, message.signature), replace(message, digest=old[0], signature=old[1]), message)
    core.dirty.add(message.height)
    _tell_dissenters(core, slot)


def on_commit(core: Core, message: Commit) -> None:
    """A vote that a prepared certificate is held."""
    slot = core.slot(message.height)
    old = slot.commits.add(message.signer, message.digest, message.signature)
    if old is not None:
        _equivocated(core, COMMIT, slot, old, (message.digest, message.signature), replace(message, digest=old[0], signature=old[1]), message)
    core.dirty.add(message.height)


def _equivocated(core: Core, kind: str, slot: Slot, one: tuple[bytes, bytes], other: tuple[bytes, bytes], *said: PrePrepare | Prepare | Commit) -> None:
    evidence = equivocation(kind, core.epoch.epoch, core.view, slot.height, said[-1].signer, one, other)
    if core.accuse(evidence, *said) and kind == PRE_PREPARE:
        core.suspicion = core.suspicion or EQUIVOCATION


def _tell_dissenters(core: Core, slot: Slot) -> None:
    """A backup that prepared another digest was told another proposal: show it ours, so that both hold the evidence."""
    if slot.proposal is None:
        return
    for signer, (digest, _) in slot.prepares.votes.items():
        if digest != slot.digest and signer != core.index and signer not in slot.told:
            slot.told.add(signer)
            core.send(signer, slot.proposal)


def on_batch(core: Core, height: int, data: bytes) -> None:
    """A batch that was fetched; kept only if its digest, computed here, is wanted."""
    try:
        batch = Batch.decode(data)
    except InvalidBlock as error:
        raise PeerViolation(f"a fetched batch of height {height} is malformed: {error}", code="bad-batch") from None
    if (height, batch.digest) in core.wanted:
        core.hold(height, batch)
        core.dirty.add(height)


def on_batch_resolved(core: Core, event: BatchResolved) -> None:
    """The driver has all transactions of a batch, or found that its bytes are wrong."""
    held = core.batches.get((event.height, event.digest))
    if held is None:
        return
    held.known = Known.GOOD if event.ok else Known.BAD
    held.full = event.full
    core.dirty.add(event.height)
    if not event.ok:
        core.alarm("invalid-proposal", event.height, f"the batch {event.digest.hex()} proposed for height {event.height} holds an invalid transaction")
        slot = core.slots.get(event.height)
        if slot is not None and slot.digest == event.digest:
            core.suspicion = core.suspicion or INVALID


# ---- what follows


def advance(core: Core) -> bool:
    """Move the slots that changed; gives whether anything was ordered."""
    while core.dirty:
        height = core.dirty.pop()
        slot = core.slots.get(height)
        if slot is not None and slot.digest is not None and core.active and core.in_window(height):
            _advance_slot(core, slot, slot.digest)
    return _execute_in_order(core)


def _advance_slot(core: Core, slot: Slot, digest: bytes) -> None:
    held = core.batch(slot.height, digest)
    if held is None:
        return
    if held.known is Known.NEW:
        held.known = Known.ASKED
        core.emit(ResolveBatch(slot.height, digest, held.batch))
    if held.known is not Known.GOOD:
        return
    if not slot.time_ok:
        slot.time_ok = _time_ok(core, slot, digest, held.batch)
    if not slot.time_ok:
        return
    if not slot.voted:
        slot.voted = True
        if core.may_vote:
            _vote_prepare(core, slot, digest, held)
    others = slot.prepares.count(digest)
    if not slot.prepared and others + 1 >= core.quorum:
        _become_prepared(core, slot, digest, held)
    if slot.prepared and slot.committed is None and slot.commits.count(digest) >= core.quorum:
        slot.committed = digest


def _time_ok(core: Core, slot: Slot, digest: bytes, batch: Batch) -> bool:
    """The proposed time is near the local clock, or others settled the question: a NEW-VIEW named the digest, or f + 1 prepared or committed it.

    Who was away finds times long past. Of those who prepared, f may be gone by then, so their votes alone may fall short for ever while the others order on.
    """
    if core.named.get(slot.height) == digest or core.is_primary:
        return True
    local = slot.received_ms + core.wall_offset
    if abs(batch.time_ms - local) <= core.epoch.parameters.time_skew_ms or slot.prepares.count(digest) >= core.one_honest:
        return True
    return slot.commits.count(digest) >= core.one_honest  # one of them is honest, and holds PREPAREs of a quorum; who ordered it left so many behind


def persist_batch(core: Core, slot: Slot, held: HeldBatch, digest: bytes) -> None:
    """Write the batch, with its transactions, once: before the first vote for it."""
    if held.durable:
        return
    held.durable = True
    body = digest if held.batch.wire_hashes else None
    if slot.proposal is not None and slot.digest == digest:
        core.out.persist(slot.height, Proposed(slot.proposal), body)
    else:
        core.out.persist(slot.height, Held(core.epoch.epoch, slot.height, held.batch.encoded), body)


def _vote_prepare(core: Core, slot: Slot, digest: bytes, held: HeldBatch) -> None:
    persist_batch(core, slot, held, digest)
    if core.is_primary:
        return  # its pre-prepare is its vote
    signature, record = core.guard.vote(PREPARE, core.view, slot.height, digest)
    if record is not None:
        core.out.persist(slot.height, record)
    assert core.index is not None
    slot.prepares.add(core.index, digest, signature)
    core.broadcast(Prepare(core.epoch.epoch, core.view, slot.height, digest, core.index, signature))


def _become_prepared(core: Core, slot: Slot, digest: bytes, held: HeldBatch) -> None:
    slot.prepared = True
    prepares = slot.prepares.signatures(digest, core.quorum - 1)
    slot.proof = PreparedProof(core.epoch.epoch, core.view, slot.height, digest, slot.proposal_signature, prepares)
    persist_batch(core, slot, held, digest)
    core.out.persist(slot.height, Prepared(slot.proof))
    if not core.may_vote:
        return
    signature, record = core.guard.vote(COMMIT, core.view, slot.height, digest)
    if record is not None:
        core.out.persist(slot.height, record)
    assert core.index is not None
    slot.commits.add(core.index, digest, signature)
    core.broadcast(Commit(core.epoch.epoch, core.view, slot.height, digest, core.index, signature))


def _execute_in_order(core: Core) -> bool:
    """Hand committed batches on, strictly by height, never twice (PBFT.md 12, 16)."""
    moved = False
    while not core.syncing:
        slot = core.slots.get(core.ordered + 1)
        if slot is None or slot.committed is None:
            break
        held = core.batch(slot.height, slot.committed)
        if held is None or held.known is not Known.GOOD:
            _make_ready(core, slot.height, slot.committed, held)
            break
        core.ordered += 1
        moved = True
        if not core.diverged:
            core.emit(Execute(slot.height, slot.committed, held.batch))
        core.requests.ordered(
            held.batch.wire_hashes,
            full=held.full or slot.height <= core.named_top,  # what a NEW-VIEW named, its primary didn't choose
            primary=core.primary,
            proposed_ms=slot.received_ms,
            now_ms=core.now,
            grace_ms=2 * core.tuning.retransmit_ms,
        )
        if core.ordered > core.most_ordered:
            core.most_ordered = core.ordered
            if core.ordered == core.stable + 1:
                core.uncertified_ms = core.now
            if slot.received_ms:
                core.pacing.committed(core.now - slot.received_ms)
            core.progress()
    return moved


def _make_ready(core: Core, height: int, digest: bytes, held: HeldBatch | None) -> None:
    """A committed batch isn't here or not resolved (after a restart): see to it."""
    if held is None:
        if (height, digest) not in core.wanted:
            core.wanted.add((height, digest))
            core.broadcast(FetchBatch(height, digest))
    elif held.known is Known.NEW:
        held.known = Known.ASKED
        core.emit(ResolveBatch(height, digest, held.batch))
