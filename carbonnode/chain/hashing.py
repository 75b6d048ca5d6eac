"""The chain's hash: blake2b with a 256-bit output (design, section 4)."""

from hashlib import blake2b

HASH_BYTES = 32
ZERO_HASH = bytes(HASH_BYTES)


def blake2b_256(data: bytes) -> bytes:
    """The 32-byte digest of `data`."""
    return blake2b(data, digest_size=HASH_BYTES).digest()


def tagged_hash(tag: bytes, *parts: bytes) -> bytes:
    """A digest bound to a purpose: `tag` (at most 16 bytes) is blake2b's personalisation, parts are length-prefixed."""
    state = blake2b(digest_size=HASH_BYTES, person=tag)
    for part in parts:
        state.update(len(part).to_bytes(4, "big"))
        state.update(part)
    return state.digest()
