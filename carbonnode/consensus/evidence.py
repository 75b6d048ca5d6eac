"""Proof that a validator signed two things of which an honest one signs at most one; anyone can check it."""

from carbonnode.chain.certificate import checkpoint_bytes
from carbonnode.chain.codec import Wire
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus.messages import Verify, commit_bytes, pre_prepare_bytes, prepare_bytes

PRE_PREPARE, PREPARE, COMMIT, CHECKPOINT = "pre-prepare", "prepare", "commit", "checkpoint"
_BYTES = {PRE_PREPARE: pre_prepare_bytes, PREPARE: prepare_bytes, COMMIT: commit_bytes}


class Evidence(Wire, frozen=True):
    """`signer` (index in the epoch's set) signed two digests for one place: epoch, view (0 for a checkpoint), height. First digest < second."""

    kind: str
    epoch: int
    view: int
    height: int
    signer: int
    first_digest: bytes
    first_signature: bytes
    second_digest: bytes
    second_signature: bytes


def equivocation(kind: str, epoch: int, view: int, height: int, signer: int, one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> Evidence:
    """Evidence from two (digest, signature) pairs, in canonical order: the same fault gives the same bytes on every node."""
    first, second = sorted((one, other))
    return Evidence(kind, epoch, view, height, signer, *first, *second)


def verify_evidence(evidence: Evidence, validators: ValidatorSet, chain_id: bytes, verify: Verify) -> bool:
    """Whether the proof holds, given the validator set of its epoch."""
    if not 0 <= evidence.signer < len(validators) or evidence.first_digest >= evidence.second_digest:
        return False
    key = validators[evidence.signer].consensus_key
    for digest, signature in ((evidence.first_digest, evidence.first_signature), (evidence.second_digest, evidence.second_signature)):
        if evidence.kind == CHECKPOINT:
            signed = checkpoint_bytes(chain_id, evidence.epoch, evidence.height, digest)
        elif evidence.kind in _BYTES:
            signed = _BYTES[evidence.kind](chain_id, evidence.epoch, evidence.view, evidence.height, digest)
        else:
            return False
        if not verify(key, signed, signature):
            return False
    return True
