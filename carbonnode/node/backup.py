"""Backup of a stopped node into a directory of plain files, and the way back (`carbonnode backup`, `carbonnode restore`).

Databases are written out key by key from a frozen view; LevelDB's own files are never copied. `backup.json` comes last and has the size and hash of every
file: without it a backup is unfinished. The vote journal isn't in it: old votes must never come back. A restored validator abstains until that is safe. With a
passphrase every other file is sealed; the keys are encrypted by their own already.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from carbonnode import __version__
from carbonnode.chain.genesis import parse_genesis
from carbonnode.errors import ConfigError, StorageError
from carbonnode.identity import KeyStore, Strength
from carbonnode.identity.sealed_file import PIECE_BYTES, Seal, new_seal, seal_key, sealed, unsealed
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
    seal: Seal | None = None


def back_up(
    directory: NodeDirectory, destination: Path, *, keys: bool, passphrase: str | None = None, strength: Strength = Strength.SENSITIVE
) -> BackupIndex:
    """Write a backup of a stopped node into the new directory `destination`, with its keys, still encrypted, if `keys`; sealed if there is a passphrase.

    Raises `StorageError` if the node runs or its stores are unreadable, `ConfigError` if there is something at `destination`.
    """
    config, genesis = directory.config(), directory.genesis()
    if destination.exists() and any(destination.iterdir()):
        raise ConfigError(f"{destination} isn't empty: name a new directory for each backup")
    seal = None if passphrase is None else new_seal(strength)
    key = None if seal is None or passphrase is None else seal_key(seal, passphrase)
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
                    height, header_hash = blocks.tip
                files[f"{name}.kv"] = _dump(kv, destination / f"{name}.kv", key)
        for source in _plain_files(directory):
            if source.exists():
                files[source.name] = _keep(source, destination / source.name, key)
        if keys:
            KeyStore(directory.keys_path).export_backup(destination / KEYS)
            files[KEYS] = _measured(destination / KEYS)
        index = BackupIndex(FORMAT, __version__, config.node.name, config.node.role, genesis.chain_id.hex(), height, header_hash.hex(), keys, files, seal)
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


def restore(source: Path, directory: NodeDirectory, passphrase: Callable[[], str]) -> tuple[BackupIndex, StoreReport | None]:
    """Make the node directory, or only its data where the rest is there, from a verified backup; check everything that was restored.

    `passphrase` is asked for if the backup is sealed. Nothing is overwritten. Raises `KeystoreError` if the passphrase doesn't open it, `StorageError` for a
    damaged backup or data that doesn't check, `ConfigError` if data or another node is there.
    """
    index = check_backup(source)
    data = directory.data_path
    if data.exists() and any(data.iterdir()):
        raise ConfigError(f"{data} holds data already: move it away first, a restore overwrites nothing")
    key = None if index.seal is None else seal_key(index.seal, passphrase())
    genesis = parse_genesis(b"".join(_content(source / directory.genesis_path.name, key)), source / directory.genesis_path.name)
    if genesis.chain_id.hex() != index.chain_id:
        raise StorageError(f"{source}: its genesis file isn't that of the chain it says: use another backup", code="corrupt")
    if directory.config_path.exists():
        _check_same_node(index, directory.config(), directory.genesis().chain_id.hex(), directory)
    directory.path.mkdir(parents=True, exist_ok=True)
    fresh = directory.path / "data.restored"
    _fill(fresh, index, source, genesis.chain_id, key)
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
            _written(path, _content(source / path.name, key))
    sync_directory(directory.path)
    return index, report


def _fill(fresh: Path, index: BackupIndex, source: Path, chain_id: bytes, key: bytes | None) -> None:
    shutil.rmtree(fresh, ignore_errors=True)
    DataDirectory.create(fresh, chain_id)
    for name in _STORES:
        _load(source / f"{name}.kv", fresh / name, key)
    if CHANGES in index.files:
        _written(fresh / CHANGES, _content(source / CHANGES, key))


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
        while piece := file.read(PIECE_BYTES):
            hashed.update(piece)
            size += len(piece)
    return BackupFile(size, hashed.hexdigest())


def _keep(source: Path, target: Path, key: bytes | None) -> BackupFile:
    pieces = _content(source, None)
    return _written(target, pieces if key is None else sealed(pieces, key, target.name))


def _content(path: Path, key: bytes | None) -> Iterator[bytes]:
    """A file's content, opened with the key if it is sealed."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(PIECE_BYTES), b"") if key is None else unsealed(file, key, path.name)


def _written(path: Path, pieces: Iterable[bytes]) -> BackupFile:
    hashed, size = blake2b(digest_size=32), 0
    with path.open("xb") as file:
        for piece in pieces:
            file.write(piece)
            hashed.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return BackupFile(size, hashed.hexdigest())


def _dump(kv: LevelKV, path: Path, seal: bytes | None) -> BackupFile:
    """Every pair of a frozen view: lengths of key and value (4 bytes each), key, value."""
    frozen = kv.snapshot()

    def pieces() -> Iterator[bytes]:
        held = bytearray(_MAGIC)
        for key, value in frozen.iterate():
            held += b"".join((len(key).to_bytes(4, "big"), len(value).to_bytes(4, "big"), key, value))
            while len(held) >= PIECE_BYTES:
                yield bytes(held[:PIECE_BYTES])
                del held[:PIECE_BYTES]
        yield bytes(held)

    try:
        return _written(path, pieces() if seal is None else sealed(pieces(), seal, path.name))
    finally:
        frozen.close()


def _load(path: Path, target: Path, seal: bytes | None) -> None:
    with LevelKV.open(target) as kv:
        batch: list[tuple[bytes, bytes]] = []
        size = 0
        for pair in _pairs(path, seal):
            batch.append(pair)
            size += len(pair[0]) + len(pair[1])
            if size >= _BATCH_BYTES:
                kv.write(batch)
                batch, size = [], 0
        kv.write(batch, sync=True)


def _pairs(path: Path, seal: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    held, begun = bytearray(), False
    for piece in _content(path, seal):
        held += piece
        at = 0
        if not begun:
            if held[: len(_MAGIC)] != _MAGIC:
                raise StorageError(f"{path} isn't a database that was backed up: use another backup", code="corrupt")
            begun, at = True, len(_MAGIC)
        while len(held) >= at + 8:
            middle = at + 8 + int.from_bytes(held[at : at + 4], "big")
            end = middle + int.from_bytes(held[at + 4 : at + 8], "big")
            if len(held) < end:
                break
            yield bytes(held[at + 8 : middle]), bytes(held[middle:end])
            at = end
        del held[:at]
    if held or not begun:
        raise StorageError(f"{path} ends in the middle of a record: use another backup", code="corrupt")
