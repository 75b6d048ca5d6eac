"""Proofs of validators' faults: what is signed twice convicts its signer, anything else nobody."""

from typing import Any

import pytest
from msgspec.structs import replace

from carbonnode.chain.certificate import sign_checkpoint
from carbonnode.chain.fault_proof import VERSION, FaultProof, is_fault_proof, parse_fault_proof, verify_fault_proof
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.hashing import ZERO_HASH
from carbonnode.chain.header import PROTOCOL_VERSION, Header
from carbonnode.chain.merkle import tree_head
from carbonnode.chain.proof import ValidatorChange
from carbonnode.chain.signing import KeySigner, signing_bytes
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import InvalidBlock
from tests.unit.chain.test_certificate import _certificate


def _proof(genesis: Genesis, signer: KeySigner, index: int, kind: str = "commit", **fields: Any) -> FaultProof:
    view = 0 if kind == "checkpoint" else 3
    epoch = fields.pop("epoch", 0)
    place = (epoch, 9) if kind == "checkpoint" else (epoch, view, 9)
    one, other = [(digest, signer.sign(signing_bytes(f"carbonnode/{kind}/1", genesis.chain_id, *place, digest))) for digest in (b"a" * 32, b"b" * 32)]
    return replace(FaultProof(VERSION, genesis.chain_id, kind, epoch, view, 9, index, *one, *other, ()), **fields)


@pytest.mark.parametrize("kind", ["pre-prepare", "prepare", "commit", "checkpoint"])
def test_two_signatures_for_one_place_convict_their_signer(genesis: Genesis, signers: tuple[KeySigner, ...], kind: str) -> None:
    data = _proof(genesis, signers[1], 1, kind).to_json()
    assert is_fault_proof(data)
    verified = verify_fault_proof(parse_fault_proof(data), genesis)
    assert verified.validator == genesis.validators[1]
    document = verified.to_dict()
    assert (document["verified"], document["fault"], document["height"]) == (True, f"two of {kind}", 9)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"fault_version": 2}, "version"),
        ({"chain_id": b"x" * 32}, "chain"),
        ({"kind": "suspect"}, "malformed"),
        ({"height": -1}, "malformed"),
        ({"view": 1 << 64}, "malformed"),
        ({"second_digest": b"a" * 32}, "same-digest"),
        ({"signer": 2}, "signature"),
        ({"signer": 99}, "signer"),
        ({"signer": -1}, "signer"),
        ({"view": 4}, "signature"),
        ({"height": 10}, "signature"),
        ({"epoch": 1}, "signature"),
        ({"kind": "prepare"}, "signature"),
        ({"first_digest": b"c" * 32}, "signature"),
    ],
)
def test_nothing_else_convicts_anybody(genesis: Genesis, signers: tuple[KeySigner, ...], change: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidBlock) as caught:
        verify_fault_proof(replace(_proof(genesis, signers[1], 1), **change), genesis)
    assert caught.value.code == code


def test_a_checkpoint_binds_no_view(genesis: Genesis, signers: tuple[KeySigner, ...]) -> None:
    with pytest.raises(InvalidBlock, match="nothing is signed"):
        verify_fault_proof(_proof(genesis, signers[1], 1, "checkpoint", view=1), genesis)


def test_the_set_of_the_faults_epoch_is_traced_from_genesis(genesis: Genesis, signers: tuple[KeySigner, ...]) -> None:
    members = genesis.validators.validators
    turned = ValidatorSet(members[::-1])
    header = Header(
        PROTOCOL_VERSION, genesis.chain_id, 0, 7, ZERO_HASH, ZERO_HASH, 5, tree_head([]), tree_head([]), ZERO_HASH, ZERO_HASH,
        genesis.validators.hash, turned.hash, genesis.parameters.hash, (),
    )  # fmt: skip
    change = ValidatorChange(header.encoded, _certificate(genesis, signers, header), turned.validators)
    last = len(members) - 1
    later = _proof(genesis, signers[0], last, epoch=1, validator_changes=(change,))
    assert verify_fault_proof(later, genesis).validator == members[0]
    assert verify_fault_proof(_proof(genesis, signers[0], 0, validator_changes=(change,)), genesis).validator == members[0]
    with pytest.raises(InvalidBlock):
        verify_fault_proof(replace(later, validator_changes=()), genesis)
    forged = replace(change, certificate=replace(change.certificate, votes=change.certificate.votes[:1]))
    with pytest.raises(InvalidBlock):
        verify_fault_proof(replace(later, validator_changes=(forged,)), genesis)
    twice = replace(change, validators=(members[0], *members[:-1]))
    with pytest.raises(InvalidBlock, match="malformed"):
        verify_fault_proof(replace(later, validator_changes=(twice,)), genesis)


@pytest.mark.parametrize("data", [b"junk", b"[]", b"{}", b'{"fault_version": 1}'])
def test_other_files_are_refused(data: bytes) -> None:
    assert is_fault_proof(data) == (b"fault" in data)
    with pytest.raises(InvalidBlock, match="not a proof"):
        parse_fault_proof(data)


def test_a_header_is_signed_as_certificates_are(genesis: Genesis, signers: tuple[KeySigner, ...]) -> None:
    proof = _proof(genesis, signers[2], 2, "checkpoint")
    assert proof.first_signature == sign_checkpoint(signers[2], genesis.chain_id, 0, 9, b"a" * 32)
