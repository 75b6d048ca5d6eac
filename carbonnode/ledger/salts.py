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
    return blake2b(key_hash, digest_size=SALT_BYTES, key=seed, person=b"state-salt").digest()


def receipt_salt(seed: bytes) -> bytes:
    """The salt of a transaction's receipt."""
    return blake2b(b"", digest_size=SALT_BYTES, key=seed, person=b"receipt-salt").digest()


def event_salt(seed: bytes, number: int) -> bytes:
    """The salt of a transaction's event `number`, counted from 0."""
    return blake2b(number.to_bytes(4, "big"), digest_size=SALT_BYTES, key=seed, person=b"event-salt").digest()
