"""Files sealed with a passphrase, written and read as streams: backups (clause 5.4 b).

The key comes from the passphrase by argon2id; the content is an XChaCha20-Poly1305 secretstream that is bound to the file's name and ends with a mark of
its own: neither a piece nor the end can be changed, left out or moved to another file unnoticed.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

import msgspec
from nacl import bindings, pwhash
from nacl.exceptions import CryptoError
from nacl.utils import random as random_bytes

from carbonnode.errors import KeystoreError
from carbonnode.identity.keystore import Strength

PIECE_BYTES: Final = 1 << 20
_HEAD: Final = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_TAG_FINAL: Final = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_MOST: Final = PIECE_BYTES + bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_MAX_OPS: Final = 16
_MAX_MEMORY: Final = 1 << 30


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the passphrase becomes the key: argon2id's cost, and the salt in hex."""

    operations: int
    memory: int
    salt: str


def new_seal(strength: Strength = Strength.SENSITIVE) -> Seal:
    """A seal with a salt of its own."""
    operations, memory = strength.value
    return Seal(operations, memory, random_bytes(pwhash.argon2id.SALTBYTES).hex())


def seal_key(seal: Seal, passphrase: str) -> bytes:
    """The key of a seal. Raises `KeystoreError` if the passphrase is empty or the seal can't be."""
    if not passphrase:
        raise KeystoreError("an empty passphrase protects nothing: choose one")
    if not 1 <= seal.operations <= _MAX_OPS or not pwhash.argon2id.MEMLIMIT_MIN <= seal.memory <= _MAX_MEMORY:
        raise KeystoreError("the seal's argon2id cost is out of range: the file is damaged")
    try:
        salt = bytes.fromhex(seal.salt)
        size = bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES
        return pwhash.argon2id.kdf(size, unicodedata.normalize("NFC", passphrase).encode(), salt, seal.operations, seal.memory)
    except (ValueError, CryptoError) as error:
        raise KeystoreError(f"the seal is damaged: {error}") from None


def sealed(pieces: Iterable[bytes], key: bytes, name: str) -> Iterator[bytes]:
    """The sealed form of `pieces`, each at most `PIECE_BYTES`: header, then length (4 bytes) and ciphertext of each, an empty one last."""
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    yield bindings.crypto_secretstream_xchacha20poly1305_init_push(state, key)
    for piece in pieces:
        yield _framed(bindings.crypto_secretstream_xchacha20poly1305_push(state, piece, name.encode()))
    yield _framed(bindings.crypto_secretstream_xchacha20poly1305_push(state, b"", name.encode(), _TAG_FINAL))


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def unsealed(file: BinaryIO, key: bytes, name: str) -> Iterator[bytes]:
    """The content of a sealed file. Raises `KeystoreError` if the key doesn't open it, or something was changed or left out."""
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    try:
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, file.read(_HEAD), key)
        tag = 0
        while tag != _TAG_FINAL:
            size = int.from_bytes(file.read(4), "big")
            if not 0 < size <= _MOST:
                raise CryptoError("it ends in the middle")
            piece, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, file.read(size), name.encode())
            yield piece
        if file.read(1):
            raise CryptoError("something follows its end")
    except (CryptoError, ValueError, TypeError, RuntimeError) as error:
        raise KeystoreError(f"the passphrase doesn't open {name}, or the file was changed ({error}): try again, or use another backup") from None
