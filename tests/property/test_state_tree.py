"""The state tree: the root depends on the set of leaves only; proofs hold for what is there and what isn't, and for nothing else."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonnode.chain import values
from carbonnode.chain.codec import decode, encode
from carbonnode.errors import InvalidBlock, InvalidTransaction
from carbonnode.ledger.tree import EMPTY_ROOT, Leaf, TreeUpdate, build_record, commit, delete_leaf, fresh_root, key_hash, make_leaf, parse
from carbonnode.ledger.tree_proof import StateProof, build_proof, verify_state_proof

SALT = b"s" * 16
KEYS = st.integers(0, 60).map(lambda number: b"key%d" % number)
BATCHES = st.lists(st.dictionaries(KEYS, st.none() | st.integers(0, 3), max_size=30), max_size=8)


def leaf(key: bytes, value: int | None, *, crowd: bool = False) -> Leaf:
    hashed = key_hash(key)
    if crowd:  # most of the hash is equal: deep branches that collapse again
        hashed = b"\0" * 30 + hashed[:2]
    return delete_leaf(hashed) if value is None else make_leaf(hashed, commit(SALT, values.encode_value(value)))


class Tree:
    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.root = EMPTY_ROOT

    def apply(self, leaves: list[Leaf]) -> None:
        update = TreeUpdate(self.nodes.get)
        self.root = update.apply(leaves)
        for path, record in update.writes.items():
            if record is None:
                self.nodes.pop(path, None)
            else:
                self.nodes[path] = record


@given(BATCHES, st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_way_to_a_set_of_leaves_gives_the_root_and_the_nodes_of_a_fresh_build(batches: list[dict[bytes, int | None]], crowd: bool) -> None:
    tree, model = Tree(), dict[bytes, int]()
    for batch in batches:
        tree.apply([leaf(key, value, crowd=crowd) for key, value in batch.items()])
        for key, value in batch.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
    by_place = {leaf(key, value, crowd=crowd).key_hash: leaf(key, value, crowd=crowd) for key, value in model.items()}
    if crowd and len(by_place) < len(model):
        return
    fresh = Tree()
    fresh.apply(list(by_place.values()))
    assert tree.root == fresh.root == fresh_root(by_place.values())
    assert {path: record for path, record in tree.nodes.items() if path or record != build_record({})} == {
        path: record for path, record in fresh.nodes.items() if path or record != build_record({})
    }


@given(st.dictionaries(KEYS, st.integers(0, 3), max_size=40))
@settings(max_examples=100, deadline=None)
def test_records_parse_to_what_they_were_built_from(model: dict[bytes, int]) -> None:
    tree = Tree()
    tree.apply([leaf(key, value) for key, value in model.items()])
    for record in tree.nodes.values():
        assert build_record(parse(record)) == record


@given(st.dictionaries(KEYS, st.integers(0, 3), max_size=40), KEYS)
@settings(max_examples=200, deadline=None)
def test_presence_and_absence_are_provable(model: dict[bytes, int], key: bytes) -> None:
    tree = Tree()
    tree.apply([leaf(k, v) for k, v in model.items()])
    record = SALT + values.encode_value(model[key]) if key in model else None
    proof = build_proof(key, 1, record, tree.nodes.get)
    assert verify_state_proof(proof, tree.root) == ((True, model[key]) if key in model else (False, None))
    assert decode(encode(proof), StateProof) == proof


@given(st.dictionaries(KEYS, st.integers(0, 3), min_size=1, max_size=40), KEYS, st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_proof_never_proves_something_else(model: dict[bytes, int], key: bytes, data: st.DataObject) -> None:
    tree = Tree()
    tree.apply([leaf(k, v) for k, v in model.items()])
    record = SALT + values.encode_value(model[key]) if key in model else None
    raw = bytearray(encode(build_proof(key, 1, record, tree.nodes.get)))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        forged = decode(bytes(raw), StateProof)
        found = verify_state_proof(forged, tree.root)
    except (InvalidBlock, InvalidTransaction):
        return
    truth = (True, model[forged.key]) if forged.key in model else (False, None)
    assert found == truth


def test_a_claim_of_absence_for_a_present_key_fails() -> None:
    tree = Tree()
    model = {b"key%d" % number: number % 3 for number in range(50)}
    tree.apply([leaf(k, v) for k, v in model.items()])
    for key, value in model.items():
        proof = build_proof(key, 1, SALT + values.encode_value(value), tree.nodes.get)
        with pytest.raises(InvalidBlock):
            verify_state_proof(msgspec.structs.replace(proof, value=None, salt=b""), tree.root)
        with pytest.raises(InvalidBlock):
            verify_state_proof(msgspec.structs.replace(proof, levels=proof.levels[:-1], value=None, salt=b""), tree.root)
        with pytest.raises(InvalidBlock):
            verify_state_proof(msgspec.structs.replace(proof, value=values.encode_value(99)), tree.root)


def test_salts_hide_values() -> None:
    assert commit(b"a" * 16, b"v") != commit(b"b" * 16, b"v")
    assert fresh_root([leaf(b"k", 1)]) != fresh_root([make_leaf(key_hash(b"k"), commit(b"t" * 16, values.encode_value(1)))])
