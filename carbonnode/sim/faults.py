"""What goes wrong, and when: one fault after another, drawn from the world's dice, each with its end."""

from collections.abc import Callable
from functools import partial

from carbonnode.chain.certificate import Certificate
from carbonnode.sim.adversary import Adversary
from carbonnode.sim.byzantine import ByzantineNode
from carbonnode.sim.chain import Block
from carbonnode.sim.disk import Disk
from carbonnode.sim.node import SimNode
from carbonnode.sim.world import Weather, World

_LONG_PAUSE_MS = 30 * 60_000


class Faults:
    """Makes trouble until `stop`; then `heal` puts everything right that an operator would."""

    def __init__(self, world: World, nodes: dict[int, SimNode], *, spare: int) -> None:
        self.world = world
        self.nodes = nodes
        self.spare = spare
        """How many further nodes may lose their disks or have a faulty executor: f less the Byzantine ones."""
        self.touched: set[int] = set()
        self.active = True
        self.kinds: tuple[Callable[[], None], ...] = (
            self.lossy,
            self.slow,
            self.partition,
            self.one_way,
            self.clog,
            self.kill,
            self.kill,
            self.power_loss,
            self.stop_process,
            self.skew,
            self.kill_primary,
            self.hunt_primaries,
            self.hunt_primaries,
            self.slow_disk,
            self.slow_executor,
            self.restart_all,
            self.pause_all,
            self.lose_disk,
            self.absence,
            self.absence,
            self.wrong_executor,
            self.turn,
        )
        if len(nodes) == 1:
            # A lone node has no links to trouble; and nobody else holds what a loss of power takes from it, which is more than f = 0 promises.
            self.kinds = tuple(kind for kind in self.kinds if kind not in (self.partition, self.one_way, self.clog, self.power_loss, self.restart_all))

    def begin(self, *, adversary: bool = False) -> None:
        """Make the first trouble soon; with `adversary`, links that work against the protocol come first."""
        for node in self.nodes.values():
            node.on_transfer = partial(self._transfer_begins, node)
            if isinstance(node, ByzantineNode):
                node.choose_strategy()
        soon = self.world.dice.between(20, 600)
        if adversary:
            Adversary(self.world, self.nodes, lambda: self.active, lambda: self.world.at(soon, self._next)).begin()
        else:
            self.world.at(soon, self._next)

    def _next(self) -> None:
        if not self.active:
            return
        self.world.dice.pick(self.kinds)()
        self.world.at(self.world.dice.between(10, 700), self._next)

    def heal(self) -> None:
        """End all trouble but the Byzantine nodes: links are good, processes run, clocks are right."""
        self.active = False
        self.world.note("everything heals")
        self.world.weather = Weather()
        for node in self.nodes.values():
            node.asleep_until = 0
            node.skew_ms = 0
            node.speeds.fsync_ms = 6
            node.speeds.execute_ms = 4
            if isinstance(node, ByzantineNode):
                node.settle_down()
            if not node.up and node.honest:
                node.start()

    # ---- links

    def _for_a_while(self, change: Callable[[Weather], None], undo: Callable[[Weather], None], limit_ms: int = 4_000) -> None:
        weather = self.world.weather
        change(weather)
        self.world.at(self.world.dice.between(50, limit_ms), lambda: undo(weather))

    def lossy(self) -> None:
        """Messages are lost and doubled."""
        loss, double = self.world.dice.between(10, 400), self.world.dice.below(200)
        self.world.note(f"links lose {loss} and double {double} of a thousand")

        def change(weather: Weather) -> None:
            weather.loss, weather.duplicate = loss, double

        def undo(weather: Weather) -> None:
            weather.loss = weather.duplicate = 0

        self._for_a_while(change, undo)

    def slow(self) -> None:
        """Messages take long and overtake each other."""
        delay = self.world.dice.between(20, 600)
        self.world.note(f"links take up to {delay} ms")

        def change(weather: Weather) -> None:
            weather.delay_max = delay

        def undo(weather: Weather) -> None:
            weather.delay_max = 10

        self._for_a_while(change, undo)

    def partition(self) -> None:
        """Two groups can't talk."""
        numbers = sorted(self.nodes)
        group = set(self.world.dice.some(numbers, self.world.dice.between(1, len(numbers) - 1)))
        pairs = {(a, b) for a in numbers for b in numbers if a != b and (a in group) != (b in group)}
        self.world.note(f"partition: {sorted(group)} from the rest")
        self._for_a_while(lambda w: w.blocked.update(pairs), lambda w: w.blocked.difference_update(pairs))

    def one_way(self) -> None:
        """A node speaks but doesn't hear, or hears but doesn't speak, with some of the others."""
        numbers = sorted(self.nodes)
        node = self.world.dice.pick(numbers)
        others = self.world.dice.some([n for n in numbers if n != node], self.world.dice.between(1, len(numbers) - 1))
        outward = self.world.dice.chance(500)
        pairs = {(node, other) if outward else (other, node) for other in others}
        self.world.note(f"one way only: {sorted(pairs)} are cut")
        self._for_a_while(lambda w: w.blocked.update(pairs), lambda w: w.blocked.difference_update(pairs))

    def clog(self) -> None:
        """One link is slow."""
        pair = tuple(self.world.dice.some(sorted(self.nodes), 2))
        key = (pair[0], pair[1])
        self.world.note(f"link {key} clogs")
        extra = self.world.dice.between(100, 1_500)

        def undo(weather: Weather) -> None:
            weather.clogged.pop(key, None)

        self._for_a_while(lambda w: w.clogged.update({key: extra}), undo)

    # ---- processes and machines

    def _honest_up(self) -> list[SimNode]:
        return [node for _, node in sorted(self.nodes.items()) if node.honest and node.up]

    def _restart_later(self, node: SimNode, limit_ms: int = 5_000) -> None:
        def restart() -> None:
            if not node.up and self.active:
                node.start()

        self.world.at(self.world.dice.between(20, limit_ms), restart)

    def kill(self) -> None:
        """Kill -9 of a random process."""
        up = self._honest_up()
        if up:
            node = self.world.dice.pick(up)
            node.crash(power=False)
            self._restart_later(node)

    def kill_primary(self) -> None:
        """Kill -9 of whoever leads."""
        for node in self._honest_up():
            memory = node.memory
            if memory is not None:
                state = memory.replica.state()
                if state.index == state.primary:
                    node.crash(power=False)
                    self._restart_later(node)
                    return

    def hunt_primaries(self) -> None:
        """Links are bad, and whoever leads stops for a while, again and again: heights are prepared here and there, and views follow each other."""
        self.world.note("primaries are hunted")
        loss = self.world.dice.between(100, 400)

        def change(weather: Weather) -> None:
            weather.loss = loss

        def undo(weather: Weather) -> None:
            weather.loss = 0

        self._for_a_while(change, undo, 8_000)
        for number in range(self.world.dice.between(2, 6)):
            self.world.at(100 + number * self.world.dice.between(200, 1_500), self._stop_primary)

    def _stop_primary(self) -> None:
        for node in self._honest_up() if self.active else ():
            state = node.memory.replica.state() if node.memory is not None else None
            if state is not None and state.active and state.index == state.primary and node.asleep_until < self.world.now:
                node.asleep_until = self.world.now + self.world.dice.between(300, 3_000)
                self.world.note(f"n{node.number}, which leads view {state.view}, stops until {node.asleep_until} ms")

    def absence(self) -> None:
        """A process is away for long: what it missed may be pruned when it is back."""
        up = self._honest_up()
        if len(up) == sum(node.honest for node in self.nodes.values()):
            node = self.world.dice.pick(up)
            node.crash(power=False)
            self._restart_later(node, 20_000)

    def _transfer_begins(self, node: SimNode) -> None:
        """Some transfers are interrupted: by kill -9, or by a loss of power."""
        dice = self.world.dice
        if not self.active or not node.honest or not dice.chance(400):
            return
        power = dice.chance(500)

        def interrupt() -> None:
            if self.active and node.up:
                node.crash(power=power)
                self._restart_later(node, 1_000)

        self.world.at(dice.between(5, 200), interrupt)

    def power_loss(self) -> None:
        """A machine loses power: what wasn't synced is gone or torn."""
        up = self._honest_up()
        if up:
            node = self.world.dice.pick(up)
            node.crash(power=True)
            self._restart_later(node)

    def restart_all(self) -> None:
        """All machines lose power at once."""
        for node in self._honest_up():
            node.crash(power=True)
            self._restart_later(node, 1_000)

    def stop_process(self) -> None:
        """SIGSTOP for a while: the process lives, answers nothing, and then finds its clock far on."""
        up = self._honest_up()
        if up:
            node = self.world.dice.pick(up)
            duration = self.world.dice.between(100, 8_000)
            self.world.note(f"n{node.number} stops for {duration} ms")
            node.asleep_until = self.world.now + duration

    def skew(self) -> None:
        """A wall clock jumps, within the bound or far out of it."""
        node = self.nodes[self.world.dice.pick(sorted(self.nodes))]
        node.skew_ms = self.world.dice.between(-4_000, 4_000) if self.world.dice.chance(700) else self.world.dice.between(-100_000, 100_000)
        self.world.note(f"n{node.number}'s clock is {node.skew_ms} ms off")

    def slow_disk(self) -> None:
        """A disk takes long to sync."""
        node = self.nodes[self.world.dice.pick(sorted(self.nodes))]
        node.speeds.fsync_ms = self.world.dice.between(20, 500)
        self.world.note(f"n{node.number}'s disk takes up to {node.speeds.fsync_ms} ms")

    def slow_executor(self) -> None:
        """Some nodes take long to execute: what is ordered runs ahead of what is certified."""
        slow = self.world.dice.some(sorted(self.nodes), self.world.dice.between(1, len(self.nodes)))
        duration = self.world.dice.between(100, 6_000)
        for number in slow:
            self.nodes[number].speeds.execute_ms = duration
        self.world.note(f"{sorted(slow)} execute a block in up to {duration} ms")

    def pause_all(self) -> None:
        """The whole network sleeps for half an hour, rarely."""
        if self.world.dice.chance(250):
            self.world.note("the whole network pauses for 30 minutes")
            self.world.pause(_LONG_PAUSE_MS)

    # ---- faults that count against f

    def _take(self) -> SimNode | None:
        up = [node for node in self._honest_up() if node.number not in self.touched]
        if self.spare < 1 or not up or not self.world.dice.chance(600):
            return None
        self.spare -= 1
        node = self.world.dice.pick(up)
        self.touched.add(node.number)
        return node

    def lose_disk(self) -> None:
        """A disk is lost; the operator starts again from nothing but the keys."""
        node = self._take()
        if node is None:
            return
        self.world.note(f"n{node.number} loses its disk")
        node.crash(power=True)
        genesis: tuple[Block, Certificate | None] = (self.world.execution.genesis, None)
        node.disk = Disk(blocks=[genesis])
        node.checks.abstainers.add(node.number)
        node.checks.lost_disk(node.number)
        self._restart_later(node)

    def wrong_executor(self) -> None:
        """A build computes other headers until it is synced from a certified state."""
        node = self._take()
        if node is None:
            return
        self.world.note(f"n{node.number}'s executor goes wrong")
        node.checks.trusted_wrong.add(node.number)
        node.speeds.wrong_roots = True

    def turn(self) -> None:
        """Byzantine nodes change their ways."""
        for node in self.nodes.values():
            if isinstance(node, ByzantineNode):
                node.choose_strategy()
