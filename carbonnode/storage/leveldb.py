"""LevelDB (plyvel) behind the KV protocol of `chain.ports`.

Opening never creates: with `create_if_missing` LevelDB makes an empty database over a lost MANIFEST, and a node would start from nothing
without a word. `create` is called by `carbonnode init` only. Paranoid checks are on, since without them LevelDB drops damaged batches silently.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import plyvel

from carbonnode.errors import DiskFull, StorageError
from carbonnode.storage.space import SpaceGuard

ENGINE = "leveldb"
BLOOM_BITS = 10
WRITE_BUFFER_BYTES = 12 * 1024 * 1024
WRITE_BUFFER_SPREAD_BYTES = 8 * 1024 * 1024
"""Each opening draws its buffer from this range above `WRITE_BUFFER_BYTES`. Validators write the same bytes: with equal buffers they wrote their tables and
compacted them in the same second, and no quorum was free of it (measured: 0.1 s of processor time a process, four of four at once)."""
BLOCK_CACHE_BYTES = 32 * 1024 * 1024
MAX_OPEN_FILES = 256
REPAIR = "run `carbonnode verify-store --repair`, or restore a backup with `carbonnode restore`"
_FILE = re.compile(r"[^\s:]*(?:MANIFEST-\d+|CURRENT|LOCK|\d+\.(?:log|ldb|sst))")


def create(path: Path) -> None:
    """Make an empty database. Raises `StorageError` if one is there already."""
    if (path / "CURRENT").exists():
        raise StorageError(f"{path}: a database exists here already: choose another directory, or remove it to start anew", code="exists")
    path.mkdir(parents=True, exist_ok=True)
    try:
        plyvel.DB(str(path), create_if_missing=True, error_if_exists=True).close()
    except (plyvel.Error, OSError) as error:
        raise _storage_error(path, error) from None


def repair(path: Path) -> None:
    """Rebuild a database's MANIFEST from its tables and logs; what is damaged is dropped, so the caller must verify the content afterwards."""
    try:
        plyvel.repair_db(str(path), paranoid_checks=True)
    except (plyvel.Error, OSError) as error:
        raise _storage_error(path, error) from None


def _check_files(path: Path) -> None:
    current = path / "CURRENT"
    if not path.is_dir():
        raise StorageError(f"{path}: there is no database here: `carbonnode init` makes one", code="missing")
    if not current.is_file():
        raise StorageError(f"{current} is missing: the database can't be opened; {REPAIR}", code="corrupt")
    name = current.read_text("ascii", errors="replace").strip()
    if not name.startswith("MANIFEST-") or not (path / name).is_file():
        raise StorageError(f"{path / name} is missing, though {current} names it: the database can't be opened; {REPAIR}", code="corrupt")


def _storage_error(path: Path, error: Exception) -> StorageError:
    raw = error.args[0] if error.args else ""
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else str(error)
    if re.search(r"\block\b", text) and "LOCK" in text:
        return StorageError(f"{path}: another process has this database open (its LOCK is held): stop that process first", code="locked")
    if "No space left" in text or "Disk quota" in text or "File too large" in text:
        return DiskFull(f"{path}: no space is left on the device: free space and start again; what was acknowledged is kept")
    if isinstance(error, plyvel.CorruptionError) or "orruption" in text or "No such file" in text:
        found = _FILE.search(text)
        where = found.group(0) if found else str(path)
        return StorageError(f"{where} in {path} is damaged ({text}): {REPAIR}", code="corrupt")
    return StorageError(f"{path}: LevelDB failed ({text}): check the disk and its permissions, then {REPAIR}", code="io")


def _guarded(path: Path, iterator: Any) -> Iterator[tuple[bytes, bytes]]:
    """Yield from a plyvel iterator with its errors translated, and close it."""
    try:
        yield from iterator
    except (plyvel.Error, OSError) as error:
        raise _storage_error(path, error) from None
    finally:
        iterator.close()


def write_buffer_bytes() -> int:
    """The size of a database's write buffer, drawn at each opening."""
    return WRITE_BUFFER_BYTES + int.from_bytes(os.urandom(4), "big") % WRITE_BUFFER_SPREAD_BYTES


def _open(path: Path, compress: bool) -> Any:
    try:
        return plyvel.DB(
            str(path),
            create_if_missing=False,
            paranoid_checks=True,
            bloom_filter_bits=BLOOM_BITS,
            write_buffer_size=write_buffer_bytes(),
            compression="snappy" if compress else None,
            lru_cache_size=BLOCK_CACHE_BYTES,
            max_open_files=MAX_OPEN_FILES,
        )
    except (plyvel.Error, OSError) as error:
        raise _storage_error(path, error) from None


class _Reader:
    """Reads through a database or one of its snapshots."""

    def __init__(self, path: Path, source: Any) -> None:
        self._path = path
        self._source = source

    def get(self, key: bytes) -> bytes | None:
        """The value, or None. Raises `StorageError` if what is read is damaged."""
        try:
            value: bytes | None = self._source.get(key)
        except (plyvel.Error, OSError) as error:
            raise _storage_error(self._path, error) from None
        return value

    def iterate(self, *, start: bytes = b"", stop: bytes | None = None, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order or reversed."""
        try:
            iterator = self._source.iterator(start=start or None, stop=stop, reverse=reverse)
        except (plyvel.Error, OSError) as error:
            raise _storage_error(self._path, error) from None
        return _guarded(self._path, iterator)


class LevelSnapshot(_Reader):
    """A frozen view of a database."""

    def close(self) -> None:
        """Release the view."""
        self._source.close()


class LevelKV(_Reader):
    """A database in its directory; use as a context manager, or `close` it."""

    def __init__(self, path: Path, database: Any, guard: SpaceGuard, *, compress: bool = True) -> None:
        super().__init__(path, database)
        self._guard = guard
        self._compress = compress
        self._torn = False

    @classmethod
    def open(cls, path: Path, guard: SpaceGuard | None = None, *, compress: bool = True) -> "LevelKV":
        """Open an existing database. `compress` holds for tables written from now on: off where the values are hashes, which don't get smaller.

        Raises `StorageError` that names the file and the remedy: nothing there, MANIFEST or CURRENT lost, damage, or another process at work.
        """
        _check_files(path)
        return cls(path, _open(path, compress), guard or SpaceGuard(path), compress=compress)

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = (), *, sync: bool = False) -> None:
        """Apply all changes atomically. Raises `DiskFull` before anything is written when space is short, `StorageError` if the disk fails.

        A failed write may leave half a record at the end of LevelDB's log; a record behind it would read as damage. So the next write reopens
        the database first, which drops that tail: a full disk needs no repair once there is space again.
        """
        if self._torn:
            self._source.close()
            self._source = _open(self._path, self._compress)
            self._torn = False
        batch = self._source.write_batch(sync=sync)
        put, size = batch.put, 0
        for key, value in puts:
            put(key, value)
            size += len(key) + len(value)
        for key in deletes:
            batch.delete(key)
        self._guard.check(size)
        try:
            batch.write()
        except (plyvel.Error, OSError) as error:
            self._torn = True
            raise _storage_error(self._path, error) from None

    def snapshot(self) -> LevelSnapshot:
        """A frozen view of the database as it is now."""
        return LevelSnapshot(self._path, self._source.snapshot())

    def size_bytes(self) -> int:
        """Bytes on disk of the database's files."""
        return sum(entry.stat().st_size for entry in self._path.iterdir() if entry.is_file())

    def close(self) -> None:
        """Release the database and its lock."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
