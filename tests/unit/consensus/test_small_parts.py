"""Outbox, time-outs, requests, evidence, journal records: the small parts."""

import pytest

from carbonnode.chain.fault_proof import KINDS, FaultProof, _signed_bytes
from carbonnode.consensus import actions as act
from carbonnode.consensus.evidence import CHECKPOINT, COMMIT, PRE_PREPARE, PREPARE, Evidence, equivocation, verify_evidence
from carbonnode.consensus.journal import (
    Abstaining,
    Diverged,
    Entered,
    Held,
    JournalRecord,
    Left,
    Ordered,
    Prepared,
    Proposed,
    Voted,
    decode_record,
    encode_record,
)
from carbonnode.consensus.messages import Suspect, commit_bytes, pre_prepare_bytes, prepare_bytes
from carbonnode.consensus.outbox import Outbox
from carbonnode.consensus.pacing import Pacing
from carbonnode.consensus.requests import Requests
from carbonnode.consensus.slots import Tally
from carbonnode.errors import InvariantViolation, StorageError
from tests.unit.consensus.lab import Lab

VISIBLE = act.Broadcast(Suspect(0, 0, 1, bytes(64)))
INNER = act.SetTimer("t", 5)


# ---- outbox


def test_nothing_visible_overtakes_a_persist() -> None:
    box = Outbox()
    box.emit(VISIBLE)
    box.persist(3, Abstaining(0), b"body")
    box.emit(INNER)
    out = box.take()
    assert [type(a) for a in out] == [act.Persist, act.SetTimer]
    assert isinstance(out[0], act.Persist)
    assert (out[0].token, out[0].bodies, out[0].records[0].height) == (1, (b"body",), 3)
    assert box.held == 1
    box.durable(1)
    assert box.take() == (VISIBLE,)


def test_held_actions_keep_their_order_over_several_tokens() -> None:
    box = Outbox()
    sends = [act.Broadcast(Suspect(0, view, 1, bytes(64))) for view in range(4)]
    for send in sends[:3]:
        box.persist(1, Abstaining(0))
        box.emit(send)
        box.take()
    box.durable(2)
    box.emit(sends[3])
    assert box.take() == tuple(sends[:2])
    box.durable(3)
    assert box.take() == tuple(sends[2:])


def test_a_later_token_covers_earlier_ones_and_an_unknown_one_is_our_bug() -> None:
    box = Outbox()
    for _ in range(2):
        box.persist(1, Abstaining(0))
        box.emit(VISIBLE)
        box.take()
    box.durable(2)
    box.durable(1)
    assert box.take() == (VISIBLE, VISIBLE)
    with pytest.raises(InvariantViolation):
        box.durable(3)


# ---- pacing


def test_timeouts_double_are_capped_and_return_to_base() -> None:
    pacing = Pacing(1_000, 30_000)
    seen = [pacing.timeout_ms]
    for _ in range(8):
        pacing.view_changed()
        seen.append(pacing.timeout_ms)
    assert seen == [1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
    for _ in range(10_000):
        pacing.view_changed()
    assert pacing.timeout_ms == 30_000
    pacing.committed(50)
    assert pacing.timeout_ms == 1_000


def test_timeouts_follow_slow_networks() -> None:
    pacing = Pacing(1_000, 30_000)
    for _ in range(50):
        pacing.committed(900)
    assert pacing.timeout_ms > 5_000
    for _ in range(100):
        pacing.committed(20)
    assert pacing.timeout_ms == 1_000
    pacing.committed(10**9)
    assert pacing.timeout_ms <= 30_000


# ---- requests


def test_exclusion_counts_only_where_there_was_room() -> None:
    requests = Requests()
    requests.admit((b"old",), 1_000)
    requests.ordered((b"x",), full=True, primary=0, proposed_ms=5_000, now_ms=5_100, grace_ms=500)
    assert not requests.censored(60_000, 2_000)
    requests.ordered((b"y",), full=False, primary=0, proposed_ms=1_400, now_ms=1_500, grace_ms=500)
    assert not requests.censored(60_000, 2_000)
    requests.ordered((b"z",), full=False, primary=0, proposed_ms=5_000, now_ms=5_100, grace_ms=500)
    assert requests.censored(5_200, 2_000)
    assert not requests.censored(2_500, 2_000)
    requests.ordered((b"old",), full=False, primary=0, proposed_ms=5_000, now_ms=5_100, grace_ms=500)
    assert requests.oldest() is None
    assert not requests.censored(60_000, 2_000)


def test_a_new_primary_starts_with_a_clean_record() -> None:
    requests = Requests()
    requests.admit((b"old",), 0)
    requests.ordered((), full=False, primary=0, proposed_ms=5_000, now_ms=5_100, grace_ms=0)
    requests.new_view(5_200, 2)
    assert not requests.censored(60_000, 2_000)
    requests.drop((b"old", b"unknown"))
    assert requests.oldest() is None


def test_what_f_plus_1_primaries_left_out_is_timed_no_more() -> None:
    requests = Requests()
    requests.admit((b"odd",), 0)
    for view in range(2):
        assert requests.oldest() == 0
        if view == 1:
            requests.admit((b"later",), 5)
        requests.ordered((), full=False, primary=view, proposed_ms=5_000, now_ms=5_100, grace_ms=0)
        requests.new_view(5_200, 2)
        requests.new_view(5_300, 2)  # a view without a block with room judges nobody
    assert requests.oldest() == 5


def test_a_primary_whose_view_comes_round_again_does_not_stand_for_two() -> None:
    requests = Requests()
    requests.admit((b"odd",), 0)
    for primary in (0, 0, 0):  # those between made no block
        requests.ordered((), full=False, primary=primary, proposed_ms=5_000, now_ms=5_100, grace_ms=0)
        requests.new_view(5_200, 2)
    assert requests.oldest() == 0
    for primary in (1, 0, 1):
        requests.ordered((), full=False, primary=primary, proposed_ms=5_000, now_ms=5_100, grace_ms=0)
        requests.new_view(5_300, 3)
    assert requests.oldest() == 0  # of seven, three must have left it out
    requests.ordered((), full=False, primary=2, proposed_ms=5_000, now_ms=5_100, grace_ms=0)
    requests.new_view(5_400, 3)
    assert requests.oldest() is None


def test_the_mean_wait_speaks_only_of_batches_with_room_and_enough_of_them() -> None:
    requests = Requests()
    names = tuple(bytes([i]) for i in range(20))
    requests.admit(names, 0)
    requests.ordered(names[:9], full=False, primary=0, proposed_ms=0, now_ms=4_000, grace_ms=0)
    assert requests.mean_wait_ms() == 0
    requests.ordered(names[9:10], full=True, primary=0, proposed_ms=0, now_ms=9_000, grace_ms=0)
    assert requests.mean_wait_ms() == 0
    requests.ordered(names[10:11], full=False, primary=0, proposed_ms=0, now_ms=4_000, grace_ms=0)
    assert requests.mean_wait_ms() == 4_000
    requests.restart_window(9_000)
    assert requests.mean_wait_ms() == 0


# ---- tally


def test_one_vote_a_signer() -> None:
    tally = Tally()
    assert tally.add(1, b"d", b"s1") is None
    assert tally.add(1, b"d", b"s1") is None
    assert tally.add(1, b"e", b"s2") == (b"d", b"s1")
    assert tally.add(2, b"d", b"s3") is None
    assert (tally.count(b"d"), tally.count(b"e"), tally.best()) == (2, 0, 2)
    assert tally.signatures(b"d", 5) == ((1, b"s1"), (2, b"s3"))
    tally.clear()
    assert tally.best() == 0


# ---- evidence


def proof(lab: Lab) -> Evidence:
    pairs = [(d, lab.signers[2].sign(commit_bytes(lab.chain_id, 0, 1, 3, d))) for d in (b"e" * 32, b"d" * 32)]
    return equivocation(COMMIT, 0, 1, 3, 2, pairs[0], pairs[1])


def test_evidence_convinces_third_parties(lab: Lab) -> None:
    assert proof(lab).first_digest < proof(lab).second_digest
    assert verify_evidence(proof(lab), lab.validators, lab.chain_id, lab.ring.verify)


def test_evidence_cant_be_made_up(lab: Lab) -> None:
    good = proof(lab)
    one = (good.first_digest, good.first_signature)
    same = Evidence(COMMIT, 0, 1, 3, 2, *one, *one)
    stranger = Evidence(COMMIT, 0, 1, 3, 9, *one, good.second_digest, good.second_signature)
    other_kind = Evidence("prepare", 0, 1, 3, 2, *one, good.second_digest, good.second_signature)
    unknown = Evidence("gossip", 0, 1, 3, 2, *one, good.second_digest, good.second_signature)
    checkpoint = Evidence("checkpoint", 0, 0, 3, 2, *one, good.second_digest, good.second_signature)
    unsigned = Evidence(COMMIT, 0, 1, 3, 2, *one, good.second_digest, bytes(64))
    for bad in (same, stranger, other_kind, unknown, checkpoint, unsigned):
        assert not verify_evidence(bad, lab.validators, lab.chain_id, lab.ring.verify)


# ---- journal records


def test_every_record_survives_the_disk(lab: Lab) -> None:
    batch = lab.batch("a")
    change = lab.view_change(1, 1)
    records: list[JournalRecord] = [
        Proposed(lab.pre_prepare(1, batch)),
        Held(0, 1, batch.encoded),
        Voted(COMMIT, 0, 0, 1, batch.digest, bytes(64)),
        Prepared(lab.proof(1, batch.digest)),
        Left(change),
        Entered(lab.new_view(1, (change,), ())),
        Diverged(0, 3),
        Abstaining(-1),
        Ordered(0, 1, batch.digest),
    ]
    for record in records:
        assert decode_record(encode_record(record)) == record


def test_an_unreadable_record_names_the_remedy() -> None:
    with pytest.raises(StorageError, match="verify-store"):
        decode_record(b"\x92\x63\x00")


# ---- proofs of faults


def test_a_fault_proof_reads_what_consensus_signs(lab: Lab) -> None:
    for kind, sign in ((PRE_PREPARE, pre_prepare_bytes), (PREPARE, prepare_bytes), (COMMIT, commit_bytes)):
        proof = FaultProof(1, lab.chain_id, kind, 1, 2, 3, 0, b"a" * 32, b"", b"b" * 32, b"", ())
        assert _signed_bytes(proof, b"a" * 32) == sign(lab.chain_id, 1, 2, 3, b"a" * 32)
    assert set(KINDS) == {PRE_PREPARE, PREPARE, COMMIT, CHECKPOINT}
