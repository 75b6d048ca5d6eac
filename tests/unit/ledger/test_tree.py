from hashlib import blake2b

import pytest

from carbonnode.ledger.tree import EMPTY_RECORD, EMPTY_ROOT, TreeUpdate, commit, delete_leaf, fresh_root, leaf_hash, make_leaf, node_hash


def h(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


def hashed(first: int) -> bytes:
    return bytes([first]) + bytes(31)


def apply(nodes: dict[bytes, bytes], *changes: tuple[int, bytes | None]) -> bytes:
    update = TreeUpdate(nodes.get)
    root = update.apply([delete_leaf(hashed(place)) if value is None else make_leaf(hashed(place), value) for place, value in changes])
    for path, record in update.writes.items():
        if record is None:
            del nodes[path]
        else:
            nodes[path] = record
    return root


def test_the_empty_tree_is_a_node_without_children() -> None:
    assert h(b"\x01\0\0\0\0") == EMPTY_ROOT == node_hash(EMPTY_RECORD) == fresh_root(())


def test_the_hashes_are_as_written_down() -> None:
    value = commit(b"s" * 16, b"v")
    assert value == h(b"s" * 16 + b"v")
    one, two = hashed(0x12), hashed(0xF0)
    assert leaf_hash(one, value) == h(b"\0" + one + value)
    # digits 1 and f are present, both leaves
    expected = h(b"\x01" + (1 << 1 | 1 << 15).to_bytes(2, "big") * 2 + leaf_hash(one, value) + leaf_hash(two, value))
    assert fresh_root([make_leaf(two, value), make_leaf(one, value)]) == expected


def test_leaves_that_share_digits_hang_below_a_branch_and_collapse_again() -> None:
    nodes: dict[bytes, bytes] = {}
    value = b"c" * 32
    alone = apply(nodes, (0x12, value))
    assert set(nodes) == {b""}
    both = apply(nodes, (0x13, value))
    assert set(nodes) == {b"", b"1"}
    inner = h(b"\x01" + (1 << 2 | 1 << 3).to_bytes(2, "big") * 2 + leaf_hash(hashed(0x12), value) + leaf_hash(hashed(0x13), value))
    assert both == h(b"\x01" + (1 << 1).to_bytes(2, "big") + bytes(2) + inner)
    assert apply(nodes, (0x13, None)) == alone
    assert set(nodes) == {b""}
    assert apply(nodes, (0x12, None)) == EMPTY_ROOT


def test_deleting_what_is_not_there_changes_nothing() -> None:
    nodes: dict[bytes, bytes] = {}
    root = apply(nodes, (0x12, b"a" * 32), (0x34, b"b" * 32))
    assert apply(nodes, (0x56, None), (0x13, None)) == root


def test_a_missing_node_is_an_error_not_an_empty_subtree() -> None:
    nodes: dict[bytes, bytes] = {}
    apply(nodes, (0x12, b"a" * 32), (0x13, b"b" * 32))
    del nodes[b"1"]
    with pytest.raises(LookupError, match="'1'"):
        apply(nodes, (0x14, b"c" * 32))
