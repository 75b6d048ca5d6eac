"""The executor process: owns the state database and the VM. No keys, no sockets, no exec, no files outside the state's directory (design, section 5).

Run by `executor_client` as `python -m carbonnode.node.executor_process` with one end of a socket pair in CARBONNODE_EXECUTOR_FD. It answers commands one
at a time and ends when the other end closes. What a contract can't cause ends it loudly: an `InvariantViolation` is reported, anything else
kills the process with its traceback on stderr.
"""

import codecs
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carbonnode import errors
from carbonnode.chain import values
from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import parse_genesis
from carbonnode.chain.transaction import calls_from_wire
from carbonnode.errors import CarbonnodeError, InvariantViolation
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.node import executor_protocol as protocol
from carbonnode.node.executor_watch import VARIABLE as POISON_VARIABLE
from carbonnode.node.executor_watch import Watch
from carbonnode.node.marker import FD_VARIABLE, Marker
from carbonnode.node.sandbox import confine
from carbonnode.node.snapshot_service import SnapshotService
from carbonnode.storage.crashpoints import CrashPoints
from carbonnode.storage.leveldb import LevelKV
from carbonnode.storage.space import SpaceGuard
from carbonnode.vm.interpreter import require_plain_interpreter

for _name in ("ascii", "latin-1"):
    codecs.lookup(_name)  # loaded from a file at first use, which the sandbox no longer allows

_COLLECT_ALL_EVERY = 64
_GC_THRESHOLDS = (10_000, 10, 100)
"""Measured by executing 27,700 orders again: the longest pause 10 to 16 ms, 3 us an order; 27 ms with 50,000; with 1,000 the blocks' own temporary objects are
walked through again and again, 10 us an order."""


class Collector:
    """Finds garbage between runs, looking only at what was made since the last time: what lives then is no contract's, so that it is set aside.

    Our own objects that become cyclic garbage after that are found at every 64th time, when all is looked at (15 ms with full caches, against 0.5).
    """

    def __init__(self) -> None:
        self._times = 0

    def __call__(self) -> None:
        """Collect."""
        if self._times % _COLLECT_ALL_EVERY == 0:
            gc.unfreeze()
        self._times += 1
        gc.collect()
        gc.freeze()


class Service:
    """Carries commands out on one `BlockExecutor`."""

    def __init__(self, crash: CrashPoints, watch: Watch | None = None) -> None:
        self._crash = crash
        self._watch = watch or Watch()
        self._executor: BlockExecutor | None = None
        self._kv: LevelKV | None = None
        self._snapshots: SnapshotService | None = None
        self._handlers: dict[type[Any], Callable[[Any], object]] = {
            protocol.Execute: self._execute,
            protocol.Finalise: self._finalise,
            protocol.DiscardAbove: lambda c: self._ledger.discard_above(c.height),
            protocol.Flush: lambda _c: self._flush(),
            protocol.Status: lambda _c: self._ledger.status(),
            protocol.Epochs: lambda _c: self._ledger.epochs(),
            protocol.GenesisBlock: lambda _c: self._ledger.genesis_block(),
            protocol.Query: self._query,
            protocol.Estimate: self._estimate,
            protocol.Prove: lambda c: self._ledger.prove(c.key, c.height),
            protocol.Abi: lambda c: self._ledger.abi(c.name, c.height),
            protocol.Contracts: lambda _c: self._ledger.contracts(),
            protocol.SnapshotBegin: self._snapshot_begin,
            protocol.SnapshotWork: self._snapshot_work,
            protocol.SnapshotDrop: lambda _c: self._snapshot.drop(),
        }

    @property
    def _ledger(self) -> BlockExecutor:
        if self._executor is None:
            raise InvariantViolation("the executor got a command before it was opened")
        return self._executor

    @property
    def _snapshot(self) -> SnapshotService:
        if self._snapshots is None:
            raise InvariantViolation("the executor got a command before it was opened")
        return self._snapshots

    @property
    def held_bytes(self) -> int:
        """About the memory that blocks take which aren't on disk."""
        return 0 if self._executor is None else self._executor.held_bytes

    def answer(self, command: protocol.AnyCommand) -> object:
        """The result of a command; raises what it raises."""
        if isinstance(command, protocol.Open):
            return self._open(command)
        return self._handlers[type(command)](command)

    def _open(self, command: protocol.Open) -> protocol.Hello:
        path = Path(command.path)
        genesis = parse_genesis(command.genesis)
        confinement: tuple[str, ...] = ("none: switched off by `executor.sandbox`",)
        if command.sandbox and path.is_dir():
            # Before the database has threads of its own: they are confined as well.
            confinement = confine(path, command.memory_bytes)
        # Tree nodes are most of what is written, and hashes: compressing them cost 30 % of LevelDB's processor time and saved 0.4 % of the disk.
        self._kv = LevelKV.open(path, SpaceGuard(path, command.reserve_bytes), compress=False)
        self._executor = BlockExecutor(self._kv, genesis, flush_blocks=command.flush_blocks, begin=self._watch.begin, collect=Collector())
        self._snapshots = SnapshotService(self._kv, self._executor, SpaceGuard(path, command.reserve_bytes), self._crash)
        Collector()()
        gc.set_threshold(*_GC_THRESHOLDS)
        return protocol.Hello(os.getpid(), confinement)

    def _execute(self, command: protocol.Execute) -> object:
        self._crash.reach("execute.before")
        self._watch.block(command.height, command.transactions)
        block = self._ledger.execute(command.height, Batch.decode(command.batch), command.transactions, command.skip_orders)
        self._crash.reach("execute.after")
        return block

    def _finalise(self, command: protocol.Finalise) -> object:
        self._crash.reach("finalise.before")
        durable = self._ledger.finalise(command.height)
        self._crash.reach("finalise.after")
        return durable

    def _flush(self) -> object:
        self._crash.reach("flush.before")
        durable = self._ledger.flush()
        self._crash.reach("flush.after")
        return durable

    def _query(self, command: protocol.Query) -> object:
        args = [values.from_wire(arg) for arg in command.args]
        return self._ledger.query(command.contract, command.view, args, command.sender, command.height, gas=command.gas)

    def _estimate(self, command: protocol.Estimate) -> object:
        return self._ledger.estimate(calls_from_wire(command.calls), command.sender, gas=command.gas)

    def _snapshot_begin(self, command: protocol.SnapshotBegin) -> object:
        return self._snapshot.begin(command)

    def _snapshot_work(self, command: protocol.SnapshotWork) -> object:
        return self._snapshot.work(command)

    def close(self) -> None:
        """Release the database; what wasn't flushed is executed again from the block store."""
        if self._snapshots is not None:
            self._snapshots.drop()
        if self._kv is not None:
            self._kv.close()


def receive(file: int, size: int) -> bytes | None:
    """Exactly `size` bytes, or None when the other end has closed. Plain reads: the sandbox leaves no socket calls."""
    parts: list[bytes] = []
    while size:
        part = os.read(file, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def send(file: int, data: bytes) -> None:
    """All of `data`."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def serve(connection: int, service: Service) -> None:
    """Answer commands until the other end closes."""
    while (head := receive(connection, protocol.LENGTH_BYTES)) is not None:
        body = receive(connection, int.from_bytes(head, "big"))
        if body is None:
            return
        number, command = protocol.request_decoder.decode(body)
        started = time.perf_counter_ns()
        answer: protocol.AnyAnswer
        try:
            result = protocol.encoder.encode(service.answer(command))
            answer = protocol.Done(result, (time.perf_counter_ns() - started) // 1000, service.held_bytes)
        except CarbonnodeError as error:
            answer = protocol.Failed(_public_class(error), error.code, str(error))
        send(connection, protocol.frame(number, answer))


def _public_class(error: CarbonnodeError) -> str:
    """The nearest class of the error tree that the other side knows by name."""
    names: list[str] = [kind.__name__ for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind]
    return names[0]


def main() -> int:
    """Entry point of the process."""
    require_plain_interpreter()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setswitchinterval(0.05)
    connection = int(os.environ[protocol.FD_VARIABLE])
    watch = Watch(Marker(int(os.environ[FD_VARIABLE])), os.environ.get(POISON_VARIABLE, ""))
    service = Service(CrashPoints.from_environment(os.environ), watch)
    try:
        serve(connection, service)
    except (BrokenPipeError, ConnectionResetError):
        return 0
    finally:
        service.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
