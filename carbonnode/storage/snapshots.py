"""Where snapshots lie: one directory for each height, complete or not there at all.

`snapshots/<height>/` holds `manifest`, `proof` and one file a chunk. It is written under another name, synced, then renamed: a name made of digits only
is a complete snapshot, anything else is what a crash left behind and is removed at the next start.
"""

import os
import shutil
from pathlib import Path

from carbonnode.errors import StorageError
from carbonnode.storage.datadir import sync_directory, write_durably

KEPT = 2
MANIFEST = "manifest"
PROOF = "proof"
_DIGITS = 16
_NEW = "new-"


class SnapshotDirectory:
    """The snapshots of one node."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the directory, and remove what a crash left behind."""
        self.path.mkdir(parents=True, exist_ok=True)
        for entry in self.path.iterdir():
            if not _is_complete(entry):
                shutil.rmtree(entry)

    def begin(self, height: int) -> Path:
        """An empty directory to write the snapshot of `height` into."""
        path = self.begun(height)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def begun(self, height: int) -> Path:
        """Where the snapshot of a height is being written."""
        return self.path / f"{_NEW}{height}"

    def abandon(self, height: int) -> None:
        """Remove what was begun."""
        shutil.rmtree(self.begun(height), ignore_errors=True)

    def finish(self, height: int, proof: bytes, kept: int = KEPT) -> Path:
        """Sync what was written, give it its name, and remove all but the newest `kept`. Takes as long as the disk does: run it in a thread."""
        new = self.begun(height)
        for entry in sorted(new.iterdir()):
            descriptor = os.open(entry, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        write_durably(new / PROOF, proof)
        final = self.at(height)
        shutil.rmtree(final, ignore_errors=True)
        new.rename(final)
        sync_directory(self.path)
        for old in self.heights()[:-kept]:
            self.remove(old)
        return final

    def remove(self, height: int) -> None:
        """Remove a snapshot: first its name, so that half of one is never taken for whole."""
        doomed = self.path / f"{_NEW}old-{height}"
        shutil.rmtree(doomed, ignore_errors=True)
        self.at(height).rename(doomed)
        shutil.rmtree(doomed)

    def heights(self) -> list[int]:
        """Heights of complete snapshots, ascending."""
        if not self.path.is_dir():
            return []
        return sorted(int(entry.name) for entry in self.path.iterdir() if _is_complete(entry))

    def at(self, height: int) -> Path:
        """Where the snapshot of a height lies, if it does."""
        return self.path / f"{height:0{_DIGITS}d}"

    def read(self, height: int, name: str) -> bytes:
        """A file of a snapshot. Raises `StorageError` if it isn't there."""
        try:
            return (self.at(height) / name).read_bytes()
        except OSError as error:
            text = f"{self.at(height) / name} can't be read ({error.strerror}): the snapshot is gone or damaged; the next one replaces it"
            raise StorageError(text) from None

    def size_bytes(self, height: int) -> int:
        """Bytes on disk."""
        return sum(entry.stat().st_size for entry in self.at(height).iterdir())


def _is_complete(path: Path) -> bool:
    return len(path.name) == _DIGITS and path.name.isascii() and path.name.isdigit()
