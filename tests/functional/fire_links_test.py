"""Four validators whose links go bad, one fault after another, on one network under payments: nothing forks, nobody is blamed, everything heals.

Partitions, one-way faults, delay, thin and broken connections come from the proxies of `proxy.py`, on any machine. `fire_netns_test.py` does the
same with network namespaces and nftables.
"""

from collections.abc import Iterator

import pytest

from tests.functional.fire_kit import burning, grows, linked, others, primary, view
from tests.functional.fire_load import Payer, pay
from tests.functional.proxy import FaultyLinks

pytestmark = [pytest.mark.functional, pytest.mark.slow]


@pytest.fixture(scope="module")
def fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Payer]:
    with FaultyLinks() as links, burning(tmp_path_factory.mktemp("links"), links=links) as payer:
        yield payer


def links_of(payer: Payer) -> FaultyLinks:
    assert payer.net.links is not None
    return payer.net.links


def test_a_delay_of_25_ms_each_way_is_no_reason_to_run_through_views(fire: Payer) -> None:
    """That it moves no primary at all is for a machine of its own to show: `fire_long_test.py`."""
    net = fire.net
    grows(net, net.validators)
    fire.settle()
    links_of(fire).delay(25)
    before = max(view(node) for node in net.validators)
    grows(net, net.validators, 15)
    assert fire.settle() > 0
    assert max(view(node) for node in net.validators) <= before + 2
    links_of(fire).heal()


def test_a_primary_that_is_cut_off_is_replaced_and_comes_back(fire: Payer) -> None:
    net = fire.net
    lonely = primary(net)
    links_of(fire).partition([lonely.name])
    rest = others(net, lonely)
    grows(net, rest)
    stands = lonely.height
    assert max(node.height for node in rest) > stands
    links_of(fire).heal()
    grows(net, net.validators)
    fire.settle()


def test_two_halves_stand_still_and_go_on_together(fire: Payer) -> None:
    net = fire.net
    left, right = net.validators[:2], net.validators[2:]
    links_of(fire).partition([node.name for node in left])
    net.wait("the halves to lose each other", lambda: all(linked(node) <= 1 for node in net.validators))
    # What was under way has ended; from here on neither half has a quorum.
    stands = [node.height for node in net.validators]
    for half in (left, right):
        waiting = pay(net, half[0], 3)
        assert {item["status"] for item in net.statuses(half[0], waiting, wait_ms=2_000)} == {"pending"}
    assert max(node.height for node in net.validators) <= max(stands)
    links_of(fire).heal()
    grows(net, net.validators)
    fire.settle()


@pytest.mark.parametrize("hears", [False, True], ids=["speaks only", "hears only"])
def test_a_primary_with_one_way_links_holds_nobody_up_and_comes_back(fire: Payer, hears: bool) -> None:
    net = fire.net
    lonely = primary(net)
    rest = others(net, lonely)
    pairs = [(lonely.name, node.name) for node in rest]
    links_of(fire).stall(pairs if hears else [(b, a) for a, b in pairs])
    grows(net, rest)
    links_of(fire).heal()
    grows(net, net.validators)
    fire.settle()


def test_thin_and_breaking_links_hold_nobody_up(fire: Payer) -> None:
    net = fire.net
    links = links_of(fire)
    first, second, third, fourth = (node.name for node in net.validators)
    links.throttle(20_000, [(first, second), (second, first)])
    links.cut(third, fourth)
    for _ in range(5):
        links.break_connections(first, third)
        grows(net, net.validators, 1)
    links.heal()
    grows(net, net.validators)
    fire.settle()
