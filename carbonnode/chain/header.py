"""Block headers, final in form from the start (design, section 3)."""

from carbonnode.chain.batch import SkipOrder
from carbonnode.chain.codec import Wire, encode
from carbonnode.chain.hashing import tagged_hash

PROTOCOL_VERSION = 1


class Header(Wire, frozen=True):
    """What a certificate's signatures stand for. Hashes have 32 bytes, `time_ms` is real block time; no certificate is hashed into it.

    `validators_hash` is the set that certifies this height, `next_validators_hash` the one that certifies the next.
    """

    version: int
    chain_id: bytes
    epoch: int
    height: int
    parent: bytes
    batch_digest: bytes
    time_ms: int
    transactions_root: bytes
    receipts_root: bytes
    events_root: bytes
    state_root: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    parameters_hash: bytes
    skip_orders: tuple[SkipOrder, ...]

    @property
    def encoded(self) -> bytes:
        """Canonical bytes."""
        return encode(self)

    @property
    def hash(self) -> bytes:
        """The block's hash; computed anew on each access: keep it where it is needed often."""
        return tagged_hash(b"header", encode(self))
