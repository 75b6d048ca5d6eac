"""f members are killed for good while others come back from their journals: whoever is left must make blocks within a bound (`make losses` for many)."""

import pytest

from carbonnode.chain.genesis import Parameters
from carbonnode.consensus import liveness
from carbonnode.sim import Simulation, losses
from carbonnode.sim.losses import lose
from tests.simulation.test_scenarios import run_for, time_to_next_block

BOUND_MS = 15_000
"""Two seconds until an idle block is due, four time-outs of a full window, and view changes that find others' disks and executors slow; most seen: 13.2 s."""


@pytest.mark.parametrize(("replicas", "window", "count"), [(4, 32, 20), (4, 4, 10), (4, 1, 10), (7, 8, 5)])
def test_whoever_is_left_goes_on_within_a_bound(replicas: int, window: int, count: int) -> None:
    for seed in range(count):
        loss = lose(seed, replicas, window)
        again = f"python scripts/sim_losses.py --first {seed} --count 1 --replicas {replicas} --window {window} --trace"
        assert not loss.violations, f"{loss}: {again}"
        assert loss.longest_ms <= BOUND_MS, f"{loss}: {again}"


def test_who_comes_back_late_votes_on_what_the_dead_one_helped_to_order() -> None:
    """n3's executor hangs and n2 is away while n0, n1 and n3 order on; n3 dies before anything of it is certified, and n2 finds times long past."""
    for seed in range(5):
        simulation = Simulation(seed, replicas=4, byzantine=0, faults=False)
        run_for(simulation, 1_000)
        simulation.nodes[3].speeds.hangs = True
        simulation.nodes[2].crash(power=False)
        run_for(simulation, Parameters().time_skew_ms + 1_500)
        simulation.nodes[3].crash(power=False)
        simulation.nodes[2].start()
        assert time_to_next_block(simulation) < 1_500


def test_a_network_that_asks_for_nothing_again_stands_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound bites: links lose what is under way when they break, and here nobody says it again."""
    monkeypatch.setattr(liveness, "maintain", lambda _core: None)
    monkeypatch.setattr(losses, "GIVE_UP_MS", BOUND_MS + 1)
    assert any(lose(seed).longest_ms > BOUND_MS for seed in range(8))


def test_the_same_seed_is_the_same_loss() -> None:
    assert lose(3) == lose(3) != lose(4)
