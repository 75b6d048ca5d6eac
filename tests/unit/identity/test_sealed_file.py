"""Sealed files: what was sealed comes back, and nothing else does."""

import io

import pytest

from carbonnode.errors import KeystoreError
from carbonnode.identity.keystore import Strength
from carbonnode.identity.sealed_file import PIECE_BYTES, Seal, new_seal, seal_key, sealed, unsealed

SEAL = new_seal(Strength.THROW_AWAY)
KEY = seal_key(SEAL, "passphrase")
PIECES = [b"first", b"x" * PIECE_BYTES, b"last"]


def opened(data: bytes, key: bytes = KEY, name: str = "blocks.kv") -> bytes:
    return b"".join(unsealed(io.BytesIO(data), key, name))


def test_what_was_sealed_comes_back() -> None:
    data = b"".join(sealed(PIECES, KEY, "blocks.kv"))
    assert opened(data) == b"".join(PIECES)
    assert b"first" not in data
    assert opened(b"".join(sealed([], KEY, "empty")), name="empty") == b""
    assert b"".join(sealed(PIECES, KEY, "blocks.kv")) != data


def test_another_passphrase_or_name_opens_nothing() -> None:
    data = b"".join(sealed(PIECES, KEY, "blocks.kv"))
    for key, name in ((seal_key(SEAL, "Passphrase"), "blocks.kv"), (seal_key(new_seal(Strength.THROW_AWAY), "passphrase"), "blocks.kv"), (KEY, "state.kv")):
        with pytest.raises(KeystoreError, match="doesn't open"):
            opened(data, key, name)


def test_nothing_may_be_changed_left_out_or_added() -> None:
    frames = list(sealed(PIECES, KEY, "blocks.kv"))
    data = b"".join(frames)
    broken = [
        b"", data[:20], data[:-1], data + b"x", b"".join(frames[:-1]), b"".join([frames[0], *frames[2:]]),
        b"".join([frames[0], frames[2], frames[1], *frames[3:]]), data[:30] + bytes([data[30] ^ 1]) + data[31:], frames[0] + b"\xff\xff\xff\xff",
    ]  # fmt: skip
    for bad in broken:
        with pytest.raises(KeystoreError):
            opened(bad)


def test_a_seal_that_costs_nothing_or_everything_is_refused() -> None:
    for seal in (Seal(0, SEAL.memory, SEAL.salt), Seal(1, 1 << 40, SEAL.salt), Seal(1, SEAL.memory, "zz"), Seal(1, SEAL.memory, "00")):
        with pytest.raises(KeystoreError, match="seal"):
            seal_key(seal, "passphrase")
    with pytest.raises(KeystoreError, match="empty passphrase"):
        seal_key(SEAL, "")
