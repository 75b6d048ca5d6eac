"""Changes of validators and parameters: a new epoch begins once its base is certified by the old one (PBFT.md 45 to 47)."""

from carbonnode.consensus.actions import EpochEntered, ViewEntered
from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.core import Core
from carbonnode.consensus.pacing import Pacing
from carbonnode.consensus.recovery import replay_journal


def advance(core: Core) -> bool:
    """Enter the next epoch if its base is stable; gives whether it began."""
    following = core.next_epoch
    if following is None or core.stable < following.base:
        return False
    enter(core, following)
    return True


def enter(core: Core, config: EpochConfig) -> None:
    """Begin an epoch: nothing of the old one is in flight, as nothing at or above its start was voted on. Views restart at 0."""
    core.epoch = config
    core.next_epoch = None
    core.index = config.validators.index_of(core.guard.signer.public_key)
    core.guard.begin_epoch(config.epoch, core.stable)
    core.view = 0
    core.active = True
    core.new_view = None
    core.own_view_change = None
    core.left_on = ()
    core.named_top = 0
    core.suspicion = None
    core.quorum_left_ms = None
    core.awaiting_batch = None
    for table in (core.named, core.view_changes, core.suspects, core.slots, core.batches, core.checkpoints, core.certificates, core.header_hashes):
        table.clear()
    for numbers in (core.far, core.peer_certified, core.peer_said, core.unreachable, core.answered):
        numbers.clear()
    core.wanted.clear()
    core.abstainers.clear()
    core.heard_suspects.clear()
    core.dirty.clear()
    core.ordered = core.stable
    core.next_height = core.stable + 1
    core.work = True
    core.pacing = Pacing(config.parameters.base_timeout_ms, config.parameters.max_timeout_ms)
    core.view_entered_ms = core.uncertified_ms = core.now
    core.progress()
    core.requests.new_view(core.now, core.one_honest)
    core.emit(EpochEntered(config, core.index))
    deferred, core.deferred = core.deferred, []
    replay_journal(core, deferred)
    core.replay = True
    core.emit(ViewEntered(config.epoch, core.view, core.primary))
