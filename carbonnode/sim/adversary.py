"""A network that works against the protocol: heights prepared in one view by one node alone, in the next by the others, then both together in a third.

Chance comes by this rarely; what a new view starts from is decided there (PBFT.md 25 to 30). It makes nothing that links couldn't do: it drops messages.
"""

from collections.abc import Callable

from carbonnode.consensus.messages import Commit, Prepare
from carbonnode.sim.node import SimNode
from carbonnode.sim.world import World

_BEGIN_MS = 300
_LOOK_MS = 20
_PHASE_MS = 8_000
"""How long it waits for what it wants before it gives up."""


class Adversary:
    """Splits what was prepared between two views, again and again until `active` says no; after the first attempt it is `done` with being alone."""

    def __init__(self, world: World, nodes: dict[int, SimNode], active: Callable[[], bool], done: Callable[[], None]) -> None:
        self.world = world
        self.nodes = nodes
        self.active = active
        self._done: Callable[[], None] | None = done

    def begin(self) -> None:
        """Strike soon, when the network has something to lose."""
        self.world.at(_BEGIN_MS, self._choose)

    def _choose(self) -> None:
        """One honest member that leads neither this view nor the next two, if there is one: it alone hears PREPAREs, nobody hears COMMITs."""
        chosen = self._candidate()
        if chosen is None:
            self._again()
            return
        number, view = chosen
        self.world.note(f"n{number} alone hears PREPAREs of view {view}, nobody COMMITs")
        self.world.weather.muted[Commit] = None
        self.world.weather.muted[Prepare] = number
        self._when(lambda: self._proven_in(number) == view, lambda: self._leave_out(number, view))

    def _candidate(self) -> tuple[int, int] | None:
        for number, node in sorted(self.nodes.items()):
            state = node.memory.replica.state() if node.honest and node.memory is not None else None
            if state is None or not state.active or state.index is None:
                continue
            count = len(node.memory.validators.validators)  # type: ignore[union-attr]  # it runs
            if count >= 4 and (state.index - state.primary) % count >= 3:
                return number, state.view
        return None

    def _leave_out(self, number: int, view: int) -> None:
        """The others go to the next view without it, knowing nothing of what it prepared."""
        self.world.note(f"n{number} is cut off")
        self.world.weather.cut_off = number
        self._when(lambda: self._highest_view() > view, lambda: self._prepare_other(number, view))

    def _prepare_other(self, number: int, view: int) -> None:
        """They prepare something else there."""
        self.world.note(f"those without n{number} hear PREPAREs again")
        self.world.weather.muted.pop(Prepare, None)
        others = [other for other in self.nodes if other != number]
        self._when(lambda: any(self._proven_in(other) > view for other in others), lambda: self._join(number, view))

    def _join(self, number: int, view: int) -> None:
        """Now all meet, and somebody leads a view from what both sides prepared: nobody hears PREPAREs, so that neither side forgets its own."""
        self.world.note(f"n{number} is back, nobody hears PREPAREs")
        self.world.weather.muted[Prepare] = None
        self.world.weather.cut_off = None
        self._when(lambda: self._highest_view() > view + 1, self._again)

    def _again(self) -> None:
        weather = self.world.weather
        weather.cut_off = None
        weather.muted.clear()
        if self._done is not None:
            self._done()
            self._done = None
        if self.active():
            self.world.at(_BEGIN_MS, self._choose)

    def _when(self, wanted: Callable[[], bool], then: Callable[[], None]) -> None:
        deadline = self.world.now + _PHASE_MS

        def look() -> None:
            if not self.active() or self.world.now > deadline:
                self._again()
            elif wanted():
                then()
            else:
                self.world.at(_LOOK_MS, look)

        look()

    def _proven_in(self, number: int) -> int:
        """The view of the prepared certificate that a node kept last, if that is above its stable state."""
        node = self.nodes[number]
        height, view = node.checks.prepared.get(number, (0, 0))
        return view if node.memory is not None and height > node.memory.replica.stable else -1

    def _highest_view(self) -> int:
        states = [node.memory.replica.state() for node in self.nodes.values() if node.honest and node.memory is not None]
        return max((state.view for state in states if state.active), default=0)
