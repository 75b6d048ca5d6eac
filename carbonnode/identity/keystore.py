"""Encrypted keys on disk, one file each: Ed25519 seeds in a secretbox under an argon2id key; the private key leaves it only as a signer."""

import re
import unicodedata
from base64 import b64decode, b64encode
from enum import Enum
from pathlib import Path

import msgspec
from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random as random_bytes

from carbonnode.chain.signing import SEED_BYTES, KeySigner
from carbonnode.errors import KeystoreError
from carbonnode.identity.files import read_private_file, replace_file, write_new_file

SUFFIX = ".key.json"
FORMAT = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MAX_OPS = 16
_MAX_MEMORY = 1024 * 1024 * 1024


class Strength(Enum):
    """(operations, memory in bytes) of argon2id: what a guess of the passphrase costs."""

    THROW_AWAY = (1, 8 * 1024 * 1024)
    """A few milliseconds: wallets of a devnet."""
    INTERACTIVE = (2, 64 * 1024 * 1024)
    """About 0.1 s: wallets of people."""
    SENSITIVE = (4, 256 * 1024 * 1024)
    """About a second: keys of validators."""


class KeyInfo(msgspec.Struct, frozen=True):
    """What a key file tells without its passphrase."""

    name: str
    public_key: bytes


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    name: str
    public_key: str
    kdf: str
    operations: int
    memory: int
    salt: str
    sealed: str


class _Backup(msgspec.Struct, forbid_unknown_fields=True):
    carbonnode_backup: int
    keys: list[_KeyFile]


class KeyStore:
    """The keys in a directory. Every method raises `KeystoreError` with the file and the remedy."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self, name: str, passphrase: str, *, seed: bytes | None = None, strength: Strength = Strength.INTERACTIVE) -> KeyInfo:
        """Make a key (from `seed` if given, else a random one) and store it. An existing one is never overwritten."""
        seed = random_bytes(SEED_BYTES) if seed is None else seed
        entry = _seal(_checked_name(name), seed, _secret(passphrase), strength)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_new_file(self._path(name), _encode(entry))
        return _info(entry)

    def unlock(self, name: str, passphrase: str) -> KeySigner:
        """A signer with the key in memory."""
        return KeySigner(self.reveal(name, passphrase))

    def reveal(self, name: str, passphrase: str) -> bytes:
        """The 32-byte seed, for the few that need it in the raw (the libp2p host)."""
        return self._open(self._read(name), passphrase, self._path(name))

    def show(self, name: str) -> KeyInfo:
        """Name and public key, without the passphrase."""
        return _info(self._read(name))

    def list_keys(self) -> list[KeyInfo]:
        """All keys by name; none if the directory doesn't exist."""
        if not self._directory.is_dir():
            return []
        names = sorted(path.name.removesuffix(SUFFIX) for path in self._directory.glob(f"*{SUFFIX}"))
        return [self.show(name) for name in names]

    def change_passphrase(self, name: str, old: str, new: str, *, strength: Strength = Strength.INTERACTIVE) -> None:
        """Seal the key anew; the file is replaced atomically."""
        replace_file(self._path(name), _encode(_seal(name, self.reveal(name, old), _secret(new), strength)))

    def export_backup(self, destination: Path, names: tuple[str, ...] | None = None) -> int:
        """Write the keys (all, or the named ones), still encrypted, into one new file; returns how many."""
        chosen = tuple(info.name for info in self.list_keys()) if names is None else names
        if not chosen:
            raise KeystoreError(f"there are no keys in {self._directory} to back up")
        write_new_file(destination, _encode(_Backup(1, [self._read(name) for name in chosen])))
        return len(chosen)

    def import_backup(self, source: Path) -> list[KeyInfo]:
        """Add the keys of a backup; none is added if one of the names is taken."""
        try:
            backup = msgspec.json.decode(read_private_file(source), type=_Backup)
        except msgspec.DecodeError as error:
            raise KeystoreError(f"{source} isn't a backup of this key store: {error}") from None
        for entry in backup.keys:
            if self._path(_checked_name(entry.name)).exists():
                raise KeystoreError(f"a key {entry.name!r} exists in {self._directory} already: move it away or import into another directory")
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for entry in backup.keys:
            write_new_file(self._path(entry.name), _encode(entry))
        return [_info(entry) for entry in backup.keys]

    def _path(self, name: str) -> Path:
        return self._directory / (_checked_name(name) + SUFFIX)

    def _read(self, name: str) -> _KeyFile:
        path = self._path(name)
        try:
            entry = msgspec.json.decode(read_private_file(path), type=_KeyFile)
        except msgspec.DecodeError as error:
            raise KeystoreError(f"{path} is damaged: {error}: restore it from a backup") from None
        if entry.format != FORMAT or entry.kdf != "argon2id":
            raise KeystoreError(f"{path} has format {entry.format} with {entry.kdf!r}: it needs another release of carbonnode")
        if not 1 <= entry.operations <= _MAX_OPS or not pwhash.argon2id.MEMLIMIT_MIN <= entry.memory <= _MAX_MEMORY:
            raise KeystoreError(f"{path} is damaged: its argon2id cost is out of range: restore it from a backup")
        return entry

    def _open(self, entry: _KeyFile, passphrase: str, path: Path) -> bytes:
        try:
            salt, sealed = b64decode(entry.salt, validate=True), b64decode(entry.sealed, validate=True)
            key = pwhash.argon2id.kdf(SecretBox.KEY_SIZE, _secret(passphrase), salt, entry.operations, entry.memory)
        except (ValueError, CryptoError) as error:
            raise KeystoreError(f"{path} is damaged: {error}: restore it from a backup") from None
        try:
            seed = SecretBox(key).decrypt(sealed)
        except (CryptoError, ValueError):
            raise KeystoreError(f"the passphrase doesn't open {path}: try again, or restore the key from a backup") from None
        if len(seed) != SEED_BYTES or KeySigner(seed).public_key.hex() != entry.public_key:
            raise KeystoreError(f"{path} is damaged: its public key isn't that of the private key: restore it from a backup")
        return seed


def read_passphrase_file(path: Path) -> str:
    """The first line of a passphrase file."""
    text = read_private_file(path, private=False).decode("utf-8", errors="strict")
    lines = text.splitlines()
    if not lines or not lines[0]:
        raise KeystoreError(f"{path} holds no passphrase: its first line is empty")
    return lines[0]


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise KeystoreError(f"{name!r} can't name a key: use up to 64 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit")
    return name


def _secret(passphrase: str) -> bytes:
    if not passphrase:
        raise KeystoreError("an empty passphrase protects nothing: choose one")
    return unicodedata.normalize("NFC", passphrase).encode()


def _seal(name: str, seed: bytes, secret: bytes, strength: Strength) -> _KeyFile:
    operations, memory = strength.value
    salt = random_bytes(pwhash.argon2id.SALTBYTES)
    key = pwhash.argon2id.kdf(SecretBox.KEY_SIZE, secret, salt, operations, memory)
    return _KeyFile(
        format=FORMAT,
        name=name,
        public_key=KeySigner(seed).public_key.hex(),
        kdf="argon2id",
        operations=operations,
        memory=memory,
        salt=b64encode(salt).decode(),
        sealed=b64encode(SecretBox(key).encrypt(seed)).decode(),
    )


def _encode(entry: _KeyFile | _Backup) -> bytes:
    return msgspec.json.format(msgspec.json.encode(entry), indent=2) + b"\n"


def _info(entry: _KeyFile) -> KeyInfo:
    try:
        return KeyInfo(entry.name, bytes.fromhex(entry.public_key))
    except ValueError:
        raise KeystoreError(f"the file of key {entry.name!r} is damaged: its public key isn't hexadecimal: restore it from a backup") from None
