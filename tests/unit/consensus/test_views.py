"""View changes, event by event (PBFT.md 25 to 34)."""

import pytest

from carbonnode.chain.batch import NULL_BATCH
from carbonnode.consensus import actions as act
from carbonnode.consensus import events as ev
from carbonnode.consensus import messages as msg
from carbonnode.consensus.journal import Voted, decode_record
from carbonnode.consensus.proofs import check_new_view, check_view_change
from carbonnode.errors import InvariantViolation
from tests.unit.consensus.lab import WALL, Driven, Lab, header_hash, of, sent


def changes(driven: Driven) -> list[msg.ViewChange]:
    return [m for m in sent(driven.log, msg.ViewChange) if isinstance(m, msg.ViewChange) and m.signer == driven.replica.state().index]


def pull(lab: Lab, driven: Driven, view: int, *, signers: tuple[int, ...] = (2, 3)) -> tuple[act.AnyAction, ...]:
    return driven.receive(*[lab.view_change(i, view) for i in signers])


# ---- how a view change begins


def test_one_suspect_moves_nobody_f_plus_1_do(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.suspect(2), lab.suspect(2))
    assert changes(replica) == []
    replica.receive(lab.suspect(3))
    assert [c.view for c in changes(replica)] == [1]
    assert not sent(replica.log, msg.Suspect), "all handing all of them on at once were O(n^3) messages"


def handed_on(driven: Driven, lab: Lab, *, view: int = 0, active: bool = True) -> set[int]:
    out = driven.receive(msg.Status(0, view, active, 0, 0, (), False), sender=0)
    return {m.signer for m in sent(out, msg.Suspect) if isinstance(m, msg.Suspect)}


def test_whoever_stays_in_a_view_gets_the_suspects_that_others_left_it_on(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.suspect(2), lab.suspect(3))
    assert not handed_on(replica, lab), "they may be on their way"
    replica.wait(300)
    assert handed_on(replica, lab) == {2, 3}
    replica.wait(300)
    assert not handed_on(replica, lab, active=False)
    replica.wait(300)
    assert not handed_on(replica, lab, view=2)
    behind = lab.replica(0)
    behind.receive(lab.suspect(2))
    behind.receive(lab.suspect(3), sender=1)
    assert [c.view for c in changes(behind)] == [1]


def test_no_suspects_are_handed_on_once_a_quorum_left_or_the_view_began(lab: Lab) -> None:
    replica = lab.replica(2)
    replica.receive(lab.suspect(1), lab.suspect(3))
    replica.receive(lab.view_change(1, 1), lab.view_change(3, 1))
    replica.wait(300)
    assert not handed_on(replica, lab), "VIEW-CHANGEs pull the rest"
    replica = lab.replica(2)
    replica.receive(lab.suspect(1), lab.suspect(3))
    enter(lab, replica)
    replica.wait(300)
    assert not handed_on(replica, lab)


def test_suspects_go_stale_and_those_of_other_views_dont_count(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.suspect(2), lab.suspect(3, view=4))
    replica.now += 10 * lab.parameters.max_timeout_ms
    replica.receive(lab.suspect(3))
    assert changes(replica) == []


def test_one_replica_alone_moves_nobody_whatever_view_it_names(lab: Lab) -> None:
    replica = lab.replica()
    for view in (1, 7, 1 << 60):
        replica.receive(lab.view_change(2, view))
    assert changes(replica) == []
    assert replica.replica.state().view == 0


def test_f_plus_1_view_changes_pull_to_the_smallest_of_them(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.view_change(2, 1 << 60), lab.view_change(3, 5))
    assert [c.view for c in changes(replica)] == [5]


def test_a_left_view_counts_as_suspicion(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.view_change(2, 1))
    assert changes(replica) == []
    replica.receive(lab.suspect(3))
    assert [c.view for c in changes(replica)] == [1]


def test_a_bad_view_change_counts_for_nothing(lab: Lab) -> None:
    replica = lab.replica()
    forged = lab.view_change(2, 5, (lab.proof(1, b"d" * 32, signers=(1,)),))
    out = replica.receive(forged, lab.view_change(3, 5))
    assert [a.code for a in of(out, act.Blame) if isinstance(a, act.Blame)] == ["bad-proof"]
    assert changes(replica) == []


# ---- what a VIEW-CHANGE carries


def test_a_view_change_proves_checkpoint_and_every_prepared_height_above_executed_ones_too(lab: Lab) -> None:
    replica = lab.replica()
    digests = [replica.order(lab, h, lab.batch(str(h))) for h in (1, 2, 3)]
    replica.certify(lab, 1, digests[0])
    batch = lab.batch("d")
    replica.receive(lab.pre_prepare(4, batch), lab.prepare(2, 4, batch.digest), lab.prepare(3, 4, batch.digest))
    replica.receive(lab.pre_prepare(5, lab.batch("e")))
    pull(lab, replica, 1)
    change = changes(replica)[0]
    assert change.stable is not None
    assert change.stable.height == 1
    assert [(p.height, p.digest) for p in change.prepared] == [(2, digests[1]), (3, digests[2]), (4, batch.digest)]
    check_view_change(change, lab.epoch, lab.chain_id, lab.ring.verify)


def test_a_view_change_is_durable_before_it_is_sent(lab: Lab) -> None:
    replica = lab.replica()
    replica.auto_persist = False
    out = pull(lab, replica, 1)
    persist = of(out, act.Persist)[0]
    assert isinstance(persist, act.Persist)
    assert changes(replica) == []
    replica.give(ev.Persisted(now_ms=replica.now, token=persist.token))
    assert len(changes(replica)) == 1


def test_no_vote_for_the_old_view_once_it_is_left(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a")
    replica.receive(lab.pre_prepare(1, batch))
    pull(lab, replica, 1)
    before = len(replica.log)
    replica.receive(lab.pre_prepare(2, lab.batch("b")), lab.prepare(2, 1, batch.digest), lab.prepare(3, 1, batch.digest))
    assert not sent(replica.log[before:], msg.Prepare)
    assert not sent(replica.log[before:], msg.Commit)


# ---- the new primary


def test_the_new_primary_proves_the_view_with_a_quorum_and_recomputable_proposals(lab: Lab) -> None:
    primary = lab.replica(1)
    batch = lab.batch("a")
    primary.receive(lab.pre_prepare(1, batch))
    primary.receive(lab.view_change(2, 1, (lab.proof(2, batch.digest),)), lab.view_change(3, 1))
    new_views = [m for m in sent(primary.log, msg.NewView) if isinstance(m, msg.NewView)]
    assert len(new_views) == 1
    result = check_new_view(new_views[0], lab.epoch, lab.chain_id, lab.ring.verify)
    assert result.digests == ((1, NULL_BATCH.digest), (2, batch.digest))
    assert msg.verify_signed(new_views[0], lab.validators, lab.chain_id, lab.ring.verify)
    state = primary.replica.state()
    assert (state.view, state.active) == (1, True)


def test_the_new_primary_holds_the_stable_state_before_it_speaks(lab: Lab) -> None:
    primary = lab.replica(1)
    certificate = lab.certificate(4, b"h" * 32)
    primary.receive(lab.view_change(2, 1, (), certificate), lab.view_change(3, 1))
    assert not sent(primary.log, msg.NewView)
    assert [a.height for a in of(primary.log, act.RequestSync) if isinstance(a, act.RequestSync)] == [4]
    out = primary.give(ev.Synced(now_ms=primary.now, height=4, header_hash=b"h" * 32, certificate=certificate))
    assert sent(out, msg.NewView)


def test_of_more_than_a_quorum_those_that_start_highest_are_taken(lab: Lab) -> None:
    certificate, lower = lab.certificate(4, b"h" * 32), lab.certificate(2, b"g" * 32)
    primary = lab.replica(1)
    primary.receive(*[lab.view_change(i, 1, (), lower if i == 0 else certificate) for i in (0, 2, 3)])
    assert not sent(primary.log, msg.NewView)
    primary.give(ev.Synced(now_ms=primary.now, height=4, header_hash=b"h" * 32, certificate=certificate))
    (new_view,) = [m for m in sent(primary.log, msg.NewView) if isinstance(m, msg.NewView)]
    assert [vc.signer for vc in new_view.view_changes] == [0, 2, 3]


def test_what_was_certified_since_the_view_was_left_is_named_again_without_a_new_promise(lab: Lab) -> None:
    primary = lab.replica(1)
    digest = primary.order(lab, 1, lab.batch("a"))
    primary.receive(lab.suspect(2), lab.suspect(3))
    primary.certify(lab, 1, digest)
    assert primary.replica.stable == 1
    out = primary.receive(lab.view_change(2, 1), lab.view_change(3, 1))
    (new_view,) = [m for m in sent(out, msg.NewView) if isinstance(m, msg.NewView)]
    assert [(p.height, p.digest) for p in new_view.proposals] == [(1, digest)]
    records = [decode_record(r.data) for a in of(out, act.Persist) if isinstance(a, act.Persist) for r in a.records]
    assert not [r for r in records if isinstance(r, Voted)]
    backup = lab.replica(2)
    backup.receive(new_view)
    assert backup.replica.state().view == 1


def test_messages_for_views_that_were_left_count_for_nothing(lab: Lab) -> None:
    replica = lab.replica(3)
    enter(lab, replica, 5)
    before = len(replica.log)
    replica.receive(lab.view_change(0, 4), lab.view_change(2, 5))
    enter(lab, replica, 1)
    assert len(replica.log) == before
    assert replica.replica.state().view == 5


def test_a_new_primary_doesnt_ask_again_at_once_for_a_state_that_nobody_gave(lab: Lab) -> None:
    primary = lab.replica(1)
    certificate = lab.certificate(4, b"h" * 32)
    primary.receive(lab.view_change(2, 1, (), certificate), lab.view_change(3, 1))
    assert len(of(primary.log, act.RequestSync)) == 1
    out = primary.give(ev.Synced(now_ms=primary.now, height=0, header_hash=bytes(32), certificate=None))
    assert not of(out, act.RequestSync)
    assert not of(primary.wait(900), act.RequestSync)
    assert primary.replica.state().view == 1
    primary.receive(lab.view_change(2, 5, (), certificate), lab.view_change(3, 5))
    assert (primary.replica.state().view, primary.replica.state().active) == (5, False)
    assert not of(primary.wait(900), act.RequestSync)
    assert of(primary.wait(400), act.RequestSync), "the pause is over"


def test_a_new_view_holds_no_more_than_quorums_whatever_peers_handed_on(lab: Lab) -> None:
    primary = lab.replica(1)
    digest = primary.order(lab, 1, lab.batch("a"))
    primary.receive(msg.Certified(lab.certificate(1, header_hash(1, digest), (0, 1, 2, 3))), sender=2)
    primary.receive(lab.view_change(2, 2), lab.view_change(3, 2))
    assert len(changes(primary)[-1].stable.votes) == 3  # type: ignore[union-attr]  # it has one
    claim = lab.certificate(4, b"h" * 32)
    primary = lab.replica(1)
    primary.receive(lab.view_change(0, 1, (), claim), lab.view_change(2, 1, (), claim), lab.view_change(3, 1, (), claim))
    out = primary.give(ev.Synced(now_ms=primary.now, height=4, header_hash=b"h" * 32, certificate=claim))
    (new_view,) = [m for m in sent(out, msg.NewView) if isinstance(m, msg.NewView)]
    assert len(new_view.view_changes) == 3, "four are here"
    check_new_view(new_view, lab.epoch, lab.chain_id, lab.ring.verify)


def test_a_state_that_one_member_alone_can_prove_holds_up_no_new_view(lab: Lab) -> None:
    primary = lab.replica(1)
    digest = lab.batch("a").digest
    primary.receive(lab.view_change(0, 1, (), lab.certificate(4, b"h" * 32)), lab.view_change(2, 1, (lab.proof(2, digest),)))
    assert not sent(primary.log, msg.NewView)
    out = primary.receive(lab.view_change(3, 1))
    (new_view,) = [m for m in sent(out, msg.NewView) if isinstance(m, msg.NewView)]
    assert [vc.signer for vc in new_view.view_changes] == [1, 2, 3]
    assert [(p.height, p.digest) for p in new_view.proposals][1] == (2, digest)
    backup = lab.replica(2)
    backup.receive(new_view)
    assert (backup.replica.state().view, backup.replica.state().active) == (1, True)


def test_a_height_that_the_view_starts_above_is_ordered_once_its_predecessor_is_synced(lab: Lab) -> None:
    replica = lab.replica(2)
    digest = replica.order(lab, 2, lab.batch("b"))  # committed here in view 0, while height 1 never came
    stable = lab.certificate(4, b"h" * 32)
    changes = (lab.view_change(0, 1, (), stable), lab.view_change(1, 1), lab.view_change(3, 1))
    replica.receive(lab.new_view(1, changes, ()))
    assert replica.replica.state().view == 1
    certificate = lab.certificate(1, b"g" * 32)
    replica.wait(600)
    out = replica.give(ev.Synced(now_ms=replica.now, height=1, header_hash=b"g" * 32, certificate=certificate))
    assert [(a.height, a.digest) for a in of(out, act.Execute) if isinstance(a, act.Execute)] == [(2, digest)]
    assert replica.replica._core.pacing.latency_ms == 0


def test_the_new_primary_is_durable_before_it_speaks_and_goes_on_above_what_it_named(lab: Lab) -> None:
    primary = lab.replica(1)
    primary.auto_persist = False
    primary.batches.append(lab.batch("z"))
    batch = lab.batch("a")
    out = primary.receive(lab.view_change(2, 1, (lab.proof(2, batch.digest),)), lab.view_change(3, 1))
    assert not sent(out, msg.NewView)
    tokens = [a.token for a in of(out, act.Persist) if isinstance(a, act.Persist)]
    out = primary.give(ev.Persisted(now_ms=primary.now, token=tokens[-1]))
    assert sent(out, msg.NewView)
    assert [m.height for m in sent(out, msg.PrePrepare) if isinstance(m, msg.PrePrepare)] in ([3], [])
    assert primary.replica._core.next_height == 4


# ---- entering a view


def enter(lab: Lab, replica: Driven, view: int = 1, proofs: tuple[msg.PreparedProof, ...] = ()) -> tuple[act.AnyAction, ...]:
    members = (lab.view_change(0, view), lab.view_change(2, view, proofs), lab.view_change(3, view))
    named = {p.height: p.digest for p in proofs}
    proposals = tuple((h, named.get(h, NULL_BATCH.digest)) for h in range(1, max(named, default=0) + 1))
    return replica.receive(lab.new_view(view, members, proposals))


def test_a_verified_new_view_is_entered_even_by_who_sent_no_view_change(lab: Lab) -> None:
    replica = lab.replica(3)
    out = enter(lab, replica)
    assert [(a.view, a.primary) for a in of(out, act.ViewEntered) if isinstance(a, act.ViewEntered)] == [(1, 1)]
    batch = lab.batch("a")
    assert sent(replica.receive(lab.pre_prepare(1, batch, view=1)), msg.Prepare)
    assert not sent(replica.receive(lab.pre_prepare(2, batch, view=0)), msg.Prepare)


def test_a_false_new_view_is_blamed_and_changes_nothing(lab: Lab) -> None:
    replica = lab.replica(3)
    members = (lab.view_change(0, 1), lab.view_change(2, 1, (lab.proof(1, b"d" * 32),)), lab.view_change(3, 1))
    out = replica.receive(lab.new_view(1, members, ()))
    assert [a.code for a in of(out, act.Blame) if isinstance(a, act.Blame)] == ["bad-proof"]
    assert replica.replica.state().view == 0


def test_batches_a_new_view_names_are_fetched_by_digest_from_anyone(lab: Lab) -> None:
    replica = lab.replica(3)
    batch = lab.batch("a")
    out = enter(lab, replica, proofs=(lab.proof(1, batch.digest),))
    assert [(m.height, m.digest) for m in sent(out, msg.FetchBatch) if isinstance(m, msg.FetchBatch)] == [(1, batch.digest)]
    assert not sent(replica.receive(msg.BatchReply(1, lab.batch("other").encoded), sender=0), msg.Prepare)
    assert not sent(replica.receive(msg.BatchReply(2, batch.encoded), sender=0), msg.Prepare)
    out = replica.receive(msg.BatchReply(1, batch.encoded), sender=0)
    assert [m.digest for m in sent(out, msg.Prepare) if isinstance(m, msg.Prepare)] == [batch.digest]


def test_a_malformed_fetched_batch_is_blamed(lab: Lab) -> None:
    out = lab.replica(3).receive(msg.BatchReply(1, b"\xff"), sender=0)
    assert [a.code for a in of(out, act.Blame) if isinstance(a, act.Blame)] == ["bad-batch"]


def test_null_requests_are_voted_without_fetching_and_make_empty_blocks(lab: Lab) -> None:
    replica = lab.replica(3)
    batch = lab.batch("a")
    replica.receive(lab.pre_prepare(2, batch))
    enter(lab, replica, proofs=(lab.proof(2, batch.digest),))
    assert {(m.height, m.digest) for m in sent(replica.log, msg.Prepare) if isinstance(m, msg.Prepare) and m.view == 1} >= {(1, NULL_BATCH.digest)}
    for height, digest in ((1, NULL_BATCH.digest), (2, batch.digest)):
        replica.receive(*[lab.prepare(i, height, digest, 1) for i in (0, 2)], *[lab.commit(i, height, digest, 1) for i in (0, 1, 2)])
    if not of(replica.log, act.Execute):
        replica.receive(msg.BatchReply(2, batch.encoded), sender=0)
    assert [(a.height, a.batch.wire_hashes) for a in of(replica.log, act.Execute) if isinstance(a, act.Execute)] == [
        (1, ()),
        (2, batch.wire_hashes),
    ]


def test_the_time_of_a_batch_named_by_a_new_view_is_settled(lab: Lab) -> None:
    replica = lab.replica(3)
    late = lab.batch("a", time_ms=5)
    enter(lab, replica, proofs=(lab.proof(1, late.digest),))
    out = replica.receive(msg.BatchReply(1, late.encoded), sender=0)
    assert sent(out, msg.Prepare)


def test_executed_heights_are_voted_again_and_never_executed_again(lab: Lab) -> None:
    replica = lab.replica(3)
    batch = lab.batch("a")
    digest = replica.order(lab, 1, batch)
    assert len(of(replica.log, act.Execute)) == 1
    enter(lab, replica, proofs=(lab.proof(1, digest),))
    assert [m.view for m in sent(replica.log, msg.Prepare) if isinstance(m, msg.Prepare)] == [0, 1]
    replica.receive(*[lab.prepare(i, 1, digest, 1) for i in (0, 2)], *[lab.commit(i, 1, digest, 1) for i in (0, 1, 2)])
    assert [m.view for m in sent(replica.log, msg.Commit) if isinstance(m, msg.Commit)] == [0, 1]
    assert len(of(replica.log, act.Execute)) == 1


def test_a_height_settled_by_the_new_view_isnt_proposed_again(lab: Lab) -> None:
    replica = lab.replica(3)
    batch = lab.batch("a")
    enter(lab, replica, proofs=(lab.proof(2, batch.digest),))
    # Height 1 is a null request by NEW-VIEW: another proposal for it contradicts the primary's own signature.
    out = replica.receive(lab.pre_prepare(1, lab.batch("x"), view=1))
    assert of(out, act.ReportEvidence)
    assert not [m for m in sent(out, msg.Prepare) if isinstance(m, msg.Prepare) and m.height == 1]


def test_proposals_that_a_new_view_drops_are_given_back(lab: Lab) -> None:
    replica = lab.replica(3)
    batch = lab.batch("a")
    replica.receive(lab.pre_prepare(1, batch))
    out = enter(lab, replica)
    assert [(a.height, a.digest) for a in of(out, act.ReleaseBatch) if isinstance(a, act.ReleaseBatch)] == [(1, batch.digest)]


def test_a_new_view_that_undoes_a_commit_stops_the_node(lab: Lab) -> None:
    replica = lab.replica(3)
    replica.order(lab, 1, lab.batch("a"))
    with pytest.raises(InvariantViolation, match="more than f"):
        enter(lab, replica, proofs=(lab.proof(1, lab.batch("b").digest),))


def test_messages_that_came_before_their_view_are_used_when_it_begins(lab: Lab) -> None:
    replica = lab.replica(3)
    batch = lab.batch("a")
    replica.receive(lab.pre_prepare(1, batch, view=1), lab.prepare(2, 1, batch.digest, view=1))
    out = enter(lab, replica)
    assert [m.view for m in sent(out, msg.Prepare) if isinstance(m, msg.Prepare)] == [1]
    assert [m.view for m in sent(out, msg.Commit) if isinstance(m, msg.Commit)] == [1]


def test_bad_messages_that_came_early_are_blamed_later(lab: Lab) -> None:
    replica = lab.replica(3)
    replica.receive(lab.pre_prepare(1, lab.batch("a"), view=1, signer=2))
    out = enter(lab, replica)
    assert [(a.peer, a.code) for a in of(out, act.Blame) if isinstance(a, act.Blame)] == [("node-2", "not-primary")]


def test_the_network_goes_on_after_a_view_change(lab: Lab) -> None:
    replica = lab.replica(3)
    pull(lab, replica, 1, signers=(0, 2))
    enter(lab, replica)
    digest = replica.order(lab, 1, lab.batch("a"), view=1)
    replica.certify(lab, 1, digest)
    assert replica.replica.state().stable == 1
    final = of(replica.log, act.Finalise)[0]
    assert isinstance(final, act.Finalise)
    assert final.certificate.header_hash == header_hash(1, digest)


def test_what_is_voted_on_again_is_asked_for_again(lab: Lab) -> None:
    replica = lab.replica(3)
    digest = replica.order(lab, 1, lab.batch("a"))
    enter(lab, replica, proofs=(lab.proof(1, digest),))
    replica.wait(600)
    status = sent(replica.log, msg.Status)[-1]
    assert isinstance(status, msg.Status)
    assert (status.stable, status.executed, status.slots) == (0, 1, (1 | 4,))


def test_a_lower_view_change_that_comes_late_takes_nothing_back(lab: Lab) -> None:
    replica = lab.replica(0)
    replica.receive(lab.view_change(2, 3), lab.view_change(2, 1), lab.view_change(3, 3))
    assert replica.replica.state().view == 3


def test_a_certificate_in_a_view_change_tells_who_lags(lab: Lab) -> None:
    replica = lab.replica(1)
    out = replica.receive(lab.view_change(2, 1, stable=lab.certificate(20, b"h" * 32)))
    assert [a.height for a in of(out, act.RequestSync) if isinstance(a, act.RequestSync)] == [20]


def test_a_doubt_that_passed_is_not_made_fresh_by_others(lab: Lab) -> None:
    replica = lab.replica(1)
    replica.receive(lab.suspect(2))
    for height in range(1, 12):
        replica.wait(300)
        replica.certify(lab, height, replica.order(lab, height, lab.batch(str(height), time_ms=WALL + replica.now - 1_000)))
    replica.receive(lab.suspect(2), lab.suspect(3), sender=3)
    assert (replica.replica.state().view, replica.replica.state().active) == (0, True)
    replica.receive(lab.suspect(2), sender=2)  # its own link says it still doubts
    assert not replica.replica.state().active or replica.replica.state().view == 1


def test_a_doubt_that_was_not_heard_may_be_handed_on(lab: Lab) -> None:
    replica = lab.replica(3)
    replica.receive(lab.suspect(1), lab.suspect(2), sender=2)
    assert replica.replica.state().view == 1


def test_doubts_of_a_view_that_ended_count_in_no_other(lab: Lab) -> None:
    replica = lab.replica(0)
    replica.receive(lab.suspect(2))
    replica.receive(lab.new_view(1, tuple(lab.view_change(i, 1) for i in (1, 2, 3)), ()))
    replica.receive(lab.suspect(3, view=1))
    assert (replica.replica.state().view, replica.replica.state().active) == (1, True)


def test_commits_of_a_view_that_ended_count_in_no_other(lab: Lab) -> None:
    replica = lab.replica(2)
    digest = lab.batch("a").digest
    replica.receive(lab.pre_prepare(1, lab.batch("a")), lab.commit(0, 1, digest), lab.commit(1, 1, digest))
    replica.receive(lab.new_view(1, tuple(lab.view_change(i, 1, (lab.proof(1, digest),)) for i in (0, 1, 3)), ((1, digest),)))
    out = replica.receive(lab.prepare(0, 1, digest, view=1), lab.prepare(3, 1, digest, view=1))
    assert sent(out, msg.Commit)
    assert replica.replica.state().ordered == 0
    replica.receive(lab.commit(0, 1, digest, view=1), lab.commit(3, 1, digest, view=1))
    assert replica.replica.state().ordered == 1


def test_batches_of_ended_views_that_nothing_rests_on_are_forgotten(lab: Lab) -> None:
    replica = lab.replica(2)
    core = replica.replica._core
    prepared, dropped = lab.batch("a"), lab.batch("b")
    replica.receive(lab.pre_prepare(1, prepared), lab.prepare(1, 1, prepared.digest), lab.prepare(3, 1, prepared.digest), lab.pre_prepare(2, dropped))
    assert set(core.batches) == {(1, prepared.digest), (2, dropped.digest)}
    replica.receive(lab.new_view(1, tuple(lab.view_change(i, 1) for i in (0, 1, 3)), ()))
    assert set(core.batches) == {(1, prepared.digest)}
