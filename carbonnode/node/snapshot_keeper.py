"""Snapshots that a validator makes and serves: every so many heights, in a share of the executor's time, the last two kept."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.header import Header
from carbonnode.chain.proof import ValidatorChange
from carbonnode.errors import CarbonnodeError, StorageError
from carbonnode.ledger.snapshot import MAX_MANIFEST_BYTES, MAX_PROOF_BYTES, Manifest, SnapshotProof, make_proof
from carbonnode.node.executor_protocol import SnapshotProgress
from carbonnode.node.logs import Logger
from carbonnode.node.wire import FetchChunk, SnapshotOffer, SnapshotOffers
from carbonnode.storage.crashpoints import CrashPoints
from carbonnode.storage.snapshots import MANIFEST, PROOF, SnapshotDirectory

SLICE_US: Final = 10_000
"""What a block may have to wait for at most."""
SHARE_IDLE: Final = 0.1
SHARE_BUSY: Final = 0.03
"""The share of the executor's time that a snapshot may take; the second while blocks are executed. All validators begin at the same height: when they share a
machine, or each is near its limit, a tenth of all of them is what the blocks then lack."""


def pause_s(worked_s: float, *, busy: bool) -> float:
    """How long the executor is left to the blocks after a slice that took `worked_s`; one that waited behind a block counts as 0.1 s at most."""
    return min(worked_s, 0.1) * (1 / (SHARE_BUSY if busy else SHARE_IDLE) - 1)


class SnapshotExecutor(Protocol):
    """The executor process."""

    @property
    def busy(self) -> bool:
        """Whether blocks were executed a moment ago."""
        ...

    async def snapshot_begin(self, height: int, directory: Path) -> bool:
        """Freeze the state."""
        ...

    async def snapshot_work(self, height: int, budget_us: int) -> SnapshotProgress | None:
        """Write some of it."""
        ...

    async def snapshot_drop(self) -> None:
        """Give it up."""
        ...


class SnapshotKeeper:
    """`pipeline.SnapshotMaker`, and the answers to peers who fetch."""

    def __init__(
        self,
        executor: SnapshotExecutor,
        directory: SnapshotDirectory,
        every: int,
        changes_before: Callable[[Header], tuple[ValidatorChange, ...]],
        log: Logger,
        crash: CrashPoints | None = None,
    ) -> None:
        """`every`: heights between snapshots, 0 for none."""
        self._executor = executor
        self.directory = directory
        self._every = every
        self._changes_before = changes_before
        self._log = log
        self._crash = crash or CrashPoints()
        self._task: asyncio.Task[None] | None = None
        self._held: dict[int, _Held] = {}
        directory.prepare()

    @property
    def active(self) -> bool:
        """Whether one is being written."""
        return self._task is not None and not self._task.done()

    def due(self, height: int) -> bool:
        """`pipeline.SnapshotMaker`; one that falls due while another is being written is left out."""
        return self._every > 0 and height % self._every == 0 and not self.active

    async def begin(self, header: Header, certificate: Certificate) -> None:
        """`pipeline.SnapshotMaker`"""
        height = header.height
        path = self.directory.begin(height)
        if await self._executor.snapshot_begin(height, path):
            proof = encode(make_proof(b"", certificate, self._changes_before(header)))
            self._task = asyncio.get_running_loop().create_task(self._write(height, proof), name="snapshot")
        else:
            self.directory.abandon(height)
            self._log.warning("snapshot left out: the state stands elsewhere", height=height)

    async def stop(self) -> None:
        """Give up what is being written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def forget(self) -> None:
        """Another state took this one's place, with its snapshots."""
        await self.stop()
        self._held.clear()
        self.directory.prepare()

    async def _write(self, height: int, proof: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                started = loop.time()
                progress = await self._executor.snapshot_work(height, SLICE_US)
                if progress is None:
                    self._log.warning("snapshot left out: the executor was started anew", height=height)
                    self.directory.abandon(height)
                    return
                if progress.done:
                    break
                await asyncio.sleep(pause_s(loop.time() - started, busy=self._executor.busy))
            await loop.run_in_executor(None, self._finish, height, proof)
        except (CarbonnodeError, OSError) as error:
            # The chain doesn't depend on it: the next one may find more room.
            self._log.error("snapshot left out", height=height, error=str(error))
            self.directory.abandon(height)
            return
        self._log.info("snapshot", height=height, leaves=progress.leaves, chunks=progress.chunks, size_bytes=progress.size_bytes)

    def _finish(self, height: int, proof: bytes) -> None:
        manifest = (self.directory.begun(height) / MANIFEST).read_bytes()
        parts = decode(proof, SnapshotProof, max_bytes=MAX_PROOF_BYTES)
        self.directory.finish(height, encode(SnapshotProof(manifest, parts.certificate, parts.changes)))
        self._crash.reach("snapshot.named")

    # -- answers, each in a thread --------------------------------------------------------------------------------------------------------

    def offers(self) -> SnapshotOffers:
        """What peers may fetch."""
        heights = self.directory.heights()
        for gone in [height for height in self._held if height not in heights]:
            self._held.pop(gone, None)
        found: list[SnapshotOffer] = []
        for height in heights:
            try:
                found.append(SnapshotOffer(height, self._hold(height).digest))
            except CarbonnodeError as error:
                self._log.warning("a snapshot is damaged and isn't offered", height=height, error=str(error))
        return SnapshotOffers(tuple(found))

    def proof(self, wanted: FetchChunk) -> bytes:
        """The manifest with what certifies it; b"" if it isn't here."""
        return self._read(wanted, PROOF)

    def chunk(self, wanted: FetchChunk) -> bytes:
        """A chunk's bytes; b"" if it isn't here."""
        held = self._find(wanted)
        if held is None or not 0 <= wanted.index < len(held.names):
            return b""
        return self._read(wanted, held.names[wanted.index])

    def _read(self, wanted: FetchChunk, name: str) -> bytes:
        if self._find(wanted) is None:
            return b""
        try:
            return self.directory.read(wanted.height, name)
        except StorageError:
            return b""  # replaced by a newer one since

    def _find(self, wanted: FetchChunk) -> "_Held | None":
        try:
            held = self._hold(wanted.height)
        except CarbonnodeError:
            return None
        return held if held.digest == wanted.digest else None

    def _hold(self, height: int) -> "_Held":
        held = self._held.get(height)
        if held is None:
            manifest = decode(self.directory.read(height, MANIFEST), Manifest, max_bytes=MAX_MANIFEST_BYTES)
            held = self._held[height] = _Held(manifest.digest, tuple(ref.name for ref in manifest.chunks))
        return held


class _Held:
    """What is kept of a snapshot in memory."""

    __slots__ = ("digest", "names")

    def __init__(self, digest: bytes, names: tuple[str, ...]) -> None:
        self.digest = digest
        self.names = names
