"""What a crash may not take: promises, views, certificates (PBFT.md 19 to 23)."""

from carbonnode.chain.batch import NULL_BATCH, Batch
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus import actions as act
from carbonnode.consensus import events as ev
from carbonnode.consensus import messages as msg
from carbonnode.consensus.config import EpochConfig, StableState
from tests.unit.consensus.lab import Driven, Lab, header_hash, of, sent


def again(lab: Lab, driven: Driven, index: int = 1, **options: object) -> Driven:
    return lab.replica(index, journal=tuple(driven.durable), **options)  # type: ignore[arg-type]  # passed on


def test_a_restart_repeats_identical_votes(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a")
    replica.receive(lab.pre_prepare(1, batch), lab.prepare(2, 1, batch.digest), lab.prepare(3, 1, batch.digest))
    before = [*sent(replica.log, msg.Prepare), *sent(replica.log, msg.Commit)]
    after = again(lab, replica)
    assert [*sent(after.log, msg.Prepare), *sent(after.log, msg.Commit)] == before


def test_a_vote_given_before_a_crash_binds_after_it(lab: Lab) -> None:
    replica = lab.replica()
    replica.receive(lab.pre_prepare(1, lab.batch("a")))
    after = again(lab, replica)
    out = after.receive(lab.pre_prepare(1, lab.batch("b")))
    assert not [m for m in sent(out, msg.Prepare) if isinstance(m, msg.Prepare) and m.digest == lab.batch("b").digest]
    assert of(out, act.ReportEvidence)


def test_a_restart_late_after_the_proposal_still_stands_by_it(lab: Lab) -> None:
    replica = lab.replica()
    old = lab.batch("a")
    replica.receive(lab.pre_prepare(1, old))
    after = again(lab, replica)
    after.wall_error = 3_600_000
    after.receive(lab.prepare(2, 1, old.digest))
    assert sent(after.log, msg.Prepare)


def test_a_primary_goes_on_above_what_it_proposed(lab: Lab) -> None:
    primary = lab.replica(0)
    primary.batches += [lab.batch("a"), lab.batch("b")]
    primary.give(ev.WorkArrived(now_ms=primary.now))
    primary.wait(300)
    after = again(lab, primary, 0)
    after.batches.append(lab.batch("c"))
    after.give(ev.WorkArrived(now_ms=after.now))
    after.wait(500)
    fresh = [m.height for m in sent(after.log, msg.PrePrepare) if isinstance(m, msg.PrePrepare)]
    assert fresh == [3]
    out = after.receive(msg.Status(0, 0, True, 0, 0, (), False), sender=2)
    assert [m.height for m in sent(out, msg.PrePrepare) if isinstance(m, msg.PrePrepare)] == [1, 2, 3]


def test_the_view_on_the_way_survives_and_is_said_again(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a")
    replica.receive(lab.pre_prepare(1, batch), lab.prepare(2, 1, batch.digest), lab.prepare(3, 1, batch.digest))
    replica.receive(lab.view_change(2, 6), lab.view_change(3, 6))
    left = sent(replica.log, msg.ViewChange)[-1]
    after = again(lab, replica)
    state = after.replica.state()
    assert (state.view, state.active) == (6, False)
    assert sent(after.log, msg.ViewChange) == [left]
    assert not sent(after.receive(lab.pre_prepare(2, lab.batch("b"))), msg.Prepare)


def test_the_entered_view_survives_with_what_it_named(lab: Lab) -> None:
    replica = lab.replica(3)
    batch = lab.batch("a")
    members = (lab.view_change(0, 1), lab.view_change(1, 1), lab.view_change(2, 1, (lab.proof(2, batch.digest),)))
    new_view = lab.new_view(1, members, ((1, NULL_BATCH.digest), (2, batch.digest)))
    replica.receive(new_view, msg.BatchReply(2, batch.encoded), sender=0)
    after = again(lab, replica, 3)
    state = after.replica.state()
    assert (state.view, state.active) == (1, True)
    assert {(m.height, m.digest) for m in sent(after.log, msg.Prepare) if isinstance(m, msg.Prepare) and m.view == 1} == {
        (1, NULL_BATCH.digest),
        (2, batch.digest),
    }
    out = after.receive(msg.Status(0, 0, True, 0, 0, (), False), sender=0)
    assert sent(out, msg.NewView) == [new_view]


def test_prepared_certificates_survive_into_the_next_view_change(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a")
    replica.receive(lab.pre_prepare(1, batch), lab.prepare(2, 1, batch.digest), lab.prepare(3, 1, batch.digest))
    after = again(lab, replica)
    after.receive(lab.view_change(2, 1), lab.view_change(3, 1))
    change = sent(after.log, msg.ViewChange)[-1]
    assert isinstance(change, msg.ViewChange)
    assert [(p.height, p.view, p.digest) for p in change.prepared] == [(1, 0, batch.digest)]


def test_the_certificate_of_the_highest_view_is_the_one_that_survives(lab: Lab) -> None:
    replica = lab.replica(2)
    first, second = lab.batch("a"), lab.batch("b")
    replica.receive(lab.pre_prepare(1, first), lab.prepare(1, 1, first.digest), lab.prepare(3, 1, first.digest))
    replica.receive(lab.new_view(1, tuple(lab.view_change(i, 1) for i in (0, 1, 3)), ()))
    replica.receive(lab.pre_prepare(1, second, 1), lab.prepare(0, 1, second.digest, 1), lab.prepare(3, 1, second.digest, 1))
    after = again(lab, replica, 2)
    after.receive(lab.view_change(0, 3), lab.view_change(1, 3))
    change = sent(after.log, msg.ViewChange)[-1]
    assert isinstance(change, msg.ViewChange)
    assert [(p.height, p.view, p.digest) for p in change.prepared] == [(1, 1, second.digest)]


def test_who_signed_a_header_makes_that_block_again_by_itself(lab: Lab) -> None:
    replica = lab.replica()
    digest = replica.order(lab, 1, lab.batch("a"))
    after = again(lab, replica)
    assert [(a.height, a.digest) for a in of(after.log, act.Execute) if isinstance(a, act.Execute)] == [(1, digest)]
    assert sent(after.log, msg.Checkpoint) == sent(replica.log, msg.Checkpoint)
    after.certify(lab, 1, digest)
    assert after.replica.state().stable == 1


def test_nothing_below_the_stable_state_is_restored(lab: Lab) -> None:
    replica = lab.replica()
    digest = replica.order(lab, 1, lab.batch("a"))
    certificate = lab.certificate(1, header_hash(1, digest))
    after = lab.replica(journal=tuple(replica.durable), stable=StableState(1, certificate.header_hash, certificate))
    assert not of(after.log, act.Execute)
    assert not sent(after.log, msg.Prepare)
    assert after.replica.state().held == 0


def test_records_that_outlive_heights_are_written_again_for_the_cut(lab: Lab) -> None:
    replica = lab.replica(3)
    replica.receive(lab.new_view(1, (lab.view_change(0, 1), lab.view_change(1, 1), lab.view_change(2, 1)), ()))
    height = 0
    for _ in range(3 * lab.parameters.window):
        height += 1
        replica.certify(lab, height, replica.order(lab, height, lab.batch(str(height)), view=1))
    assert replica.replica.state().stable == height
    kept = [r.data for a in of(replica.log, act.Persist) if isinstance(a, act.Persist) for r in a.records if r.height >= height]
    certificate = replica.replica._core.stable_certificate
    assert certificate is not None
    after = lab.replica(3, journal=tuple(kept), stable=StableState(height, certificate.header_hash, certificate))
    assert after.replica.state().view == 1


def test_a_start_writes_the_standing_promises_again_so_that_starts_in_a_row_lose_none(lab: Lab) -> None:
    replica = lab.replica(3)
    replica.receive(lab.new_view(1, (lab.view_change(0, 1), lab.view_change(1, 1), lab.view_change(2, 1)), ()))
    height, kept = 0, [(r.height, r.data) for a in of(replica.log, act.Persist) if isinstance(a, act.Persist) for r in a.records]
    for _ in range(4):  # each life is shorter than a window, and the journal is cut at its end
        state = StableState(height, b"s" * 32, lab.certificate(height, b"s" * 32)) if height else None
        replica = lab.replica(3, journal=tuple(data for _, data in kept), stable=state)
        assert (replica.replica.state().view, replica.replica.state().active) == (1, True)
        for _ in range(lab.parameters.window - 1):
            height += 1
            replica.certify(lab, height, replica.order(lab, height, lab.batch(str(height)), view=1))
        assert replica.replica.stable == height
        kept += [(r.height, r.data) for a in of(replica.log, act.Persist) if isinstance(a, act.Persist) for r in a.records]
        kept = [record for record in kept if record[0] > height]


# ---- lost votes


def abstainer(lab: Lab) -> Driven:
    return lab.replica(1, lost_votes=True)


def test_who_lost_its_votes_sends_none(lab: Lab) -> None:
    replica = abstainer(lab)
    assert replica.replica.state().abstaining
    batch = lab.batch("a")
    replica.order(lab, 1, batch)
    replica.receive(lab.view_change(2, 1), lab.view_change(3, 1), lab.suspect(2), lab.suspect(3))
    replica.wait(5_000)
    assert not [*sent(replica.log, msg.Prepare), *sent(replica.log, msg.Commit), *sent(replica.log, msg.Checkpoint)]
    assert not sent(replica.log, msg.ViewChange)
    assert not sent(replica.log, msg.Suspect)
    status = sent(replica.log, msg.Status)[-1]
    assert isinstance(status, msg.Status)
    assert status.abstaining


def said(height: int) -> msg.Status:
    return msg.Status(0, 0, True, height, height, (), False)


def test_it_votes_again_two_windows_above_the_highest_certificate_of_q_others(lab: Lab) -> None:
    replica = abstainer(lab)
    window = lab.parameters.window
    for peer, height in ((0, 5), (2, 3)):
        replica.receive(said(height), msg.Certified(lab.certificate(height, b"h" * 32)), sender=peer)
    assert replica.replica._core.abstain_target == -1
    replica.receive(said(4), msg.Certified(lab.certificate(4, b"h" * 32)), sender=3)
    assert replica.replica._core.abstain_target == 5 + 2 * window
    certificate = lab.certificate(5 + 2 * window - 1, b"h" * 32)
    replica.give(ev.Synced(now_ms=replica.now, height=certificate.height, header_hash=b"h" * 32, certificate=certificate))
    assert replica.replica.state().abstaining
    certificate = lab.certificate(5 + 2 * window, b"h" * 32)
    replica.give(ev.Synced(now_ms=replica.now, height=certificate.height, header_hash=b"h" * 32, certificate=certificate))
    assert not replica.replica.state().abstaining
    assert sent(replica.receive(lab.pre_prepare(certificate.height + 1, lab.batch("z"))), msg.Prepare)


def test_claims_without_certificates_dont_lower_the_target(lab: Lab) -> None:
    replica = abstainer(lab)
    for peer in (0, 2, 3):
        replica.receive(msg.Status(0, 0, True, 7, 7, (), False), sender=peer)
    assert replica.replica._core.abstain_target == -1


def test_the_oldest_certificates_of_the_others_which_come_first_lower_no_target(lab: Lab) -> None:
    replica = abstainer(lab)
    for peer in (0, 2, 3):
        replica.receive(said(73), msg.Certified(lab.certificate(10, b"h" * 32)), sender=peer)
    assert replica.replica._core.abstain_target == -1
    for peer in (0, 2, 3):
        replica.receive(msg.Certified(lab.certificate(73, b"k" * 32)), sender=peer)
    assert replica.replica._core.abstain_target == 73 + 2 * lab.parameters.window


def test_what_others_proved_before_votes_were_lost_says_nothing_of_what_was_voted_on_since(lab: Lab) -> None:
    replica = lab.replica()
    for peer in (0, 2, 3):
        replica.receive(msg.Certified(lab.certificate(2, b"h" * 32)), sender=peer)
    replica.receive(lab.prepare(1, 1, b"x" * 32), sender=2)
    assert replica.replica.state().abstaining
    assert replica.replica._core.abstain_target == -1


def test_who_abstains_is_given_our_highest_certificate_though_it_stands_where_we_stand(lab: Lab) -> None:
    replica = lab.replica()
    replica.certify(lab, 1, replica.order(lab, 1, lab.batch("a")))
    replica.wait(200)
    assert not sent(replica.receive(msg.Status(0, 0, True, 1, 1, (), False), sender=2), msg.Certified)
    out = replica.receive(msg.Status(0, 0, True, 1, 1, (), True), sender=3)
    assert [m.certificate.height for m in sent(out, msg.Certified) if isinstance(m, msg.Certified)] == [1]


def test_who_abstains_hands_on_no_new_view_of_its_own(lab: Lab) -> None:
    for index in (1, 3):
        replica = lab.replica(index, lost_votes=True)
        replica.receive(lab.new_view(1, tuple(lab.view_change(i, 1) for i in (0, 1, 2)), ()), sender=2)
        assert replica.replica.state().view == 1
        out = replica.receive(said(0), sender=2)
        assert bool(sent(out, msg.NewView)) == (index != 1)


def test_abstention_survives_a_restart(lab: Lab) -> None:
    replica = abstainer(lab)
    after = again(lab, replica)
    assert after.replica.state().abstaining
    assert [a.code for a in of(replica.log, act.Alarm) if isinstance(a, act.Alarm)] == ["abstaining"]


def test_a_foreign_vote_with_our_signature_makes_us_abstain(lab: Lab) -> None:
    replica = lab.replica()
    out = replica.receive(lab.prepare(1, 1, b"x" * 32), sender=2)
    assert [a.code for a in of(out, act.Alarm) if isinstance(a, act.Alarm)] == ["duplicate-key", "abstaining"]
    assert replica.replica.state().abstaining


def test_our_own_votes_coming_back_are_nothing_special(lab: Lab) -> None:
    replica = lab.replica()
    batch = lab.batch("a")
    replica.order(lab, 1, batch)
    mine = [*sent(replica.log, msg.Prepare), *sent(replica.log, msg.Commit), *sent(replica.log, msg.Checkpoint)]
    out = replica.receive(*mine, lab.suspect(1), lab.prepare(1, 1, batch.digest, view=0), sender=2)
    assert not of(out, act.Alarm)


def test_our_votes_for_what_is_final_coming_back_are_nothing_special_either(lab: Lab) -> None:
    replica = lab.replica()
    replica.certify(lab, 1, replica.order(lab, 1, lab.batch("a")))
    assert replica.replica.stable == 1
    mine = [*sent(replica.log, msg.Prepare), *sent(replica.log, msg.Commit), *sent(replica.log, msg.Checkpoint)]
    assert len(mine) == 3
    assert not of(replica.receive(*mine, sender=2), act.Alarm)
    assert not replica.replica.state().abstaining


def test_two_processes_with_one_key_learn_of_each_other_from_those_who_hear_both(lab: Lab) -> None:
    proposals = (lab.pre_prepare(1, lab.batch("a")), lab.pre_prepare(1, lab.batch("b")))
    votes = (lab.prepare(1, 1, b"x" * 32), lab.prepare(1, 1, b"y" * 32))
    headers = (lab.checkpoint(1, 1, b"x" * 32), lab.checkpoint(1, 1, b"y" * 32))
    for index, pair in ((0, proposals), (1, votes), (1, headers)):
        out = lab.replica(3).receive(*pair)
        shown = [a.message for a in of(out, act.Send) if isinstance(a, act.Send) and a.to == index]
        assert shown == list(pair)
        for own, foreign in (pair, pair[::-1]):
            replica = lab.replica(index)
            if isinstance(own, msg.PrePrepare):
                replica.batches.append(Batch.decode(own.batch))
                replica.give(ev.WorkArrived(now_ms=replica.now))
            replica.receive(*[m for m in shown if m == foreign], sender=3)
            assert "duplicate-key" in [a.code for a in of(replica.log, act.Alarm) if isinstance(a, act.Alarm)]
            assert replica.replica.state().abstaining


def test_a_foreign_checkpoint_or_proposal_is_noticed_too(lab: Lab) -> None:
    for message, index in ((lab.checkpoint(1, 1, b"x" * 32), 1), (lab.pre_prepare(1, lab.batch("x")), 0)):
        replica = lab.replica(index)
        replica.receive(message, sender=2)
        assert replica.replica.state().abstaining


# ---- epochs


def following(lab: Lab, first: int, members: tuple[int, ...]) -> EpochConfig:
    return EpochConfig(1, first, ValidatorSet(tuple(lab.people[i] for i in members)), lab.parameters)


def test_nothing_at_or_above_the_next_epochs_start_is_voted_on_before_it_begins(lab: Lab) -> None:
    plan = following(lab, 3, (0, 1, 2, 3))
    replica = lab.replica(next_epoch=plan)
    assert sent(replica.receive(lab.pre_prepare(2, lab.batch("b"))), msg.Prepare)
    assert not sent(replica.receive(lab.pre_prepare(3, lab.batch("c"))), msg.Prepare)
    for height in (1, 2):
        replica.certify(lab, height, replica.order(lab, height, lab.batch(str(height) if height == 1 else "b")))
    entered = of(replica.log, act.EpochEntered)[-1]
    assert isinstance(entered, act.EpochEntered)
    assert (entered.config, entered.index) == (plan, 1)
    state = replica.replica.state()
    assert (state.epoch, state.view, state.stable) == (1, 0, 2)
    assert not [m for m in sent(replica.log, msg.Prepare) if isinstance(m, msg.Prepare) and m.height == 3]


def test_a_plan_decided_by_a_block_is_followed(lab: Lab) -> None:
    replica = lab.replica(auto_execute=False)
    plan = following(lab, lab.parameters.window + 2, (0, 1, 2, 3, 4))
    digest = replica.order(lab, 1, lab.batch("a"))
    replica.give(ev.Executed(now_ms=replica.now, height=1, header_hash=header_hash(1, digest), next_epoch=plan))
    assert replica.replica.validators_of(1) is plan.validators
    assert replica.replica._core.high == lab.parameters.window
    replica.certify(lab, 1, digest)
    assert replica.replica._core.high == lab.parameters.window + 1


def test_a_member_that_leaves_observes_and_a_sync_brings_a_newcomer_in(lab: Lab) -> None:
    leaver = lab.replica(1, next_epoch=following(lab, 2, (0, 2, 3, 4)))
    leaver.certify(lab, 1, leaver.order(lab, 1, lab.batch("a")))
    assert leaver.replica.state().index is None
    newcomer = lab.replica(4)
    plan = following(lab, 2, (0, 2, 3, 4))
    certificate = lab.certificate(1, b"h" * 32)
    newcomer.give(ev.Synced(now_ms=newcomer.now, height=1, header_hash=b"h" * 32, certificate=certificate, epoch=plan))
    state = newcomer.replica.state()
    assert (state.epoch, state.index) == (1, 3)


def test_promises_of_an_epoch_that_ended_bind_nobody(lab: Lab) -> None:
    replica = lab.replica(next_epoch=following(lab, 2, (0, 1, 2, 3)))
    digest = replica.order(lab, 1, lab.batch("a"))
    replica.receive(lab.suspect(2), lab.suspect(3))
    certificate = lab.certificate(1, header_hash(1, digest))
    after = again(lab, replica, epoch=following(lab, 2, (0, 1, 2, 3)), stable=StableState(1, certificate.header_hash, certificate))
    state = after.replica.state()
    assert (state.epoch, state.view, state.active, state.stable) == (1, 0, True, 1)
    assert after.replica.parameters == lab.parameters


def test_messages_and_promises_of_the_next_epoch_wait_for_it(lab: Lab) -> None:
    plan = following(lab, 2, (0, 1, 2, 3))
    replica = lab.replica(next_epoch=plan)
    batch = lab.batch("n")
    signature = lab.signers[0].sign(msg.pre_prepare_bytes(lab.chain_id, 1, 0, 2, batch.digest))
    early = msg.PrePrepare(1, 0, 2, batch.encoded, 0, signature)
    assert not sent(replica.receive(early), msg.Prepare)
    replica.certify(lab, 1, replica.order(lab, 1, lab.batch("a")))
    votes = [m for m in sent(replica.log, msg.Prepare) if isinstance(m, msg.Prepare) and m.epoch == 1]
    assert [(m.height, m.digest) for m in votes] == [(2, batch.digest)]
    # The store lost the last block: the journal's promises of epoch 1 wait until it begins again.
    after = again(lab, replica, next_epoch=plan)
    assert after.replica.state().epoch == 0
    digest = lab.batch("a").digest
    after.certify(lab, 1, digest)
    assert after.replica.state().epoch == 1
    assert [m for m in sent(after.log, msg.Prepare) if isinstance(m, msg.Prepare) and m.epoch == 1] == votes
