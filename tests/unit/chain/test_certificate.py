"""Certificates and one-file proofs: every link that is changed is found."""

import json
from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest

from carbonnode.chain import merkle
from carbonnode.chain.certificate import Certificate, sign_checkpoint, verify_certificate
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.genesis import Genesis, parse_genesis
from carbonnode.chain.hashing import ZERO_HASH
from carbonnode.chain.header import PROTOCOL_VERSION, Header
from carbonnode.chain.proof import PROOF_VERSION, LeafPath, TransactionProof, parse_proof, verify_proof
from carbonnode.chain.receipt import Receipt, Status
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.errors import CarbonnodeError, InvalidBlock


def _certificate(genesis: Genesis, signers: tuple[KeySigner, ...], header: Header, who: tuple[int, ...] = (0, 1, 3)) -> Certificate:
    votes = tuple((index, sign_checkpoint(signers[index], genesis.chain_id, header.epoch, header.height, header.hash)) for index in who)
    return Certificate(header.epoch, header.height, header.hash, votes)


def _proof(genesis: Genesis, signers: tuple[KeySigner, ...], salt: bytes = b"s" * 16) -> TransactionProof:
    sender = KeySigner(b"a" * 32)
    txs = [Transaction.sign(Body(genesis.chain_id, sender.public_key, bytes([i]) * 16, 10, 1000, (Call("a", "b", (i,)),)), sender) for i in range(5)]
    receipts = [Receipt(tx.id, Status.OK, "", 10, 0, 0, ()).encoded for tx in txs]
    tx_leaves = [merkle.leaf_hash(tx.wire_hash) for tx in txs]
    receipt_leaves = [merkle.leaf_hash(salt + receipt) for receipt in receipts]
    validators_hash = genesis.validators.hash
    header = Header(
        PROTOCOL_VERSION, genesis.chain_id, 0, 7, ZERO_HASH, ZERO_HASH, 5, merkle.tree_head(tx_leaves),
        merkle.tree_head(receipt_leaves), ZERO_HASH, ZERO_HASH, validators_hash, validators_hash, genesis.parameters.hash, (),
    )  # fmt: skip
    return TransactionProof(
        PROOF_VERSION, genesis.chain_id, txs[2].raw, LeafPath(2, 5, merkle.inclusion_path(tx_leaves, 2)), receipts[2], salt,
        LeafPath(2, 5, merkle.inclusion_path(receipt_leaves, 2)), encode(header), _certificate(genesis, signers, header),
    )  # fmt: skip


def test_proof_verifies_offline(genesis: Genesis, signers: tuple[KeySigner, ...]) -> None:
    """The file, through JSON, says what happened and who signed."""
    result = verify_proof(parse_proof(_proof(genesis, signers).to_json()), genesis)
    assert result.to_dict()["status"] == "OK"
    assert result.signers == ("v0", "v1", "v3")


def _tampered(value: Any) -> list[Any]:
    """Every way to change one leaf of the JSON document a little."""
    if isinstance(value, dict):
        return [value | {key: changed} for key, item in value.items() for changed in _tampered(item)]
    if isinstance(value, list):
        return [[*value[:i], changed, *value[i + 1 :]] for i, item in enumerate(value) for changed in _tampered(item)]
    if isinstance(value, int):
        return [value + 1]
    data = bytearray(b64decode(value))
    data[len(data) // 2] ^= 1
    return [b64encode(bytes(data)).decode()]


def test_every_changed_field_of_a_proof_is_found(genesis: Genesis, signers: tuple[KeySigner, ...]) -> None:
    """There is no field in the file that can be changed unnoticed."""
    document = json.loads(_proof(genesis, signers).to_json())
    variants = _tampered(document)
    assert len(variants) > 20
    unnoticed = []
    for variant in variants:
        try:
            verify_proof(parse_proof(json.dumps(variant).encode()), genesis)
        except CarbonnodeError:
            continue
        unnoticed.append([key for key in document if variant[key] != document[key]])
    assert unnoticed == []


def test_another_chains_proof_is_refused(genesis: Genesis, signers: tuple[KeySigner, ...]) -> None:
    """A proof is bound to its genesis."""
    other = parse_genesis(json.dumps(json.loads(genesis.to_json()) | {"network": "other"}).encode())
    with pytest.raises(InvalidBlock, match="another chain"):
        verify_proof(_proof(genesis, signers), other)


@pytest.mark.parametrize("who", [(0, 1), (0, 0, 1), (1, 0, 3), (0, 1, 4), ()])
def test_votes_must_be_a_quorum_of_distinct_members(genesis: Genesis, signers: tuple[KeySigner, ...], who: tuple[int, ...]) -> None:
    """Too few, repeated, unordered or foreign votes don't certify."""
    header = decode(_proof(genesis, signers).header, Header)
    votes = tuple((i, sign_checkpoint(signers[i % 4], genesis.chain_id, 0, 7, header.hash)) for i in who)
    with pytest.raises(InvalidBlock):
        verify_certificate(Certificate(0, 7, header.hash, votes), genesis.validators, genesis.chain_id)


def test_a_signature_for_another_height_or_epoch_doesnt_count(genesis: Genesis, signers: tuple[KeySigner, ...]) -> None:
    """Votes bind epoch, height and header hash."""
    header = decode(_proof(genesis, signers).header, Header)
    good = _certificate(genesis, signers, header)
    verify_certificate(good, genesis.validators, genesis.chain_id)
    for bad in (
        msgspec.structs.replace(good, epoch=1),
        msgspec.structs.replace(good, height=8),
        msgspec.structs.replace(good, header_hash=ZERO_HASH),
    ):
        with pytest.raises(InvalidBlock):
            verify_certificate(bad, genesis.validators, genesis.chain_id)
