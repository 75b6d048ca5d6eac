"""Events: leaves of their own, each with an audience (design, section 8)."""

from carbonnode.chain.codec import Wire, encode
from carbonnode.chain.values import WireValue

PUBLIC = ""
"""The audience of an event for everyone: the public market feed."""


class Event(Wire, frozen=True):
    """`to` is the entity it is addressed to ("" is public); `sequence` counts that audience's events from 1 without gaps; fields in order of name and value.

    `tx_id` is empty for a public event: the market feed names no transaction.
    """

    contract: str
    name: str
    to: str
    sequence: int
    tx_id: bytes
    fields: tuple[tuple[str, WireValue], ...]

    @property
    def encoded(self) -> bytes:
        """Canonical bytes; its leaf is the salt followed by these."""
        return encode(self)
