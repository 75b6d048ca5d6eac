"""Ed25519 through PyNaCl only: libraries disagree on edge cases, and two verdicts on one signature are a chain split."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
SEED_BYTES = 32

Verifier: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""As `verify`: the simulator has cheaper signatures."""


class Signer(Protocol):
    """Something that holds a private key and signs; a hardware token can stand behind it."""

    @property
    def public_key(self) -> bytes:
        """The 32-byte Ed25519 public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        ...


class KeySigner:
    """A signer with its key in memory, from a 32-byte seed."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"an Ed25519 seed has {SEED_BYTES} bytes, this one {len(seed)}")
        self._public_key, self._secret_key = crypto_sign_seed_keypair(seed)

    @property
    def public_key(self) -> bytes:
        """The 32-byte Ed25519 public key."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        return crypto_sign(message, self._secret_key)[:SIGNATURE_BYTES]


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) is `public_key`'s over `message`. Wrong lengths are a plain no."""
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def signing_bytes(domain: str, *parts: bytes | int) -> bytes:
    """What is signed: a type prefix, then length-prefixed parts, so that no signature can be read as another's.

    Integers are 8 bytes big-endian.
    """
    head = domain.encode("ascii")
    out = [len(head).to_bytes(2, "big"), head]
    for part in parts:
        raw = part.to_bytes(8, "big") if isinstance(part, int) else part
        out.append(len(raw).to_bytes(4, "big"))
        out.append(raw)
    return b"".join(out)
