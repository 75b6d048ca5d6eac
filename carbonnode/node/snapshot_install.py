"""Another state in place of the node's own, all or nothing: of a fetched snapshot, or of an earlier height (`carbonnode rollback`).

The new state is made beside the old one and synced. Then a small file says what is to become of it; from then on every start finishes the work,
however often it is interrupted: the directories change places, the block store follows, the file goes last.
"""

import os
import shutil
from pathlib import Path

import msgspec

from carbonnode.chain.genesis import Genesis
from carbonnode.errors import StorageError
from carbonnode.node.changes import ChangeFile
from carbonnode.node.snapshot_store import FetchedSnapshot
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.crashpoints import CrashPoints
from carbonnode.storage.datadir import sync_directory, write_durably
from carbonnode.storage.leveldb import LevelKV

INTENT = "install.json"
NEW_STATE = "state.new"
OLD_STATE = "state.old"
INCOMING = "incoming"
SNAPSHOTS = "snapshots"
"""Within the state's directory: the executor process may write nowhere else."""


class Intent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`source` is the directory in `incoming/` that the new state was made of; empty for a rollback to `height`."""

    height: int
    source: str = ""


class Installation:
    """The change of one data directory `data` (the node holds its lock)."""

    def __init__(self, data: Path, genesis: Genesis, crash: CrashPoints | None = None) -> None:
        self._data = data
        self._genesis = genesis
        self._crash = crash or CrashPoints()

    @property
    def new_state(self) -> Path:
        """Where the new state is made."""
        return self._data / NEW_STATE

    @property
    def incoming(self) -> Path:
        """Where fetched snapshots lie."""
        return self._data / INCOMING

    @property
    def pending(self) -> Intent | None:
        """What a crash interrupted. Raises `StorageError` if the file is damaged."""
        path = self._data / INTENT
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=Intent)
        except msgspec.DecodeError as error:
            raise StorageError(f"{path} is damaged ({error}): restore a backup with `carbonnode restore`", code="corrupt") from None

    def clear(self) -> None:
        """Nothing was decided: a state that was being made is void. Fetched chunks stay, to go on with."""
        shutil.rmtree(self.new_state, ignore_errors=True)

    def decide(self, intent: Intent) -> None:
        """The new state is complete and on disk: from now on it will be the node's."""
        for entry in [entry for entry in self.new_state.iterdir() if entry.is_file()]:
            with entry.open("rb") as file:
                os.fsync(file.fileno())
        sync_directory(self.new_state)
        sync_directory(self._data)
        write_durably(self._data / INTENT, msgspec.json.encode(intent))
        self._crash.reach("install.ready")

    def swap_state(self) -> None:
        """The new state takes the old one's place; again after a crash, it does what is left. Nobody may have either open."""
        state, old = self._data / "state", self._data / OLD_STATE
        if self.new_state.exists():
            shutil.rmtree(old, ignore_errors=True)
            if state.exists():
                # Certified states of other heights: as good as before.
                snapshots = state / SNAPSHOTS
                if snapshots.is_dir():
                    snapshots.rename(self.new_state / SNAPSHOTS)
                state.rename(old)
            self.new_state.rename(state)
            sync_directory(self._data)
        self._crash.reach("install.state")

    def follow(self, blocks: BlockStore, changes: ChangeFile) -> None:
        """Block store and validator changes follow a fetched state."""
        intent = self._decided()
        fetched = FetchedSnapshot(self.incoming / intent.source)
        snapshot = fetched.verified(self._genesis)
        blocks.install(snapshot.header, snapshot.certificate, fetched.ids_by_height())
        self._crash.reach("install.blocks")
        changes.replace(snapshot.changes)

    def finish(self) -> None:
        """Nothing is left to do: the decision and what it was about go."""
        (self._data / INTENT).unlink()
        sync_directory(self._data)
        shutil.rmtree(self._data / OLD_STATE, ignore_errors=True)
        shutil.rmtree(self.incoming, ignore_errors=True)

    def _decided(self) -> Intent:
        intent = self.pending
        if intent is None:
            raise StorageError(f"{self._data / INTENT} is missing: nothing was decided about the state", code="missing")
        return intent


def recover(data: Path, genesis: Genesis) -> Intent | None:
    """At start, before any store is open: finish what a crash interrupted, or clear away what was never decided. Returns what was finished."""
    installation = Installation(data, genesis)
    intent = installation.pending
    if intent is None:
        installation.clear()
        shutil.rmtree(data / OLD_STATE, ignore_errors=True)
        return None
    installation.swap_state()
    if intent.source:
        with LevelKV.open(data / "blocks") as kv:
            installation.follow(BlockStore(kv), ChangeFile(data))
    else:
        with LevelKV.open(data / "blocks") as kv:
            BlockStore.cut(kv, intent.height)
        ChangeFile(data).cut_above(intent.height)
    installation.finish()
    return intent

