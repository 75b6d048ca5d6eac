"""`make bench-consensus` in small: its counts are those of the protocol, and its sizes say where a view change stops fitting into a message."""

import pytest

from carbonnode.chain.codec import MAX_BYTES
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.limits import largest_window, new_view_bytes
from carbonnode.chain.quorum import quorum
from carbonnode.consensus.messages import MAX_MESSAGE_BYTES
from scripts.bench_consensus import SIZES, Town, full_new_view, measure_cost, measure_latency, measure_view_change, tables


def test_messages_a_block_are_those_of_the_protocol() -> None:
    four, seven = measure_cost(4, 2), measure_cost(7, 2)
    for cost in (four, seven):
        n = cost.n
        votes = {kind: count for kind, count in cost.kinds.items() if kind != "Status"}
        assert votes == {"PrePrepare": n - 1, "Prepare": (n - 1) ** 2, "Commit": n * (n - 1), "Checkpoint": n * (n - 1)}
        assert cost.kilobytes > 150 * 32 * (n - 1) / 1000, "a proposal names every transaction"
        assert cost.cpu_ms_node > 0
    assert seven.messages > 2 * four.messages


@pytest.mark.parametrize("size", SIZES)
def test_every_size_of_the_bench_is_a_network_that_genesis_admits(size: int) -> None:
    """64 and 100 need a shorter window than the default; the bench once asked for that and broke off."""
    town = Town(size, 1, real_keys=False)
    town.run_for(20)
    assert len(town.nodes) == size
    assert not town.world.violations
    assert (town.window < Parameters().window) is (size > 63)


def test_latency_is_four_or_five_one_way_delays_and_the_disk() -> None:
    near, far = measure_latency(4, 1, 4), measure_latency(4, 100, 4)
    assert near.p50_ms < 60
    assert 400 <= far.p50_ms <= 600


@pytest.mark.parametrize("size", [7, 16])
def test_a_view_change_without_loss_costs_a_square_of_messages(size: int) -> None:
    change = measure_view_change(size)
    assert change.kinds["Suspect"] <= size * (size - 1)
    assert change.kinds["ViewChange"] <= size * (size - 1)
    assert change.messages <= 15 * size * size


@pytest.mark.parametrize("size", [1, 4, 16, 63, 100])
def test_the_bound_that_genesis_holds_covers_the_longest_new_view_and_little_more(size: int) -> None:
    for window in (1, Parameters().window, 2_048):
        assert 0.8 < full_new_view(size, window) / new_view_bytes(quorum(size), window) < 1


def test_what_genesis_admits_fits_into_a_message() -> None:
    assert full_new_view(63, Parameters().window) < MAX_MESSAGE_BYTES == MAX_BYTES
    for size in (4, 16, 63, 100):
        assert full_new_view(size, largest_window(quorum(size))) < MAX_MESSAGE_BYTES


def test_a_view_change_is_measured() -> None:
    change = measure_view_change(4)
    assert change.messages > 3 * 3
    assert 0 < change.new_view_kb <= change.new_view_full_kb
    assert [table.row_count for table in tables([measure_cost(4, 1)], [measure_latency(4, 25, 1)], [change])] == [1, 1, 1]
