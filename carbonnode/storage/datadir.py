"""A data directory: whose chain it holds, which engine wrote it, and the lock that keeps a second process out."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from carbonnode.errors import ConfigError, StorageError
from carbonnode.storage import leveldb

FORMAT = 1
_IDENTITY = "identity.json"
_LOCK = "lock"


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `identity.json`: format version, storage engine, chain id in hex."""

    format: int
    engine: str
    chain_id: str


def sync_directory(path: Path) -> None:
    """Make the creation, renaming or removal of files in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Write a small file so that after a crash it is either the old or the new one, whole."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


class DataDirectory:
    """An opened and locked data directory. `blocks` and `journal` belong to the node process, `state` to the executor process."""

    def __init__(self, path: Path, identity: Identity, lock: int) -> None:
        self.path = path
        self.identity = identity
        self.blocks = path / "blocks"
        self.state = path / "state"
        self.journal = path / "journal"
        self._lock = lock

    @staticmethod
    def create(path: Path, chain_id: bytes) -> None:
        """Make an empty data directory for a chain: identity, block store, state store, journal.

        Raises `StorageError` if one is there already.
        """
        if (path / _IDENTITY).exists():
            raise StorageError(f"{path}: a data directory exists here already: choose another, or remove it to start anew", code="exists")
        path.mkdir(parents=True, exist_ok=True)
        leveldb.create(path / "blocks")
        leveldb.create(path / "state")
        (path / "journal").mkdir(exist_ok=True)
        (path / _LOCK).touch()
        identity = Identity(FORMAT, leveldb.ENGINE, chain_id.hex())
        write_durably(path / _IDENTITY, msgspec.json.format(msgspec.json.encode(identity), indent=1) + b"\n")

    @classmethod
    def open(cls, path: Path, chain_id: bytes) -> "DataDirectory":
        """Lock and check a data directory.

        Raises `StorageError` if it is missing, damaged, of another format, or in use by another process; `ConfigError` if it belongs to another
        chain than `chain_id`.
        """
        identity = read_identity(path)
        if identity.chain_id != chain_id.hex():
            raise ConfigError(
                f"{path} holds the chain {identity.chain_id[:16]}..., the configured genesis is the chain {chain_id.hex()[:16]}...: "
                "point `genesis` at the file this directory was made with, or `data` at another directory"
            )
        return cls(path, identity, _take_lock(path / _LOCK))

    def close(self) -> None:
        """Release the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_identity(path: Path) -> Identity:
    """The identity of the data directory at `path`. Raises `StorageError` if there is none, or one this release can't read."""
    file = path / _IDENTITY
    if not path.is_dir() or not any(path.iterdir()):
        raise StorageError(f"{path}: there is no data directory here: `carbonnode init` makes one", code="missing")
    try:
        identity = msgspec.json.decode(file.read_bytes(), type=Identity)
    except FileNotFoundError:
        raise StorageError(f"{file} is missing: restore it from a backup with `carbonnode restore`", code="corrupt") from None
    except msgspec.DecodeError as error:
        raise StorageError(f"{file} is damaged ({error}): restore it from a backup with `carbonnode restore`", code="corrupt") from None
    if identity.format != FORMAT or identity.engine != leveldb.ENGINE:
        raise StorageError(
            f"{path} has format {identity.format} of engine {identity.engine!r}, this release reads format {FORMAT} of {leveldb.ENGINE!r}: use the "
            "release that wrote it",
            code="format",
        )
    return identity


def _take_lock(path: Path) -> int:
    """An open file description that holds the lock; the kernel releases it when the process ends, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StorageError(
            f"{path.parent} is in use by another process (pid {holder}): stop that one first; two nodes with one key would vote twice", code="locked"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    return descriptor
