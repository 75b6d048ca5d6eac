"""The executor process's part in snapshots: a frozen view of its database, written out a slice at a time."""

from pathlib import Path

from carbonnode.errors import StorageError
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.node import executor_protocol as protocol
from carbonnode.node.snapshot_writer import SnapshotWriter
from carbonnode.storage.crashpoints import CrashPoints
from carbonnode.storage.leveldb import LevelKV, LevelSnapshot
from carbonnode.storage.space import SpaceGuard


class SnapshotService:
    """At most one snapshot at a time."""

    def __init__(self, kv: LevelKV, ledger: BlockExecutor, guard: SpaceGuard, crash: CrashPoints) -> None:
        self._kv = kv
        self._ledger = ledger
        self._guard = guard
        self._crash = crash
        self._frozen: LevelSnapshot | None = None
        self._writer: SnapshotWriter | None = None

    def begin(self, command: protocol.SnapshotBegin) -> bool:
        """Freeze the state if it is that of the height, final and on disk."""
        status = self._ledger.status()
        if not command.height == status.height == status.durable:
            return False
        self.drop()
        self._frozen = self._kv.snapshot()
        self._writer = SnapshotWriter(self._frozen, self._ledger.header, Path(command.directory), self._guard)
        return True

    def work(self, command: protocol.SnapshotWork) -> protocol.SnapshotProgress | None:
        """None if no such snapshot is being written: this process is another than the one that began. Raises `StorageError`; the snapshot is dropped."""
        writer = self._writer
        if writer is None or writer.height != command.height:
            return None
        self._crash.reach("snapshot.work")
        try:
            done = writer.work(command.budget_us)
        except StorageError:
            self.drop()
            raise
        if done:
            self.drop()
        return protocol.SnapshotProgress(done, writer.leaves, writer.chunks, writer.size_bytes)

    def drop(self) -> None:
        """Give up what is being written, and let the frozen view go."""
        self._writer = None
        if self._frozen is not None:
            self._frozen.close()
            self._frozen = None
