"""Quorum arithmetic for every n (PBFT.md, point 1)."""

import pytest

from carbonnode.chain.quorum import faults, quorum


@pytest.mark.parametrize("n", range(4, 101))
def test_two_quorums_meet_in_an_honest_replica(n: int) -> None:
    """Any two quorums of q share at least 2q - n members, more than the f that may be Byzantine; and n - f honest ones can form one."""
    q, f = quorum(n), faults(n)
    assert 3 * f + 1 <= n
    assert 2 * q - n >= f + 1
    assert q <= n - f
    assert 2 * (q - 1) - n < f + 1  # no smaller quorum is safe


def test_formula_is_the_published_one() -> None:
    """It is q = ceil((n + f + 1) / 2)."""
    assert [quorum(n) for n in range(4, 14)] == [-((-(n + faults(n) + 1)) // 2) for n in range(4, 14)]
