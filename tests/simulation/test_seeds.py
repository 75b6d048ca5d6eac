"""Seeds through the simulator: safe at every step, live after healing. No seed is ever excluded; `make sim SEED=n` shows one."""

import pytest

from carbonnode.errors import ConfigError
from carbonnode.sim import HEAL_BOUND_MS, Simulation, simulate, standard

BLOCKS = 10
SEEDS_A_BLOCK = 50
"""500 seeds in the suite, in blocks so that they spread over workers."""


def check(seed: int, replicas: int, byzantine: int, steps: int, *, reconfigure: bool = False) -> None:
    result = simulate(seed, replicas, byzantine, steps, reconfigure=reconfigure)
    again = f"carbonnode sim --seed {seed} --replicas {replicas} --byzantine {byzantine} --steps {steps} --trace (reconfigure={reconfigure})"
    assert not result.violations, f"{result.violations[0]}: {again}"
    assert result.converged, f"no convergence within {HEAL_BOUND_MS} ms of healing: {again}"


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_500_seeds(block: int) -> None:
    for seed in range(block * SEEDS_A_BLOCK, (block + 1) * SEEDS_A_BLOCK):
        check(seed, **standard(seed))


@pytest.mark.parametrize(("replicas", "byzantine"), [(7, 2), (10, 3), (13, 4)])
def test_larger_networks_with_all_the_villains_they_tolerate(replicas: int, byzantine: int) -> None:
    for seed in (1, 2):
        check(seed, replicas, byzantine, 4_000, reconfigure=seed == 2)


@pytest.mark.parametrize(
    ("seed", "replicas", "byzantine", "steps", "reconfigure"),
    [
        (0, 4, 1, 2_000, False),  # a released send was held again, behind later ones
        (11, 4, 1, 2_000, False),  # only a Byzantine node held a certified block: whoever signed it makes it again
        (38, 4, 1, 2_000, False),  # one replica in a later view, one that suspects: neither counted for the other
        (85, 4, 0, 2_000, False),  # a second wish to sync overtook the answer to the first
        (106, 4, 1, 2_000, False),  # views scattered over two heights of the ladder, no quorum at either
        (178, 4, 0, 2_000, False),  # certificates forgotten by restarted nodes, ordered blocks above them
        (1132, 4, 1, 6_000, False),  # a height ordered in an earlier view lacked votes in this one, and nobody asked for them
        (3001, 4, 0, 8_000, True),  # a follower's own sync overtook a block that waited for the disk
        (7130, 4, 0, 8_000, True),  # the same, with overlays dropped under it
        (30196, 4, 0, 4_000, False),  # a full window, its missing voter alone in a later view
        (686, 4, 0, 3_000, False),  # power took a window of blocks: certificates far above what was left got an honest node refused and blamed
        (660, 5, 0, 2_000, True),  # a node with wrong headers voted on past the end of an epoch whose change it had not executed
        (1451, 4, 1, 2_000, True),  # power took a window of blocks, and a vote above what was left was forgotten by all but the guard
        (3334, 5, 1, 2_000, False),  # a villain alone could prove a height, and led a view above what one node lacked; syncs in vain counted as progress
        (3639, 4, 0, 2_000, False),  # a full window beside a node in a later view: syncs in vain counted as progress, so patience never ran out
        (3819, 4, 0, 2_000, False),  # who abstained handed on its own old proposal, as others had kept it
        (4717, 4, 1, 2_000, False),  # a vote given between the marks, and said first after a kill that took the last block: the checker blamed it
        (6135, 4, 0, 2_000, True),  # the mark of lost votes didn't outlive a second loss of power (in the simulator; a node's lies beside its keys)
        (6927, 4, 0, 2_000, False),  # the same, in a view change
        (100011, 4, 0, 2_000, True),  # votes of an epoch were durable before the block that it begins with was final anywhere: the checker stumbled
        (20049, 4, 1, 15_000, False),  # power took blocks, and a new view proposed again what had been prepared above their marks: no vote of its primary's
        (219, 4, 0, 2_000, False),  # who lost its disk handed a NEW-VIEW on that it had signed before
        (2, 5, 1, 3_000, True),  # transactions known from a fallen proposal were nobody's to propose again
    ],
)
def test_seeds_that_failed_once(seed: int, replicas: int, byzantine: int, steps: int, reconfigure: bool) -> None:
    check(seed, replicas, byzantine, steps, reconfigure=reconfigure)


def test_the_standard_configuration_covers_all_networks() -> None:
    kinds = {(c["replicas"], c["byzantine"], c["reconfigure"]) for c in map(standard, range(2_000))}
    assert kinds == {(n, b, r) for n in range(4, 11) for b in range((n - 1) // 3 + 1) for r in (False, True)}


def test_the_same_seed_gives_the_same_run() -> None:
    assert simulate(7, 4, 1, 1_500) == simulate(7, 4, 1, 1_500)
    assert simulate(7, 4, 1, 1_500).digest != simulate(8, 4, 1, 1_500).digest


@pytest.mark.parametrize("seed", [-7, 1 << 70])
def test_any_number_is_a_seed(seed: int) -> None:
    assert simulate(seed, 4, 1, 300).ok


def test_a_traced_run_is_the_same_run() -> None:
    lines: list[str] = []
    traced = simulate(7, 4, 1, 1_000, trace=lines.append)
    assert traced == simulate(7, 4, 1, 1_000)
    assert len(lines) > 100


def test_the_result_is_the_interfaces_document() -> None:
    data = simulate(3, 4, 1, 500).to_json()
    promised = {"seed", "replicas", "byzantine", "heights", "committed", "view_changes", "crashes", "violations", "converged", "digest"}
    assert promised <= set(data)
    assert data["violations"] == []
    assert data["converged"] is True


@pytest.mark.parametrize(("replicas", "byzantine"), [(4, 2), (3, 1), (0, 0), (4, -1)])
def test_impossible_networks_are_refused(replicas: int, byzantine: int) -> None:
    with pytest.raises(ConfigError):
        simulate(1, replicas, byzantine, 10)


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_tiny_networks_make_blocks(replicas: int) -> None:
    assert Simulation(1, replicas=replicas, byzantine=0, faults=False).run(600).ok
