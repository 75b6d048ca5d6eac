"""A validator in this process: the real node, its real journal, block store and executor's client, on a loop that may stop being turned at any moment.

What it has written stays, as after the kill of a process. The executor's process is played by a service on the same loop, over the bytes of its real protocol.
"""

import asyncio
import os
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from carbonnode.chain.genesis import Genesis
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.signing import KeySigner
from carbonnode.errors import CarbonnodeError, DiskFull
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.node import executor_protocol as protocol
from carbonnode.node.config import NodeConfig, NodeSection, StorageSection
from carbonnode.node.executor_client import ExecutorClient, ExecutorOptions
from carbonnode.node.executor_process import Service, _public_class
from carbonnode.node.executor_watch import Watch
from carbonnode.node.logs import Logger
from carbonnode.node.metrics import NodeMetrics
from carbonnode.node.relay import UserRelay
from carbonnode.node.snapshot_desk import SnapshotDesk
from carbonnode.node.validator import Stores, Surroundings, ValidatorNode
from carbonnode.node.workers import make_exception_handler
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.crashpoints import CrashPoints
from carbonnode.storage.journal import VoteJournal
from tests.functional.inprocess_links import Hub, Identity, Port
from tests.functional.inprocess_loop import Killed, VirtualLoop, World

EPOCH_MS = 1_700_000_000_000
STOP_PATIENCE_S = 60.0
LINES_KEPT = 400
EXPECTED_ALARMS = frozenset({"executor-crash", "skip-order"})
"""What strikes at executors lead to; no strike justifies any other."""


class ExecutorKilled(BaseException):
    """Thrown inside the executor at a crash point."""


class ExecutorCrash(CrashPoints):
    """Crash points in the executor: they end it, not this process."""

    def reach(self, name: str) -> None:
        if self.armed and name == self._name:
            self._left -= 1
            if self._left <= 0:
                raise ExecutorKilled(name)


class NodeCrash(CrashPoints):
    """Crash points in the node: they end its run."""

    def __init__(self, name: str, count: int, die: Callable[[str], None]) -> None:
        super().__init__(name, count)
        self._die = die

    def reach(self, name: str) -> None:
        if self.armed and name == self._name:
            self._left -= 1
            if self._left <= 0:
                self.armed = False
                self._die(name)
                raise Killed(name)


class MemoryService(Service):
    """The executor process's own service, over a state that outlives it."""

    def __init__(self, kv: MemoryKV, genesis: Genesis, crash: CrashPoints, watch: Watch) -> None:
        super().__init__(crash, watch)
        self._state = kv
        self._genesis = genesis

    def _open(self, command: protocol.Open) -> protocol.Hello:
        self._executor = BlockExecutor(self._state, self._genesis, flush_blocks=command.flush_blocks, begin=self._watch.begin)
        return protocol.Hello(1, ("none: in this process",))


class ExecutorRun:
    """One run of the executor process: its socket's writer and its process object in one."""

    def __init__(self, member: "Member", loop: VirtualLoop, service: MemoryService, reader: asyncio.StreamReader) -> None:
        self.returncode: int | None = None
        self.hung = False
        self._member = member
        self._loop = loop
        self._service = service
        self._reader = reader
        self._gone = asyncio.Event()
        self._free_at = 0.0

    def write(self, data: bytes) -> None:
        """A command; it is carried out after those before it."""
        number, command = protocol.request_decoder.decode(data[protocol.LENGTH_BYTES :])
        world = self._member.world
        slow = 0.02 if isinstance(command, protocol.Open) else 0.004 if isinstance(command, protocol.Flush) else 0.001
        self._free_at = max(self._free_at, world.now) + world.slow * world.dice.uniform(slow / 4, slow * 3)
        self._loop.call_at(self._free_at, self._carry_out, number, command)

    def _carry_out(self, number: int, command: protocol.AnyCommand) -> None:
        if self.returncode is not None or self.hung:
            return
        answer: protocol.AnyAnswer
        try:
            answer = protocol.Done(protocol.encoder.encode(self._service.answer(command)), 100, self._service.held_bytes)
        except ExecutorKilled:
            self.end(-9)
            return
        except CarbonnodeError as error:
            answer = protocol.Failed(_public_class(error), error.code, str(error))
        if self._member.dice.random() < self._member.executor_dies:
            if self._member.dice.random() < 0.5:  # else the command was carried out, and the answer is lost
                self._reader.feed_data(protocol.frame(number, answer))
            self.end(-9)
            return
        self._reader.feed_data(protocol.frame(number, answer))

    def end(self, status: int) -> None:
        """The process is gone; what it wrote still arrives."""
        if self.returncode is None:
            self.returncode = status
            self._loop.call_soon(self._reader.feed_eof) if self._member.dice.random() < 0.5 else self._reader.feed_eof()
            self._loop.call_later(self._member.dice.choice((0.0, 0.003)), self._gone.set)

    def kill(self) -> None:
        self.end(-9)

    def close(self) -> None:
        self.end(0)

    async def wait(self) -> int:
        await self._gone.wait()
        return self.returncode or 0


class MemberExecutor(ExecutorClient):
    """The real client; only the process behind it is played."""

    def __init__(self, member: "Member", crash: tuple[str, int]) -> None:
        super().__init__(ExecutorOptions(Path("state"), b"", patience_s=4.0), lambda what: member.log("executor died", what=what))
        self._member = member
        self._crash = crash

    async def _spawn(self) -> asyncio.StreamReader:
        member = self._member
        service = MemoryService(member.state_kv, member.genesis, ExecutorCrash(*self._crash), Watch(self._marker))
        reader = asyncio.StreamReader()
        run = ExecutorRun(member, member.loop, service, reader)
        self._process = cast(Any, run)
        self._writer = cast(Any, run)
        await asyncio.sleep(member.dice.uniform(0.05, 0.4))
        return reader


class FencedJournal(VoteJournal):
    """Takes nothing from a run that is over."""

    over = False
    full = False

    def append(self, group: Any) -> None:
        if self.full:
            raise DiskFull("no space is left, the strike says")
        if not self.over:
            super().append(group)

    def cut_below(self, height: int) -> int:
        return 0 if self.over else super().cut_below(height)


class FencedKV(MemoryKV):
    """Blocks in memory that outlive the run; a run that is over writes nothing."""

    def __init__(self, kv: MemoryKV) -> None:
        super().__init__()
        self._items = kv._items
        self.over = False
        self.full = False

    def write(self, puts: Any, deletes: Any = (), *, sync: bool = False) -> None:
        if self.full:
            raise DiskFull("no space is left, the strike says")
        if not self.over:
            super().write(puts, deletes, sync=sync)


class MemberLog:
    """`node.logs.Logger`, as far as nodes use it."""

    def __init__(self, member: "Member") -> None:
        self._member = member

    def debug(self, event: str, **values: object) -> None:
        """Too much to keep."""

    def info(self, event: str, **values: object) -> None:
        self._member.log(event, **values)

    warning = error = exception = info


class MemberClock:
    """Virtual time, and a wall clock that may be off."""

    def __init__(self, world: World, off_ms: int) -> None:
        self._world = world
        self._off_ms = off_ms

    def monotonic_ms(self) -> int:
        return int(self._world.now * 1000)

    def wall_ms(self) -> int:
        return EPOCH_MS + int(self._world.now * 1000) + self._off_ms


class Member:
    """One validator: what lies on its disk, and its current run if there is one."""

    def __init__(self, hub: Hub, genesis: Genesis, index: int, signer: KeySigner, directory: Path) -> None:
        validator = genesis.validators[index]
        self.hub, self.world, self.dice = hub, hub.world, hub.world.dice
        self.genesis = genesis
        self.name = validator.name
        self.identity = Identity(validator.name, validator.role, f"ORG-{index}", validator.transport_key)
        self.signer = signer
        self.directory = directory
        self.state_kv, self.block_kv = MemoryKV(), MemoryKV()
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.findings: list[str] = []
        self.expects_fault = False
        """Whether a fatal error is what the strike is about."""
        self.executor_dies = 0.0
        """The chance that the executor's process dies at a command."""
        self.clock_off_ms = self.dice.randint(-1_500, 1_500)
        self.alive = False
        self.started = False
        self.ending = False
        """Whether it is stopping, for whatever reason."""
        self.ended_by = ""
        self._listening = False
        self.loop: VirtualLoop
        self.port: Port
        self.node: ValidatorNode
        self.executor: MemberExecutor
        (directory / "journal").mkdir(parents=True)

    def log(self, event: str, **values: object) -> None:
        """A line that is shown when something went wrong."""
        told = " ".join(f"{key}={value.hex()[:12] if isinstance(value, bytes) else value}" for key, value in values.items())
        self.lines.append(f"{self.world.now:.3f} {self.name}: {event} {told}")
        if event == "alarm" and values.get("code") not in EXPECTED_ALARMS:
            self.findings.append(self.lines[-1])

    def fill_disk(self, *, full: bool) -> None:
        """No space is left for votes and blocks, or there is again."""
        self._journal.full = self._kv.full = full

    @property
    def listening(self) -> bool:
        """`inprocess_links.Host`"""
        return self.alive and self._listening

    @property
    def height(self) -> int:
        """Certified height, -1 while there is none."""
        return self.node.stores.blocks.height if self.alive and self.started else -1

    # -- life

    def start(self, point: str = "", count: int = 0) -> None:
        """Begin a run; it ends itself at a crash point, if one is named."""
        assert not self.alive
        self.alive, self.started, self._listening, self.ending, self.ended_by = True, False, False, False, ""
        self.loop = self.world.add(self.name)
        self.loop.set_exception_handler(make_exception_handler(self._fatal, lambda what, error: self._find(f"unforeseen: {what}", error)))
        self.log("process starts", crash=f"{point}:{count}" if point else "-")
        in_executor = point.startswith(("execute.", "finalise.", "flush."))
        self._task = self.loop.create_task(self._boot((point, count) if in_executor else ("", 0), ("", 0) if in_executor else (point, count)))

    def _find(self, what: str, error: BaseException | None) -> None:
        told = "" if error is None else "".join(traceback.format_exception(error))
        self.log(what, error=repr(error))
        self.findings.append(f"{self.world.now:.3f} {self.name}: {what} {told}")

    def _fatal(self, error: BaseException) -> None:
        if not self.alive:
            return
        self.log("FATAL", error=repr(error))
        if not self.expects_fault:
            self._find("fatal", error)
        if not self.ending:
            self.ending = True
            self.loop.create_task(self.shut_down(), name="end")

    async def _boot(self, executor_crash: tuple[str, int], node_crash: tuple[str, int]) -> None:
        try:
            await self._open(executor_crash, node_crash)
        except CarbonnodeError as error:
            if not self.expects_fault:
                self._find("start failed", error)
            self.loop.call_soon(self._exit, "start failed")

    async def _open(self, executor_crash: tuple[str, int], node_crash: tuple[str, int]) -> None:
        crash = NodeCrash(*node_crash, self._killed)
        self._kv = FencedKV(self.block_kv)
        blocks = BlockStore(self._kv, crash)
        self._journal = cast(FencedJournal, FencedJournal.open(self.directory / "journal", None, crash, lambda _file: None))
        self.executor = MemberExecutor(self, executor_crash)
        await self.executor.start()
        role = self.identity.role
        # Snapshots are asked for, and nobody has one: making them is a matter of files and processes, which are no part of this.
        config = NodeConfig(node=NodeSection(name=self.name, role=role), storage=StorageSection(snapshot_blocks=0, snapshot_lag=100))
        log = cast(Logger, MemberLog(self))
        around = Surroundings(config, self.genesis, self.signer, MemberClock(self.world, self.clock_off_ms), crash, log, NodeMetrics(), self._fatal)
        self.node = ValidatorNode(around, Stores(self.directory, blocks, self._journal, self.directory / "voted"), self.executor)
        await self.node.open()
        self.port = Port(self.hub, self, self.node.peering)
        self.node.connect(self.port)
        self._relay = UserRelay(self.node)
        self._snapshots = SnapshotDesk(self.node, self.executor, self.directory / "state", self.directory / "genesis.json", config.storage)
        self._listening = True
        for name in self.hub.hosts:
            if name != self.name:
                self.port.redial(name, 0.0)
        await asyncio.sleep(self.dice.choice((0.0, 0.0, 0.03, 0.2)))
        self.started = True
        self.node.start()

    async def shut_down(self) -> None:
        """As the composition root does on SIGTERM or after a fault; one that takes too long is a finding."""
        self.ending = True
        self.log("stops")
        self.loop.call_later(STOP_PATIENCE_S, self._stop_hangs)
        if self.started:
            await self._snapshots.stop()
            await self._relay.stop()
            await self.node.stop()
        self._listening = False
        try:
            await self.executor.close()
        except CarbonnodeError as error:
            self.log("executor closed with", error=error)
        self.log("stopped")
        self.loop.call_soon(self._exit, "stopped")

    def _stop_hangs(self) -> None:
        self._find(f"the stop hangs: {[task.get_name() for task in asyncio.all_tasks(self.loop)]}", None)
        self._exit("hung")

    def stop(self) -> None:
        """SIGTERM."""
        self.loop.create_task(self.shut_down(), name="end")

    def _exit(self, why: str) -> None:
        self._killed(why)
        raise Killed(why)

    def kill(self) -> None:
        """SIGKILL, between two turns of the loop."""
        if self.alive:
            self._killed("SIGKILL")
            self.bury()

    def _killed(self, why: str) -> None:
        """From here on nothing that this run does reaches anybody; what it wrote stays."""
        if not self.alive:
            return
        self.log("process ends", by=why)
        self.alive, self.ended_by = False, why
        if hasattr(self, "_kv"):
            self._kv.over = True
        if hasattr(self, "_journal"):
            self._journal.over = True
        if self._listening or hasattr(self, "port"):
            self.hub.gone(self.port)

    def bury(self) -> None:
        """Take the dead run's loop from the world."""
        self.world.remove(self.loop)
        executor = getattr(self, "executor", None)
        self.loop.end()
        if hasattr(self, "_journal"):
            self._journal.close()
        if hasattr(self, "node"):
            self.node.threads.shutdown(wait=False)
            self.node.feed.close()
            self.node.arrivals.close()
        if executor is not None and not executor._closing:
            executor._marker.close()
            os.close(executor._mark_file)
        for name in ("_kv", "_journal", "_relay", "_snapshots", "node", "executor"):
            if hasattr(self, name):
                delattr(self, name)
