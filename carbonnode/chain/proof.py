"""One-file transaction proofs, verified offline with nothing but genesis (clause 5.3 c; design, section 6).

A proof shows that a transaction's body is under the transactions root, its receipt under the receipts root of the same header, and that the
validators of the header's epoch, traced from genesis, certified the header. Inclusion alone doesn't prove success: the receipt's status does.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from carbonnode.chain.certificate import Certificate, verify_certificate
from carbonnode.chain.codec import decode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.header import Header
from carbonnode.chain.merkle import leaf_hash, verify_in_head
from carbonnode.chain.receipt import Receipt, Status
from carbonnode.chain.signing import Verifier, verify
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import CarbonnodeError, InvalidBlock

PROOF_VERSION = 1
SALT_BYTES = 16


class LeafPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a leaf stands: its index, the tree's size, and the sibling hashes from the leaf upwards."""

    index: int
    size: int
    path: tuple[bytes, ...]


class ValidatorChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of the set: the header that names the next set's hash, its certificate by the old set, and the next set."""

    header: bytes
    certificate: Certificate
    validators: tuple[Validator, ...]


class TransactionProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's content. Byte strings stand as base64 in JSON; `receipt` is preceded by its salt in its leaf."""

    version: int
    chain_id: bytes
    transaction: bytes
    transaction_path: LeafPath
    receipt: bytes
    receipt_salt: bytes
    receipt_path: LeafPath
    header: bytes
    certificate: Certificate
    validator_changes: tuple[ValidatorChange, ...] = ()

    def to_json(self) -> bytes:
        """The file's bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


class VerifiedTransaction(msgspec.Struct, frozen=True):
    """What a proof established."""

    transaction: Transaction
    receipt: Receipt
    header: Header
    certificate: Certificate
    signers: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON output."""
        return {
            "verified": True,
            "tx_id": self.transaction.id.hex(),
            "sender": self.transaction.body.sender.hex(),
            "calls": [f"{c.contract}.{c.method}" for c in self.transaction.body.calls],
            "status": Status(self.receipt.status).name,
            "code": self.receipt.code,
            "height": self.header.height,
            "epoch": self.header.epoch,
            "time_ms": self.header.time_ms,
            "header_hash": self.header.hash.hex(),
            "state_root": self.header.state_root.hex(),
            "signers": list(self.signers),
        }


def parse_proof(data: bytes) -> TransactionProof:
    """Read a proof file's bytes. Raises `InvalidBlock`."""
    try:
        proof = msgspec.json.decode(data, type=TransactionProof)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidBlock(f"not a carbonnode proof file: {error}", code="malformed") from None
    if msgspec.json.encode(proof) != msgspec.json.encode(msgspec.json.decode(data)):
        raise InvalidBlock("the proof file isn't in the form that carbonnode writes: fetch it again", code="not-canonical")
    return proof


def validators_after(genesis: Genesis, changes: Sequence[ValidatorChange], verifier: Verifier = verify) -> ValidatorSet:
    """The validator set that the changes lead to from genesis, each certified by the set before it. Raises `InvalidBlock`."""
    current = genesis.validators
    for change in changes:
        header = decode(change.header, Header)
        _check_certified(header, change.certificate, current, genesis.chain_id, verifier)
        following = ValidatorSet(change.validators, genesis.parameters.profile)
        if header.next_validators_hash != following.hash:
            raise InvalidBlock(f"the header of height {header.height} announces another validator set than the proof gives", code="validators")
        current = following
    return current


def _check_certified(header: Header, certificate: Certificate, validators: ValidatorSet, chain_id: bytes, verifier: Verifier = verify) -> None:
    where = f"header of height {header.height}"
    if header.chain_id != chain_id:
        raise InvalidBlock(f"{where} belongs to another chain ({header.chain_id.hex()[:16]}): use the genesis file of that chain", code="chain")
    if header.validators_hash != validators.hash:
        raise InvalidBlock(f"{where} was certified by another validator set than the one traced from genesis", code="validators")
    if (certificate.epoch, certificate.height, certificate.header_hash) != (header.epoch, header.height, header.hash):
        raise InvalidBlock(f"{where} isn't the one that the certificate names", code="certificate")
    verify_certificate(certificate, validators, chain_id, verifier)


def verify_proof(proof: TransactionProof, genesis: Genesis) -> VerifiedTransaction:
    """Check every link of a proof. Raises `InvalidBlock` (or `InvalidTransaction`) naming the first one that fails."""
    if proof.version != PROOF_VERSION:
        raise InvalidBlock(f"proof version {proof.version} is unknown: this release reads {PROOF_VERSION}", code="version")
    if proof.chain_id != genesis.chain_id:
        raise InvalidBlock("the proof is for another chain than this genesis file: use the genesis file of its chain", code="chain")
    try:
        validators = validators_after(genesis, proof.validator_changes)
    except InvalidBlock:
        raise
    except CarbonnodeError as error:
        raise InvalidBlock(f"a validator set in the proof is malformed: {error}", code="validators") from None
    header = decode(proof.header, Header)
    _check_certified(header, proof.certificate, validators, genesis.chain_id)
    transaction = Transaction.decode(proof.transaction)
    if transaction.body.chain_id != genesis.chain_id or not transaction.verify_signature():
        raise InvalidBlock("the transaction's signature doesn't verify for this chain", code="signature")
    place = proof.transaction_path
    if not verify_in_head(leaf_hash(transaction.wire_hash), place.index, place.size, place.path, header.transactions_root):
        raise InvalidBlock("the transaction isn't under the header's transactions root", code="transaction-path")
    receipt = decode(proof.receipt, Receipt)
    if receipt.tx_id != transaction.id:
        raise InvalidBlock("the receipt belongs to another transaction", code="receipt")
    place = proof.receipt_path
    leaf = leaf_hash(proof.receipt_salt + proof.receipt)
    if len(proof.receipt_salt) != SALT_BYTES or not verify_in_head(leaf, place.index, place.size, place.path, header.receipts_root):
        raise InvalidBlock("the receipt isn't under the header's receipts root", code="receipt-path")
    signers = tuple(validators[index].name for index, _ in proof.certificate.votes)
    return VerifiedTransaction(transaction, receipt, header, proof.certificate, signers)
