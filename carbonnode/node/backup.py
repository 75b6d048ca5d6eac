"""Backup of a stopped node into a directory of plain files, and the way back (`carbonnode backup`, `carbonnode restore`).

Databases are written out key by key from a frozen view; LevelDB's own files are never copied. `backup.json` comes last and has the size and hash of every
file: without it a backup is unfinished. The vote journal isn't in it: old votes must never come back. A restored validator abstains until that is safe.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from carbonnode import __version__
from carbonnode.chain.genesis import parse_genesis
from carbonnode.errors import ConfigError, StorageError
from carbonnode.identity import KeyStore
from carbonnode.node.changes import FILE as CHANGES
from carbonnode.node.config import NodeConfig
from carbonnode.node.directory import VOTED, NodeDirectory
from carbonnode.node.snapshot_install import recover
from carbonnode.node.store_check import StoreReport, check_store
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.datadir import DataDirectory, sync_directory, write_durably
from carbonnode.storage.leveldb import LevelKV

FORMAT: Final = 1
INDEX: Final = "backup.json"
KEYS: Final = "keys.json"
_STORES: Final = ("blocks", "state")
_MAGIC: Final = b"carbonnode kv 1\n"
_BATCH_BYTES: Final = 4 * 1024 * 1024
_PIECE: Final = 1 << 20


class BackupFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a backup: its size in bytes and the blake2b-256 hash of its content."""

    size: int
    hash: str


class BackupIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `backup.json` says."""

    format: int
    release: str
    name: str
    role: str
    chain_id: str
    height: int
    header_hash: str
    keys: bool
    files: dict[str, BackupFile]


def back_up(directory: NodeDirectory, destination: Path, *, keys: bool) -> BackupIndex:
    """Write a backup of a stopped node into the new directory `destination`, with its keys, still encrypted, if `keys`.

    Raises `StorageError` if the node runs or its stores are unreadable, `ConfigError` if there is something at `destination`.
    """
    config, genesis = directory.config(), directory.genesis()
    if destination.exists() and any(destination.iterdir()):
        raise ConfigError(f"{destination} isn't empty: name a new directory for each backup")
    with directory.open_data(genesis) as data:
        recover(data.path, genesis)
        destination.mkdir(parents=True, exist_ok=True)
        files: dict[str, BackupFile] = {}
        height, header_hash = -1, b""
        for name in _STORES:
            with LevelKV.open(data.path / name) as kv:
                if name == "blocks" and config.node.role != "user":
                    blocks = BlockStore(kv)
                    blocks.verify_chain()
                    height, header_hash = blocks.height, blocks.tip_hash
                files[f"{name}.kv"] = _dump(kv, destination / f"{name}.kv")
        for source in _plain_files(directory):
            if source.exists():
                files[source.name] = _copy(source, destination / source.name)
        if keys:
            KeyStore(directory.keys_path).export_backup(destination / KEYS)
            files[KEYS] = _measured(destination / KEYS)
        index = BackupIndex(FORMAT, __version__, config.node.name, config.node.role, genesis.chain_id.hex(), height, header_hash.hex(), keys, files)
        sync_directory(destination)
        write_durably(destination / INDEX, msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n")
    return index


def _plain_files(directory: NodeDirectory) -> tuple[Path, ...]:
    return (
        directory.config_path,
        directory.genesis_path,
        directory.certificate_path,
        directory.revocations_path,
        directory.data_path / CHANGES,
    )


def check_backup(source: Path) -> BackupIndex:
    """The index of a whole backup. Raises `StorageError` that names the file which is missing or damaged."""
    try:
        index = msgspec.json.decode((source / INDEX).read_bytes(), type=BackupIndex)
    except FileNotFoundError:
        raise StorageError(f"{source / INDEX} is missing: this is no backup, or an unfinished one", code="missing") from None
    except msgspec.DecodeError as error:
        raise StorageError(f"{source / INDEX} is damaged ({error}): use another backup", code="corrupt") from None
    if index.format != FORMAT:
        raise StorageError(f"{source} has backup format {index.format}, this release reads {FORMAT}: use release {index.release}", code="format")
    for name, expected in index.files.items():
        path = source / name
        if Path(name).name != name or not path.is_file() or _measured(path) != expected:
            raise StorageError(f"{path} is missing or damaged: its content isn't what was backed up; use another backup", code="corrupt")
    return index


def restore(source: Path, directory: NodeDirectory) -> tuple[BackupIndex, StoreReport | None]:
    """Make the node directory, or only its data where the rest is there, from a verified backup; check everything that was restored.

    Nothing is overwritten. Raises `StorageError` for a damaged backup or data that doesn't check, `ConfigError` if data or another node is there.
    """
    index = check_backup(source)
    data = directory.data_path
    if data.exists() and any(data.iterdir()):
        raise ConfigError(f"{data} holds data already: move it away first, a restore overwrites nothing")
    genesis = parse_genesis((source / directory.genesis_path.name).read_bytes(), source / directory.genesis_path.name)
    if genesis.chain_id.hex() != index.chain_id:
        raise StorageError(f"{source}: its genesis file isn't that of the chain it says: use another backup", code="corrupt")
    if directory.config_path.exists():
        _check_same_node(index, directory.config(), directory.genesis().chain_id.hex(), directory)
    directory.path.mkdir(parents=True, exist_ok=True)
    fresh = directory.path / "data.restored"
    _fill(fresh, index, source, genesis.chain_id)
    report = None if index.role == "user" else _checked(check_store(fresh, genesis), index, source)
    if index.keys and not KeyStore(directory.keys_path).list_keys():
        KeyStore(directory.keys_path).import_backup(source / KEYS)
    if index.height > 0:
        directory.keys_path.mkdir(exist_ok=True)
        write_durably(directory.keys_path / VOTED, genesis.chain_id.hex().encode() + b"\n")
    (directory.path / "logs").mkdir(exist_ok=True)
    if data.exists():
        data.rmdir()
    fresh.rename(data)
    for path in (directory.genesis_path, directory.certificate_path, directory.revocations_path, directory.config_path):
        if path.name in index.files and not path.exists():
            _copy(source / path.name, path)
    sync_directory(directory.path)
    return index, report


def _fill(fresh: Path, index: BackupIndex, source: Path, chain_id: bytes) -> None:
    shutil.rmtree(fresh, ignore_errors=True)
    DataDirectory.create(fresh, chain_id)
    for name in _STORES:
        _load(source / f"{name}.kv", fresh / name)
    if CHANGES in index.files:
        _copy(source / CHANGES, fresh / CHANGES)


def _check_same_node(index: BackupIndex, config: NodeConfig, chain_id: str, directory: NodeDirectory) -> None:
    if (index.name, index.role, index.chain_id) != (config.node.name, config.node.role, chain_id):
        raise ConfigError(
            f"{directory.path} is the directory of {config.node.name} ({config.node.role}), the backup is of {index.name} ({index.role}), or of another chain: "
            "restore into that node's directory, or a new one"
        )


def _checked(report: StoreReport, index: BackupIndex, source: Path) -> StoreReport:
    if not report.ok or report.blocks != index.height:
        why = "; ".join(report.faults) or f"its blocks end at {report.blocks} instead of {index.height}"
        raise StorageError(f"what was restored from {source} doesn't check: {why}; use another backup", code="corrupt")
    return report


# Files.


def _measured(path: Path) -> BackupFile:
    hashed, size = blake2b(digest_size=32), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            hashed.update(piece)
            size += len(piece)
    return BackupFile(size, hashed.hexdigest())


def _copy(source: Path, target: Path) -> BackupFile:
    with source.open("rb") as file:
        return _written(target, lambda: iter(lambda: file.read(_PIECE), b""))


def _written(path: Path, pieces: Callable[[], Iterator[bytes]]) -> BackupFile:
    hashed, size = blake2b(digest_size=32), 0
    with path.open("xb") as file:
        for piece in pieces():
            file.write(piece)
            hashed.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return BackupFile(size, hashed.hexdigest())


def _dump(kv: LevelKV, path: Path) -> BackupFile:
    """Every pair of a frozen view: lengths of key and value (4 bytes each), key, value."""
    frozen = kv.snapshot()

    def pieces() -> Iterator[bytes]:
        yield _MAGIC
        for key, value in frozen.iterate():
            yield b"".join((len(key).to_bytes(4, "big"), len(value).to_bytes(4, "big"), key, value))

    try:
        return _written(path, pieces)
    finally:
        frozen.close()


def _load(path: Path, target: Path) -> None:
    with path.open("rb") as file, LevelKV.open(target) as kv:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise StorageError(f"{path} isn't a database that was backed up: use another backup", code="corrupt")
        batch: list[tuple[bytes, bytes]] = []
        size = 0
        while (pair := _pair(file, path)) is not None:
            batch.append(pair)
            size += len(pair[0]) + len(pair[1])
            if size >= _BATCH_BYTES:
                kv.write(batch)
                batch, size = [], 0
        kv.write(batch, sync=True)


def _pair(file: BinaryIO, path: Path) -> tuple[bytes, bytes] | None:
    head = file.read(8)
    if not head:
        return None
    key_size, value_size = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
    body = file.read(key_size + value_size)
    if len(head) < 8 or len(body) < key_size + value_size:
        raise StorageError(f"{path} ends in the middle of a record: use another backup", code="corrupt")
    return body[:key_size], body[key_size:]
