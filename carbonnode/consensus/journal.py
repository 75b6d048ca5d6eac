"""What a replica writes down before it speaks: records that rebuild its promises after a crash.

Storage keeps them as opaque bytes and frames them with a checksum. A record carries a height: once that height is finalised in block store *and*
state, the record isn't needed any more, and `cut_below(height)` may drop it. Standing promises (the view left, the view entered, divergence,
abstention) are written again every window of finalised heights, with a height two windows ahead, so that the same rule holds for them.
"""

from typing import TypeAlias

from carbonnode.chain.codec import Wire, decode, encode
from carbonnode.consensus.messages import MAX_MESSAGE_BYTES, NewView, PreparedProof, PrePrepare, ViewChange
from carbonnode.errors import InvalidBlock, StorageError


class Proposed(Wire, frozen=True, tag=1):
    """A proposal this replica made or accepted, with its batch."""

    message: PrePrepare


class Held(Wire, frozen=True, tag=2):
    """A batch this replica votes for without having seen it in a PRE-PREPARE: fetched by digest, or the null batch."""

    epoch: int
    height: int
    batch: bytes


class Voted(Wire, frozen=True, tag=3):
    """A signature this replica gave; `kind` as in `evidence`, view 0 for a checkpoint."""

    kind: str
    epoch: int
    view: int
    height: int
    digest: bytes
    signature: bytes


class Prepared(Wire, frozen=True, tag=4):
    """A prepared certificate, written before its COMMIT leaves."""

    proof: PreparedProof


class Left(Wire, frozen=True, tag=5):
    """The VIEW-CHANGE this replica sent: it votes in no lower view of the epoch."""

    message: ViewChange


class Entered(Wire, frozen=True, tag=6):
    """The verified NEW-VIEW of the view this replica votes in."""

    message: NewView


class Diverged(Wire, frozen=True, tag=7):
    """The header this replica computed at `height` differs from the certified one; height 0: it has recovered."""

    epoch: int
    height: int


class Abstaining(Wire, frozen=True, tag=8):
    """This replica lost its votes: it sends none before `target` is certified. -1: not known yet; 0: it may vote again."""

    target: int


class Ordered(Wire, frozen=True, tag=9):
    """The batch this replica executed at a height, written with its CHECKPOINT: whoever signed a header can make that block again after a crash."""

    epoch: int
    height: int
    digest: bytes


JournalRecord: TypeAlias = Proposed | Held | Voted | Prepared | Left | Entered | Diverged | Abstaining | Ordered


def encode_record(record: JournalRecord) -> bytes:
    """Canonical bytes."""
    return encode(record)


def decode_record(data: bytes) -> JournalRecord:
    """The record of canonical bytes. Raises `StorageError` if they aren't one: the journal holds what this version didn't write."""
    try:
        record: JournalRecord = decode(data, JournalRecord, max_bytes=2 * MAX_MESSAGE_BYTES)  # type: ignore[arg-type]  # a union isn't a type[T]
    except InvalidBlock as error:
        raise StorageError(
            f"the vote journal holds a record this version can't read ({error}): run `carbonnode verify-store`, and start with the version that wrote it",
            code="journal-record",
        ) from None
    return record
