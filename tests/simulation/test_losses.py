"""f members are killed for good while others come back from their journals: whoever is left must make blocks within a bound (`make losses` for many)."""

import pytest

from carbonnode.consensus import liveness
from carbonnode.sim.losses import lose

BOUND_MS = 15_000
"""Two seconds until an idle block is due, four time-outs of a full window, and view changes that find others' disks and executors slow; most seen: 9.2 s."""


@pytest.mark.parametrize(("replicas", "window", "count"), [(4, 32, 20), (4, 4, 10), (4, 1, 10), (7, 8, 5)])
def test_whoever_is_left_goes_on_within_a_bound(replicas: int, window: int, count: int) -> None:
    for seed in range(count):
        loss = lose(seed, replicas, window)
        again = f"python scripts/sim_losses.py --first {seed} --count 1 --replicas {replicas} --window {window} --trace"
        assert not loss.violations, f"{loss}: {again}"
        assert loss.longest_ms <= BOUND_MS, f"{loss}: {again}"


def test_a_network_that_asks_for_nothing_again_stands_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound bites: links lose what is under way when they break, and here nobody says it again."""
    monkeypatch.setattr(liveness, "maintain", lambda _core: None)
    assert max(lose(seed).longest_ms for seed in range(8)) > BOUND_MS


def test_the_same_seed_is_the_same_loss() -> None:
    assert lose(3) == lose(3) != lose(4)
