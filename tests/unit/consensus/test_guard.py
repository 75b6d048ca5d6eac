"""The guard refuses anything lower or contradictory, and repeats itself identically (PBFT.md 19, 20, 31)."""

import pytest

from carbonnode.consensus import messages as msg
from carbonnode.consensus.evidence import CHECKPOINT, COMMIT, PRE_PREPARE, PREPARE
from carbonnode.consensus.guard import VoteGuard
from carbonnode.errors import InvariantViolation
from tests.unit.consensus.lab import Lab

D, E = b"d" * 32, b"e" * 32
KINDS = [PRE_PREPARE, PREPARE, COMMIT, CHECKPOINT]


def guard(lab: Lab) -> VoteGuard:
    return VoteGuard(lab.signers[1], lab.chain_id, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_vote_gets_the_same_signature_and_no_second_record(lab: Lab, kind: str) -> None:
    keeper = guard(lab)
    signature, record = keeper.vote(kind, 2, 5, D)
    assert record is not None
    assert keeper.vote(kind, 2, 5, D) == (signature, None)


def test_one_new_view_for_a_view_and_none_of_its_proposals_after_it(lab: Lab) -> None:
    keeper = guard(lab)
    assert keeper.sign_reproposal(2, 5, D)[1] is not None
    keeper.entered(2)
    with pytest.raises(InvariantViolation, match="second NEW-VIEW"):
        keeper.sign_reproposal(2, 6, D)


@pytest.mark.parametrize("kind", KINDS)
def test_a_contradictory_vote_is_refused(lab: Lab, kind: str) -> None:
    keeper = guard(lab)
    keeper.vote(kind, 2, 5, D)
    with pytest.raises(InvariantViolation):
        keeper.vote(kind, 2, 5, E)


@pytest.mark.parametrize("kind", [PRE_PREPARE, PREPARE, COMMIT])
def test_a_lower_view_is_refused_a_higher_one_isnt(lab: Lab, kind: str) -> None:
    keeper = guard(lab)
    keeper.vote(kind, 2, 5, D)
    with pytest.raises(InvariantViolation):
        keeper.vote(kind, 1, 5, D)
    assert keeper.vote(kind, 3, 5, E)[1] is not None


def test_a_checkpoint_binds_no_view(lab: Lab) -> None:
    keeper = guard(lab)
    signature, _ = keeper.vote(CHECKPOINT, 2, 5, D)
    assert keeper.vote(CHECKPOINT, 7, 5, D) == (signature, None)
    with pytest.raises(InvariantViolation):
        keeper.vote(CHECKPOINT, 8, 5, E)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_at_or_below_a_certified_height(lab: Lab, kind: str) -> None:
    keeper = guard(lab)
    keeper.vote(kind, 0, 5, D)
    keeper.release(5)
    assert keeper.given(kind, 5) is None
    for height in (4, 5):
        with pytest.raises(InvariantViolation):
            keeper.vote(kind, 9, height, D)
    assert keeper.vote(kind, 0, 6, D)[1] is not None


def change(view: int) -> msg.ViewChange:
    return msg.ViewChange(0, view, None, (), 1, bytes(64))


@pytest.mark.parametrize("kind", [PRE_PREPARE, PREPARE, COMMIT])
def test_no_vote_for_a_view_that_was_left(lab: Lab, kind: str) -> None:
    keeper = guard(lab)
    keeper.sign_view_change(change(3))
    with pytest.raises(InvariantViolation):
        keeper.vote(kind, 2, 5, D)
    assert keeper.vote(kind, 3, 5, D)[1] is not None
    assert keeper.vote(CHECKPOINT, 2, 5, D)[1] is not None


def test_views_are_left_upwards_only(lab: Lab) -> None:
    keeper = guard(lab)
    keeper.sign_view_change(change(3))
    for view in (2, 3):
        with pytest.raises(InvariantViolation):
            keeper.sign_view_change(change(view))


def new_view(view: int) -> msg.NewView:
    return msg.NewView(0, view, (), (), 1, bytes(64))


def test_one_new_view_for_each_view(lab: Lab) -> None:
    keeper = guard(lab)
    keeper.sign_view_change(change(5))
    with pytest.raises(InvariantViolation):
        keeper.sign_new_view(new_view(4))
    keeper.sign_reproposal(5, 3, D)
    keeper.sign_new_view(new_view(5))
    with pytest.raises(InvariantViolation):
        keeper.sign_new_view(new_view(5))
    with pytest.raises(InvariantViolation):
        keeper.sign_reproposal(5, 4, D)


def test_a_view_that_was_entered_gets_no_second_new_view(lab: Lab) -> None:
    keeper = guard(lab)
    keeper.entered(5)
    with pytest.raises(InvariantViolation):
        keeper.sign_new_view(new_view(5))


def test_the_journal_restores_the_promise(lab: Lab) -> None:
    keeper = guard(lab)
    signature, record = keeper.vote(COMMIT, 2, 5, D)
    assert record is not None
    again = guard(lab)
    again.remember(record)
    assert again.vote(COMMIT, 2, 5, D) == (signature, None)
    with pytest.raises(InvariantViolation):
        again.vote(COMMIT, 2, 5, E)


def test_records_of_other_epochs_and_settled_heights_are_passed_over(lab: Lab) -> None:
    _, record = guard(lab).vote(COMMIT, 2, 5, D)
    assert record is not None
    for other in (VoteGuard(lab.signers[1], lab.chain_id, 1, 0), VoteGuard(lab.signers[1], lab.chain_id, 0, 5)):
        other.remember(record)
        assert other.given(COMMIT, 5) is None


def test_an_epoch_starts_with_clean_views(lab: Lab) -> None:
    keeper = guard(lab)
    keeper.sign_view_change(change(7))
    keeper.begin_epoch(1, 20)
    assert keeper.vote(COMMIT, 0, 21, D)[1] is not None
