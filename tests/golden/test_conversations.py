"""Conversations of replicas as readable text: a change of the protocol shows here as a change of words.

After a change that is meant: `python -m tests.golden.test_conversations`, then read the difference before committing it.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from carbonnode.sim import Simulation
from carbonnode.sim.byzantine import ByzantineNode, equivocate
from carbonnode.sim.liars import changed_chunks
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


def view_change_with_certificates(lines: list[str]) -> None:
    """A height is prepared, hardly a commit gets through, the primary dies: the new view proposes the same batch again."""
    simulation = calm(lines)
    until(simulation, 205)
    world = simulation.world
    everyone = {(a, b) for a in range(4) for b in range(4) if a != b}
    # The proposal arrives at 218 + 5 ms and the votes at 228 ms: from 226 ms on nothing that is sent arrives, commits among it.
    world.at(226 - world.now, lambda: world.weather.blocked.update(everyone))
    until(simulation, 240)
    simulation.nodes[0].crash(power=False)
    world.weather.blocked.clear()
    until(simulation, 900)


def laggard_syncs(lines: list[str]) -> None:
    """A node is away for more than a window of blocks, takes certified blocks over when it is back, and votes again."""
    simulation = calm(lines)
    until(simulation, 300)
    simulation.nodes[3].crash(power=False)
    for number in range(10):
        simulation.world.at(400 + 250 * number, lambda: simulation.nodes[1].admit(simulation._transaction()))
    until(simulation, 3_600)
    lines.clear()
    simulation.nodes[3].start()
    until(simulation, 4_300)


def lost_disk_abstains(lines: list[str]) -> None:
    """A node comes back with an empty disk: it asks what is certified, follows, and says nothing that could contradict what it forgot."""
    simulation = calm(lines)
    until(simulation, 300)
    node = simulation.nodes[3]
    node.crash(power=True)
    node.disk = type(node.disk)(blocks=[(simulation.world.execution.genesis, None)])
    simulation.checks.abstainers.add(3)
    simulation.checks.lost_disk(3)
    until(simulation, 400)
    lines.clear()
    node.start()
    until(simulation, 3_000)


def validator_joins(lines: list[str]) -> None:
    """A transaction adds a fifth validator: the old four certify the last height of their epoch, and the five go on in view 0 of the next."""
    simulation = Simulation(1, byzantine=0, reconfigure=True, faults=False, trace=lines.append)
    simulation.faults.active = False
    simulation.world.weather = Weather(delay_min=5, delay_max=5)
    for node in simulation.nodes.values():
        node.speeds.fsync_ms = node.speeds.execute_ms = 0
    simulation.world.execution.plans[plan := simulation._transaction()] = (0, 1, 2, 3, 4)
    simulation.nodes[0].admit(plan)
    for number in range(14):
        simulation.world.at(100 + 210 * number, lambda: simulation.nodes[1].admit(simulation._transaction()))
    while simulation.checks.top < 9:
        until(simulation, simulation.world.now + 5)
    lines.clear()
    while simulation.checks.top < 11:
        until(simulation, simulation.world.now + 5)


def snapshot_taken_over(lines: list[str]) -> None:
    """A node comes back when nobody has its next block any more: it fetches the state in chunks, refuses a liar's, is killed in the middle, and goes on."""
    simulation = calm(lines, seed=4, byzantine=1)
    for node in simulation.nodes.values():
        node.prunes, node.kept_snapshots, node.sync_every = True, 1, 4
    liar = next(node for node in simulation.nodes.values() if isinstance(node, ByzantineNode))
    liar.agrees = False
    liar.lie = changed_chunks
    newcomer = simulation.honest[-1]
    until(simulation, 300)
    newcomer.crash(power=False)
    for number in range(16):
        simulation.world.at(400 + 230 * number, lambda: simulation.honest[0].admit(simulation._transaction()))
    while simulation.checks.top < 12:
        until(simulation, simulation.world.now + 5)
    until(simulation, simulation.world.now + 100)
    lines.clear()
    newcomer.start()
    while len(newcomer.disk.incoming.chunks) < 7:
        until(simulation, simulation.world.now + 1)
    newcomer.crash(power=True)
    until(simulation, simulation.world.now + 100)
    newcomer.start()
    while newcomer.transfers == 0:
        until(simulation, simulation.world.now + 1)
    until(simulation, simulation.world.now + 50)


SCENES: tuple[Callable[[list[str]], None], ...] = (
    one_block,
    primary_killed,
    primary_equivocates,
    all_restart,
    lost_messages,
    view_change_with_certificates,
    laggard_syncs,
    lost_disk_abstains,
    validator_joins,
    snapshot_taken_over,
)


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
