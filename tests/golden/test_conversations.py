"""Conversations of replicas as readable text: a change of the protocol shows here as a change of words.

After a change that is meant: `python -m tests.golden.test_conversations`, then read the difference before committing it.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from carbonnode.sim import Simulation
from carbonnode.sim.byzantine import ByzantineNode, equivocate
from carbonnode.sim.world import Weather

FOLDER = Path(__file__).parent / "conversations"


def calm(lines: list[str], *, seed: int = 1, byzantine: int = 0) -> Simulation:
    """Four nodes, links of exactly 5 ms, quick disks, and no clients but the scene's own."""
    simulation = Simulation(seed, byzantine=byzantine, faults=False, trace=lines.append)
    simulation.faults.active = False
    simulation.world.weather = Weather(delay_min=5, delay_max=5)
    for node in simulation.nodes.values():
        node.speeds.fsync_ms = node.speeds.execute_ms = 0
    return simulation


def until(simulation: Simulation, end_ms: int) -> None:
    """Let time pass, to the millisecond."""
    simulation.world.at(end_ms - simulation.world.now, lambda: None)
    while simulation.world.now < end_ms and simulation.world.step():
        pass
    assert not simulation.world.violations


def one_block(lines: list[str]) -> None:
    """The normal case: one transaction, one block."""
    simulation = calm(lines)
    until(simulation, 150)


def primary_killed(lines: list[str]) -> None:
    """The primary dies while idle: suspicion, view change, a block of the new primary."""
    simulation = calm(lines)
    until(simulation, 300)
    simulation.nodes[0].crash(power=False)
    until(simulation, 900)


def primary_equivocates(lines: list[str]) -> None:
    """The primary proposes two batches: evidence, a view change, and one of the two at most."""
    simulation = calm(lines, seed=4, byzantine=1)
    villain = next(node for node in simulation.nodes.values() if isinstance(node, ByzantineNode))
    villain.strategy = equivocate
    villain.victims = {node.number for node in simulation.honest[:1]}
    assert villain.number == 0
    until(simulation, 900)


def all_restart(lines: list[str]) -> None:
    """All lose power between prepare and commit, and finish the block after it."""
    simulation = calm(lines)
    until(simulation, 2_057)
    for node in simulation.nodes.values():
        node.crash(power=True)
    until(simulation, 2_300)
    for node in simulation.nodes.values():
        node.start()
    until(simulation, 2_900)


def lost_messages(lines: list[str]) -> None:
    """One node hears nothing of a block; it asks, and is told."""
    simulation = calm(lines)
    until(simulation, 200)
    simulation.world.weather.blocked = {(source, 3) for source in range(3)}
    until(simulation, 2_200)
    simulation.world.weather.blocked = set()
    until(simulation, 2_900)


SCENES: tuple[Callable[[list[str]], None], ...] = (one_block, primary_killed, primary_equivocates, all_restart, lost_messages)


def text_of(scene: Callable[[list[str]], None]) -> str:
    """The scene as text."""
    lines: list[str] = []
    scene(lines)
    return f"# {scene.__doc__}\n\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_conversation(scene: Callable[[list[str]], None]) -> None:
    path = FOLDER / f"{scene.__name__}.txt"
    assert text_of(scene) == path.read_text("utf-8"), f"{path.name} changed: run `python -m tests.golden.test_conversations` and read the difference"


def test_no_conversation_is_without_a_scene() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {scene.__name__ for scene in SCENES}


if __name__ == "__main__":
    for each in SCENES:
        (FOLDER / f"{each.__name__}.txt").write_text(text_of(each), "utf-8")
