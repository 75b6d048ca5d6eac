"""When to lose patience: deadlines, suspicion, and the events that feed them (PBFT.md 35 to 38, 41)."""

from carbonnode.consensus import proposing
from carbonnode.consensus.actions import CancelTimer, SetTimer
from carbonnode.consensus.core import CENSORSHIP, NO_PROGRESS, SLOW, UNREACHABLE, Core
from carbonnode.consensus.events import PeerReachable, PeerUnreachable, RequestsAdmitted, RequestsDropped
from carbonnode.consensus.repair import STATUS, maintain
from carbonnode.consensus.views import start

PATIENCE = "patience"
PROPOSE = proposing.PROPOSE
_MAX_STRIKES = 6
_CADENCE_FACTOR = 3
_GONE_FACTOR = 4
"""So many time-outs a block may take to execute before those who left or doubt are missed: one liar may always say that it does."""


def deadline_ms(core: Core) -> int | None:
    """When patience with the current view ends; None while nothing is owed by its primary."""
    if not core.may_vote or len(core.epoch.validators) == 1:
        return None
    timeout = core.pacing.timeout_ms
    primary_lost = core.unreachable.get(core.primary)
    if not core.active:
        if core.quorum_left_ms is None:
            return None  # nobody to blame yet: VIEW-CHANGEs are sent again until a quorum has left
        lost = core.quorum_left_ms + core.tuning.unreachable_ms if primary_lost is not None and not core.is_primary else None
        return lost if lost is not None else core.quorum_left_ms + timeout
    if core.is_primary or core.suspicion is not None:
        return None
    if primary_lost is not None:
        return max(primary_lost, core.view_entered_ms) + core.tuning.unreachable_ms
    if core.syncing:
        return None  # we lag: not the primary's doing
    certified = core.uncertified_ms + _certificate_patience_ms(core)
    if core.ordered >= core.high:
        return certified
    due = (_waiting_since(core) if _work_waits(core) else core.progress_ms + core.epoch.parameters.idle_block_ms) + timeout
    return min(due, certified) if core.ordered > core.stable else due


def _certificate_patience_ms(core: Core) -> int:
    """How long ordered blocks may stand without a certificate, be the window full of them or not.

    That is no fault of the primary: executors are slow. But a member that went to a later view alone, or can't order what the others did, may be the one
    whose vote is missing, and only a view change brings it back (found by the simulator). So not for ever, and not for long where one doubts or has gone.
    """
    longest = core.epoch.parameters.max_timeout_ms
    alone = any(vc.view > core.view for vc in core.view_changes.values()) or any(signer != core.index for signer in core.suspects)
    return min(_GONE_FACTOR * core.pacing.timeout_ms, longest) if alone else longest


def _work_waits(core: Core) -> bool:
    return bool(core.requests.waiting) or any(slot.digest is not None and slot.committed is None for slot in core.slots.values())


def _waiting_since(core: Core) -> int:
    """Patience runs from the last progress, or from when the first thing to do came up in an idle network."""
    oldest = core.requests.oldest()
    first = min((s.received_ms for s in core.slots.values() if s.digest is not None and s.committed is None), default=None)
    begins = min(t for t in (oldest, first) if t is not None)
    return max(core.progress_ms, begins)


def arm(core: Core) -> None:
    """Set the timers that the state asks for."""
    _arm(core, PATIENCE, deadline_ms(core))
    _arm(core, PROPOSE, proposing.due_ms(core))


def _expire(core: Core) -> None:
    deadline = deadline_ms(core)
    if deadline is None or core.now < deadline:
        return
    if core.active:
        core.suspicion = UNREACHABLE if core.primary in core.unreachable else NO_PROGRESS
    else:
        start(core, core.view + 1)


def judge(core: Core) -> None:
    """Hold the primary's choice and pace against what arrived here; done on the status timer, not for each message."""
    if not core.active or core.is_primary or core.syncing or core.suspicion not in (None, CENSORSHIP):
        return
    requests = core.requests
    patience = core.tuning.request_factor * core.pacing.timeout_ms
    censored = core.now - core.view_entered_ms > patience and requests.censored(core.now, patience)
    core.suspicion = CENSORSHIP if censored else None
    if censored or core.now - requests.window_start < core.tuning.slow_window_ms:
        return
    allowed = core.tuning.slow_wait_ms << min(core.slow_strikes, _MAX_STRIKES)
    wait = requests.mean_wait_ms()
    if wait > max(allowed, _CADENCE_FACTOR * core.pacing.latency_ms):
        core.suspicion = SLOW
    elif core.slow_strikes and wait:
        core.slow_strikes -= 1
    requests.restart_window(core.now)


def _arm(core: Core, timer: str, due: int | None) -> None:
    """Keep one timer at or before `due`: a late deadline is met by setting the timer again when it fires early."""
    armed = core.timers.get(timer)
    if due is None:
        if armed is not None:
            del core.timers[timer]
            core.emit(CancelTimer(timer))
        return
    due = max(due, core.now + 1)
    if armed is None or due < armed:
        core.timers[timer] = due
        core.emit(SetTimer(timer, due - core.now))


def on_timer(core: Core, timer: str) -> None:
    """A timer ran out; what it means is derived from the deadlines, which may have moved meanwhile."""
    core.timers.pop(timer, None)
    if timer == PATIENCE:
        _expire(core)
    elif timer == STATUS:
        judge(core)
        maintain(core)
        core.timers[STATUS] = core.now + core.tuning.retransmit_ms
        core.emit(SetTimer(STATUS, core.tuning.retransmit_ms))


def on_admitted(core: Core, event: RequestsAdmitted) -> None:
    """Requests to time the primaries by."""
    core.requests.admit(event.wire_hashes, core.now)
    core.work = True


def on_dropped(core: Core, event: RequestsDropped) -> None:
    """Requests that no longer count."""
    core.requests.drop(event.wire_hashes)


def on_unreachable(core: Core, event: PeerUnreachable) -> None:
    """A validator's process is probably gone."""
    core.unreachable.setdefault(event.peer, core.now)


def on_reachable(core: Core, event: PeerReachable) -> None:
    """It is back; a suspicion that rested on its absence falls."""
    core.unreachable.pop(event.peer, None)
    if core.suspicion == UNREACHABLE and event.peer == core.primary:
        core.suspicion = None
