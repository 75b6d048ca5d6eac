"""Receipts: what became of a transaction. Codes only, never texts (design, section 5)."""

from enum import IntEnum

from carbonnode.chain.codec import Wire, encode
from carbonnode.chain.values import WireValue


class Status(IntEnum):
    """The outcome of a transaction that stands in a block."""

    OK = 0
    ABORT = 1
    OUT_OF_GAS = 2
    REJECT = 3
    ABORTED_BY_QUORUM = 4


class Receipt(Wire, frozen=True):
    """`code` is "" when OK, else a stable text such as `matching.price-limit`; `event_index`/`event_count` point into the block's events.

    `values` holds what the calls returned, in order.
    """

    tx_id: bytes
    status: int
    code: str
    gas_used: int
    event_index: int
    event_count: int
    values: tuple[WireValue, ...]

    @property
    def encoded(self) -> bytes:
        """Canonical bytes; its leaf is the salt followed by these."""
        return encode(self)
