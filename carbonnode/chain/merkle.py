"""RFC 6962 Merkle trees: inclusion and consistency proofs, with a hash passed in.

The chain hashes with blake2b-256; with SHA-256 the same code answers the RFC's published vectors. A leaf is hash(0x00 || data), a node
hash(0x01 || left || right), the empty tree hash(b"").
"""

from collections.abc import Callable, Sequence

from carbonnode.chain.hashing import blake2b_256

Hash = Callable[[bytes], bytes]


def leaf_hash(data: bytes, hash_: Hash = blake2b_256) -> bytes:
    """hash(0x00 || data)."""
    return hash_(b"\x00" + data)


def _node(left: bytes, right: bytes, hash_: Hash) -> bytes:
    return hash_(b"\x01" + left + right)


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (size >= 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def root_of_leaf_hashes(leaves: Sequence[bytes], hash_: Hash = blake2b_256) -> bytes:
    """The tree head over leaf hashes."""
    if not leaves:
        return hash_(b"")
    level = list(leaves)
    while len(level) > 1:
        paired = [hash_(b"\x01" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def root(data: Sequence[bytes], hash_: Hash = blake2b_256) -> bytes:
    """The tree head over leaf data."""
    return root_of_leaf_hashes([hash_(b"\x00" + item) for item in data], hash_)


def inclusion_path(leaves: Sequence[bytes], index: int, hash_: Hash = blake2b_256) -> tuple[bytes, ...]:
    """The audit path of leaf `index`, from the leaf upwards. Raises `IndexError` outside the tree."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree of {len(leaves)}")
    path: list[bytes] = []
    level, position = list(leaves), index
    while len(level) > 1:
        sibling = position ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        paired = [hash_(b"\x01" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level, position = paired, position // 2
    return tuple(path)


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], hash_: Hash = blake2b_256) -> bytes | None:
    """The tree head that a path leads to, or None if the path's length doesn't fit `index` and `size` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    position, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if position & 1 or position == last:
            value = _node(sibling, value, hash_)
            while not position & 1 and position != 0:
                position >>= 1
                last >>= 1
        else:
            value = _node(value, sibling, hash_)
        position >>= 1
        last >>= 1
    return value if last == 0 else None


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes, hash_: Hash = blake2b_256) -> bool:
    """Whether leaf hash `leaf` stands at `index` of the tree of `size` leaves with this root."""
    return len(leaf) == len(hash_(b"")) and root_from_inclusion(leaf, index, size, path, hash_) == expected_root


def consistency_path(leaves: Sequence[bytes], first: int, hash_: Hash = blake2b_256) -> tuple[bytes, ...]:
    """The proof that the tree over the first `first` leaves is a prefix of the tree over all (RFC 6962, 2.1.2)."""
    if not 0 < first <= len(leaves):
        raise IndexError(f"a prefix of {first} of a tree of {len(leaves)}")
    return _subproof(leaves, first, hash_, whole=True)


def _subproof(leaves: Sequence[bytes], first: int, hash_: Hash, *, whole: bool) -> tuple[bytes, ...]:
    size = len(leaves)
    if first == size:
        return () if whole else (root_of_leaf_hashes(leaves, hash_),)
    split = _split(size)
    if first <= split:
        return (*_subproof(leaves[:split], first, hash_, whole=whole), root_of_leaf_hashes(leaves[split:], hash_))
    return (*_subproof(leaves[split:], first - split, hash_, whole=False), root_of_leaf_hashes(leaves[:split], hash_))


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes], hash_: Hash = blake2b_256) -> bool:
    """Whether the tree of `first` leaves is a prefix of the one of `second` (RFC 9162, 2.1.4.2).

    The empty prefix proves nothing and is refused.
    """
    if not 0 < first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    hashes = list(path)
    if first & (first - 1) == 0:
        hashes.insert(0, first_root)
    if not hashes:
        return False
    position, last = first - 1, second - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = _node(sibling, old, hash_), _node(sibling, new, hash_)
            while not position & 1 and position != 0:
                position >>= 1
                last >>= 1
        else:
            new = _node(new, sibling, hash_)
        position >>= 1
        last >>= 1
    return last == 0 and old == first_root and new == second_root


def tree_head(leaves: Sequence[bytes], hash_: Hash = blake2b_256) -> bytes:
    """What headers hold: hash(0x02 || number of leaves, 8 bytes || root), so that a proof can't misstate how many there are."""
    return hash_(b"\x02" + len(leaves).to_bytes(8, "big") + root_of_leaf_hashes(leaves, hash_))


def verify_in_head(leaf: bytes, index: int, size: int, path: Sequence[bytes], head: bytes, hash_: Hash = blake2b_256) -> bool:
    """Whether leaf hash `leaf` stands at `index` of the `size` leaves under this `tree_head`."""
    root_ = root_from_inclusion(leaf, index, size, path, hash_)
    return root_ is not None and hash_(b"\x02" + size.to_bytes(8, "big") + root_) == head
