"""What fits into a message, by construction: a validator set and parameters under which some message of consensus could not be sent are refused.

A NEW-VIEW is the longest: q VIEW-CHANGEs, each with the proof of its stable checkpoint and a prepared certificate of q signatures for up to two
windows of heights (docs/spec/consensus.md). A chain that needs a longer one than its peers take would stop at a view change under load.
"""

from typing import Final

from carbonnode.chain.batch import MAX_BATCH_TRANSACTIONS
from carbonnode.chain.codec import MAX_BYTES
from carbonnode.chain.hashing import HASH_BYTES
from carbonnode.chain.signing import SIGNATURE_BYTES
from carbonnode.errors import ConfigError

FRAME_MARGIN_BYTES: Final = 64 * 1024
"""Left free in the longest frame for what links put around a message."""
MAX_WINDOW: Final = 2_048
"""A STATUS names two windows of heights one by one."""
MAX_BLOCK_BYTES: Final = 16 * 1024 * 1024
"""A block of transactions of so many bytes can still be handed over in one piece by a sync."""

_INTEGER: Final = 9
_HEADER: Final = 5
"""The longest header of an array or a byte string in MessagePack."""
_HASH: Final = HASH_BYTES + 2
_SIGNATURE: Final = SIGNATURE_BYTES + 2
_VOTE: Final = 1 + 3 + _SIGNATURE
"""An index below 2^16 and a signature."""


def new_view_bytes(quorum: int, window: int) -> int:
    """At least as many bytes as the longest NEW-VIEW that `quorum` and `window` can need."""
    heights = 2 * window
    proof = _HEADER + 3 * _INTEGER + _HASH + _SIGNATURE + _HEADER + (quorum - 1) * _VOTE
    certificate = _HEADER + 2 * _INTEGER + _HASH + _HEADER + quorum * _VOTE
    change = _HEADER + 4 * _INTEGER + certificate + _HEADER + heights * proof + _SIGNATURE
    proposal = _HEADER + _INTEGER + _HASH + _SIGNATURE
    return _HEADER + 4 * _INTEGER + _HEADER + quorum * change + _HEADER + heights * proposal + _SIGNATURE


def largest_window(quorum: int) -> int:
    """The longest window with which a NEW-VIEW of `quorum` VIEW-CHANGEs still fits into a frame; 0 if none does."""
    room = MAX_BYTES - FRAME_MARGIN_BYTES - new_view_bytes(quorum, 0)
    a_height = new_view_bytes(quorum, 1) - new_view_bytes(quorum, 0)
    return max(0, min(MAX_WINDOW, room // a_height))


def check_messages_fit(validators: int, quorum: int, *, window: int, max_block_transactions: int, max_block_bytes: int) -> None:
    """Every message that this many validators may need with these parameters fits into a frame. Raises `ConfigError` that says what to change."""
    longest = largest_window(quorum)
    if window > longest:
        raise ConfigError(
            f"{validators} validators with a window of {window} blocks may need a NEW-VIEW that is longer than the {MAX_BYTES >> 20} MiB of a frame, and could "
            f"then change no view: set the parameter window to at most {longest}, or have fewer validators"
        )
    if max_block_transactions > MAX_BATCH_TRANSACTIONS:
        raise ConfigError(f"a batch names at most {MAX_BATCH_TRANSACTIONS} transactions: set max_block_transactions to that, not to {max_block_transactions}")
    if max_block_bytes > MAX_BLOCK_BYTES:
        raise ConfigError(f"a block holds at most {MAX_BLOCK_BYTES} bytes of transactions: set max_block_bytes to that, not to {max_block_bytes}")
