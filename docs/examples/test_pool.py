"""Tests of the worked example: `carbonnode contract test docs/examples`."""

from pathlib import Path

import pytest

from carbonnode.local.testing import Deployed, LocalChain, LocalRefusal, key_of

DAY_MS = 86_400_000
STEWARD, ANN, BOB = key_of("steward"), key_of("ann"), key_of("bob")


@pytest.fixture
def pool(deploy) -> Deployed:
    """A pool with a reward of 1,000 fen, open for 30 days."""
    made = deploy("pool.py", STEWARD, 1_000)
    made.by("steward").call("start", 30)
    return made


def test_the_reward_is_shared_by_what_was_confirmed(pool: Deployed, local_chain: LocalChain) -> None:
    pool.by("ann").expect("pledge", 10, value=10)
    pool.by("bob").expect("pledge", 40, value=40)
    pool.by("steward").expect("confirm", ANN, 10, value=10)
    pool.by("steward").expect("confirm", BOB, 20, value=20)
    pool.by("ann").expect("claim", code="pool.not-closed")
    local_chain.advance(30 * DAY_MS)
    pool.by("ann").expect("claim", value=333)
    pool.by("bob").expect("claim", value=666)
    assert pool.view("summary")[2:] == (50, 30, 999)
    assert [event.fields["confirmed_t"] for event in pool.events("PoolClosed")] == [30]


def test_nobody_claims_twice_or_without_savings(pool: Deployed, local_chain: LocalChain) -> None:
    pool.by("ann").call("pledge", 10)
    pool.by("bob").call("pledge", 10)
    pool.by("steward").call("confirm", ANN, 1)
    local_chain.advance(30 * DAY_MS)
    pool.by("bob").expect("claim", code="pool.nothing-confirmed")
    pool.by("ann").call("claim")
    pool.by("ann").expect("claim", code="pool.claimed")
    pool.by("ann").expect("pledge", 1, code="pool.not-open")


@pytest.mark.parametrize("tonnes", [0, -1, 10**9 + 1])
def test_pledges_have_bounds(pool: Deployed, tonnes: int) -> None:
    pool.by("ann").expect("pledge", tonnes, code="pool.tonnes")
    assert pool.view("member", ANN) == (0, 0, 0)


def test_only_the_steward_confirms_and_not_beyond_the_pledge(pool: Deployed) -> None:
    pool.by("ann").call("pledge", 5)
    pool.by("ann").expect("confirm", ANN, 1, code="pool.not-steward")
    pool.by("steward").expect("confirm", ANN, 6, code="pool.beyond-pledge")
    pool.by("steward").expect("finish", code="pool.not-scheduled")


def test_two_ways_from_one_moment(pool: Deployed, local_chain: LocalChain) -> None:
    pool.by("ann").call("pledge", 10)
    before = local_chain.snapshot()
    local_chain.advance(31 * DAY_MS)
    assert pool.view("summary")[0] is False
    local_chain.restore(before)
    assert pool.view("summary")[0] is True
    pool.by("ann").expect("pledge", 1, value=11)


def test_upgrade_counts_the_members_and_a_rollback_finds_its_storage(pool: Deployed, local_chain: LocalChain) -> None:
    pool.by("ann").call("pledge", 10)
    pool.by("bob").call("pledge", 20)
    local_chain.upgrade("pool", Path(__file__).with_name("pool_v2.py").read_text())
    assert pool.view("size") == 2
    pool.by("bob").call("leave")
    assert (pool.view("size"), pool.view("summary")[2]) == (1, 10)
    local_chain.rollback("pool", 1)
    pool.by("ann").expect("pledge", 1, value=11)
    with pytest.raises(LocalRefusal, match=r"vm\.no-method"):
        pool.view("size")
