"""`make bench-consensus` in small: its counts are those of the protocol, and its sizes say where a view change stops fitting into a message."""

import pytest

from carbonnode.chain.genesis import Parameters
from carbonnode.consensus.messages import MAX_MESSAGE_BYTES
from scripts.bench_consensus import full_new_view, measure_cost, measure_latency, measure_view_change, tables


def test_messages_a_block_are_those_of_the_protocol() -> None:
    four, seven = measure_cost(4, 2), measure_cost(7, 2)
    for cost in (four, seven):
        n = cost.n
        votes = {kind: count for kind, count in cost.kinds.items() if kind != "Status"}
        assert votes == {"PrePrepare": n - 1, "Prepare": (n - 1) ** 2, "Commit": n * (n - 1), "Checkpoint": n * (n - 1)}
        assert cost.kilobytes > 150 * 32 * (n - 1) / 1000, "a proposal names every transaction"
        assert cost.cpu_ms_node > 0
    assert seven.messages > 2 * four.messages


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


def test_a_view_change_is_measured_and_its_largest_message_bounds_the_validators() -> None:
    change = measure_view_change(4)
    assert change.messages > 3 * 3
    assert 0 < change.new_view_kb <= change.new_view_full_kb
    window = Parameters().window
    assert full_new_view(90, window) <= MAX_MESSAGE_BYTES < full_new_view(91, window)
    assert [table.row_count for table in tables([measure_cost(4, 1)], [measure_latency(4, 25, 1)], [change])] == [1, 1, 1]
