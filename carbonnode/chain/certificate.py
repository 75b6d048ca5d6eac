"""Certificates: a quorum of CHECKPOINT signatures over a header hash makes a block final (design, section 3).

A CHECKPOINT binds chain id, epoch, height and header hash, and no view: it stays valid across views.
"""

from carbonnode.chain.codec import Wire
from carbonnode.chain.signing import Signer, Verifier, signing_bytes, verify
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import InvalidBlock


class Certificate(Wire, frozen=True):
    """Votes of distinct validators, ascending by index: (index in the epoch's set, 64-byte signature)."""

    epoch: int
    height: int
    header_hash: bytes
    votes: tuple[tuple[int, bytes], ...]


def checkpoint_bytes(chain_id: bytes, epoch: int, height: int, header_hash: bytes) -> bytes:
    """What a validator signs to vote that the header of `height` has this hash."""
    return signing_bytes("carbonnode/checkpoint/1", chain_id, epoch, height, header_hash)


def sign_checkpoint(signer: Signer, chain_id: bytes, epoch: int, height: int, header_hash: bytes) -> bytes:
    """The 64-byte CHECKPOINT signature."""
    return signer.sign(checkpoint_bytes(chain_id, epoch, height, header_hash))


def verify_checkpoint(
    validators: ValidatorSet, index: int, chain_id: bytes, epoch: int, height: int, header_hash: bytes, signature: bytes, verifier: Verifier = verify
) -> bool:
    """Whether this is the CHECKPOINT signature of member `index`."""
    if not 0 <= index < len(validators):
        return False
    return verifier(validators[index].consensus_key, checkpoint_bytes(chain_id, epoch, height, header_hash), signature)


def verify_certificate(certificate: Certificate, validators: ValidatorSet, chain_id: bytes, verifier: Verifier = verify) -> None:
    """Raise `InvalidBlock` unless a quorum of distinct members of `validators` signed this header hash."""
    where = f"certificate of height {certificate.height}"
    indices = [index for index, _ in certificate.votes]
    if indices != sorted(set(indices)):
        raise InvalidBlock(f"{where}: its votes aren't distinct and ascending by validator", code="certificate")
    if len(indices) < validators.quorum:
        raise InvalidBlock(f"{where}: {len(indices)} votes, a quorum of {len(validators)} validators is {validators.quorum}", code="certificate")
    for index, signature in certificate.votes:
        if not verify_checkpoint(validators, index, chain_id, certificate.epoch, certificate.height, certificate.header_hash, signature, verifier):
            raise InvalidBlock(f"{where}: the signature of validator {index} doesn't verify", code="certificate")
