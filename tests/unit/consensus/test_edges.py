"""Rare ways through the state machine, each with its reason to be there."""

import pytest

from carbonnode.chain.hashing import ZERO_HASH
from carbonnode.consensus import actions as act
from carbonnode.consensus import epochs, liveness, recovery, requests
from carbonnode.consensus import events as ev
from carbonnode.consensus import messages as msg
from carbonnode.consensus.config import StableState
from carbonnode.consensus.evidence import PREPARE, equivocation
from carbonnode.consensus.journal import Held, JournalRecord, Ordered, Prepared, Proposed, Voted, decode_record, encode_record
from carbonnode.consensus.requests import Requests
from carbonnode.consensus.slots import HeldBatch, Known
from carbonnode.errors import InvariantViolation
from tests.unit.consensus.lab import WALL, Lab, of, sent


def status(*, stable: int = 0, abstaining: bool = False) -> msg.Status:
    return msg.Status(0, 0, True, stable, stable, (), abstaining)


def test_a_network_whose_validators_lost_their_votes_says_so(lab: Lab) -> None:
    # Nobody may vote before a height is certified, and nobody certifies one: silence would look like an idle network.
    driven = lab.replica(lost_votes=True)
    assert "no-quorum" not in [a.code for a in driven.log if isinstance(a, act.Alarm)]
    out = driven.receive(status(abstaining=True), sender=2)
    alarms = [a for a in of(out, act.Alarm) if isinstance(a, act.Alarm)]
    assert [a.code for a in alarms] == ["no-quorum"]
    assert "2 of 4 validators lost their votes" in alarms[0].detail
    assert "1 of them from their old disks" in alarms[0].detail
    assert not of(driven.receive(status(abstaining=True), sender=3), act.Alarm), "once for a height"


def test_a_validator_with_its_votes_sees_it_as_well_and_sees_it_pass(lab: Lab) -> None:
    driven = lab.replica()
    assert not of(driven.receive(status(abstaining=True), sender=2), act.Alarm)
    driven.receive(status(), sender=2)
    assert not of(driven.receive(status(abstaining=True), sender=3), act.Alarm)
    assert of(driven.receive(status(abstaining=True), sender=2), act.Alarm)


def test_a_validator_that_abstains_already_has_nothing_more_to_lose(lab: Lab) -> None:
    driven = lab.replica(lost_votes=True)
    before = len(driven.durable)
    recovery.abstain(driven.replica._core, "again")
    assert len(driven.durable) == before


def test_a_height_that_the_new_view_settled_is_not_proposed_again(lab: Lab) -> None:
    # The view starts above what this replica holds: height 1 is certified elsewhere, and nobody may propose it anew.
    driven = lab.replica(2)
    stable = lab.certificate(2, b"h" * 32, (0, 2, 3))
    changes = tuple(lab.view_change(i, 5, stable=stable) for i in (0, 1, 3))
    driven.receive(lab.new_view(5, changes, ()))
    assert driven.replica.state().view == 5
    out = driven.receive(lab.pre_prepare(1, lab.batch("a"), view=5))
    assert [(a.peer, a.code) for a in of(out, act.Blame) if isinstance(a, act.Blame)] == [("node-1", "settled")]


def test_a_diverged_replica_votes_on_no_height_whose_epoch_it_can_not_know(lab: Lab) -> None:
    # A block that it doesn't execute may decide an epoch that begins a window later.
    driven = lab.replica()
    driven.order(lab, 1, lab.batch("a"))
    driven.receive(*[lab.checkpoint(i, 1, b"other" * 6 + b"xx") for i in (0, 2, 3)])
    core = driven.replica._core
    assert core.diverged == 1
    assert core.high == 1 + core.window
    core.stable = 5
    assert core.high == 1 + core.window


def test_an_invalid_batch_of_an_earlier_proposal_suspects_nobody(lab: Lab) -> None:
    driven = lab.replica(2)
    driven.auto_resolve = False
    driven.receive(lab.pre_prepare(1, lab.batch("a")))
    core = driven.replica._core
    other = lab.batch("b")
    core.batches[1, other.digest] = HeldBatch(other)
    driven.give(ev.BatchResolved(now_ms=driven.now, height=1, digest=other.digest, ok=False, full=False))
    assert driven.replica.state().suspicion is None


def test_a_committed_batch_that_is_gone_after_a_restart_is_fetched_and_executed(lab: Lab) -> None:
    batch = lab.batch("a")
    driven = lab.replica(journal=(encode_record(Ordered(0, 1, batch.digest)),))
    driven.give(ev.WorkArrived(now_ms=driven.now))
    assert [m.digest for m in sent(driven.log, msg.FetchBatch) if isinstance(m, msg.FetchBatch)] == [batch.digest]
    out = driven.receive(msg.BatchReply(1, batch.encoded), sender=2)
    assert [a.height for a in of(out, act.Execute) if isinstance(a, act.Execute)] == [1]


def test_of_two_proposals_and_two_proofs_in_the_journal_those_of_the_higher_view_stand(lab: Lab) -> None:
    one, two = lab.batch("a"), lab.batch("b")
    journal: tuple[JournalRecord, ...] = (
        Proposed(lab.pre_prepare(1, two, view=1)),
        Prepared(lab.proof(1, two.digest, view=1)),
        Proposed(lab.pre_prepare(1, one)),
        Prepared(lab.proof(1, one.digest)),
    )
    driven = lab.replica(2, journal=tuple(encode_record(record) for record in journal))
    proof = driven.replica._core.slots[1].proof
    assert proof is not None
    assert proof.view == 1


def test_a_vote_above_the_window_that_power_loss_left_binds_when_the_window_comes(lab: Lab) -> None:
    # It voted on height 9 with height 1 certified; the disk kept the vote, and lost the block.
    first = lab.replica()
    digest = first.order(lab, 1, lab.batch("a"))
    first.certify(lab, 1, digest)
    first.receive(lab.pre_prepare(9, lab.batch("i")))
    assert [m.height for m in sent(first.log, msg.Prepare) if isinstance(m, msg.Prepare)][-1] == 9
    after = lab.replica(journal=tuple(first.durable))
    assert after.replica._core.high == 8
    digest = after.order(lab, 1, lab.batch("a"))
    after.certify(lab, 1, digest)
    out = after.receive(lab.pre_prepare(9, lab.batch("other")))
    assert of(out, act.ReportEvidence)
    assert [m.digest for m in sent(after.log, msg.Prepare) if isinstance(m, msg.Prepare) and m.height == 9] == [lab.batch("i").digest]


def test_an_observer_hands_on_proposals_but_no_votes(lab: Lab) -> None:
    observer = lab.replica(5)
    batch = lab.batch("a")
    observer.receive(lab.pre_prepare(1, batch))
    out = observer.receive(status(), sender=2)
    assert sent(out, msg.PrePrepare)
    assert not sent(out, msg.Prepare)
    assert not sent(out, msg.Checkpoint)


def test_a_replica_between_views_without_a_promise_has_none_to_show(lab: Lab) -> None:
    driven = lab.replica()
    driven.replica._core.view = 3
    assert not sent(driven.receive(status(), sender=2), msg.ViewChange)


def test_requests_beyond_the_bound_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_MAX_REQUESTS", 2)
    timed = Requests()
    timed.admit((b"a", b"b", b"c"), 0)
    assert list(timed.waiting) == [b"a", b"b"]


def test_each_primary_deposed_for_slowness_doubles_the_bar_and_each_good_window_halves_it(lab: Lab) -> None:
    driven = lab.replica()
    core = driven.replica._core
    core.suspicion = "slow"
    driven.receive(lab.suspect(2))
    driven.receive(lab.suspect(3))
    assert core.slow_strikes == 1
    good = core.requests
    driven.receive(lab.new_view(1, tuple(lab.view_change(i, 1) for i in (0, 2, 3)), ()), sender=1)
    core.view, core.active, core.suspicion = 2, True, None
    good.restart_window(driven.now)
    good._ordered, good._waited = 20, 2_000
    driven.wait(core.tuning.slow_window_ms - 500)
    good._ordered, good._waited = 20, 2_000
    core.suspicion = None
    driven.now += 1_000
    core.now = driven.now
    liveness.judge(core)
    assert core.slow_strikes == 0


def test_old_evidence_and_alarms_make_room_once_their_heights_are_final(lab: Lab) -> None:
    driven = lab.replica()
    core = driven.replica._core
    core.reported = {("prepare", 1, 0, -height) for height in range(100, 700)}
    digest = driven.order(lab, 1, lab.batch("a"))
    driven.certify(lab, 1, digest)
    assert driven.replica.stable == 1
    assert not core.reported


def test_a_flood_of_evidence_is_reported_up_to_a_bound(lab: Lab) -> None:
    core = lab.replica().replica._core
    core.reported = {("prepare", 1, 0, height) for height in range(1_024)}
    evidence = equivocation(PREPARE, 0, 0, 2_000, 1, (b"a" * 32, bytes(64)), (b"b" * 32, bytes(64)))
    assert not core.accuse(evidence)


def test_a_certificate_of_our_own_making_names_no_peer(lab: Lab) -> None:
    driven = lab.replica()
    driven.give(ev.Received(now_ms=driven.now, wall_ms=WALL, sender=None, message=msg.Certified(lab.certificate(1, b"h" * 32))))
    core = driven.replica._core
    assert 1 in core.certificates
    assert not core.peer_certified


def test_what_only_we_claim_is_believed_by_nobody(lab: Lab) -> None:
    driven = lab.replica()
    later = msg.Certified(msg.Certified(lab.certificate(50, b"h" * 32)).certificate)
    foreign = msg.Certified(type(later.certificate)(3, 50, b"h" * 32, later.certificate.votes))
    driven.give(ev.Received(now_ms=driven.now, wall_ms=WALL, sender=None, message=foreign))
    assert driven.replica._core.hint == 0


def test_a_sync_without_a_certificate_keeps_the_one_that_is_held(lab: Lab) -> None:
    driven = lab.replica(stable=StableState(0, ZERO_HASH, None))
    driven.give(ev.PeersAhead(now_ms=driven.now, height=3))
    driven.give(ev.Synced(now_ms=driven.now, height=0, header_hash=ZERO_HASH, certificate=None))
    assert driven.replica._core.stable_certificate is None


def test_a_sync_that_ends_below_what_is_final_here_takes_nothing_back(lab: Lab) -> None:
    driven = lab.replica()
    digest = driven.order(lab, 1, lab.batch("a"))
    driven.give(ev.PeersAhead(now_ms=driven.now, height=3))
    driven.certify(lab, 1, digest)
    driven.replica._core.stable = 1
    driven.give(ev.Synced(now_ms=driven.now, height=0, header_hash=ZERO_HASH, certificate=None))
    assert driven.replica.stable == 1


def test_a_committed_batch_is_resolved_once_however_often_it_is_looked_at(lab: Lab) -> None:
    batch = lab.batch("a")
    journal = (encode_record(Held(0, 1, batch.encoded)), encode_record(Ordered(0, 1, batch.digest)))
    driven = lab.replica(journal=journal)
    driven.auto_resolve = False
    core = driven.replica._core
    core.batches[1, batch.digest].known = Known.ASKED
    core.ordered = 0
    core.syncing = False
    before = len(of(driven.log, act.ResolveBatch))
    driven.give(ev.WorkArrived(now_ms=driven.now))
    assert len(of(driven.log, act.ResolveBatch)) == before


def test_the_same_proposal_again_needs_no_second_record(lab: Lab) -> None:
    primary = lab.replica(0)
    batch = lab.batch("a")
    primary.batches += [batch, batch]
    primary.give(ev.WorkArrived(now_ms=primary.now))
    primary.wait(300)
    core = primary.replica._core
    votes = [record for record in primary.durable if isinstance(decode_record(record), Voted)]
    core.next_height, core.awaiting_batch = 1, 1
    primary.give(ev.BatchReady(now_ms=primary.now, height=1, batch=batch, more=False))
    assert [record for record in primary.durable if isinstance(decode_record(record), Voted)] == votes


def test_a_record_of_an_unknown_vote_of_another_epoch_binds_nothing_here(lab: Lab) -> None:
    driven = lab.replica(journal=(encode_record(Voted("prepare", 7, 0, 1, b"d" * 32, bytes(64))),))
    assert driven.replica._core.guard.given("prepare", 1) is None


def test_a_replica_that_does_not_come_to_rest_stops(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    driven = lab.replica()
    monkeypatch.setattr(epochs, "advance", lambda core: True)
    with pytest.raises(InvariantViolation, match="come to rest"):
        driven.give(ev.WorkArrived(now_ms=driven.now))
