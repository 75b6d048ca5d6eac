"""Signed requests: how a client proves to a node which key asks for a private view or private events (design, section 8).

The signature covers a type prefix of its own, the chain id, the asker's key, the time and a digest of what is asked; so it can't be used on
another chain, for another question, as a transaction, or after the replay window.
"""

from collections.abc import Sequence

import msgspec

from carbonnode.chain import values
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.signing import Signer, signing_bytes, verify
from carbonnode.chain.transaction import NONCE_BYTES, Body, Call

REQUEST_WINDOW_MS = 60_000
"""How far the time of a signed request may lie from the node's clock, either way."""

_VIEW, _READ, _HELLO, _ESTIMATE = "carbonnode/view/1", "carbonnode/read/1", "carbonnode/hello/1", "carbonnode/estimate/1"


class Credentials(msgspec.Struct, frozen=True):
    """Who asks: a 32-byte key, the client's time in ms since the epoch, a 64-byte signature."""

    sender: bytes
    time_ms: int
    signature: bytes


def view_bytes(chain_id: bytes, sender: bytes, time_ms: int, contract: str, view: str, args: Sequence[values.Value], height: int | None) -> bytes:
    """What is signed to query a view as `sender`."""
    # Length-prefixed one by one: wrapping them in one tuple would cost a level of the nesting limit.
    digest = blake2b_256(signing_bytes("args", *[values.encode_value(arg) for arg in args]))
    at = b"" if height is None else height.to_bytes(8, "big")
    return signing_bytes(_VIEW, chain_id, sender, time_ms, contract.encode(), view.encode(), digest, at)


def estimate_bytes(chain_id: bytes, sender: bytes, time_ms: int, calls: Sequence[Call]) -> bytes:
    """What is signed to have calls run dry as `sender`. Raises `InvalidTransaction` if they couldn't stand in a transaction."""
    digest = blake2b_256(Body(chain_id, sender, bytes(NONCE_BYTES), 0, 1, tuple(calls)).encode())
    return signing_bytes(_ESTIMATE, chain_id, sender, time_ms, digest)


def read_bytes(chain_id: bytes, sender: bytes, time_ms: int, tx_ids: Sequence[bytes]) -> bytes:
    """What is signed to read transactions (their events, proofs) as `sender`."""
    return signing_bytes(_READ, chain_id, sender, time_ms, blake2b_256(b"".join(tx_ids)))


def hello_bytes(chain_id: bytes, sender: bytes, time_ms: int, challenge: bytes) -> bytes:
    """What is signed to receive the private events of `sender`'s entity over one connection, which gave the `challenge`."""
    return signing_bytes(_HELLO, chain_id, sender, time_ms, challenge)


def sign_request(signer: Signer, message: bytes, time_ms: int) -> Credentials:
    """Credentials over one of the messages above, made with the signer's key and the same `time_ms`."""
    return Credentials(signer.public_key, time_ms, signer.sign(message))


def verify_request(credentials: Credentials, message: bytes) -> bool:
    """Whether the signature is the sender's over `message`; the caller checks the time window."""
    return verify(credentials.sender, message, credentials.signature)
