"""Everything that proves itself is checked to the last signature (PBFT.md 2, 11, 26 to 30)."""

from typing import Any

import msgspec
import pytest

from carbonnode.chain.batch import NULL_BATCH
from carbonnode.consensus import messages as msg
from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.proofs import VerifyCache, check_certificate, check_new_view, check_prepared, check_view_change, outcome
from carbonnode.errors import PeerViolation
from tests.unit.consensus.lab import Lab

D = b"d" * 32
E = b"e" * 32
H = b"h" * 32


def bad(certificate: Any, **change: Any) -> Any:
    return msgspec.structs.replace(certificate, **change)


def test_a_certificate_holds(lab: Lab) -> None:
    check_certificate(lab.certificate(3, H), lab.epoch, lab.chain_id, lab.ring.verify)


@pytest.mark.parametrize("signers", [(), (0, 1), (0, 0, 1), (1, 0, 2), (0, 1, 4)])
def test_a_certificate_needs_a_quorum_of_distinct_members(lab: Lab, signers: tuple[int, ...]) -> None:
    with pytest.raises(PeerViolation):
        check_certificate(lab.certificate(3, H, signers), lab.epoch, lab.chain_id, lab.ring.verify)


@pytest.mark.parametrize("change", [{"epoch": 1}, {"height": 4}, {"header_hash": D}])
def test_a_certificate_holds_for_its_place_only(lab: Lab, change: dict[str, Any]) -> None:
    with pytest.raises(PeerViolation):
        check_certificate(bad(lab.certificate(3, H), **change), lab.epoch, lab.chain_id, lab.ring.verify)


def test_a_prepared_proof_is_a_pre_prepare_and_prepares_of_a_quorum_together(lab: Lab) -> None:
    check_prepared(lab.proof(3, D), lab.epoch, lab.chain_id, lab.ring.verify)
    for signers in ((1,), (1, 1), (2, 1), (0, 1), (1, 7)):
        with pytest.raises(PeerViolation):
            check_prepared(lab.proof(3, D, signers=signers), lab.epoch, lab.chain_id, lab.ring.verify)


@pytest.mark.parametrize(
    "change", [{"epoch": 1}, {"view": 1}, {"height": 4}, {"digest": E}, {"proposal_signature": bytes(64)}, {"prepares": ((1, bytes(64)), (2, bytes(64)))}]
)
def test_a_prepared_proof_holds_for_its_place_only(lab: Lab, change: dict[str, Any]) -> None:
    with pytest.raises(PeerViolation):
        check_prepared(bad(lab.proof(3, D), **change), lab.epoch, lab.chain_id, lab.ring.verify)


def test_a_view_change_with_its_proofs_holds(lab: Lab) -> None:
    change = lab.view_change(2, 1, (lab.proof(4, D), lab.proof(5, E)), lab.certificate(3, H))
    check_view_change(change, lab.epoch, lab.chain_id, lab.ring.verify)


def test_each_certificate_in_a_view_change_is_checked(lab: Lab) -> None:
    window = lab.parameters.window
    good = lab.certificate(3, H)
    cases = [
        lab.view_change(2, 0),
        lab.view_change(2, 1, (lab.proof(3, D),), good),
        lab.view_change(2, 1, (lab.proof(4 + 2 * window, D),), good),
        lab.view_change(2, 1, (lab.proof(5, D), lab.proof(4, D)), good),
        lab.view_change(2, 1, (lab.proof(4, D), lab.proof(4, D)), good),
        lab.view_change(2, 1, (lab.proof(4, D, view=1),), good),
        lab.view_change(2, 1, (lab.proof(4, D, signers=(1,)),), good),
        lab.view_change(2, 1, (), lab.certificate(3, H, (0, 1))),
        bad(lab.view_change(2, 1), epoch=1),
    ]
    for change in cases:
        with pytest.raises(PeerViolation):
            check_view_change(change, lab.epoch, lab.chain_id, lab.ring.verify)


def test_more_votes_than_a_quorum_are_refused_as_they_would_burst_the_bound_of_messages(lab: Lab) -> None:
    more = (0, 1, 2, 3)
    check_certificate(lab.certificate(3, H, more), lab.epoch, lab.chain_id, lab.ring.verify)
    with pytest.raises(PeerViolation, match="more votes than a quorum"):
        check_view_change(lab.view_change(2, 1, (), lab.certificate(3, H, more)), lab.epoch, lab.chain_id, lab.ring.verify)
    with pytest.raises(PeerViolation, match="of a quorum of 3"):
        check_prepared(lab.proof(3, D, signers=(1, 2, 3)), lab.epoch, lab.chain_id, lab.ring.verify)
    with pytest.raises(PeerViolation, match="of 3 VIEW-CHANGEs"):
        check_new_view(lab.new_view(1, tuple(lab.view_change(i, 1) for i in more), ()), lab.epoch, lab.chain_id, lab.ring.verify)


def test_a_replica_that_lost_a_window_of_blocks_but_no_promise_is_believed(lab: Lab) -> None:
    # Power loss takes blocks that weren't synced, at most a window of them: its certificates then lie up to two windows above what it holds.
    change = lab.view_change(2, 1, (lab.proof(3 + 2 * lab.parameters.window, D),), lab.certificate(3, H))
    check_view_change(change, lab.epoch, lab.chain_id, lab.ring.verify)


def test_the_outcome_takes_the_highest_view_and_fills_gaps_with_null_requests(lab: Lab) -> None:
    changes = (
        lab.view_change(0, 3, (lab.proof(4, D, view=0), lab.proof(6, D, view=1)), lab.certificate(3, H)),
        lab.view_change(1, 3, (lab.proof(4, E, view=2),), lab.certificate(3, H)),
        lab.view_change(2, 3, (lab.proof(2, D),)),
    )
    result = outcome(changes, lab.epoch)
    assert result.stable == 3
    assert result.digests == ((4, E), (5, NULL_BATCH.digest), (6, D))


def test_the_outcome_is_total_and_the_same_for_all_orders(lab: Lab) -> None:
    changes = tuple(lab.view_change(i, 1) for i in range(3))
    assert outcome(changes, lab.epoch).digests == outcome(changes[::-1], lab.epoch).digests == ()
    assert outcome(changes, lab.epoch).stable == 0


def three(lab: Lab, view: int = 1) -> tuple[msg.ViewChange, ...]:
    return (lab.view_change(0, view), lab.view_change(2, view, (lab.proof(1, D),)), lab.view_change(3, view))


def test_a_new_view_is_recomputed(lab: Lab) -> None:
    good = lab.new_view(1, three(lab), ((1, D),))
    assert check_new_view(good, lab.epoch, lab.chain_id, lab.ring.verify).digests == ((1, D),)


def test_a_new_view_that_doesnt_follow_is_refused(lab: Lab) -> None:
    changes = three(lab)
    forged = bad(changes[1], signature=bytes(64))
    cases = [
        lab.new_view(1, changes, ()),
        lab.new_view(1, changes, ((1, E),)),
        lab.new_view(1, changes, ((1, D), (2, D))),
        lab.new_view(1, changes[:2], ((1, D),)),
        lab.new_view(1, (changes[0], changes[0], changes[1]), ((1, D),)),
        lab.new_view(1, (changes[1], changes[0], changes[2]), ((1, D),)),
        lab.new_view(1, (changes[0], forged, changes[2]), ((1, D),)),
        lab.new_view(2, changes, ((1, D),)),
        bad(lab.new_view(1, changes, ((1, D),)), signer=0),
        bad(lab.new_view(1, changes, ((1, D),)), proposals=(msg.Reproposal(1, D, bytes(64)),)),
        bad(lab.new_view(1, changes, ((1, D),)), epoch=1),
        lab.new_view(1, (*changes[:2], lab.view_change(4, 1)), ((1, D),)),
    ]
    for message in cases:
        with pytest.raises(PeerViolation):
            check_new_view(message, lab.epoch, lab.chain_id, lab.ring.verify)


def test_the_cache_remembers_good_signatures_only_and_is_bounded() -> None:
    asked: list[bytes] = []

    def verify(_key: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(message)
        return signature == b"good"

    cache = VerifyCache(verify, capacity=2)
    assert cache(b"k", b"1", b"good")
    assert cache(b"k", b"1", b"good")
    assert asked == [b"1"]
    assert not cache(b"k", b"1", b"bad")
    assert not cache(b"k", b"1", b"bad")
    assert asked == [b"1"] * 3
    for text in (b"2", b"3", b"4", b"5"):
        assert cache(b"k", text, b"good")
    asked.clear()
    assert cache(b"k", b"1", b"good")
    assert asked == [b"1"]


def test_a_certificate_of_a_height_before_its_epoch_is_refused(lab: Lab) -> None:
    config = EpochConfig(0, 10, lab.validators, lab.parameters)
    check_certificate(lab.certificate(10, b"h" * 32), config, lab.chain_id, lab.ring.verify)
    with pytest.raises(PeerViolation):
        check_certificate(lab.certificate(9, b"h" * 32), config, lab.chain_id, lab.ring.verify)
