"""Links that work against the protocol: what they are to bring about comes about, and the protocol stands it."""

from collections.abc import Callable

import pytest

from carbonnode.consensus.messages import Message, NewView
from carbonnode.sim import simulate, standard
from carbonnode.sim.world import World

SEEDS = range(7, 207, 10)
PHASES = ("alone hears PREPAREs", "is cut off", "hear PREPAREs again", "nobody hears PREPAREs")


def test_views_begin_with_a_height_that_was_prepared_with_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the fault that the adversary is for could not show: the lowest prepared view winning."""
    disputed = set()
    carry = World.carry

    def carried(world: World, source: int, target: int, message: Message, deliver: Callable[[Message], None]) -> None:
        if isinstance(message, NewView):
            proofs = {(p.height, p.view, p.digest) for change in message.view_changes for p in change.prepared}
            heights = [height for height, digest in {(height, digest) for height, _, digest in proofs}]
            if len(heights) > len(set(heights)):
                disputed.add(world.execution.founding.chain_id)
        carry(world, source, target, message, deliver)

    monkeypatch.setattr(World, "carry", carried)
    for seed in SEEDS:
        result = simulate(seed, **standard(seed))
        assert not result.violations, (seed, result.violations[0])
        assert result.converged, seed
    assert len(disputed) >= 4


def test_it_goes_through_its_phases_and_other_trouble_follows() -> None:
    lines: list[str] = []
    simulate(17, **standard(17), trace=lines.append)
    places = [next(place for place, line in enumerate(lines) if phase in line) for phase in PHASES]
    assert places == sorted(places)


def test_other_seeds_know_no_adversary() -> None:
    lines: list[str] = []
    simulate(16, **standard(16), trace=lines.append)
    assert not any(phase in line for line in lines for phase in PHASES)
