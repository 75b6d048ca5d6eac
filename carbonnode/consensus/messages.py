"""What replicas say to each other, in canonical MessagePack (design, sections 3 and 4).

Every vote is signed over a type prefix, chain id, epoch, view, height and digest, so that it convinces third parties and can't be replayed in
another place; a CHECKPOINT binds no view (`chain.certificate`). Signers are named by their index in the epoch's validator set. No message carries
the digest of a batch it also carries: the receiver computes it.

The driver decodes with `decode_message`, checks the outer signature with `verify_signed`, and only then hands the message to the replica. What is
nested in VIEW-CHANGE and NEW-VIEW the replica checks itself, through the verifier it was given.
"""

from collections.abc import Callable
from typing import TypeAlias

from carbonnode.chain.certificate import Certificate, checkpoint_bytes
from carbonnode.chain.codec import MAX_BYTES, Wire, decode, encode
from carbonnode.chain.hashing import HASH_BYTES, tagged_hash
from carbonnode.chain.signing import SIGNATURE_BYTES, signing_bytes
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import InvalidBlock, PeerViolation

Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""`verify(public_key, message, signature)`: `chain.signing.verify`, or the simulator's cheap stand-in."""


class PrePrepare(Wire, frozen=True, tag=1):
    """The primary proposes `batch` (canonical bytes of a compact `chain.batch.Batch`) for a height in a view."""

    epoch: int
    view: int
    height: int
    batch: bytes
    signer: int
    signature: bytes


class Prepare(Wire, frozen=True, tag=2):
    """A backup holds the proposal with this digest, found it valid, and has it durably."""

    epoch: int
    view: int
    height: int
    digest: bytes
    signer: int
    signature: bytes


class Commit(Wire, frozen=True, tag=3):
    """The signer holds a prepared certificate for the digest, durably."""

    epoch: int
    view: int
    height: int
    digest: bytes
    signer: int
    signature: bytes


class Checkpoint(Wire, frozen=True, tag=4):
    """The signer executed the height and got the header with this hash; binds no view."""

    epoch: int
    height: int
    header_hash: bytes
    signer: int
    signature: bytes


class Suspect(Wire, frozen=True, tag=5):
    """The signer asks for the end of `view`. It goes on voting in it: f+1 of these start a view change, one alone moves nobody."""

    epoch: int
    view: int
    signer: int
    signature: bytes


class PreparedProof(Wire, frozen=True):
    """A prepared certificate: the pre-prepare signature of the view's primary and PREPAREs of others, a quorum of distinct signers together.

    `prepares` are (index, signature), ascending by index, without the primary.
    """

    epoch: int
    view: int
    height: int
    digest: bytes
    proposal_signature: bytes
    prepares: tuple[tuple[int, bytes], ...]


class ViewChange(Wire, frozen=True, tag=6):
    """The signer left all views below `view`.

    `stable` proves its stable checkpoint; None is the epoch's base (the last height of the epoch before, or genesis), which every member of the
    epoch holds. `prepared` has its prepared certificate of every height above that, ascending, executed heights too.
    """

    epoch: int
    view: int
    stable: Certificate | None
    prepared: tuple[PreparedProof, ...]
    signer: int
    signature: bytes


class Reproposal(Wire, frozen=True):
    """A pre-prepare inside NEW-VIEW: digest only, the batch is fetched by it where it is missing."""

    height: int
    digest: bytes
    signature: bytes


class NewView(Wire, frozen=True, tag=7):
    """The primary of `view` proves with a quorum of VIEW-CHANGEs what must be proposed again; every replica recomputes it."""

    epoch: int
    view: int
    view_changes: tuple[ViewChange, ...]
    proposals: tuple[Reproposal, ...]
    signer: int
    signature: bytes


class Status(Wire, frozen=True, tag=8):
    """Where the sender stands and, by that, what it lacks; not signed, the link tells who says it and nothing is decided by it.

    `active` is False while it waits for the NEW-VIEW of `view`. `executed` is the last height whose order it knows without gap. `slots` holds one
    number for each height after `stable`, bits: 1 proposal held, 2 prepared (both in this view: heights ordered before are voted on again), 4 committed.
    `abstaining` says that it lost its votes.
    """

    epoch: int
    view: int
    active: bool
    stable: int
    executed: int
    slots: tuple[int, ...]
    abstaining: bool


class FetchBatch(Wire, frozen=True, tag=9):
    """Asks for the batch with this digest; not signed."""

    height: int
    digest: bytes


class BatchReply(Wire, frozen=True, tag=10):
    """A batch that was asked for; its digest is computed from the bytes. Not signed."""

    height: int
    batch: bytes


class Certified(Wire, frozen=True, tag=11):
    """Hands on a certificate, which proves itself. Not signed."""

    certificate: Certificate


Message: TypeAlias = PrePrepare | Prepare | Commit | Checkpoint | Suspect | ViewChange | NewView | Status | FetchBatch | BatchReply | Certified
Signed: TypeAlias = PrePrepare | Prepare | Commit | Checkpoint | Suspect | ViewChange | NewView
SIGNED_TYPES = (PrePrepare, Prepare, Commit, Checkpoint, Suspect, ViewChange, NewView)

MAX_MESSAGE_BYTES = MAX_BYTES
"""No message is longer; checked before decoding. Genesis and votes refuse validators and parameters under which one could be (`chain.limits`)."""
_MAX_STATUS_SLOTS = 4_096
_DOMAIN = "carbonnode/{}/1"


def pre_prepare_bytes(chain_id: bytes, epoch: int, view: int, height: int, digest: bytes) -> bytes:
    """What the primary signs to propose `digest`; the same in PRE-PREPARE and NEW-VIEW."""
    return signing_bytes("carbonnode/pre-prepare/1", chain_id, epoch, view, height, digest)


def prepare_bytes(chain_id: bytes, epoch: int, view: int, height: int, digest: bytes) -> bytes:
    """What a PREPARE signs."""
    return signing_bytes("carbonnode/prepare/1", chain_id, epoch, view, height, digest)


def commit_bytes(chain_id: bytes, epoch: int, view: int, height: int, digest: bytes) -> bytes:
    """What a COMMIT signs."""
    return signing_bytes("carbonnode/commit/1", chain_id, epoch, view, height, digest)


def suspect_bytes(chain_id: bytes, epoch: int, view: int) -> bytes:
    """What a SUSPECT signs."""
    return signing_bytes("carbonnode/suspect/1", chain_id, epoch, view)


def view_change_bytes(chain_id: bytes, message: ViewChange) -> bytes:
    """What a VIEW-CHANGE signs: its place, and the digest of all it proves."""
    height = message.stable.height if message.stable is not None else 0
    body = tagged_hash(b"view-change", encode(message.stable), encode(message.prepared))
    return signing_bytes("carbonnode/view-change/1", chain_id, message.epoch, message.view, height, body)


def new_view_bytes(chain_id: bytes, message: NewView) -> bytes:
    """What a NEW-VIEW signs: its place, and the digest of all it proves."""
    body = tagged_hash(b"new-view", encode(message.view_changes), encode(message.proposals))
    return signing_bytes("carbonnode/new-view/1", chain_id, message.epoch, message.view, body)


def batch_digest(batch: bytes) -> bytes:
    """The digest of a batch's canonical bytes; equals `Batch.digest`."""
    return tagged_hash(b"batch", batch)


def signed_bytes(chain_id: bytes, message: Signed) -> bytes:
    """The bytes under the outer signature of `message`."""
    if isinstance(message, PrePrepare):
        return pre_prepare_bytes(chain_id, message.epoch, message.view, message.height, batch_digest(message.batch))
    if isinstance(message, Prepare):
        return prepare_bytes(chain_id, message.epoch, message.view, message.height, message.digest)
    if isinstance(message, Commit):
        return commit_bytes(chain_id, message.epoch, message.view, message.height, message.digest)
    if isinstance(message, Checkpoint):
        return checkpoint_bytes(chain_id, message.epoch, message.height, message.header_hash)
    if isinstance(message, Suspect):
        return suspect_bytes(chain_id, message.epoch, message.view)
    if isinstance(message, ViewChange):
        return view_change_bytes(chain_id, message)
    return new_view_bytes(chain_id, message)


def verify_signed(message: Message, validators: ValidatorSet, chain_id: bytes, verify: Verify) -> bool:
    """Whether the outer signature is that of the member the message names; True for the kinds that carry none.

    `validators` is the set of the message's epoch. An unsigned kind proves nothing about its author: the driver passes the link's peer instead.
    """
    if not isinstance(message, SIGNED_TYPES):
        return True
    if not 0 <= message.signer < len(validators):
        return False
    return verify(validators[message.signer].consensus_key, signed_bytes(chain_id, message), message.signature)


def encode_message(message: Message) -> bytes:
    """Canonical bytes of a message; the first element tells its kind."""
    return encode(message)


def decode_message(data: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Message:
    """The message of canonical bytes. Raises `PeerViolation` (code `bad-message`) if it isn't canonical, well formed, or small enough."""
    try:
        message: Message = decode(data, Message, max_bytes=max_bytes)  # type: ignore[arg-type]  # a union isn't a type[T]
    except InvalidBlock as error:
        raise PeerViolation(f"a consensus message is refused: {error}", code="bad-message") from None
    if not _well_formed(message):
        raise PeerViolation(f"a {type(message).__name__} has a field out of range: refused", code="bad-message")
    return message


def _well_formed(message: Message) -> bool:
    if not isinstance(message, SIGNED_TYPES):
        return _link_formed(message)
    if message.epoch < 0 or message.signer < 0 or len(message.signature) != SIGNATURE_BYTES:
        return False
    if isinstance(message, Checkpoint):
        return message.height > 0 and len(message.header_hash) == HASH_BYTES
    if message.view < 0:
        return False
    if isinstance(message, PrePrepare):
        return message.height > 0
    if isinstance(message, Prepare | Commit):
        return message.height > 0 and len(message.digest) == HASH_BYTES
    if isinstance(message, ViewChange):
        return _view_change_formed(message)
    if isinstance(message, NewView):
        return all(_view_change_formed(vc) for vc in message.view_changes) and all(
            p.height > 0 and len(p.digest) == HASH_BYTES and len(p.signature) == SIGNATURE_BYTES for p in message.proposals
        )
    return True


def _link_formed(message: Status | FetchBatch | BatchReply | Certified) -> bool:
    if isinstance(message, Certified):
        return _certificate_formed(message.certificate)
    if isinstance(message, FetchBatch):
        return message.height >= 0 and len(message.digest) == HASH_BYTES
    if isinstance(message, BatchReply):
        return message.height >= 0
    numbers = (message.epoch, message.view, message.stable, message.executed)
    return min(numbers) >= 0 and len(message.slots) <= _MAX_STATUS_SLOTS and all(0 <= s <= 7 for s in message.slots)


def _view_change_formed(message: ViewChange) -> bool:
    if message.stable is not None and not _certificate_formed(message.stable):
        return False
    return len(message.signature) == SIGNATURE_BYTES and all(
        p.height > 0 and p.view >= 0 and len(p.digest) == HASH_BYTES and len(p.proposal_signature) == SIGNATURE_BYTES for p in message.prepared
    )


def _certificate_formed(certificate: Certificate) -> bool:
    return certificate.height > 0 and certificate.epoch >= 0 and len(certificate.header_hash) == HASH_BYTES
