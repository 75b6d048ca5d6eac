"""Checkpoints, certificates, stability, divergence, catching up (PBFT.md 13, 14, 40, 42, 43)."""

from carbonnode.chain.genesis import Parameters
from carbonnode.consensus import actions as act
from carbonnode.consensus import events as ev
from carbonnode.consensus import messages as msg
from carbonnode.consensus.config import EpochConfig, StableState, Tuning
from carbonnode.consensus.evidence import CHECKPOINT
from carbonnode.consensus.proofs import check_certificate
from tests.unit.consensus.lab import Driven, Lab, header_hash, of, sent


def finals(driven: Driven) -> list[int]:
    return [a.height for a in of(driven.log, act.Finalise) if isinstance(a, act.Finalise)]


def alarms(driven: Driven) -> list[str]:
    return [a.code for a in of(driven.log, act.Alarm) if isinstance(a, act.Alarm)]


def test_a_block_is_final_with_a_quorum_for_one_header(lab: Lab) -> None:
    replica = lab.replica()
    digest = replica.order(lab, 1, lab.batch("a"))
    own = header_hash(1, digest)
    assert [m.header_hash for m in sent(replica.log, msg.Checkpoint) if isinstance(m, msg.Checkpoint)] == [own]
    replica.receive(lab.checkpoint(2, 1, own), lab.checkpoint(0, 1, b"w" * 32))
    assert finals(replica) == []
    replica.receive(lab.checkpoint(3, 1, own))
    assert finals(replica) == [1]
    action = of(replica.log, act.Finalise)[0]
    assert isinstance(action, act.Finalise)
    check_certificate(action.certificate, lab.epoch, lab.chain_id, lab.ring.verify)
    assert replica.replica.state().stable == 1


def test_certificates_finalise_in_order_only(lab: Lab) -> None:
    replica = lab.replica()
    digests = [replica.order(lab, h, lab.batch(str(h))) for h in (1, 2, 3)]
    replica.certify(lab, 3, digests[2])
    replica.certify(lab, 2, digests[1])
    assert finals(replica) == []
    replica.certify(lab, 1, digests[0])
    assert finals(replica) == [1, 2, 3]


def test_a_certificate_without_our_own_execution_makes_nothing_final(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(*[lab.checkpoint(i, 1, b"h" * 32) for i in (0, 2, 3)])
    assert finals(replica) == []


def test_two_checkpoints_by_one_signer_are_evidence_one_is_a_fault(lab: Lab) -> None:
    replica = lab.replica()
    out = replica.receive(lab.checkpoint(2, 1, b"w" * 32))
    assert not of(out, act.ReportEvidence)
    out = replica.receive(lab.checkpoint(2, 1, b"v" * 32), lab.checkpoint(2, 1, b"u" * 32))
    assert [a.evidence.kind for a in of(out, act.ReportEvidence) if isinstance(a, act.ReportEvidence)] == [CHECKPOINT]


def test_a_diverged_replica_keeps_the_order_going_and_votes_on_no_header(lab: Lab) -> None:
    replica = lab.replica()
    digest = replica.order(lab, 1, lab.batch("a"))
    assert digest == lab.batch("a").digest
    replica.receive(*[lab.checkpoint(i, 1, b"certified".ljust(32)) for i in (0, 2, 3)])
    assert alarms(replica) == ["divergence"]
    assert of(replica.log, act.DiscardOverlays)
    assert finals(replica) == []
    assert replica.replica.state().stable == 1
    before = len(sent(replica.log, msg.Checkpoint))
    replica.order(lab, 2, lab.batch("b"))
    assert sent(replica.log, msg.Commit)[-1].height == 2  # type: ignore[union-attr]  # a Commit
    assert len(sent(replica.log, msg.Checkpoint)) == before
    assert len(of(replica.log, act.Execute)) == 1
    replica.receive(*[lab.checkpoint(i, 2, b"next".ljust(32)) for i in (0, 2, 3)])
    assert replica.replica.state().stable == 2
    assert replica.replica.state().diverged


def test_what_runs_on_a_diverged_state_is_not_voted_for(lab: Lab) -> None:
    replica = lab.replica(auto_execute=False)
    for height in (1, 2):
        replica.order(lab, height, lab.batch(str(height)))
    replica.give(ev.Executed(now_ms=replica.now, height=1, header_hash=b"own".ljust(32)))
    replica.receive(*[lab.checkpoint(i, 1, b"certified".ljust(32)) for i in (0, 2, 3)])
    assert replica.replica.state().diverged
    out = replica.give(ev.Executed(now_ms=replica.now, height=2, header_hash=b"built on it".ljust(32)))
    assert not sent(out, msg.Checkpoint)


def test_a_diverged_replica_that_nobody_helps_orders_on_and_asks_again_after_a_pause() -> None:
    lab = Lab(window=8)
    lab.epoch = EpochConfig(0, 1, lab.validators, Parameters(window=8, epoch_blocks=2))
    replica = lab.replica()
    for height in (1, 2):
        replica.order(lab, height, lab.batch(str(height)))
        replica.receive(*[lab.checkpoint(i, height, b"certified".ljust(32)) for i in (0, 2, 3)])
    assert [a.height for a in of(replica.log, act.RequestSync) if isinstance(a, act.RequestSync)] == [2]
    out = replica.give(ev.Synced(now_ms=replica.now, height=0, header_hash=bytes(32), certificate=None))
    assert not of(out, act.RequestSync), "asking at once, again and again, it would order nothing meanwhile"
    replica.order(lab, 3, lab.batch("3"))
    assert replica.replica.state().ordered == 3
    assert not of(replica.wait(1_500), act.RequestSync)
    assert of(replica.wait(1_000), act.RequestSync)
    certificate = lab.certificate(2, b"certified".ljust(32))
    out = replica.give(ev.Synced(now_ms=replica.now, height=2, header_hash=certificate.header_hash, certificate=certificate))
    assert not replica.replica.state().diverged
    assert not of(out, act.RequestSync)


def test_a_diverged_replica_finalises_nothing_that_it_has_not_ordered(lab: Lab) -> None:
    replica = lab.replica()
    replica.order(lab, 1, lab.batch("a"))
    replica.receive(*[lab.checkpoint(i, 1, b"x" * 32) for i in (0, 2, 3)])
    assert (replica.replica.state().diverged, replica.replica.stable) == (True, 1)
    replica.receive(*[lab.checkpoint(i, 2, b"y" * 32) for i in (0, 2, 3)])
    assert replica.replica.stable == 1
    replica.order(lab, 2, lab.batch("b"))
    assert replica.replica.stable == 2


def test_a_sync_from_certified_state_ends_divergence(lab: Lab) -> None:
    replica = lab.replica()
    replica.order(lab, 1, lab.batch("a"))
    replica.receive(*[lab.checkpoint(i, 1, b"certified".ljust(32)) for i in (0, 2, 3)])
    replica.give(ev.Synced(now_ms=replica.now, height=1, header_hash=b"certified".ljust(32), certificate=lab.certificate(1, b"certified".ljust(32))))
    assert not replica.replica.state().diverged
    replica.order(lab, 2, lab.batch("b"))
    assert {m.height for m in sent(replica.log, msg.Checkpoint) if isinstance(m, msg.Checkpoint)} == {1, 2}
    again = lab.replica(journal=tuple(replica.durable))
    assert not again.replica.state().diverged


def test_divergence_survives_a_restart(lab: Lab) -> None:
    replica = lab.replica()
    replica.order(lab, 1, lab.batch("a"))
    replica.receive(*[lab.checkpoint(i, 1, b"certified".ljust(32)) for i in (0, 2, 3)])
    assert lab.replica(journal=tuple(replica.durable)).replica.state().diverged


def test_a_diverged_replica_asks_for_a_sync_at_the_next_boundary(lab: Lab) -> None:
    lab.parameters = type(lab.parameters)(window=8, epoch_blocks=2)
    lab.epoch = type(lab.epoch)(0, 1, lab.validators, lab.parameters)
    replica = lab.replica()
    replica.order(lab, 1, lab.batch("a"))
    replica.order(lab, 2, lab.batch("b"))
    for height in (1, 2):
        replica.receive(*[lab.checkpoint(i, height, b"certified".ljust(32)) for i in (0, 2, 3)])
    assert [a.height for a in of(replica.log, act.RequestSync) if isinstance(a, act.RequestSync)] == [2]
    replica.give(ev.Synced(now_ms=replica.now, height=0, header_hash=bytes(32), certificate=None))
    assert replica.replica.state().diverged
    assert len(of(replica.log, act.RequestSync)) == 1
    replica.wait(2_500)
    assert len(of(replica.log, act.RequestSync)) == 2


def test_people_are_told_when_no_header_can_be_certified(lab: Lab) -> None:
    replica = lab.replica()
    digest = replica.order(lab, 1, lab.batch("a"))
    replica.receive(lab.checkpoint(0, 1, b"x" * 32), lab.checkpoint(2, 1, header_hash(1, digest)))
    assert alarms(replica) == []
    replica.receive(lab.checkpoint(3, 1, b"x" * 32))
    assert alarms(replica) == ["no-certificate"]


def test_another_header_after_a_restart_is_never_signed(lab: Lab) -> None:
    replica = lab.replica()
    digest = replica.order(lab, 1, lab.batch("a"))
    again = lab.replica(journal=tuple(replica.durable), auto_execute=False)
    assert of(again.log, act.Execute)
    out = again.give(ev.Executed(now_ms=again.now, height=1, header_hash=b"other".ljust(32)))
    assert alarms(again) == ["nondeterminism"]
    assert not sent(out, msg.Checkpoint)
    assert digest == lab.batch("a").digest


def test_ordering_stops_a_window_above_the_last_certificate_and_memory_stays_bounded(lab: Lab) -> None:
    replica = lab.replica()
    for height in range(1, 3 * lab.parameters.window):
        replica.order(lab, height, lab.batch(str(height)))
    assert replica.replica.state().ordered == lab.parameters.window
    bounded = replica.replica.state().held
    for height in range(3 * lab.parameters.window, 6 * lab.parameters.window):
        replica.order(lab, height, lab.batch(str(height)))
        replica.receive(*[lab.checkpoint(i, height, b"h" * 32) for i in (0, 2, 3)])
    assert replica.replica.state().held <= bounded + 4 * 4 * lab.parameters.window


def test_garbage_goes_below_the_stable_checkpoint_only(lab: Lab) -> None:
    replica = lab.replica()
    digests = [replica.order(lab, h, lab.batch(str(h))) for h in (1, 2, 3)]
    replica.certify(lab, 1, digests[0])
    core = replica.replica._core
    assert sorted(core.slots) == [2, 3]
    assert sorted(core.header_hashes) == [2, 3]
    replica.certify(lab, 2, digests[1])
    replica.certify(lab, 3, digests[2])
    assert not core.slots
    assert not core.batches
    assert not core.checkpoints
    assert not core.certificates
    assert not core.guard.votes
    assert core.guard.floor == 3


def test_a_replica_far_behind_f_plus_1_checkpoints_syncs_one_liar_moves_nothing(lab: Lab) -> None:
    replica = lab.replica()
    assert not of(replica.receive(lab.checkpoint(2, 1_000_000, b"h" * 32)), act.RequestSync)
    out = replica.receive(lab.checkpoint(3, 50, b"h" * 32))
    assert [a.height for a in of(out, act.RequestSync) if isinstance(a, act.RequestSync)] == [50]


def test_a_certificate_handed_on_is_verified(lab: Lab) -> None:
    replica = lab.replica()
    out = replica.receive(msg.Certified(lab.certificate(20, b"h" * 32, (0, 2))), sender=2)
    assert [a.code for a in of(out, act.Blame) if isinstance(a, act.Blame)] == ["bad-proof"]
    out = replica.receive(msg.Certified(lab.certificate(20, b"h" * 32)), sender=2)
    assert [a.height for a in of(out, act.RequestSync) if isinstance(a, act.RequestSync)] == [20]


def test_each_wish_to_sync_is_answered_before_the_next(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(msg.Certified(lab.certificate(20, b"h" * 32)), sender=2)
    assert not of(replica.receive(msg.Certified(lab.certificate(40, b"h" * 32)), sender=2), act.RequestSync)
    assert replica.replica.state().syncing
    certificate = lab.certificate(20, b"h" * 32)
    out = replica.give(ev.Synced(now_ms=replica.now, height=20, header_hash=b"h" * 32, certificate=certificate))
    assert [a.height for a in of(out, act.RequestSync) if isinstance(a, act.RequestSync)] == [40]
    state = replica.replica.state()
    assert (state.stable, state.ordered) == (20, 20)


def test_a_fruitless_sync_lets_the_replica_go_on_for_a_while(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(msg.Certified(lab.certificate(20, b"h" * 32)), sender=2)
    out = replica.give(ev.Synced(now_ms=replica.now, height=0, header_hash=bytes(32), certificate=None))
    assert not of(out, act.RequestSync)
    assert not replica.replica.state().syncing
    replica.order(lab, 1, lab.batch("a"))
    assert of(replica.log, act.Execute)
    assert of(replica.wait(3_000), act.RequestSync)


def test_what_was_executed_before_a_sync_is_executed_again_on_top_of_it(lab: Lab) -> None:
    replica = lab.replica()
    digests = [replica.order(lab, h, lab.batch(str(h))) for h in (1, 2)]
    certificate = lab.certificate(1, header_hash(1, digests[0]))
    out = replica.give(ev.Synced(now_ms=replica.now, height=1, header_hash=certificate.header_hash, certificate=certificate))
    assert [a.height for a in of(out, act.Execute) if isinstance(a, act.Execute)] == [2]


def test_a_stalled_replica_syncs_what_it_cant_order_or_certify_itself(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(msg.Certified(lab.certificate(2, b"h" * 32)), sender=2)
    assert not of(replica.log, act.RequestSync)
    assert of(replica.wait(600), act.RequestSync)

    other = lab.replica()
    digests = [other.order(lab, h, lab.batch(str(h))) for h in (1, 2)]
    other.certify(lab, 2, digests[1])
    assert finals(other) == []
    assert of(other.wait(600), act.RequestSync)


def test_a_block_that_others_certify_and_we_cant_execute_is_asked_for_before_a_window_has_passed(lab: Lab) -> None:
    replica = lab.replica(tuning=Tuning(execute_patience_ms=3_000))
    replica.auto_execute = False
    asked: list[int] = []
    for height in range(1, lab.parameters.window + 1):  # the others go on: a block a second
        digest = replica.order(lab, height, lab.batch(str(height)))
        replica.certify(lab, height, digest)
        asked += [height] if of(replica.wait(1_000), act.RequestSync) else []
    assert asked == [3], "so long after the first block was certified, and once"


def test_what_is_executed_in_time_is_never_asked_for(lab: Lab) -> None:
    replica = lab.replica(tuning=Tuning(execute_patience_ms=3_000))
    replica.auto_execute = False
    for height in range(1, lab.parameters.window + 1):
        digest = replica.order(lab, height, lab.batch(str(height)))
        replica.certify(lab, height, digest)
        replica.wait(2_900)
        replica.give(ev.Executed(now_ms=replica.now, height=height, header_hash=header_hash(height, digest)))
    assert not of(replica.log, act.RequestSync)
    assert finals(replica) == list(range(1, lab.parameters.window + 1))


def test_after_a_sync_in_vain_patience_with_the_executor_begins_anew(lab: Lab) -> None:
    replica = lab.replica(tuning=Tuning(execute_patience_ms=3_000))
    replica.auto_execute = False
    replica.certify(lab, 1, replica.order(lab, 1, lab.batch("a")))
    assert of(replica.wait(3_500), act.RequestSync)
    replica.give(ev.Synced(now_ms=replica.now, height=0, header_hash=bytes(32), certificate=None))
    replica.receive(msg.Certified(lab.certificate(1, header_hash(1, lab.batch("a").digest))), sender=2)
    assert not of(replica.wait(4_000), act.RequestSync)
    assert of(replica.wait(2_000), act.RequestSync)


def test_who_voted_for_which_header_is_told_until_the_height_is_final(lab: Lab) -> None:
    replica = lab.replica()
    digest = replica.order(lab, 1, lab.batch("a"))
    own = header_hash(1, digest)
    replica.receive(lab.checkpoint(2, 1, b"h" * 32))
    assert replica.replica.header_votes(1) == {1: own, 2: b"h" * 32}
    assert replica.replica.header_votes(2) == {}
    replica.receive(lab.checkpoint(0, 1, own), lab.checkpoint(3, 1, own))
    assert replica.replica.header_votes(1) == {}


def test_an_observer_follows_without_a_vote(lab: Lab) -> None:
    observer = lab.replica(5)
    batch = lab.batch("a")
    observer.receive(
        lab.pre_prepare(1, batch),
        *[lab.prepare(i, 1, batch.digest) for i in (1, 2, 3)],
        *[lab.commit(i, 1, batch.digest) for i in (0, 1, 2, 3)],
        *[lab.checkpoint(i, 1, header_hash(1, batch.digest)) for i in (0, 1, 2)],
    )
    assert finals(observer) == [1]
    assert not sent(observer.log, msg.Prepare)
    assert not sent(observer.log, msg.Commit)
    assert not sent(observer.log, msg.Checkpoint)
    assert observer.replica.state().index is None


def test_a_stable_state_is_the_floor_of_a_restart(lab: Lab) -> None:
    certificate = lab.certificate(7, b"h" * 32)
    replica = lab.replica(stable=StableState(7, b"h" * 32, certificate))
    assert not of(replica.receive(lab.pre_prepare(7, lab.batch("a"))), act.ResolveBatch)
    assert of(replica.receive(lab.pre_prepare(8, lab.batch("a"))), act.ResolveBatch)


def test_a_follower_learns_from_its_driver_that_it_lags(lab: Lab) -> None:
    follower = lab.replica(5)
    assert not of(follower.give(ev.PeersAhead(now_ms=follower.now, height=0)), act.RequestSync)
    out = follower.give(ev.PeersAhead(now_ms=follower.now, height=9))
    assert [a.height for a in of(out, act.RequestSync) if isinstance(a, act.RequestSync)] == [9]


def test_a_certificate_out_of_reach_tells_of_its_height_and_is_not_kept(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(msg.Certified(lab.certificate(100, b"h" * 32)), sender=2)
    assert 100 not in replica.replica._core.certificates
    assert [a.height for a in of(replica.log, act.RequestSync) if isinstance(a, act.RequestSync)] == [100]


def test_a_primary_proposes_nothing_while_it_syncs(lab: Lab) -> None:
    primary = lab.replica(0)
    primary.receive(msg.Certified(lab.certificate(100, b"h" * 32)), sender=2)
    assert primary.replica.state().syncing
    primary.give(ev.WorkArrived(now_ms=primary.now))
    before = len(of(primary.log, act.RequestBatch))
    primary.wait(5_000)
    assert len(of(primary.log, act.RequestBatch)) == before


def test_a_certificate_of_the_past_changes_nothing(lab: Lab) -> None:
    """Of a height that is stable, and of an epoch that has ended: nothing is believed, asked for, or held against its sender."""
    replica = lab.replica()
    digest = replica.order(lab, 1, lab.batch("a"))
    replica.certify(lab, 1, digest)
    later = lab.replica(epoch=EpochConfig(1, 2, lab.validators, lab.parameters), stable=StableState(1, header_hash(1, digest), None))
    for held in (replica, later):
        before = held.replica.state()
        out = held.receive(msg.Certified(lab.certificate(1, header_hash(1, digest))), sender=2)
        assert held.replica.state() == before
        assert not of(out, act.Blame)
        assert not held.replica._core.peer_certified.get(2)
