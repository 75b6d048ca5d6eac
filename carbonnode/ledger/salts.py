"""Salts that blind the leaves of state, receipts and events (design, section 4).

A transaction's secret nonce gives its seed; every leaf it writes has a salt of its own from that seed, one-way, so that showing one leaf with its
salt helps nobody to guess at another. What the ledger writes by itself (jobs, genesis, epoch changes) takes its seed from a chain secret in the
state, which every block's last transaction renews.
"""

from hashlib import blake2b

from carbonnode.chain.hashing import tagged_hash

SALT_BYTES = 16


def transaction_seed(nonce: bytes, tx_id: bytes) -> bytes:
    """The 32-byte seed of a transaction's salts. Kept by validators and the sender; never shown."""
    return tagged_hash(b"tx-seed", nonce, tx_id)


def ledger_seed(secret: bytes, height: int, part: int) -> bytes:
    """The seed for what the ledger writes at `height`: `part` is a job's sequence number or 0."""
    return tagged_hash(b"ledger-seed", secret, height.to_bytes(8, "big"), part.to_bytes(8, "big"))


def next_secret(secret: bytes, last_seed: bytes) -> bytes:
    """The chain secret after a block whose last transaction had this seed."""
    return tagged_hash(b"chain-secret", secret, last_seed)


def state_salt(seed: bytes, key_hash: bytes) -> bytes:
    """The salt of the leaf of a state key."""
    return blake2b(seed + key_hash, digest_size=SALT_BYTES).digest()


def leaf_salts(seed: bytes, count: int) -> list[bytes]:
    """Salts of a run's receipt (the first) and of its events, in order. Four come from one hash: none tells of another, since each hides the seed."""
    salts: list[bytes] = []
    for block in range((count + 3) // 4):
        four = blake2b(seed + block.to_bytes(4, "big"), digest_size=64).digest()
        salts += (four[:16], four[16:32], four[32:48], four[48:])
    return salts[:count]
