"""Named situations in the simulator, with what must come of them."""

import pytest

from carbonnode.sim import Simulation
from carbonnode.sim.byzantine import ByzantineNode, equivocate, silent, wrong_roots
from carbonnode.sim.liars import LIES, Lie
from carbonnode.sim.node import SimNode


def quiet(seed: int, replicas: int = 4, byzantine: int = 0) -> Simulation:
    return Simulation(seed, replicas=replicas, byzantine=byzantine, faults=False)


def primary_of(simulation: Simulation) -> SimNode:
    for node in simulation.nodes.values():
        if node.memory is not None:
            state = node.memory.replica.state()
            if state.index == state.primary and state.active:
                return node
    raise AssertionError("nobody leads")


def run_for(simulation: Simulation, duration_ms: int) -> None:
    end = simulation.world.now + duration_ms
    while simulation.world.now < end and simulation.world.step():
        pass
    assert not simulation.world.violations


def time_to_next_block(simulation: Simulation, limit_ms: int = 60_000) -> int:
    start, height = simulation.world.now, simulation.checks.top
    while simulation.checks.top == height:
        assert simulation.world.step()
        assert simulation.world.now - start < limit_ms, "no block"
        assert not simulation.world.violations
    return simulation.world.now - start


@pytest.mark.parametrize("seed", range(20))
def test_fail_over_after_killing_the_primary_stays_far_below_three_seconds(seed: int) -> None:
    simulation = quiet(seed)
    run_for(simulation, 3_000 + 37 * seed)
    primary_of(simulation).crash(power=False)
    # A block that was under way may still come; the one after it needs the new primary.
    time_to_next_block(simulation)
    assert time_to_next_block(simulation) < 1_500


def test_fail_over_is_the_same_when_the_killed_primary_takes_the_next_one_with_it() -> None:
    simulation = quiet(3, replicas=7)
    run_for(simulation, 3_000)
    first = primary_of(simulation)
    following = simulation.nodes[(first.number + 1) % 7]
    first.crash(power=False)
    following.crash(power=False)
    time_to_next_block(simulation)
    assert time_to_next_block(simulation) < 2_000


@pytest.mark.slow
def test_no_view_change_in_ten_quiet_minutes_busy_or_idle() -> None:
    simulation = quiet(5)
    run_for(simulation, 300_000)
    simulation.faults.active = False  # clients stop
    run_for(simulation, 300_000)
    assert simulation.checks.views == set()
    assert simulation.checks.top > 800


def test_a_restart_of_all_at_once_recovers_in_bounded_time() -> None:
    for seed in range(10):
        simulation = quiet(seed)
        run_for(simulation, 2_000 + 13 * seed)
        for node in simulation.nodes.values():
            node.crash(power=True)
        run_for(simulation, 500)
        for node in simulation.nodes.values():
            node.start()
        assert time_to_next_block(simulation) < 5_000


def test_a_half_hour_pause_in_the_middle_of_a_view_change_ends_in_bounded_time() -> None:
    for seed in range(10):
        simulation = quiet(seed)
        run_for(simulation, 2_000)
        primary_of(simulation).crash(power=False)
        run_for(simulation, 200 + 10 * seed)
        simulation.world.pause(30 * 60_000)
        assert time_to_next_block(simulation) < 10_000


def test_an_equivocating_primary_is_proven_faulty_and_replaced() -> None:
    simulation = quiet(2, byzantine=1)
    villain = next(node for node in simulation.nodes.values() if isinstance(node, ByzantineNode))
    villain.strategy = equivocate
    villain.victims = {node.number for node in simulation.honest[:1]}
    run_for(simulation, 60_000)
    assert simulation.checks.proven_faulty == {villain.number}
    assert simulation.checks.top > 20


def test_a_silent_validator_costs_nothing_but_its_turns() -> None:
    simulation = quiet(2, byzantine=1)
    villain = next(node for node in simulation.nodes.values() if isinstance(node, ByzantineNode))
    villain.strategy = silent
    run_for(simulation, 30_000)
    assert simulation.checks.top > 20


def test_wrong_roots_of_one_validator_never_certify_nor_stop_anything() -> None:
    simulation = quiet(2, byzantine=1)
    villain = next(node for node in simulation.nodes.values() if isinstance(node, ByzantineNode))
    villain.strategy = wrong_roots
    villain.victims = {node.number for node in simulation.honest}
    run_for(simulation, 30_000)
    assert simulation.checks.top > 20


def test_a_wrong_executor_is_alarmed_about_and_healed_by_a_sync() -> None:
    simulation = quiet(4)
    run_for(simulation, 2_000)
    node = simulation.nodes[2]
    simulation.checks.trusted_wrong.add(2)
    node.speeds.wrong_roots = True
    run_for(simulation, 20_000)
    assert simulation.checks.alarms["divergence"] >= 1
    assert not node.speeds.wrong_roots
    assert node.memory is not None
    assert not node.memory.replica.state().diverged
    assert abs(node.height - simulation.checks.top) <= 2


def test_a_lost_disk_abstains_and_comes_back() -> None:
    simulation = quiet(6)
    run_for(simulation, 3_000)
    node = simulation.nodes[1]
    simulation.faults.spare = 1
    node.crash(power=True)
    node.disk = type(node.disk)(blocks=[(simulation.world.execution.genesis, None)])
    assert node.has_voted
    simulation.checks.abstainers.add(1)
    simulation.checks.lost_disk(1)
    run_for(simulation, 500)
    node.start()
    assert node.memory is not None
    assert node.memory.replica.state().abstaining
    run_for(simulation, 40_000)
    assert simulation.checks.alarms["abstaining-over"] == 1
    assert not node.memory.replica.state().abstaining


@pytest.mark.parametrize("lie", list(dict.fromkeys(LIES)))
def test_a_wiped_node_takes_over_a_snapshot_whatever_a_liar_says(lie: Lie) -> None:
    simulation = quiet(8, byzantine=1)
    for each in simulation.nodes.values():
        each.prunes, each.kept_snapshots, each.sync_every = True, 2, 4
        if isinstance(each, ByzantineNode):
            each.agrees, each.lie = False, lie
    run_for(simulation, 3_000)
    simulation.faults.active = False  # clients stop
    assert simulation.checks.top >= 8
    node = simulation.honest[1]
    node.crash(power=True)
    node.disk = type(node.disk)(blocks=[(simulation.world.execution.genesis, None)])
    simulation.checks.abstainers.add(node.number)
    simulation.checks.lost_disk(node.number)
    node.start()
    while node.height < 8 or node.memory is None or node.memory.replica.state().syncing:
        run_for(simulation, 100)
        assert simulation.world.now < 60_000
    assert node.transfers == 1


def test_two_kills_of_four_stop_the_chain_safely_and_it_resumes() -> None:
    simulation = quiet(7)
    run_for(simulation, 2_000)
    down = [simulation.nodes[0], simulation.nodes[2]]
    for node in down:
        node.crash(power=False)
    run_for(simulation, 1_000)
    height = simulation.checks.top
    run_for(simulation, 30_000)
    assert simulation.checks.top == height
    for node in down:
        node.start()
    assert time_to_next_block(simulation) < 5_000


def test_validators_join_and_leave_under_load() -> None:
    simulation = Simulation(9, replicas=4, byzantine=0, reconfigure=True, faults=False)
    run_for(simulation, 40_000)
    chain = simulation.checks.chain
    sizes = {len(block.epoch.validators) for block in chain[1:]}
    assert len({block.epoch.epoch for block in chain[1:]}) >= 3
    assert len(sizes) >= 2
