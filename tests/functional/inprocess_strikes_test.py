"""Whole validators in one process and in virtual time, under strikes: a bounded part of what `scripts/hunt_nodes.py` does for hours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.inprocess_hunt import SLOW_S, Network, Standstill, hunt

pytestmark = pytest.mark.slow


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path, seed=1)
    network.up()
    yield network
    network.close()


@pytest.mark.parametrize(("seed", "strikes", "validators"), [(1, 12, 4), (2, 6, 5), (3, 4, 7)])
def test_strikes_at_random_are_got_over(tmp_path: Path, seed: int, strikes: int, validators: int) -> None:
    slowest, fault = hunt(tmp_path, seed, strikes, validators, show=60)
    assert not fault, fault
    assert max(took for took, _ in slowest) < 2 * SLOW_S, slowest


def test_one_dies_as_soon_as_another_is_back(net: Network) -> None:
    """The one that came back is needed for every quorum then."""
    super_1, _, _, coordination_2 = net.members
    for hits in range(1, 6):
        coordination_2.kill()
        coordination_2.start("blockstore.after", hits)
        net.wait("the store's crash point", lambda: not coordination_2.alive)
        net.grow(1)
        coordination_2.start()
        net.wait("it to be back", lambda: coordination_2.height >= net.top)
        super_1.kill()
        super_1.expects_fault = True
        super_1.start("flush.before", 1)
        net.wait("the executor's crash point", lambda: not super_1.alive or (super_1.started and super_1.executor.restarts >= 1))
        super_1.kill()
        super_1.expects_fault = False
        net.grow(1)
        super_1.start()
        net.all_well()
    net.settle()


def test_a_quorum_with_one_ear_deaf_stands_still_and_says_so(net: Network) -> None:
    """What the hunt is for can be seen by it: without one validator every link of the others counts, and each of them tells that no block is made."""
    super_1, super_2, coordination_1, coordination_2 = net.members
    super_1.kill()
    net.grow()
    (link,) = net.hub.links_of(coordination_1.name, coordination_2.name)
    link.deaf.add(coordination_1.name)
    with pytest.raises(Standstill):
        net.grow(40)
    for member in (super_2, coordination_1, coordination_2):
        assert any("no new block" in line for line in member.lines), member.name
    # Whoever is linked and yet not heard is named where it isn't heard, and only there.
    told = {member.name: [line for line in member.lines if "no new block" in line][-1].partition("unheard=")[2] for member in (super_2, coordination_1)}
    assert "coordination-2" in told["coordination-1"]
    assert "super-2" not in told["coordination-1"]
    assert "coordination-2" not in told["super-2"]
    link.deaf.clear()
    net.grow()
    net.all_well()


def test_payments_are_final_everywhere_after_all_were_killed_at_once(net: Network) -> None:
    net.world.wait(5.0)
    for member in net.members:
        member.kill()
    net.all_well()
    net.settle()
    final = sum(net.members[0].node.history.place(tx) is not None for tx in net.paid)
    assert final > 20
