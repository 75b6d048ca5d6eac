"""One-file proofs that a validator signed two things of which an honest one signs at most one, verified offline with nothing but genesis.

Both signatures name the same chain, epoch, view and height, but different digests. Only the holder of the key can have made them, so the file convicts
whoever the validator sets, traced from genesis, name for that key in that epoch. Consensus reports the fault, a node writes the file.
"""

from typing import Any

import msgspec

from carbonnode.chain.codec import decode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.header import Header
from carbonnode.chain.proof import ValidatorChange, validators_after
from carbonnode.chain.signing import signing_bytes, verify
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import CarbonnodeError, InvalidBlock

VERSION = 1
KINDS = ("pre-prepare", "prepare", "commit", "checkpoint")
"""What can be signed twice: the kinds of `consensus.evidence`."""


class FaultProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's content; byte strings stand as base64 in JSON. `signer` is an index in the set of `epoch`; `view` is 0 for a checkpoint, which binds none."""

    fault_version: int
    chain_id: bytes
    kind: str
    epoch: int
    view: int
    height: int
    signer: int
    first_digest: bytes
    first_signature: bytes
    second_digest: bytes
    second_signature: bytes
    validator_changes: tuple[ValidatorChange, ...]

    def to_json(self) -> bytes:
        """The file's bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


class VerifiedFault(msgspec.Struct, frozen=True):
    """Who is convicted, and of what."""

    validator: Validator
    proof: FaultProof

    def to_dict(self) -> dict[str, Any]:
        """For JSON output."""
        proof = self.proof
        return {
            "verified": True,
            "fault": f"two of {proof.kind}",
            "validator": self.validator.name,
            "consensus_key": self.validator.consensus_key.hex(),
            "epoch": proof.epoch,
            "view": proof.view,
            "height": proof.height,
            "digests": [proof.first_digest.hex(), proof.second_digest.hex()],
        }


def is_fault_proof(data: bytes) -> bool:
    """Whether a file's bytes claim to be such a proof, and not one of a transaction."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return isinstance(document, dict) and "fault_version" in document


def parse_fault_proof(data: bytes) -> FaultProof:
    """Read a file's bytes. Raises `InvalidBlock`."""
    try:
        return msgspec.json.decode(data, type=FaultProof)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidBlock(f"not a proof of a validator's fault: {error}", code="malformed") from None


def verify_fault_proof(proof: FaultProof, genesis: Genesis) -> VerifiedFault:
    """Check both signatures and whose they are. Raises `InvalidBlock` naming the first thing that fails."""
    if proof.fault_version != VERSION:
        raise InvalidBlock(f"fault proof version {proof.fault_version} is unknown: this release reads {VERSION}", code="version")
    if proof.chain_id != genesis.chain_id:
        raise InvalidBlock("the proof is for another chain than this genesis file: use the genesis file of its chain", code="chain")
    if proof.kind not in KINDS or min(proof.epoch, proof.view, proof.height) < 0 or (proof.kind == "checkpoint" and proof.view):
        raise InvalidBlock(f"nothing is signed as {proof.kind!r} in epoch {proof.epoch}, view {proof.view}, height {proof.height}", code="malformed")
    if proof.first_digest == proof.second_digest:
        raise InvalidBlock("both signatures are of one digest: that is no fault", code="same-digest")
    validator = _accused(proof, genesis)
    for digest, signature in ((proof.first_digest, proof.first_signature), (proof.second_digest, proof.second_signature)):
        if not verify(validator.consensus_key, _signed_bytes(proof, digest), signature):
            raise InvalidBlock(f"a signature isn't {validator.name}'s over the {proof.kind} that the proof names", code="signature")
    return VerifiedFault(validator, proof)


def _accused(proof: FaultProof, genesis: Genesis) -> Validator:
    try:
        # A change that a header of epoch e announces holds from the next epoch on.
        changes = [change for change in proof.validator_changes if decode(change.header, Header).epoch < proof.epoch]
        validators: ValidatorSet = validators_after(genesis, changes)
    except InvalidBlock:
        raise
    except CarbonnodeError as error:
        raise InvalidBlock(f"a validator set in the proof is malformed: {error}", code="validators") from None
    if not 0 <= proof.signer < len(validators):
        raise InvalidBlock(f"epoch {proof.epoch} has no validator {proof.signer}", code="signer")
    return validators[proof.signer]


def _signed_bytes(proof: FaultProof, digest: bytes) -> bytes:
    """As `consensus.messages` and `chain.certificate` sign (held to them by a test)."""
    place = (proof.epoch, proof.height) if proof.kind == "checkpoint" else (proof.epoch, proof.view, proof.height)
    try:
        return signing_bytes(f"carbonnode/{proof.kind}/1", proof.chain_id, *place, digest)
    except OverflowError:
        raise InvalidBlock("a number in the proof is larger than any that is signed", code="malformed") from None
