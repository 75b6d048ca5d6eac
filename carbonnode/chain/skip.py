"""Skip votes: validators whose executor dies of the same transaction say so; a quorum of them orders to abort it instead (design, section 5).

The order speaks of a height whose batch is fixed already, so no batch can carry it. It needs no agreement of its own: every validator signs at most
one CHECKPOINT a height, so at most one outcome of the height can be certified; the order only tells honest validators which one (docs/adr/0015).
"""

from carbonnode.chain.batch import SkipOrder
from carbonnode.chain.codec import Wire
from carbonnode.chain.hashing import HASH_BYTES
from carbonnode.chain.signing import Signer, signing_bytes, verify
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import InvalidBlock


class SkipVote(Wire, frozen=True):
    """Member `signer` of the epoch's set says: running `tx_id` at `height` kills my executor, abort it instead."""

    epoch: int
    height: int
    tx_id: bytes
    signer: int
    signature: bytes


def skip_bytes(chain_id: bytes, epoch: int, height: int, tx_id: bytes) -> bytes:
    """What a validator signs."""
    return signing_bytes("carbonnode/skip/1", chain_id, epoch, height, tx_id)


def sign_skip(signer: Signer, index: int, chain_id: bytes, epoch: int, height: int, tx_id: bytes) -> SkipVote:
    """The vote of the member with this index."""
    return SkipVote(epoch, height, tx_id, index, signer.sign(skip_bytes(chain_id, epoch, height, tx_id)))


def check_vote(vote: SkipVote, validators: ValidatorSet, chain_id: bytes) -> None:
    """Raise `InvalidBlock` unless a member of `validators`, the set of the vote's epoch, signed it."""
    if not 0 <= vote.signer < len(validators) or len(vote.tx_id) != HASH_BYTES:
        raise InvalidBlock(f"a skip vote of height {vote.height} names no member or no transaction", code="skip-vote")
    if not verify(validators[vote.signer].consensus_key, skip_bytes(chain_id, vote.epoch, vote.height, vote.tx_id), vote.signature):
        raise InvalidBlock(f"the signature of validator {vote.signer} on a skip vote of height {vote.height} doesn't verify", code="skip-vote")


def check_order(order: SkipOrder, validators: ValidatorSet, chain_id: bytes, epoch: int) -> None:
    """Raise `InvalidBlock` unless a quorum of distinct members signed the order."""
    signers = [index for index, _ in order.votes]
    if signers != sorted(set(signers)) or len(signers) < validators.quorum:
        raise InvalidBlock(f"a skip order of height {order.height} has {len(set(signers))} votes, a quorum is {validators.quorum}", code="skip-order")
    for index, signature in order.votes:
        check_vote(SkipVote(epoch, order.height, order.tx_id, index, signature), validators, chain_id)
