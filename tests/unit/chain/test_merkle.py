"""Merkle trees: every leaf provable, nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonnode.chain import merkle

trees = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


@given(trees, st.data())
def test_inclusion(data: list[bytes], draw: st.DataObject) -> None:
    """A path proves its own leaf at its own place under its own root, and no other."""
    leaves = [merkle.leaf_hash(item) for item in data]
    head = merkle.root(data)
    index = draw.draw(st.integers(0, len(leaves) - 1))
    path = merkle.inclusion_path(leaves, index)
    assert merkle.verify_inclusion(leaves[index], index, len(leaves), path, head)
    assert not merkle.verify_inclusion(merkle.leaf_hash(b"other leaf"), index, len(leaves), path, head)
    assert not merkle.verify_inclusion(leaves[index], index, len(leaves), (*path, head), head)
    assert not merkle.verify_inclusion(leaves[index], len(leaves), len(leaves), path, head)


@given(trees, st.data())
def test_consistency(data: list[bytes], draw: st.DataObject) -> None:
    """A prefix proves itself; a changed prefix doesn't."""
    leaves = [merkle.leaf_hash(item) for item in data]
    first = draw.draw(st.integers(1, len(leaves)))
    path = merkle.consistency_path(leaves, first)
    old, new = merkle.root(data[:first]), merkle.root(data)
    assert merkle.verify_consistency(first, len(leaves), old, new, path)
    assert not merkle.verify_consistency(first, len(leaves), merkle.root([*data[:first], b"x"]), new, path)


def test_leaf_outside_the_tree() -> None:
    """A path of a leaf that isn't there can't be asked for."""
    with pytest.raises(IndexError):
        merkle.inclusion_path([b"a"], 1)


def test_a_node_is_no_leaf() -> None:
    """Leaves and nodes are hashed apart, so an inner node can't be passed off as data."""
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.root([left + right]) != merkle.root([b"a", b"b"])


@given(trees, st.data())
def test_a_head_binds_the_number_of_leaves(data: list[bytes], draw: st.DataObject) -> None:
    """The same path with another size is refused."""
    leaves = [merkle.leaf_hash(item) for item in data]
    index = draw.draw(st.integers(0, len(leaves) - 1))
    path, head = merkle.inclusion_path(leaves, index), merkle.tree_head(leaves)
    assert merkle.verify_in_head(leaves[index], index, len(leaves), path, head)
    for size in {1, len(leaves) - 1, len(leaves) + 1, 2 * len(leaves)} - {len(leaves)}:
        assert not merkle.verify_in_head(leaves[index], index, size, path, head)
