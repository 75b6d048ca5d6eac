"""The daemon's side of the executor process: starts it, talks to it, starts it again when it dies.

A restart is invisible to the caller: blocks that the dead process held in memory are executed again from what was sent before, with equal hashes, then
the commands it owed an answer are sent again. A process that sits on one command is killed, which is a death like another. One that keeps dying on a
command is fatal, and the error names the height.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from carbonnode import errors
from carbonnode.chain import values
from carbonnode.chain.batch import Batch, SkipOrder
from carbonnode.chain.receipt import Status
from carbonnode.chain.service import ContractAbi
from carbonnode.chain.transaction import Call, calls_to_wire
from carbonnode.chain.values import Value
from carbonnode.errors import CarbonnodeError, InvariantViolation, RemoteError, StorageError
from carbonnode.ledger.results import DryRun, ExecutedBlock, LedgerStatus, NextEpoch, ViewResult
from carbonnode.ledger.tree_proof import StateProof
from carbonnode.node import executor_protocol as protocol
from carbonnode.node.executor_watch import VARIABLE as POISON_VARIABLE
from carbonnode.node.marker import FD_VARIABLE as MARK_VARIABLE
from carbonnode.node.marker import make_marker
from carbonnode.node.workers import start_worker
from carbonnode.storage.crashpoints import VARIABLE as CRASH_VARIABLE
from carbonnode.storage.space import DEFAULT_RESERVE_BYTES

MAX_DEATHS: Final = 3
"""Deaths without a block in between, after which the executor isn't started again."""
LOCK_PATIENCE_S: Final = 10.0
"""How long a database lock may be held by a predecessor that is still going down."""
REAP_PATIENCE_S: Final = 2.0
"""How long a process that closed its end may take to exit."""
OPEN_PATIENCE_S: Final = 600.0
"""How long a process may take to open the database: after a crash LevelDB reads its log again."""
TICKS: Final = 4
"""The watchdog looks this often within its patience: a daemon that was itself suspended doesn't take that for a hang."""
MAX_QUEUED_VIEWS: Final = 256
BUSY_S: Final = 0.5
"""Blocks executed less than this ago make views wait their turn."""
VIEW_SHARE: Final = 0.1
"""The share of the executor's time that views may take while blocks execute."""
PROOF_BLOCKS_BUSY: Final = 16
"""While blocks execute, a state proof reaches back no further: the tree of an older height takes too long to rebuild (docs/adr/0020)."""
VIEW_GAS_BUSY: Final = 1_700_000
VIEW_GAS_IDLE: Final = 10_000_000
"""Gas of one view, about 50 and 300 ms: a longer one would hold up a block."""
ESTIMATES_PAUSE_S: Final = 60.0
"""After the process died of a dry run: dying of them again and again would end the node."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """How to run the executor: its state directory, the genesis file's bytes, heights between flushes, reserved disk space, confinement.

    `memory_bytes` bounds its private memory (0: no limit); a process that needs more dies and is started again. One that gives no answer for
    `patience_s` is killed.

    A daemon leaves `flush_blocks` at 0 and calls `flush` after it has synced its block store: even after a power loss the state is then never
    ahead of the blocks.
    """

    state: Path
    genesis: bytes
    flush_blocks: int = 0
    reserve_bytes: int = DEFAULT_RESERVE_BYTES
    sandbox: bool = True
    memory_bytes: int = 0
    patience_s: float = 120.0


@dataclass(slots=True)
class _Owed:
    """A command without an answer yet."""

    command: protocol.AnyCommand
    future: "asyncio.Future[tuple[bytes, int]]"
    replay: bool = False
    """Sent by a restart itself: its answer is no progress."""


class DeadlyTransaction(CarbonnodeError):
    """The executor died of the same thing again and again: `run_id` (a transaction, a job) of the block at `height`. The client itself goes on."""

    code = "executor-crash"

    def __init__(self, height: int, run_id: bytes, deaths: int) -> None:
        text = f"the executor process dies of {run_id.hex()} in block {height} ({deaths} times since the last block)"
        super().__init__(f"{text}: a quorum of validators can order to skip it; report it, since no contract should be able to do this")
        self.height = height
        self.run_id = run_id


class _DiedAgain(Exception):
    """The process died while it was being brought up: whoever brings up the next one goes on."""


class _Logged:
    """An executed block that a restarted executor may have to execute again, and the hash it must come to."""

    __slots__ = ("command", "header_hash")

    def __init__(self, command: protocol.Execute, header_hash: bytes) -> None:
        self.command = command
        self.header_hash = header_hash


class ExecutorClient:
    """The executor process as the daemon uses it (`node.ports.ExecutorPort`)."""

    def __init__(self, options: ExecutorOptions, on_death: Callable[[str], None] | None = None) -> None:
        """`on_death` is told each time the process dies, and on what."""
        self._options = options
        self._on_death = on_death
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._owed: dict[int, _Owed] = {}
        self._parked: dict[int, _Owed] = {}
        self._number = 0
        self._log: dict[int, _Logged] = {}
        self._finalised = -1
        self._deaths = 0
        self._marker, self._mark_file = make_marker()
        self._deadly: tuple[int, bytes] | None = None
        self._hangs_told = 0
        self._closing = False
        self._reviving = False
        self._gone = False
        """Whether the process that was started last is known to have died."""
        self._dead: CarbonnodeError | None = None
        self._views = asyncio.Lock()
        self._queued_views = 0
        self._next_view = 0.0
        self._no_estimates_until = float("-inf")
        self._last_execute = float("-inf")
        self.confinement: tuple[str, ...] = ()
        """What confines the process, one line for each means."""
        self.pid = 0
        """The process."""
        self.restarts = 0
        """How often it was started again."""
        self.hangs = 0
        """How often it was killed because it gave no answer."""
        self.held_bytes = 0
        """About the memory that blocks take in the process which aren't on disk, after its last answer."""
        self.question_us = 0
        """The executor's time on views, proofs and interfaces so far."""

    # Life.

    async def start(self) -> LedgerStatus:
        """Start the process and open the state. Raises what opening raises (`StorageError`, `ConfigError`)."""
        await self._launch()
        self._watchdog = start_worker(self._watch(), "executor-watchdog")
        return await self.status()

    async def close(self) -> None:
        """Flush, let the process end, and wait for it."""
        if self._closing:
            return
        flushed = self._dead is None and self._writer is not None
        try:
            if flushed:
                await self.flush()
        finally:
            self._closing = True
            await self._end()

    async def _end(self) -> None:
        tasks = [task for task in (self._watchdog, self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reap()
        self._fail_all(StorageError("the executor process was closed: the node is stopping", code="closed"))
        self._marker.close()
        os.close(self._mark_file)

    @property
    def busy(self) -> bool:
        """Whether blocks were executed a moment ago: what isn't a block stands back then."""
        return asyncio.get_running_loop().time() - self._last_execute < BUSY_S

    def kill(self) -> None:
        """Kill the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _watch(self) -> None:
        """Kill a process that sits on one command: contracts are bounded by gas, so that is a hang of the machine's or a fault of ours."""
        oldest, ticks = -1, 0
        while True:
            await asyncio.sleep(self._options.patience_s / TICKS)
            now = min(self._owed, default=-1)
            ticks = ticks + 1 if now == oldest and now >= 0 else 0
            oldest = now
            if ticks >= TICKS:
                ticks = 0
                self.hangs += 1
                self.kill()

    async def _launch(self) -> None:
        """Spawn, open, and start reading answers. A lock held by a predecessor is waited for."""
        deadline = asyncio.get_running_loop().time() + LOCK_PATIENCE_S
        while True:
            reader = await self._spawn()
            try:
                hello = await self._open(reader)
                break
            except StorageError as error:
                await self._reap()
                if error.code != "locked" or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)
            except BaseException:
                await self._reap()
                raise
        self.pid, self.confinement = hello.pid, hello.confinement
        self._gone = False
        self._reading = start_worker(self._read(reader), "executor")

    async def _spawn(self) -> asyncio.StreamReader:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", CRASH_VARIABLE, POISON_VARIABLE) if name in os.environ}
        environment[protocol.FD_VARIABLE] = str(theirs.fileno())
        environment[MARK_VARIABLE] = str(self._mark_file)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "carbonnode.node.executor_process",
                pass_fds=(theirs.fileno(), self._mark_file),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
            )
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 22)
        return reader

    async def _open(self, reader: asyncio.StreamReader) -> protocol.Hello:
        options = self._options
        command = protocol.Open(str(options.state), options.genesis, options.flush_blocks, options.reserve_bytes, options.sandbox, options.memory_bytes)
        self._write(0, command)
        try:
            _, answer = await asyncio.wait_for(protocol.read_answer(reader), OPEN_PATIENCE_S)
        except TimeoutError:
            self.kill()
            text = f"the executor process didn't open {options.state} in {OPEN_PATIENCE_S:.0f} s: see whether its disk answers"
            raise StorageError(text, code="executor") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise StorageError(f"the executor process ended while it opened {options.state}: its error stands in the log", code="executor") from None
        if isinstance(answer, protocol.Failed):
            raise _error(answer)
        return _decoded(answer.result, protocol.Hello)

    async def _reap(self) -> None:
        """See the process end; one that doesn't by itself is killed."""
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), REAP_PATIENCE_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    # Conversation.

    def _write(self, number: int, command: protocol.AnyCommand) -> None:
        if self._writer is not None:
            self._writer.write(protocol.frame(number, command))

    def _send(self, command: protocol.AnyCommand) -> "asyncio.Future[tuple[bytes, int]]":
        if self._dead is not None:
            raise self._dead
        if self._closing:
            raise StorageError("the executor process is closed: the node is stopping", code="closed")
        self._number += 1
        future: asyncio.Future[tuple[bytes, int]] = asyncio.get_running_loop().create_future()
        owed = _Owed(command, future)
        if self._reviving:
            self._parked[self._number] = owed
        else:
            self._owed[self._number] = owed
            self._write(self._number, command)
        return future

    async def _ask(self, command: protocol.AnyCommand, kind: type[T]) -> T:
        result, _ = await self._send(command)
        return _decoded(result, kind)

    async def _ask_at_once(self, command: protocol.AnyCommand, kind: type[T]) -> T:
        """Ahead of what is parked: only for bringing a new process up. Raises `_DiedAgain` if that one dies too, or has."""
        if self._gone:
            raise _DiedAgain
        self._number += 1
        future: asyncio.Future[tuple[bytes, int]] = asyncio.get_running_loop().create_future()
        self._owed[self._number] = _Owed(command, future, replay=True)
        self._write(self._number, command)
        result, _ = await future
        return _decoded(result, kind)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Hand answers to those who wait; when the process dies, start it again."""
        try:
            while True:
                number, answer = await protocol.read_answer(reader)
                owed = self._owed.pop(number)
                if isinstance(answer, protocol.Done):
                    self.held_bytes = answer.held_bytes
                if not owed.replay and isinstance(owed.command, protocol.Execute | protocol.Finalise):
                    self._deaths = 0
                if owed.future.done():
                    continue
                if isinstance(answer, protocol.Failed):
                    owed.future.set_exception(_error(answer))
                else:
                    owed.future.set_result((answer.result, answer.elapsed_us))
        except (asyncio.IncompleteReadError, ConnectionError):
            if not self._closing:
                self._park()
                self._reading = start_worker(self._revive(), "executor-restart")

    def _park(self) -> None:
        """The process died: set aside what it owes, for the next one."""
        self._reviving = self._gone = True
        owed, self._owed = self._owed, {}
        for number, item in owed.items():
            if not item.replay:
                self._parked[number] = item
            elif not item.future.done():
                item.future.set_exception(_DiedAgain())

    async def _revive(self) -> None:
        await self._reap()
        code = None if self._process is None else self._process.returncode
        self._deaths += 1
        fate = f"killed, no answer for {self._options.patience_s:g} s" if self.hangs > self._hangs_told else f"exit status {code}"
        self._hangs_told = self.hangs
        doing = f"during {protocol.describe(self._parked[min(self._parked)].command)}" if self._parked else "while idle"
        if self._on_death is not None:
            self._on_death(f"the executor process died {doing} ({fate}); it is started again and nothing is lost")
        self._void_estimates()
        if self._give_up():
            self._deaths = 0
        if self._deaths > MAX_DEATHS:
            text = f"the executor process died {self._deaths} times {doing} ({fate}): its error stands in the log"
            self._die(InvariantViolation(text, code="executor-crash"))
            return
        try:
            await self._relaunch()
            await self._replay()
        except _DiedAgain:
            return  # the reader of that process has seen to its successor
        except CarbonnodeError as error:
            self._die(error)
        except OSError as error:
            self._die(StorageError(f"the executor process can't be started again ({error}): see what this machine lacks, then start the node", code="executor"))

    def _void_estimates(self) -> None:
        """A dry run isn't asked again: the process may have died of it, and nothing depends on it."""
        first = min(self._parked, default=0)
        for number in [number for number, owed in self._parked.items() if isinstance(owed.command, protocol.Estimate)]:
            future = self._parked.pop(number).future
            if number == first:
                self._no_estimates_until = asyncio.get_running_loop().time() + ESTIMATES_PAUSE_S
            if not future.done():
                future.set_exception(RemoteError("the executor process died during a dry run: declare a gas limit without one", code="busy"))

    def _give_up(self) -> bool:
        """Fail the execution that the process keeps dying of, if what it dies of is known; whether that was done."""
        mark = self._marker.read()
        for number, owed in sorted(self._parked.items()):
            deadly = mark is not None and isinstance(owed.command, protocol.Execute) and owed.command.height == mark[0]
            if mark is not None and deadly and (self._deaths > MAX_DEATHS or mark == self._deadly):
                self._deadly = mark
                del self._parked[number]
                if not owed.future.done():
                    owed.future.set_exception(DeadlyTransaction(*mark, self._deaths))
                return True
        return False

    async def _relaunch(self) -> None:
        """Start the process again. One that dies while it opens the state has died like another: that is tried again too."""
        while True:
            self.restarts += 1
            try:
                return await self._launch()
            except StorageError as error:
                if error.code != "executor" or self._deaths >= MAX_DEATHS:
                    raise
                self._deaths += 1

    async def _replay(self) -> None:
        """Bring a new process to where the dead one stood: executed blocks again, then the commands it owed an answer."""
        status = await self._ask_at_once(protocol.Status(), LedgerStatus)
        for height, logged in sorted(self._log.items()):
            if height > status.height:
                block = await self._ask_at_once(logged.command, ExecutedBlock)
                if block.header_hash != logged.header_hash:
                    raise InvariantViolation(f"block {height} came to another header when it was executed again: the executor isn't deterministic")
                if height <= self._finalised:
                    await self._ask_at_once(protocol.Finalise(height), int)
        if self._gone:
            raise _DiedAgain  # right behind its last answer: what it was told now would be lost, and waited for in vain
        parked, self._parked = self._parked, {}
        self._reviving = False
        for number in sorted(parked):
            self._owed[number] = parked[number]
            self._write(number, parked[number].command)

    def _die(self, error: CarbonnodeError) -> None:
        self._dead = error
        self._fail_all(error)

    def _fail_all(self, error: CarbonnodeError) -> None:
        for owed in (*self._owed.values(), *self._parked.values()):
            if not owed.future.done():
                owed.future.set_exception(error)
        self._owed.clear()
        self._parked.clear()

    # Blocks.

    async def execute(self, height: int, batch: Batch, transactions: Sequence[bytes], skip_orders: Sequence[SkipOrder] = ()) -> ExecutedBlock:
        """Execute on top of height - 1, in memory. Idempotent."""
        command = protocol.Execute(height, batch.encoded, tuple(transactions), tuple(skip_orders))
        self._last_execute = asyncio.get_running_loop().time()
        block = await self._ask(command, ExecutedBlock)
        self._log[height] = _Logged(command, block.header_hash)
        return block

    async def finalise(self, height: int) -> int:
        """Make the executed block of `height` part of the state; returns the height known to be synced."""
        durable = await self._ask(protocol.Finalise(height), int)
        self._finalised = max(self._finalised, height)
        self._forget(durable)
        return durable

    async def flush(self) -> int:
        """Sync the state database; returns the height known to be synced."""
        durable = await self._ask(protocol.Flush(), int)
        self._forget(durable)
        return durable

    def _forget(self, durable: int) -> None:
        for height in [height for height in self._log if height <= durable]:
            del self._log[height]

    async def discard_above(self, height: int) -> None:
        """Drop executed blocks above `height`."""
        await self._ask(protocol.DiscardAbove(height), type(None))
        for above in [above for above in self._log if above > height]:
            del self._log[above]

    async def status(self) -> LedgerStatus:
        """Where the state stands."""
        return await self._ask(protocol.Status(), LedgerStatus)

    async def epochs(self) -> tuple[NextEpoch, NextEpoch | None]:
        """The epoch in force in the last executed state, and the one decided to follow it."""
        return await self._ask(protocol.Epochs(), tuple[NextEpoch, NextEpoch | None])

    async def genesis_block(self) -> ExecutedBlock:
        """Block 0."""
        return await self._ask(protocol.GenesisBlock(), ExecutedBlock)

    # Snapshots.

    async def snapshot_begin(self, height: int, directory: Path) -> bool:
        """Freeze the state of `height`, to be written into `directory`, below the state's own; False if the state stands elsewhere."""
        return await self._ask(protocol.SnapshotBegin(height, str(directory)), bool)

    async def snapshot_work(self, height: int, budget_us: int) -> protocol.SnapshotProgress | None:
        """Go on writing for about `budget_us`; None if the process that froze this state is gone. Raises `StorageError` if the disk refuses."""
        found: protocol.SnapshotProgress | None = await self._ask(
            protocol.SnapshotWork(height, budget_us), protocol.SnapshotProgress | None  # type: ignore[arg-type]  # a union is no class
        )
        return found

    async def snapshot_drop(self) -> None:
        """Give up what is being written."""
        await self._ask(protocol.SnapshotDrop(), type(None))

    async def replace(self, swap: Callable[[], None]) -> LedgerStatus:
        """End the process, let `swap` put another state in its place, and go on with that one. Questions wait meanwhile; executed blocks are void."""
        self._park()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._reap()
        await asyncio.get_running_loop().run_in_executor(None, swap)
        self._log.clear()
        self._finalised = -1
        await self._launch()
        with suppress(_DiedAgain):  # the reader of that process has seen to its successor
            await self._replay()
        return await self.status()

    # Questions.

    async def query(self, contract: str, view: str, args: tuple[Value, ...], sender: bytes, height: int | None = None) -> ViewResult:
        """Run a view on certified state.

        While blocks execute, views get a tenth of the executor's time. Raises `RemoteError`: `busy` when too many wait, or when this one needs more than
        its slice; `pruned` or `not-found` for the height.
        """
        wire = tuple([values.to_wire(arg) for arg in args])
        result, busy = await self._paced(lambda gas: protocol.Query(contract, view, wire, sender, height, gas))
        answer = _decoded(result, ViewResult)
        if busy and answer.status == Status.OUT_OF_GAS:
            raise RemoteError(
                f"{contract}.{view} needs more time than a view may take while blocks are executed: ask again when the network is quieter", code="busy"
            )
        return answer

    async def estimate(self, calls: Sequence[Call], sender: bytes) -> DryRun:
        """A dry run of calls, in the lane of views and with their gas. Raises `RemoteError`: `busy`, also for a while after the process died of one."""
        wire = calls_to_wire(calls)

        def command(gas: int) -> protocol.Estimate:
            if asyncio.get_running_loop().time() < self._no_estimates_until:
                raise RemoteError("the executor process died of a dry run: this node makes none for a while", code="busy")
            return protocol.Estimate(wire, sender, gas)

        result, _ = await self._paced(command)
        return _decoded(result, DryRun)

    async def _paced(self, command: Callable[[int], protocol.AnyCommand]) -> tuple[bytes, bool]:
        """Ask in the lane of questions: one at a time, a tenth of the executor's time while blocks execute. `command` gets the gas it may use."""
        loop = asyncio.get_running_loop()
        if self._queued_views >= MAX_QUEUED_VIEWS:
            raise RemoteError(f"{MAX_QUEUED_VIEWS} views wait already: ask again in a moment", code="busy")
        self._queued_views += 1
        try:
            async with self._views:
                await asyncio.sleep(max(0.0, self._next_view - loop.time()))
                busy = self.busy
                result, elapsed_us = await self._send(command(VIEW_GAS_BUSY if busy else VIEW_GAS_IDLE))
                self.question_us += elapsed_us
                if busy:
                    self._next_view = loop.time() + elapsed_us / 1e6 * (1 / VIEW_SHARE - 1)
        finally:
            self._queued_views -= 1
        return result, busy

    async def prove(self, key: bytes, height: int | None = None) -> StateProof:
        """A proof of a state key at a certified height. Raises as `query` does; `busy` too for an old height while blocks execute."""
        if self.busy and height is not None and height < self._finalised - PROOF_BLOCKS_BUSY:
            text = f"a state proof at height {height} takes too long while blocks are executed: ask for one of the last {PROOF_BLOCKS_BUSY}, or again later"
            raise RemoteError(text, code="busy")
        result, _ = await self._paced(lambda _: protocol.Prove(key, height))
        return _decoded(result, StateProof)

    async def abi(self, name: str, height: int | None = None) -> ContractAbi | None:
        """The interface of an installed contract, None if there is none of that name. Raises as `query` does."""
        result, _ = await self._paced(lambda _: protocol.Abi(name, height))
        found: ContractAbi | None = _decoded(result, ContractAbi | None)  # type: ignore[arg-type]
        return found

    async def contracts(self) -> tuple[str, ...]:
        """Names of the installed contracts. Raises as `query` does."""
        result, _ = await self._paced(lambda _: protocol.Contracts())
        return _decoded(result, tuple[str, ...])


@cache
def _decoder(kind: Any) -> Any:
    return msgspec.msgpack.Decoder(kind)


def _decoded(data: bytes, kind: type[T]) -> T:
    """A result of the executor: our own encoding, so a plain typed decode does."""
    decoded: T = _decoder(cast(Any, kind)).decode(data)
    return decoded


def _error(answer: protocol.Failed) -> CarbonnodeError:
    kind = getattr(errors, answer.error, StorageError)
    error: CarbonnodeError = kind(answer.message, code=answer.code)
    return error
