"""Execution results, CHECKPOINT votes, certificates, the stable checkpoint (PBFT.md 13, 14, 42, 43; divergence: design, section 3)."""

from msgspec.structs import replace

from carbonnode.chain.certificate import Certificate
from carbonnode.consensus.actions import DiscardOverlays, Finalise, RequestSync
from carbonnode.consensus.core import Core
from carbonnode.consensus.events import Executed, PeersAhead, Synced
from carbonnode.consensus.evidence import CHECKPOINT, equivocation
from carbonnode.consensus.journal import Diverged, Ordered
from carbonnode.consensus.messages import Certified, Checkpoint
from carbonnode.consensus.proofs import check_certificate


def on_executed(core: Core, event: Executed) -> None:
    """Vote for the header we computed; a different one than before the crash means that execution isn't deterministic."""
    height = event.height
    if core.diverged or not core.finalised < height <= core.ordered or height in core.header_hashes:
        return
    core.header_hashes[height] = event.header_hash
    if event.next_epoch is not None and core.next_epoch is None and event.next_epoch.epoch == core.epoch.epoch + 1:
        core.next_epoch = event.next_epoch
    _vote_checkpoint(core, height, event.header_hash)


def _vote_checkpoint(core: Core, height: int, header_hash: bytes) -> None:
    if not core.may_vote or height <= core.guard.floor:
        return
    given = core.guard.given(CHECKPOINT, height)
    if given is not None and given.digest != header_hash:
        core.alarm("nondeterminism", height, f"height {height} gave header {given.digest.hex()} before a restart and {header_hash.hex()} after it")
        return
    signature, record = core.guard.vote(CHECKPOINT, 0, height, header_hash)
    slot = core.slots.get(height)
    if record is not None and slot is not None and slot.committed is not None:
        core.out.persist(height, Ordered(core.epoch.epoch, height, slot.committed))
        core.out.persist(height, record)
    assert core.index is not None
    vote = Checkpoint(core.epoch.epoch, height, header_hash, core.index, signature)
    count_checkpoint(core, vote)
    core.broadcast(vote)


def on_checkpoint(core: Core, message: Checkpoint) -> None:
    """A member's vote for a header; votes beyond twice the window only tell that we lag."""
    if message.height <= core.stable:
        return
    if message.height > core.stable + 2 * core.window:
        claim(core, message.signer, message.height)
        return
    count_checkpoint(core, message)


def count_checkpoint(core: Core, message: Checkpoint) -> None:
    """Count a vote, the first of each signer; with a quorum for one hash there is a certificate."""
    height = message.height
    votes = core.checkpoints.setdefault(height, {})
    old = votes.get(message.signer)
    if old is not None:
        if old[0] != message.header_hash:
            evidence = equivocation(CHECKPOINT, core.epoch.epoch, 0, height, message.signer, old, (message.header_hash, message.signature))
            core.accuse(evidence, replace(message, header_hash=old[0], signature=old[1]), message)
        return
    votes[message.signer] = (message.header_hash, message.signature)
    same = sorted((signer, signature) for signer, (header_hash, signature) in votes.items() if header_hash == message.header_hash)
    if len(same) >= core.quorum and height not in core.certificates:
        core.certificates[height] = Certificate(core.epoch.epoch, height, message.header_hash, tuple(same[: core.quorum]))
    elif height not in core.certificates:
        _watch_for_deadlock(core, height, votes)


def _watch_for_deadlock(core: Core, height: int, votes: dict[int, tuple[bytes, bytes]]) -> None:
    """If no header of this height can reach a quorum any more, people must look (design: ordering stops a window later)."""
    counts: dict[bytes, int] = {}
    for header_hash, _ in votes.values():
        counts[header_hash] = counts.get(header_hash, 0) + 1
    missing = len(core.epoch.validators) - len(votes)
    if max(counts.values()) + missing < core.quorum:
        detail = ", ".join(f"{count}x {header_hash.hex()}" for header_hash, count in sorted(counts.items()))
        core.alarm("no-certificate", height, f"no header of height {height} can be certified: {detail}")


def on_certified(core: Core, message: Certified, sender: int | None) -> None:
    """A certificate that a peer handed on. Raises `PeerViolation` if it doesn't hold."""
    certificate = message.certificate
    if certificate.epoch > core.epoch.epoch:
        claim(core, sender, certificate.height)  # its set is unknown here: only a sync can verify it
        return
    if certificate.epoch < core.epoch.epoch:
        return
    if certificate.height > core.stable or core.abstaining:
        check_certificate(certificate, core.epoch, core.chain_id, core.verify)
        if sender is not None:
            core.peer_certified[sender] = max(core.peer_certified.get(sender, 0), certificate.height)
    keep_certificate(core, certificate)


def keep_certificate(core: Core, certificate: Certificate) -> None:
    """Take in a certificate of this epoch that was verified."""
    if core.stable < certificate.height <= core.stable + 2 * core.window:
        core.certificates.setdefault(certificate.height, certificate)
    core.hint = max(core.hint, certificate.height)


def claim(core: Core, sender: int | None, height: int) -> None:
    """A peer says, without proof that can be checked here, that a height is certified; f + 1 who say so are believed."""
    if sender is None or sender == core.index:
        return
    core.far[sender] = max(core.far.get(sender, 0), height)
    ahead = sorted(core.far.values(), reverse=True)
    if len(ahead) >= core.one_honest:
        core.hint = max(core.hint, ahead[core.one_honest - 1])


# ---- what follows


def advance(core: Core) -> bool:
    """Finalise, in order, what is executed and certified; gives whether the stable checkpoint moved."""
    moved = False
    while True:
        height = core.stable + 1
        certificate = core.certificates.get(height)
        if certificate is None or core.syncing:
            break
        own = core.header_hashes.get(height)
        if core.diverged:
            if core.ordered < height:
                break
        elif own is None:
            break
        elif own != certificate.header_hash:
            _diverge(core, height, own, certificate)
            continue
        else:
            core.emit(Finalise(height, certificate))
            core.finalised = height
        _become_stable(core, height, certificate)
        moved = True
    return moved


def _diverge(core: Core, height: int, own: bytes, certificate: Certificate) -> None:
    """Our header differs from a certified one: keep the order going, vote on no header until a sync brings a certified state."""
    core.diverged = height
    core.out.persist(height + 2 * core.window, Diverged(core.epoch.epoch, height))
    core.emit(DiscardOverlays(height))
    core.alarm("divergence", height, f"height {height} executed here to {own.hex()}, certified is {certificate.header_hash.hex()}")
    core.header_hashes.clear()


def _become_stable(core: Core, height: int, certificate: Certificate) -> None:
    core.stable = height
    core.stable_hash = certificate.header_hash
    core.stable_certificate = certificate
    core.recent.append(certificate)
    core.uncertified_ms = core.now
    core.progress()
    collect_garbage(core)
    if core.diverged and height % core.epoch.parameters.epoch_blocks == 0:
        core.resync = True


def collect_garbage(core: Core) -> None:
    """Forget what lies at or below the stable checkpoint, and nothing else (PBFT.md 43)."""
    stable = core.stable
    for table in (core.slots, core.checkpoints, core.certificates, core.header_hashes, core.named):
        for height in [h for h in table if h <= stable]:
            del table[height]
    for key in [key for key in core.batches if key[0] <= stable]:
        del core.batches[key]
    core.wanted = {key for key in core.wanted if key[0] > stable}
    core.far = {signer: height for signer, height in core.far.items() if height > stable}
    if len(core.reported) > 512 or len(core.alarmed) > 512:
        core.reported = {key for key in core.reported if key[3] > stable - core.window}
        core.alarmed = {key for key in core.alarmed if key[1] > stable - core.window}
    core.guard.release(stable)
    core.next_height = max(core.next_height, stable + 1)
    core.ordered = max(core.ordered, stable)
    core.replay = True
    core.dirty.update(core.slots)  # those that stood above the window until now


def request_sync(core: Core, height: int) -> None:
    """Ask the driver for certified blocks; execution pauses until they are here. One wish at a time: each is answered once."""
    if core.syncing:
        return
    core.syncing = True
    core.sync_target = height
    core.emit(RequestSync(height))


def best_certified(core: Core) -> int:
    """The greatest height that is known, or credibly said, to be certified."""
    return max(core.hint, max(core.certificates, default=0))


def catch_up(core: Core, *, stalled: bool) -> None:
    """Sync if certificates are out of reach of our own log: at once beyond the window, else once nothing moves (PBFT.md 40)."""
    if core.now < core.sync_pause_until:
        return
    best = best_certified(core)
    if core.resync:
        request_sync(core, core.stable)
        return
    if best > core.stable + core.window:
        request_sync(core, best)
        return
    if _cannot_execute(core):
        request_sync(core, best)
        return
    if not stalled or best <= core.stable:
        return
    following = core.slots.get(core.ordered + 1)
    unordered = best > core.ordered and (following is None or following.committed is None)
    uncertified = core.ordered > core.stable and core.stable + 1 not in core.certificates
    if unordered or uncertified:
        request_sync(core, best)


def _cannot_execute(core: Core) -> bool:
    """The next block is ordered here and certified by others, and our executor hasn't answered for so long that it probably never will.

    Others order and certify on, so this is no stall: without it a window had to pass before a sync was asked for, in an idle network a minute.
    """
    height = core.stable + 1
    if core.syncing or core.diverged or core.ordered < height or height not in core.certificates or height in core.header_hashes:
        core.unexecuted = (0, 0)
        return False
    if core.unexecuted[0] != height:
        core.unexecuted = (height, core.now)
    return core.now - core.unexecuted[1] >= core.tuning.execute_patience_ms


def on_peers_ahead(core: Core, event: PeersAhead) -> None:
    """Others offer certified blocks that nobody told this replica of."""
    if event.height > core.stable and core.now >= core.sync_pause_until:
        request_sync(core, event.height)


def on_synced(core: Core, event: Synced) -> None:
    """Block store and executor hold a later certified height."""
    core.syncing = False
    core.sync_target = 0
    if event.height <= core.finalised:
        # Nobody had more: go on with what we have for a while. That is no progress, or asking in vain again and again would keep patience from ever
        # running out, in a view that only a view change can help (found by the simulator: 3334, 3639).
        core.sync_pause_until = core.now + core.tuning.status_ms
    else:
        core.uncertified_ms = core.now
        core.progress()
    core.finalised = max(core.finalised, event.height)
    if event.height >= core.stable:
        core.stable = event.height
        core.stable_hash = event.header_hash
        if event.certificate is not None:
            core.stable_certificate = event.certificate
            core.recent.append(event.certificate)
        if core.diverged:
            core.out.persist(event.height + 2 * core.window, Diverged(core.epoch.epoch, 0))
            core.diverged = 0
        core.resync = False
    elif core.diverged:
        core.resync = True  # the order goes on meanwhile; `catch_up` asks again, after a pause if this brought nothing
        return
    core.header_hashes.clear()  # what was executed on top of the old state is void: it is executed again
    core.ordered = core.stable
    collect_garbage(core)
    if event.next_epoch is not None:
        core.next_epoch = event.next_epoch
