"""Planted faults: the simulator must notice each within a few seeds, or its checks are worth nothing."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus import finality, ordering, proofs, recovery, replica, views
from carbonnode.consensus.actions import Finalise
from carbonnode.consensus.core import Core
from carbonnode.consensus.events import BatchResolved
from carbonnode.consensus.guard import VoteGuard
from carbonnode.consensus.messages import PrePrepare
from carbonnode.consensus.outbox import Outbox
from carbonnode.consensus.slots import Slot
from carbonnode.sim import simulate

SEEDS = 200
Patch = pytest.MonkeyPatch


def sends_at_once(patch: Patch) -> None:
    """Votes leave before they are durable."""
    original = Outbox.take

    def take(self: Outbox) -> Any:
        self._durable = self._token + 1
        return original(self)

    patch.setattr(Outbox, "take", take)


def forgets_votes(patch: Patch) -> None:
    """A restart knows nothing of earlier votes."""
    patch.setattr(recovery, "replay_journal", lambda core, records: None)
    patch.setattr(replica, "_own_message", lambda core, message: None)


def guard_asleep(patch: Patch) -> None:
    """The guard lets contradictions pass, and proposals replace each other."""
    original = VoteGuard.vote

    def vote(self: VoteGuard, kind: str, view: int, height: int, digest: bytes) -> Any:
        self.votes.pop((kind, height), None)
        return original(self, kind, view, height, digest)

    def on_pre_prepare(core: Core, message: Any) -> None:
        slot = core.slots.get(message.height)
        if slot is not None:
            slot.digest, slot.voted = None, False
        accept(core, message)

    accept = ordering.on_pre_prepare
    patch.setattr(VoteGuard, "vote", vote)
    patch.setitem(replica._VOTES, PrePrepare, on_pre_prepare)


def small_quorum(patch: Patch) -> None:
    """Two votes of four decide."""
    patch.setattr(ValidatorSet, "quorum", property(lambda self: len(self) // 2))


def forgetful_view_changes(patch: Patch) -> None:
    """A new view ignores what was prepared before."""

    def nothing(view_changes: Iterable[Any], config: Any) -> proofs.Outcome:
        low = max((proofs.stable_height(vc, config) for vc in view_changes), default=config.base)
        return proofs.Outcome(low, ())

    patch.setattr(proofs, "outcome", nothing)
    patch.setattr(views, "outcome", nothing)


def votes_unresolved(patch: Patch) -> None:
    """Batches are voted for without looking at their transactions."""
    original = ordering.on_batch_resolved
    patch.setitem(
        replica._EVENTS,
        BatchResolved,
        lambda core, event: original(core, BatchResolved(now_ms=event.now_ms, height=event.height, digest=event.digest, ok=True, full=False)),
    )


def certifies_alone(patch: Patch) -> None:
    """A header is taken as certified as soon as we computed it."""

    def advance(core: Core) -> bool:
        moved = False
        while core.stable + 1 in core.header_hashes and not core.syncing:
            height = core.stable + 1
            certificate = Certificate(core.epoch.epoch, height, core.header_hashes[height], ())
            core.emit(Finalise(height, certificate))
            core.finalised = height
            finality._become_stable(core, height, certificate)
            moved = True
        return moved

    patch.setattr(finality, "advance", advance)


def executes_out_of_order(patch: Patch) -> None:
    """A committed height is executed though one below it is missing."""
    original = ordering._execute_in_order

    def execute(core: Core) -> bool:
        later = core.slots.get(core.ordered + 2)
        if later is not None and later.committed is not None and core.ordered + 1 not in core.slots:
            core.ordered += 1
        return original(core)

    patch.setattr(ordering, "_execute_in_order", execute)


def commits_unprepared(patch: Patch) -> None:
    """COMMIT is sent, and counted, on the proposal alone."""
    original = ordering._advance_slot

    def advance_slot(core: Core, slot: Slot, digest: bytes) -> None:
        original(core, slot, digest)
        if slot.voted and not slot.prepared:
            held = core.batch(slot.height, digest)
            assert held is not None
            ordering._become_prepared(core, slot, digest, held)

    patch.setattr(ordering, "_advance_slot", advance_slot)


def never_asks_again(patch: Patch) -> None:
    """Lost messages stay lost."""
    patch.setattr("carbonnode.consensus.liveness.maintain", lambda core: None)


def runs_no_timers(patch: Patch) -> None:
    """A dead primary is mourned for ever."""
    patch.setattr("carbonnode.consensus.liveness.deadline_ms", lambda core: None)


PLANTED: tuple[Callable[[Patch], None], ...] = (
    sends_at_once,
    forgets_votes,
    guard_asleep,
    small_quorum,
    forgetful_view_changes,
    votes_unresolved,
    certifies_alone,
    executes_out_of_order,
    commits_unprepared,
    never_asks_again,
    runs_no_timers,
)


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_planted_fault_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    for seed in range(SEEDS):
        if not simulate(seed, 4, 1, 2_000).ok:
            return
    pytest.fail(f"{SEEDS} seeds didn't notice: {plant.__doc__}")
