"""Patience, suspicion, retransmission (PBFT.md 35 to 41)."""

from carbonnode.chain.genesis import Parameters
from carbonnode.consensus import actions as act
from carbonnode.consensus import events as ev
from carbonnode.consensus import messages as msg
from carbonnode.consensus.config import EpochConfig, Tuning
from tests.unit.consensus.lab import Driven, Lab, of, sent


def suspects(driven: Driven) -> list[msg.Suspect]:
    me = driven.replica.state().index
    return [m for m in sent(driven.log, msg.Suspect) if isinstance(m, msg.Suspect) and m.signer == me]


def changes(driven: Driven) -> list[int]:
    return [m.view for m in sent(driven.log, msg.ViewChange) if isinstance(m, msg.ViewChange)]


def test_patience_runs_from_a_pending_request(lab: Lab) -> None:
    replica = lab.replica()
    replica.wait(500)
    replica.give(ev.RequestsAdmitted(now_ms=replica.now, wire_hashes=(b"t" * 32,)))
    replica.wait(990)
    assert not suspects(replica)
    replica.wait(20)
    assert suspects(replica)


def test_dropped_requests_blame_nobody(lab: Lab) -> None:
    replica = lab.replica()
    replica.give(ev.RequestsAdmitted(now_ms=replica.now, wire_hashes=(b"t" * 32,)))
    replica.give(ev.RequestsDropped(now_ms=replica.now, wire_hashes=(b"t" * 32,)))
    replica.wait(1_500)
    assert not suspects(replica)


def test_an_unfinished_proposal_is_pending_work_too(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.pre_prepare(1, lab.batch("a")))
    replica.wait(1_010)
    assert suspects(replica)


def test_real_progress_resets_patience_and_takes_suspicion_back(lab: Lab) -> None:
    replica = lab.replica()
    replica.give(ev.RequestsAdmitted(now_ms=replica.now, wire_hashes=(b"t" * 32,)))
    replica.wait(900)
    replica.order(lab, 1, lab.batch("a"))
    replica.wait(900)
    assert not suspects(replica)
    replica.wait(200)
    assert suspects(replica)
    replica.order(lab, 2, lab.batch("b"))
    assert replica.replica.state().suspicion is None
    replica.receive(lab.suspect(2))
    assert not changes(replica)


def test_an_idle_network_changes_no_view_but_a_dead_idle_primary_is_noticed(lab: Lab) -> None:
    replica = lab.replica()
    for height in range(1, 6):
        replica.wait(2_000)
        replica.order(lab, height, lab.batch(time_ms=1_700_000_000_000 + replica.now - 1_000))
        replica.certify(lab, height, replica.replica._core.batches[height, next(d for h, d in replica.replica._core.batches if h == height)].batch.digest)
    assert not suspects(replica)
    replica.wait(2_990)
    assert not suspects(replica)
    replica.wait(100)
    assert suspects(replica)


def test_the_primary_doesnt_suspect_itself(lab: Lab) -> None:
    primary = lab.replica(0)
    primary.give(ev.RequestsAdmitted(now_ms=primary.now, wire_hashes=(b"t" * 32,)))
    primary.wait(10_000)
    assert not suspects(primary)


def test_a_full_window_is_met_with_the_longest_patience(lab: Lab) -> None:
    replica = lab.replica()
    for height in range(1, lab.parameters.window + 1):
        replica.order(lab, height, lab.batch(str(height)))
    replica.give(ev.RequestsAdmitted(now_ms=replica.now, wire_hashes=(b"t" * 32,)))
    replica.wait(lab.parameters.max_timeout_ms - 10)
    assert not suspects(replica)
    replica.wait(20)
    assert suspects(replica)


def test_a_full_window_whose_missing_voter_may_have_left_stands_for_four_timeouts(lab: Lab) -> None:
    replica = lab.replica()
    for height in range(1, lab.parameters.window + 1):
        replica.order(lab, height, lab.batch(str(height)))
    patience_ms = 4 * replica.replica.state().timeout_ms
    replica.receive(lab.view_change(3, 2))
    replica.wait(patience_ms - 10)
    assert not suspects(replica)
    # Its doubt and the one who left are two of four, f + 1: it goes as well.
    assert {m.view for m in sent(replica.wait(20), msg.ViewChange) if isinstance(m, msg.ViewChange)} == {1}


def test_no_full_window_is_met_with_more_than_the_longest_patience(lab: Lab) -> None:
    parameters = Parameters(window=2, max_timeout_ms=3_000)
    replica = lab.replica(epoch=EpochConfig(0, 1, lab.validators, parameters))
    for height in (1, 2):
        replica.order(lab, height, lab.batch(str(height)))
    replica.receive(lab.view_change(3, 2))
    replica.wait(parameters.max_timeout_ms - 10)
    assert not suspects(replica)
    replica.wait(20)
    assert suspects(replica)


def ordered_on(lab: Lab, replica: Driven, duration_ms: int) -> None:
    """Idle blocks are ordered, and nobody else votes for their headers."""
    end = replica.now + duration_ms
    while replica.now < end:
        height = replica.replica.state().ordered + 1
        replica.order(lab, height, lab.batch(time_ms=1_700_000_000_000 + replica.now - 1_000))
        replica.wait(min(lab.parameters.idle_block_ms, end - replica.now))


def test_blocks_that_are_ordered_and_never_certified_are_not_waited_for_longer_than_the_longest_patience() -> None:
    lab = Lab(window=32)
    replica = lab.replica()
    ordered_on(lab, replica, lab.parameters.max_timeout_ms - 10)
    assert not suspects(replica)
    replica.wait(20)
    assert suspects(replica)


def test_who_doubts_while_nothing_is_certified_may_be_the_one_who_cannot_order() -> None:
    lab = Lab(window=32)
    replica = lab.replica()
    patience_ms = 4 * lab.parameters.base_timeout_ms
    ordered_on(lab, replica, patience_ms - 500)
    replica.receive(lab.suspect(3))
    replica.wait(480)
    assert not suspects(replica)
    assert replica.replica.state().active
    assert {m.view for m in sent(replica.wait(50), msg.ViewChange) if isinstance(m, msg.ViewChange)} == {1}


def test_syncs_that_bring_nothing_are_no_progress(lab: Lab) -> None:
    replica = lab.replica()
    digests = [replica.order(lab, height, lab.batch(str(height))) for height in (1, 2)]
    replica.certify(lab, 2, digests[1])  # height 1 lacks a vote that nobody gives
    timeout_ms = replica.replica.state().timeout_ms
    ordered_at, wishes, again = replica.now, 0, 0
    while replica.now < ordered_at + lab.parameters.idle_block_ms + timeout_ms - 100:
        if of(replica.wait(100), act.RequestSync):
            wishes += 1
            again += len(of(replica.give(ev.Synced(now_ms=replica.now, height=0, header_hash=bytes(32), certificate=None)), act.Execute))
    assert (wishes >= 2, again) == (True, 2 * wishes)
    assert not suspects(replica)
    assert replica.replica.state().timeout_ms == timeout_ms
    replica.wait(200)
    assert replica.replica.state().suspicion == "no progress"
    assert suspects(replica)


def test_a_sync_that_brings_blocks_is_progress(lab: Lab) -> None:
    replica = lab.replica()
    replica.give(ev.RequestsAdmitted(now_ms=replica.now, wire_hashes=(b"t" * 32,)))
    replica.wait(900)
    replica.receive(msg.Certified(lab.certificate(20, b"h" * 32)), sender=2)
    replica.give(ev.Synced(now_ms=replica.now, height=20, header_hash=b"h" * 32, certificate=lab.certificate(20, b"h" * 32)))
    replica.wait(900)
    assert not suspects(replica)
    replica.wait(200)
    assert suspects(replica)


def test_a_lost_link_to_the_primary_raises_suspicion_after_200_ms(lab: Lab) -> None:
    replica = lab.replica()
    replica.give(ev.PeerUnreachable(now_ms=replica.now, peer=2))
    replica.wait(400)
    assert not suspects(replica)
    replica.give(ev.PeerUnreachable(now_ms=replica.now, peer=0))
    replica.wait(199)
    assert not suspects(replica)
    replica.wait(1)
    assert suspects(replica)
    assert replica.replica.state().suspicion == "unreachable"
    replica.give(ev.PeerReachable(now_ms=replica.now, peer=0))
    assert replica.replica.state().suspicion is None


def test_a_proposal_from_a_primary_thought_lost_takes_suspicion_back(lab: Lab) -> None:
    replica = lab.replica()
    replica.give(ev.PeerUnreachable(now_ms=replica.now, peer=0))
    replica.wait(250)
    replica.receive(lab.pre_prepare(1, lab.batch("a")))
    assert replica.replica.state().suspicion is None


def test_fail_over_after_the_primary_dies_needs_no_timeout_of_a_second(lab: Lab) -> None:
    replica = lab.replica(1)
    replica.give(ev.PeerUnreachable(now_ms=replica.now, peer=0))
    replica.wait(200)
    replica.receive(lab.suspect(2), lab.view_change(2, 1), lab.view_change(3, 1))
    assert replica.replica.state().active
    assert replica.replica.state().view == 1
    assert sent(replica.log, msg.NewView)


def test_a_new_primary_that_is_gone_too_is_given_200_ms(lab: Lab) -> None:
    replica = lab.replica(2)
    for peer in (0, 1):
        replica.give(ev.PeerUnreachable(now_ms=replica.now, peer=peer))
    replica.receive(*[lab.view_change(i, 1) for i in (0, 1, 3)])
    assert changes(replica) == [1]
    replica.wait(210)
    assert 2 in changes(replica)


def test_a_new_view_that_doesnt_come_is_waited_for_with_back_off() -> None:
    lab = Lab(16)
    replica = lab.replica(15)
    waits = []
    for view in range(1, 8):
        replica.receive(*[lab.view_change(i, view) for i in range(12)])
        start = replica.now
        while replica.replica.state().view == view and replica.now - start < 60_000:
            replica.wait(50)
        waits.append(replica.now - start)
        assert replica.replica.state().view == view + 1
    assert waits == sorted(waits)
    assert waits[0] <= 1_100
    assert waits[-1] <= lab.parameters.max_timeout_ms + 100


def test_without_a_quorum_of_leavers_nobody_runs_ahead(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.suspect(2), lab.suspect(3))
    replica.wait(300_000)
    assert set(changes(replica)) == {1}


def test_a_scattered_quorum_moves_on(lab: Lab) -> None:
    replica = lab.replica(3)
    replica.receive(lab.view_change(0, 1), lab.view_change(1, 1))
    assert replica.replica.state().view == 1
    replica.receive(lab.view_change(0, 2))
    replica.wait(1_100)
    assert replica.replica.state().view == 2


def test_a_half_hour_pause_ends_in_bounded_time(lab: Lab) -> None:
    replica = lab.replica(3)
    replica.receive(lab.view_change(0, 1), lab.view_change(1, 1))
    replica.now += 30 * 60_000
    replica.wait(100)
    assert replica.replica.state().view == 2
    assert replica.replica.state().timeout_ms <= lab.parameters.max_timeout_ms


def test_a_censored_request_moves_the_primary(lab: Lab) -> None:
    replica = lab.replica()
    replica.give(ev.RequestsAdmitted(now_ms=replica.now, wire_hashes=(b"t" * 32,)))
    for height in range(1, 9):
        replica.wait(500)
        digest = replica.order(lab, height, lab.batch(str(height), time_ms=1_700_000_000_000 + replica.now - 1_000))
        replica.certify(lab, height, digest)
    assert replica.replica.state().suspicion == "censorship"


def test_a_batch_that_a_new_view_named_is_not_its_primarys_choice(lab: Lab) -> None:
    replica = lab.replica(2)
    replica.give(ev.RequestsAdmitted(now_ms=replica.now, wire_hashes=(b"t" * 32,)))
    replica.wait(900)
    old = lab.batch("old")
    changes_to_1 = tuple(lab.view_change(i, 1, (lab.proof(1, old.digest),)) for i in (0, 1, 3))
    replica.receive(lab.pre_prepare(1, old), lab.new_view(1, changes_to_1, ((1, old.digest),)))
    replica.order(lab, 1, old, view=1)
    assert replica.replica.state().ordered == 1
    assert replica.replica._core.requests.left_out_before == -1


def test_overload_deposes_nobody(lab: Lab) -> None:
    replica = lab.replica()
    replica.full = True
    replica.give(ev.RequestsAdmitted(now_ms=replica.now, wire_hashes=(b"t" * 32,)))
    for height in range(1, 30):
        replica.wait(500)
        digest = replica.order(lab, height, lab.batch(str(height), time_ms=1_700_000_000_000 + replica.now - 1_000))
        replica.certify(lab, height, digest)
    assert not suspects(replica)


def test_a_slow_primary_is_suspected_and_strikes_raise_the_bar(lab: Lab) -> None:
    replica = lab.replica(tuning=Tuning(slow_wait_ms=1_500))
    replica.wait(1)
    height = 0
    while replica.replica.state().suspicion is None and height < 40:
        names = [f"{height}-{i}" for i in range(5)]
        batch = lab.batch(*names, time_ms=1_700_000_000_000 + replica.now + 800)
        replica.give(ev.RequestsAdmitted(now_ms=replica.now, wire_hashes=batch.wire_hashes))
        replica.wait(900)
        height += 1
        idle = lab.batch(f"filler {height}", time_ms=1_700_000_000_000 + replica.now)
        replica.certify(lab, height, replica.order(lab, height, idle))
        replica.wait(900)
        height += 1
        replica.certify(lab, height, replica.order(lab, height, batch))
    assert replica.replica.state().suspicion == "slow"


# ---- asking again


def test_a_stuck_replica_says_where_it_stands_and_a_content_one_only_now_and_then(lab: Lab) -> None:
    replica = lab.replica()
    start = len(sent(replica.log, msg.Status))
    replica.wait(1_900)
    assert len(sent(replica.log, msg.Status)) == start
    replica.wait(200)
    assert len(sent(replica.log, msg.Status)) == start + 1
    replica.receive(lab.pre_prepare(1, lab.batch("a")))
    replica.wait(1_000)
    assert len(sent(replica.log, msg.Status)) >= start + 3


def status(view: int = 0, *, active: bool = True, stable: int = 0, executed: int = 0, slots: tuple[int, ...] = (), abstaining: bool = False) -> msg.Status:
    return msg.Status(0, view, active, stable, executed, slots, abstaining)


def test_whoever_lacks_votes_and_proposals_gets_them(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a")
    proposal = lab.pre_prepare(1, batch)
    replica.receive(proposal, lab.prepare(2, 1, batch.digest), lab.prepare(3, 1, batch.digest))
    out = replica.receive(status(), sender=3)
    messages = [a.message for a in of(out, act.Send) if isinstance(a, act.Send)]
    assert [type(m) for m in messages] == [msg.PrePrepare, msg.Prepare, msg.Commit]
    replica.now += 1_000
    out = replica.receive(status(slots=(3,)), sender=3)
    assert [type(a.message) for a in of(out, act.Send) if isinstance(a, act.Send)] == [msg.Commit]
    replica.now += 1_000
    assert not of(replica.receive(status(slots=(7,)), sender=3), act.Send)


def test_an_answered_status_is_answered_again_only_after_a_while(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.pre_prepare(1, lab.batch("a")))
    assert of(replica.receive(status(), sender=3), act.Send)
    assert not of(replica.receive(status(), sender=3), act.Send)
    assert of(replica.receive(status(), sender=2), act.Send)
    assert not of(replica.receive(status(), sender=None), act.Send)


def test_whoever_lacks_certificates_and_checkpoints_gets_them(lab: Lab) -> None:
    replica = lab.replica()
    digests = [replica.order(lab, h, lab.batch(str(h))) for h in (1, 2, 3)]
    for height in (1, 2):
        replica.certify(lab, height, digests[height - 1])
    out = replica.receive(status(), sender=3)
    messages = [a.message for a in of(out, act.Send) if isinstance(a, act.Send)]
    assert [m.certificate.height for m in messages if isinstance(m, msg.Certified)] == [1, 2]
    assert [m.height for m in messages if isinstance(m, msg.Checkpoint)] == [3]


def test_whoever_lacks_the_view_gets_its_proof(lab: Lab) -> None:
    replica = lab.replica(3)
    members = (lab.view_change(0, 1), lab.view_change(1, 1), lab.view_change(2, 1))
    new_view = lab.new_view(1, members, ())
    replica.receive(new_view)
    assert [a.message for a in of(replica.receive(status(), sender=0), act.Send) if isinstance(a, act.Send)] == [new_view]
    waiting = lab.replica(3)
    waiting.receive(lab.suspect(0), lab.suspect(2))
    out = waiting.receive(status(), sender=0)
    assert [type(a.message) for a in of(out, act.Send) if isinstance(a, act.Send)] == [msg.ViewChange]


def test_a_view_change_is_said_again_while_it_lasts(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.suspect(2), lab.suspect(3))
    before = len(changes(replica))
    replica.wait(2_000)
    assert len(changes(replica)) >= before + 4


def test_a_held_batch_is_handed_out_an_unknown_one_isnt(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a")
    replica.receive(lab.pre_prepare(1, batch))
    out = replica.receive(msg.FetchBatch(1, batch.digest), msg.FetchBatch(1, b"x" * 32), msg.FetchBatch(2, batch.digest), sender=3)
    assert [a.message for a in of(out, act.Send) if isinstance(a, act.Send)] == [msg.BatchReply(1, batch.encoded)]


def test_missing_batches_are_asked_for_again(lab: Lab) -> None:
    replica = lab.replica(3)
    batch = lab.batch("a")
    members = (lab.view_change(0, 1), lab.view_change(1, 1), lab.view_change(2, 1, (lab.proof(1, batch.digest),)))
    replica.receive(lab.new_view(1, members, ((1, batch.digest),)))
    replica.wait(900)
    assert len(sent(replica.log, msg.FetchBatch)) >= 3


def test_f_plus_1_peers_of_a_later_epoch_start_a_sync_one_doesnt(lab: Lab) -> None:
    replica = lab.replica()
    later = msg.Status(3, 0, True, 500, 500, (), False)
    replica.receive(later, sender=2)
    assert not of(replica.wait(1_000), act.RequestSync)
    replica.receive(later, sender=3)
    replica.wait(500)
    assert of(replica.log, act.RequestSync)


def test_a_primary_does_not_suspect_itself(lab: Lab) -> None:
    primary = lab.replica(0)
    primary.give(ev.RequestsAdmitted(now_ms=primary.now, wire_hashes=(b"t" * 32,)))
    primary.wait(20_000)
    assert primary.replica.state().suspicion is None
