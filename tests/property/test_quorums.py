"""Quorum arithmetic for every network size, over all pairs of quorums' sizes (PBFT.md 1)."""

from itertools import combinations

import pytest

from carbonnode.chain.quorum import faults, majority, quorum


@pytest.mark.parametrize("count", range(4, 101))
def test_two_quorums_meet_in_an_honest_replica_and_the_honest_are_one(count: int) -> None:
    f, q = faults(count), quorum(count)
    assert f == (count - 1) // 3
    assert q == -(-(count + f + 1) // 2)
    # Two sets of q out of n overlap in at least 2q - n members, whichever they are: one of them is honest.
    assert 2 * q - count >= f + 1
    assert q <= count - f
    # And it is the least such number: with one less, two quorums could meet in Byzantine members only.
    assert 2 * (q - 1) - count < f + 1


@pytest.mark.parametrize("count", range(4, 8))
def test_the_formula_against_every_pair_of_quorums(count: int) -> None:
    f, q = faults(count), quorum(count)
    for one in combinations(range(count), q):
        for other in combinations(range(count), q):
            assert len(set(one) & set(other)) > f


@pytest.mark.parametrize("count", range(1, 101))
def test_majorities_meet(count: int) -> None:
    assert 2 * majority(count) > count
