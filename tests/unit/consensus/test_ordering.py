"""The normal case, event by event (PBFT.md 8 to 19)."""

import pytest
from msgspec.structs import replace

from carbonnode.chain.batch import Batch
from carbonnode.consensus import actions as act
from carbonnode.consensus import events as ev
from carbonnode.consensus import messages as msg
from carbonnode.consensus.evidence import COMMIT, PRE_PREPARE, PREPARE, verify_evidence
from carbonnode.errors import InvariantViolation
from tests.unit.consensus.lab import WALL, Driven, Lab, header_hash, of, sent


def test_a_proposal_is_resolved_persisted_and_prepared_in_this_order(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a", "b")
    out = replica.receive(lab.pre_prepare(1, batch))
    kinds = [type(a) for a in out if not isinstance(a, act.SetTimer)]
    assert kinds == [act.ResolveBatch, act.Persist, act.Broadcast]
    persist = of(out, act.Persist)[0]
    assert isinstance(persist, act.Persist)
    assert persist.bodies == (batch.digest,)
    prepare = sent(out, msg.Prepare)[0]
    assert isinstance(prepare, msg.Prepare)
    assert (prepare.view, prepare.height, prepare.digest, prepare.signer) == (0, 1, batch.digest, 1)
    assert msg.verify_signed(prepare, lab.validators, lab.chain_id, lab.ring.verify)


def test_no_vote_leaves_before_it_is_durable(lab: Lab) -> None:
    replica = lab.replica()
    replica.auto_persist = False
    out = replica.receive(lab.pre_prepare(1, lab.batch("a")))
    persist = of(out, act.Persist)[0]
    assert isinstance(persist, act.Persist)
    assert not sent(out, msg.Prepare)
    assert sent(replica.give(ev.Persisted(now_ms=replica.now, token=persist.token)), msg.Prepare)


def test_nothing_is_voted_for_before_its_transactions_are_here_and_verified(lab: Lab) -> None:
    replica = lab.replica()
    replica.auto_resolve = False
    batch = lab.batch("a")
    assert not sent(replica.receive(lab.pre_prepare(1, batch), lab.prepare(2, 1, batch.digest), lab.prepare(3, 1, batch.digest)), msg.Prepare)
    out = replica.give(ev.BatchResolved(now_ms=replica.now, height=1, digest=batch.digest, ok=True, full=False))
    assert sent(out, msg.Prepare)
    assert sent(out, msg.Commit)


def test_a_batch_with_a_bad_transaction_gets_no_vote_and_its_primary_is_suspected(lab: Lab) -> None:
    replica = lab.replica()
    replica.auto_resolve = False
    batch = lab.batch("a")
    replica.receive(lab.pre_prepare(1, batch))
    out = replica.give(ev.BatchResolved(now_ms=replica.now, height=1, digest=batch.digest, ok=False, full=False))
    assert not sent(out, msg.Prepare)
    assert sent(out, msg.Suspect)
    assert [a.code for a in of(out, act.Alarm) if isinstance(a, act.Alarm)] == ["invalid-proposal"]


def test_a_verdict_on_an_unknown_batch_is_passed_over(lab: Lab) -> None:
    assert lab.replica().give(ev.BatchResolved(now_ms=2_000, height=1, digest=b"x" * 32, ok=False, full=False)) == ()


def test_prepared_takes_a_quorum_of_matching_votes_in_one_view(lab: Lab) -> None:
    replica = lab.replica()
    batch, other = lab.batch("a"), lab.batch("b")
    assert not sent(replica.receive(lab.pre_prepare(1, batch)), msg.Commit)
    assert not sent(replica.receive(lab.prepare(2, 1, other.digest)), msg.Commit)
    assert not sent(replica.receive(lab.prepare(0, 1, batch.digest)), msg.Commit)  # the primary has voted already
    assert not sent(replica.receive(lab.prepare(3, 1, batch.digest, view=1)), msg.Commit)
    out = replica.receive(lab.prepare(3, 1, batch.digest))
    assert sent(out, msg.Commit)


def test_a_repeated_prepare_counts_once(lab: Lab) -> None:
    big = Lab(7)
    replica = big.replica()
    batch = big.batch("a")
    replica.receive(big.pre_prepare(1, batch))
    for _ in range(5):
        assert not sent(replica.receive(big.prepare(2, 1, batch.digest)), msg.Commit)
    assert not sent(replica.receive(big.prepare(3, 1, batch.digest)), msg.Commit)
    assert sent(replica.receive(big.prepare(4, 1, batch.digest)), msg.Commit)


def test_the_prepared_certificate_is_journaled_before_the_commit(lab: Lab) -> None:
    replica = lab.replica()
    replica.auto_persist = False
    batch = lab.batch("a")
    out = replica.receive(lab.pre_prepare(1, batch), lab.prepare(2, 1, batch.digest), lab.prepare(3, 1, batch.digest))
    assert not sent(out, msg.Commit)
    tokens = [a.token for a in of(out, act.Persist) if isinstance(a, act.Persist)]
    assert len(tokens) == 2
    assert not sent(replica.give(ev.Persisted(now_ms=replica.now, token=tokens[0])), msg.Commit)
    assert sent(replica.give(ev.Persisted(now_ms=replica.now, token=tokens[1])), msg.Commit)


def test_execution_follows_a_quorum_of_commits_strictly_by_height(lab: Lab) -> None:
    replica = lab.replica()
    first, second = lab.batch("a"), lab.batch("b")
    replica.order(lab, 2, second)
    assert not of(replica.log, act.Execute)
    replica.order(lab, 1, first)
    assert [(a.height, a.digest) for a in of(replica.log, act.Execute) if isinstance(a, act.Execute)] == [(1, first.digest), (2, second.digest)]
    replica.receive(lab.commit(0, 1, first.digest), lab.commit(3, 1, first.digest))
    assert len(of(replica.log, act.Execute)) == 2


def test_commits_alone_order_nothing(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a")
    replica.receive(lab.pre_prepare(1, batch), *[lab.commit(i, 1, batch.digest) for i in (0, 2, 3)])
    assert not of(replica.log, act.Execute)
    replica.receive(lab.prepare(2, 1, batch.digest), lab.prepare(3, 1, batch.digest))
    assert of(replica.log, act.Execute)


def test_only_the_primary_proposes(lab: Lab) -> None:
    replica = lab.replica()
    out = replica.receive(lab.pre_prepare(1, lab.batch("a"), signer=2))
    assert [a.code for a in of(out, act.Blame) if isinstance(a, act.Blame)] == ["not-primary"]
    assert not of(out, act.ResolveBatch)


def test_malformed_and_oversized_batches_are_blamed(lab: Lab) -> None:
    replica = lab.replica()
    junk = lab.pre_prepare(1, lab.batch("a"))
    junk = msg.PrePrepare(0, 0, 1, b"\xff", 0, junk.signature)
    twice = Batch(WALL, (b"t" * 32, b"t" * 32))
    many = lab.batch(*[str(i) for i in range(lab.parameters.max_block_transactions + 1)])
    for bad in (junk, lab.pre_prepare(1, twice), lab.pre_prepare(1, many)):
        assert [a.code for a in of(replica.receive(bad), act.Blame) if isinstance(a, act.Blame)] == ["bad-batch"]


def test_two_proposals_for_one_place_are_evidence_kept_and_reported_once(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.pre_prepare(1, lab.batch("a")))
    out = replica.receive(lab.pre_prepare(1, lab.batch("b")), lab.pre_prepare(1, lab.batch("c")))
    reports = [a.evidence for a in of(out, act.ReportEvidence) if isinstance(a, act.ReportEvidence)]
    assert [(e.kind, e.signer) for e in reports] == [(PRE_PREPARE, 0)]
    assert verify_evidence(reports[0], lab.validators, lab.chain_id, lab.ring.verify)
    assert sent(out, msg.Suspect)
    prepares = [m.digest for m in sent(replica.log, msg.Prepare) if isinstance(m, msg.Prepare)]
    assert set(prepares) == {lab.batch("a").digest}


@pytest.mark.parametrize("kind", [PREPARE, COMMIT])
def test_two_votes_of_one_signer_are_evidence_and_the_first_counts(lab: Lab, kind: str) -> None:
    replica = lab.replica()
    make = lab.prepare if kind == PREPARE else lab.commit
    out = replica.receive(make(2, 1, b"d" * 32), make(2, 1, b"e" * 32))
    assert [a.evidence.kind for a in of(out, act.ReportEvidence) if isinstance(a, act.ReportEvidence)] == [kind]


def test_whoever_prepared_another_proposal_is_shown_ours(lab: Lab) -> None:
    replica = lab.replica()
    mine = lab.pre_prepare(1, lab.batch("a"))
    out = replica.receive(mine, lab.prepare(2, 1, lab.batch("b").digest), lab.prepare(2, 1, lab.batch("b").digest))
    assert [(a.to, a.message) for a in of(out, act.Send) if isinstance(a, act.Send)] == [(2, mine)]


def test_both_water_marks_hold(lab: Lab) -> None:
    replica = lab.replica()
    top = lab.parameters.window
    assert sent(replica.receive(lab.pre_prepare(top, lab.batch("a"))), msg.Prepare)
    assert not sent(replica.receive(lab.pre_prepare(top + 1, lab.batch("b"))), msg.Prepare)
    digest = replica.order(lab, 1, lab.batch("c"))
    replica.certify(lab, 1, digest)
    assert replica.replica.state().stable == 1
    assert {m.height for m in sent(replica.log, msg.Prepare) if isinstance(m, msg.Prepare)} == {1, top, top + 1}  # kept until its time came
    assert not of(replica.receive(lab.pre_prepare(1, lab.batch("d"))), act.ResolveBatch)


@pytest.mark.parametrize(("error_ms", "voted"), [(4_900, True), (-4_900, True), (5_100, False), (-5_100, False)])
def test_proposed_time_lies_within_the_bound(lab: Lab, error_ms: int, voted: bool) -> None:
    replica = lab.replica()
    out = replica.receive(lab.pre_prepare(1, lab.batch("a", time_ms=WALL + error_ms)))
    assert bool(sent(out, msg.Prepare)) is voted


def test_f_plus_1_prepares_settle_the_question_of_time(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a", time_ms=WALL + 60_000)
    assert not sent(replica.receive(lab.pre_prepare(1, batch), lab.prepare(2, 1, batch.digest)), msg.Prepare)
    assert sent(replica.receive(lab.prepare(3, 1, batch.digest)), msg.Prepare)


def test_f_plus_1_commits_settle_it_as_well_since_those_who_prepared_may_be_gone(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a", time_ms=WALL - 60_000)
    said = (lab.pre_prepare(1, batch), lab.prepare(2, 1, batch.digest), lab.commit(0, 1, batch.digest))
    assert not sent(replica.receive(*said), msg.Prepare)
    out = replica.receive(lab.commit(2, 1, batch.digest))
    assert sent(out, msg.Prepare)
    assert sent(out, msg.Commit)
    assert replica.replica.state().ordered == 1


def test_messages_of_later_views_are_kept_within_bounds(lab: Lab) -> None:
    replica = lab.replica()
    for view in range(1, 500):
        replica.receive(lab.prepare(2, 1, b"d" * 32, view=view))
    assert replica.replica.state().held <= 4 * lab.parameters.window + 2


def test_long_messages_of_the_next_epoch_are_kept_once_for_each_kind_and_signer(lab: Lab) -> None:
    replica = lab.replica()
    changes = tuple(lab.view_change(signer, 3) for signer in (0, 1, 2))
    for view in range(1, 20):
        new_view = replace(lab.new_view(3, changes, ()), epoch=1, view=view)
        replica.receive(new_view, replace(lab.view_change(3, view), epoch=1), replace(lab.prepare(3, 1, b"d" * 32, view=view), epoch=1))
    kept = replica.replica._core.early[1, 3]
    assert [type(message) for message in kept if not isinstance(message, msg.Prepare)] == [msg.NewView, msg.ViewChange]
    assert {message.view for message in kept if isinstance(message, msg.NewView | msg.ViewChange)} == {19}
    assert sum(isinstance(message, msg.Prepare) for message in kept) == 19


def test_messages_of_other_epochs_have_no_effect(lab: Lab) -> None:
    replica = lab.replica()
    checkpoint = lab.checkpoint(2, 1, b"h" * 32, epoch=7)
    held = replica.replica.state().held
    replica.receive(checkpoint)
    assert replica.replica.state().held == held
    assert replica.replica.validators_of(7) is None
    assert replica.replica.validators_of(0) is lab.validators


def test_an_unknown_event_is_our_bug(lab: Lab) -> None:
    class Other(ev.Event, frozen=True):
        """Not in the table."""

    with pytest.raises(InvariantViolation, match="no row"):
        lab.replica().replica.step(Other(now_ms=1))  # type: ignore[arg-type]  # on purpose


def test_a_single_validator_certifies_alone() -> None:
    lone = Lab(1)
    replica = lone.replica(0)
    batch = lone.batch("a")
    replica.batches.append(batch)
    replica.give(ev.WorkArrived(now_ms=replica.now))
    replica.wait(3_000)
    state = replica.replica.state()
    assert state.stable >= 1
    final = [a for a in of(replica.log, act.Finalise) if isinstance(a, act.Finalise)]
    assert final[0].certificate.header_hash == header_hash(1, batch.digest)


def proposals(driven: Driven) -> list[msg.PrePrepare]:
    return [m for m in sent(driven.log, msg.PrePrepare) if isinstance(m, msg.PrePrepare)]


def test_the_primary_journals_its_proposal_before_it_proposes(lab: Lab) -> None:
    primary = lab.replica(0)
    primary.auto_persist = False
    primary.batches.append(lab.batch("a"))
    out = primary.give(ev.WorkArrived(now_ms=primary.now + 1_000))
    persist = of(out, act.Persist)[0]
    assert isinstance(persist, act.Persist)
    assert persist.bodies == (lab.batch("a").digest,)
    assert not proposals(primary)
    primary.give(ev.Persisted(now_ms=primary.now, token=persist.token))
    assert [m.height for m in proposals(primary)] == [1]


def test_an_idle_primary_proposes_at_once_and_a_busy_one_every_200_ms(lab: Lab) -> None:
    primary = lab.replica(0)
    primary.wait(500)
    assert not proposals(primary)
    primary.batches += [lab.batch(name) for name in "abc"]
    primary.give(ev.WorkArrived(now_ms=primary.now))
    assert len(proposals(primary)) == 1
    primary.wait(199)
    assert len(proposals(primary)) == 1
    primary.wait(1)
    assert len(proposals(primary)) == 2
    primary.wait(200)
    assert len(proposals(primary)) == 3


def test_an_idle_network_gets_an_empty_block_every_two_seconds(lab: Lab) -> None:
    primary = lab.replica(0)
    primary.wait(1_999)
    assert not proposals(primary)
    primary.wait(1)
    assert [Batch.decode(m.batch).wire_hashes for m in proposals(primary)] == [()]
    primary.wait(5_000)
    assert len(proposals(primary)) == 1  # the next idle block waits for this one's order


def test_pipelining_is_bounded_by_tuning_and_window(lab: Lab) -> None:
    primary = lab.replica(0)
    primary.batches += [lab.batch(str(i)) for i in range(20)]
    primary.give(ev.WorkArrived(now_ms=primary.now))
    primary.wait(5_000)
    assert [m.height for m in proposals(primary)] == [1, 2, 3, 4]
    for height in range(1, 5):
        primary.order(lab, height, Batch.decode(proposals(primary)[height - 1].batch))
    primary.wait(5_000)
    assert [m.height for m in proposals(primary)] == list(range(1, lab.parameters.window + 1))


def test_a_batch_that_comes_too_late_is_given_back(lab: Lab) -> None:
    primary = lab.replica(0)
    batch = lab.batch("a")
    out = primary.give(ev.BatchReady(now_ms=primary.now, height=3, batch=batch, more=False))
    assert [a.digest for a in of(out, act.ReleaseBatch) if isinstance(a, act.ReleaseBatch)] == [batch.digest]
    assert not proposals(primary)


def test_a_backup_asks_for_no_batch(lab: Lab) -> None:
    backup = lab.replica(1)
    backup.give(ev.WorkArrived(now_ms=backup.now))
    backup.wait(2_500)
    assert not of(backup.log, act.RequestBatch)
