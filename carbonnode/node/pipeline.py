"""Execution and finalisation of ordered blocks: executor round trips, block store writes, journal cuts.

Two workers, so that writing a certified block never holds up the execution of the next: one executes in height order, one stores and finalises
in height order. Order for a block: journal -> execute in memory -> certificate -> block store -> `finalise` -> state (design, section 4).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate
from carbonnode.chain.header import Header
from carbonnode.chain.memory import HELD_BYTES
from carbonnode.chain.transaction import Transaction
from carbonnode.errors import DiskFull
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.node.bodies import BodyStore
from carbonnode.node.executor_client import DeadlyTransaction
from carbonnode.node.ports import ExecutorPort, Fatal
from carbonnode.node.skips import SkipDesk
from carbonnode.storage.blocks import BlockStore, StoredBlock

SYNC_EVERY_BLOCKS = 16
"""Blocks between syncs of the block store and flushes of the state. Measured at 500 transactions a block: 32 stall the executor for 130 to 160 ms at a time,
16 for 60 to 70, and cost the same per block (4 to 5 ms); 8 stall no shorter and cost 7 ms."""


def sync_phase(index: int | None, validators: int) -> int:
    """By how many heights a validator's syncs are shifted: spread over the set, so that a quorum is never held up by all its disks at once."""
    return 0 if index is None else index * SYNC_EVERY_BLOCKS // validators % SYNC_EVERY_BLOCKS


DISK_RETRY_S = 0.5
DEADLY_RETRY_S, DEADLY_RETRY_MOST_S = 2.0, 30.0
"""How long a block that kills the executor waits for a skip order before it is tried again as it is: the cause may have been this machine's."""


@dataclass(frozen=True, slots=True, eq=False)
class FinalBlock:
    """A certified block as it was stored, with its decoded outcome and kept transactions."""

    stored: StoredBlock
    outcome: ExecutedBlock
    batch: Batch
    transactions: tuple[Transaction, ...]

    @property
    def height(self) -> int:
        """Its height."""
        return self.outcome.header.height


class SnapshotMaker(Protocol):
    """Makes snapshots of the state; a block's end is the only moment at which the state stands at its height."""

    def due(self, height: int) -> bool:
        """Whether it wants the state of this height."""
        ...

    async def begin(self, header: Header, certificate: Certificate) -> None:
        """The state is final at the header's height, and on disk: freeze it now."""
        ...


OnExecuted = Callable[[ExecutedBlock], Awaitable[None]]
OnFinal = Callable[[FinalBlock], None]
OnDurable = Callable[[int], Awaitable[None]]


class Pipeline:
    """See the module's text. `on_fatal` hears of anything that can't be survived."""

    def __init__(
        self,
        executor: ExecutorPort,
        blocks: BlockStore,
        bodies: BodyStore,
        skips: SkipDesk,
        on_executed: OnExecuted,
        on_final: OnFinal,
        on_durable: OnDurable,
        on_fatal: Fatal,
        *,
        phase: int = 0,
    ) -> None:
        """`phase` shifts the heights at which the stores are synced (`sync_phase`)."""
        self._executor = executor
        self._blocks = blocks
        self._bodies = bodies
        self._skips = skips
        self._on_executed = on_executed
        self._on_final = on_final
        self._on_durable = on_durable
        self._on_fatal = on_fatal
        self._storage_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="blocks")
        self._to_execute: deque[tuple[int, bytes, Batch]] = deque()
        self._to_finalise: deque[tuple[int, Certificate]] = deque()
        self._executed: dict[int, tuple[ExecutedBlock, Batch, list[Transaction]]] = {}
        self._wake_execute = asyncio.Event()
        self._wake_finalise = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._idle = asyncio.Condition()
        self._busy = 0
        self._broken = False
        self._paused = False
        self._stored = asyncio.Event()
        self._storing = False
        self._phase = phase
        self._windows: dict[int, int] = {}
        self._synced = -1
        self.snapshots: SnapshotMaker | None = None
        """Told of the heights at which it wants to freeze the state."""

    def start(self) -> None:
        """Start the workers."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._guard(self._execute_loop()), name="execute"),
            loop.create_task(self._guard(self._finalise_loop()), name="finalise"),
        ]

    async def stop(self) -> None:
        """Let the block at hand finish, then end the workers; syncs what was stored."""
        await self.pause()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._storage_thread.shutdown()

    def use_window(self, epoch: int, window: int) -> None:
        """An epoch's window of heights: a loss of power may take that many blocks at most, or peers refuse what this node then proves (docs/spec/consensus.md).

        Blocks of an epoch whose window nobody told are synced one by one.
        """
        self._windows[epoch] = window

    def execute(self, height: int, digest: bytes, batch: Batch) -> None:
        """Queue the execution of an ordered batch; void while paused."""
        if self._paused:
            return
        self._to_execute.append((height, digest, batch))
        self._wake_execute.set()

    def finalise(self, height: int, certificate: Certificate) -> None:
        """Queue the storing of a certified, executed block; void while paused."""
        if self._paused:
            return
        self._to_finalise.append((height, certificate))
        self._wake_finalise.set()

    def executed(self, height: int) -> ExecutedBlock | None:
        """An executed block that isn't final yet."""
        found = self._executed.get(height)
        return None if found is None else found[0]

    @property
    def state(self) -> str:
        """What it is at, for logs."""
        doing = "broken" if self._broken else "paused" if self._paused else "running"
        return f"{doing}, {self._busy} at work, {len(self._to_execute)} to execute, {len(self._executed)} executed, {len(self._to_finalise)} to store"

    # -- exclusive use, for sync and divergence -----------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """Take nothing new, finish what is certified and executed already, forget what is only ordered."""
        self._paused = True
        self._skips.wake()
        self._to_execute.clear()
        self._stored.set()
        async with self._idle:
            await self._idle.wait_for(lambda: self._busy == 0 and (self._broken or not self._can_finalise()))

    async def discard(self) -> None:
        """Drop overlays above the stored height. Only while paused."""
        self._executed.clear()
        self._to_finalise.clear()
        self._stored.set()
        await self._executor.discard_above(self._blocks.height)

    def resume(self) -> None:
        """Take work again."""
        self._paused = False

    async def apply(self, batch: Batch, transactions: list[Transaction], outcome: ExecutedBlock, certificate: Certificate) -> None:
        """Store and finalise a block that sync executed; only while paused."""
        await self._store(outcome, batch, transactions, certificate)

    # -- workers ------------------------------------------------------------------------------------------------------------------------

    def _can_finalise(self) -> bool:
        return bool(self._to_finalise) and self._to_finalise[0][0] in self._executed

    async def _guard(self, work: Awaitable[None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the node stops with it
            self._on_fatal(error)
            self._broken = True  # who waits for the last block to be stored must not wait for a worker that is gone
            async with self._idle:
                self._idle.notify_all()

    async def _working(self, delta: int) -> None:
        self._busy += delta
        if self._busy == 0:
            async with self._idle:
                self._idle.notify_all()

    async def _execute_loop(self) -> None:
        while True:
            while not self._to_execute:
                self._wake_execute.clear()
                await self._wake_execute.wait()
            await self._room()
            if not self._to_execute:
                continue
            height, digest, batch = self._to_execute.popleft()
            body = self._bodies.need(digest)
            await self._working(1)
            try:
                outcome = await self._execute_or_skip(height, batch, [tx.raw for tx in body.transactions])
                if outcome is None:
                    continue
                self._executed[height] = (outcome, batch, body.transactions)
                if not self._paused:
                    await self._on_executed(outcome)
                self._wake_finalise.set()
            finally:
                await self._working(-1)

    async def _room(self) -> None:
        """Wait while blocks that aren't on disk take too much memory, and certificates will still come for some: the last one is flushed (docs/adr/0024)."""
        while self._executor.held_bytes > HELD_BYTES and (self._executed or self._storing):
            self._stored.clear()
            await self._stored.wait()

    async def _execute_or_skip(self, height: int, batch: Batch, transactions: list[bytes]) -> ExecutedBlock | None:
        """The block's outcome. While the executor dies of a transaction: vote, wait for a quorum's order, try again; None when a sync takes over."""
        pause_s = DEADLY_RETRY_S
        while not self._paused:
            orders = self._skips.orders(height)
            try:
                return await self._executor.execute(height, batch, transactions, orders)
            except DeadlyTransaction as fault:
                self._skips.died(fault.height, fault.run_id, str(fault))
                if self._skips.orders(height) == orders and not self._paused:
                    await self._skips.changed(pause_s)
                    pause_s = min(2 * pause_s, DEADLY_RETRY_MOST_S)
        return None

    async def _finalise_loop(self) -> None:
        while True:
            while not self._can_finalise():
                self._wake_finalise.clear()
                async with self._idle:
                    self._idle.notify_all()
                await self._wake_finalise.wait()
            await self._working(1)
            height, certificate = self._to_finalise.popleft()
            outcome, batch, transactions = self._executed.pop(height)
            self._storing = True
            try:
                await self._store(outcome, batch, transactions, certificate)
            finally:
                self._storing = False
                self._stored.set()
                await self._working(-1)

    async def _store(self, outcome: ExecutedBlock, batch: Batch, transactions: list[Transaction], certificate: Certificate) -> None:
        kept = tuple([transactions[index] for index in outcome.kept])
        header = outcome.header
        stored = StoredBlock(header, outcome.header_hash, batch.encoded, tuple([tx.raw for tx in kept]), outcome.encoded, certificate)
        ids = tuple([tx.id for tx in kept])
        freeze = self.snapshots is not None and self.snapshots.due(header.height)
        sync = freeze or self._executor.held_bytes > HELD_BYTES or self._sync_due(outcome)
        await self._put(stored, ids, sync=sync)
        await self._retry_full(lambda: self._executor.finalise(header.height))
        self._on_final(FinalBlock(stored, outcome, batch, kept))
        if sync:
            self._synced = header.height
            await self._on_durable(min(header.height, await self._retry_full(self._executor.flush)))
        if freeze and self.snapshots is not None:
            await self.snapshots.begin(header, certificate)

    def _sync_due(self, outcome: ExecutedBlock) -> bool:
        header, decided = outcome.header, outcome.next_epoch
        if decided is not None:
            # A sync may store the first blocks of that epoch before consensus enters it.
            self._windows = {epoch: window for epoch, window in self._windows.items() if epoch >= header.epoch}
            self.use_window(decided.number, decided.parameters.window)
        every = self._windows.get(header.epoch, 1)
        short = every < SYNC_EVERY_BLOCKS and header.height - self._synced >= every
        return short or (header.height + self._phase) % SYNC_EVERY_BLOCKS == 0

    async def _put(self, stored: StoredBlock, ids: tuple[bytes, ...], *, sync: bool) -> None:
        loop = asyncio.get_running_loop()

        async def write() -> int:
            await loop.run_in_executor(self._storage_thread, lambda: self._blocks.put(stored, ids, sync=sync))
            return 0

        await self._retry_full(write)

    async def _retry_full(self, work: Callable[[], Awaitable[int]]) -> int:
        """Wait while the disk is full: nothing was written, and space may come back."""
        while True:
            try:
                return await work()
            except DiskFull:
                await asyncio.sleep(DISK_RETRY_S)
