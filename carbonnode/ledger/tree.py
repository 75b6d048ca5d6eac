"""The state tree: a 16-ary sparse Merkle tree, updated once a block over the changed keys only.

A key's path is the hex digits of its hash. A subtree with one leaf is that leaf, wherever it hangs; so the tree's shape, and its root, depend on the set
of leaves only. Hashes:

- commitment = H(salt || encoded value); leaf = H(00 || key hash || commitment)
- node = H(01 || bitmap || leaf map || hashes of the present children): bit i of the bitmap says that child i is present, of the leaf map that it is a leaf

A node's record, stored under its path, is the bytes that are hashed and then, for every leaf child in order, its key hash and commitment.
The root always has a record of its own; the empty tree is the root node without children.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

HEAD: Final = 5
HASH: Final = 32
_LEAF_ENTRY: Final = 64
_NIBBLE: Final = {digit: int(chr(digit), 16) for digit in b"0123456789abcdef"}
_DIGITS: Final = [bytes((digit,)) for digit in b"0123456789abcdef"]
EMPTY_RECORD: Final = b"\x01\0\0\0\0"
EMPTY_ROOT: Final = blake2b(EMPTY_RECORD, digest_size=HASH).digest()


class Leaf(NamedTuple):
    """A changed leaf: path (64 ASCII hex digits), key hash, commitment and leaf hash; both empty where the key was deleted."""

    path: bytes
    key_hash: bytes
    commitment: bytes
    hash: bytes


class Branch(NamedTuple):
    """A child that is a node: its hash."""

    hash: bytes


Below = Leaf | bytes | None
"""What hangs at a place after a change: a leaf, the hash of a node, or nothing."""


def key_hash(key: bytes) -> bytes:
    """The hash that gives a state key its place."""
    return blake2b(key, digest_size=HASH, person=b"state-key").digest()


def commit(salt: bytes, value: bytes) -> bytes:
    """The commitment to a value: hides it as long as the salt is secret."""
    return blake2b(salt + value, digest_size=HASH).digest()


def leaf_hash(hashed_key: bytes, commitment: bytes) -> bytes:
    """The hash of a leaf."""
    return blake2b(b"\0" + hashed_key + commitment, digest_size=HASH).digest()


def make_leaf(hashed_key: bytes, commitment: bytes, path: bytes = b"") -> Leaf:
    """A leaf to write; `path` where it's known already."""
    return Leaf(path or hashed_key.hex().encode(), hashed_key, commitment, leaf_hash(hashed_key, commitment))


def delete_leaf(hashed_key: bytes, path: bytes = b"") -> Leaf:
    """A leaf to remove."""
    return Leaf(path or hashed_key.hex().encode(), hashed_key, b"", b"")


def parse(record: bytes) -> dict[int, Leaf | Branch]:
    """The children of a node by digit. A leaf's path is left empty: it's the hex form of its key hash."""
    bitmap, leaf_map = int.from_bytes(record[1:3], "big"), int.from_bytes(record[3:5], "big")
    at, entry = HEAD, HEAD + HASH * bitmap.bit_count()
    children: dict[int, Leaf | Branch] = {}
    for digit in range(16):
        if not bitmap >> digit & 1:
            continue
        hashed = record[at : at + HASH]
        at += HASH
        if leaf_map >> digit & 1:
            children[digit] = Leaf(b"", record[entry : entry + HASH], record[entry + HASH : entry + _LEAF_ENTRY], hashed)
            entry += _LEAF_ENTRY
        else:
            children[digit] = Branch(hashed)
    return children


def build_record(children: dict[int, Leaf | Branch]) -> bytes:
    """The record of a node with these children."""
    bitmap = leaf_map = 0
    hashes: list[bytes] = []
    entries: list[bytes] = []
    for digit in sorted(children):
        child = children[digit]
        bitmap |= 1 << digit
        hashes.append(child.hash)
        if type(child) is Leaf:
            leaf_map |= 1 << digit
            entries += (child.key_hash, child.commitment)
    return b"".join((b"\x01", bitmap.to_bytes(2, "big"), leaf_map.to_bytes(2, "big"), *hashes, *entries))


def node_hash(record: bytes) -> bytes:
    """The hash of a node, from its record."""
    present = (record[1] << 8 | record[2]).bit_count()
    return blake2b(record[: HEAD + HASH * present], digest_size=HASH).digest()


class TreeUpdate:
    """One batch of changes over a tree that `read(path)` gives the records of; `writes` holds new records, None for removed ones."""

    def __init__(self, read: Callable[[bytes], bytes | None]) -> None:
        self._read = read
        self.writes: dict[bytes, bytes | None] = {}

    def apply(self, changes: Iterable[Leaf]) -> bytes:
        """Apply changes, at most one for a key, and return the new root."""
        ordered = sorted(changes)
        record = self._read(b"") or EMPTY_RECORD
        if ordered:
            record = bytes(self._changed(b"", record, ordered))
            self.writes[b""] = record
        return node_hash(record)

    def _node(self, path: bytes, changes: Sequence[Leaf]) -> Below:
        """Apply changes below the node at `path`; what hangs there afterwards."""
        before = self._read(path)
        if before is None:
            raise LookupError(f"state tree node {path.decode()!r} is missing")
        record = bytes(self._changed(path, before, changes))
        bitmap = record[1] << 8 | record[2]
        if bitmap & (bitmap - 1) == 0:
            if bitmap == 0:
                self.writes[path] = None
                return None
            if record[3] or record[4]:
                self.writes[path] = None
                entry = HEAD + HASH
                hashed = record[entry : entry + HASH]
                return Leaf(hashed.hex().encode(), hashed, record[entry + HASH : entry + _LEAF_ENTRY], record[HEAD:entry])
        self.writes[path] = record
        return blake2b(record[: HEAD + HASH * bitmap.bit_count()], digest_size=HASH).digest()

    def _changed(self, path: bytes, record: bytes, changes: Sequence[Leaf]) -> bytearray:
        """The node's new record. It's edited in place: most nodes have one child changed, and most changes are of a hash only."""
        depth, start, count = len(path), 0, len(changes)
        node = bytearray(record)
        while start < count:
            change = changes[start]
            letter = change.path[depth]
            stop = start + 1
            while stop < count and changes[stop].path[depth] == letter:
                stop += 1
            single, group = stop == start + 1, changes[start:stop]
            start = stop
            digit = _NIBBLE[letter]
            bit = 1 << digit
            bitmap, leaf_map = node[1] << 8 | node[2], node[3] << 8 | node[4]
            at = HEAD + HASH * (bitmap & (bit - 1)).bit_count()
            if leaf_map & bit:
                entry = HEAD + HASH * bitmap.bit_count() + _LEAF_ENTRY * (leaf_map & (bit - 1)).bit_count()
                if single and change.hash and node[entry : entry + HASH] == change.key_hash:
                    node[at : at + HASH] = change.hash
                    node[entry + HASH : entry + _LEAF_ENTRY] = change.commitment
                    continue
                held = bytes(node[entry : entry + _LEAF_ENTRY])
                present = Leaf(held[:HASH].hex().encode(), held[:HASH], held[HASH:], bytes(node[at : at + HASH]))
                after = self._at_leaf(path + _DIGITS[digit], present, group)
            elif bitmap & bit:
                after = self._node(path + _DIGITS[digit], group)
                if type(after) is bytes:
                    node[at : at + HASH] = after
                    continue
            else:
                after = self._build(path + _DIGITS[digit], [leaf for leaf in group if leaf.hash])
            _put_child(node, digit, after)
        return node

    def _at_leaf(self, path: bytes, present: Leaf, changes: Sequence[Leaf]) -> Below:
        """Apply changes where a single leaf hangs."""
        leaves = [leaf for leaf in changes if leaf.hash]
        if all(leaf.key_hash != present.key_hash for leaf in changes):
            leaves.append(present)
            leaves.sort()
        return self._build(path, leaves)

    def _build(self, path: bytes, leaves: Sequence[Leaf]) -> Below:
        """A subtree of leaves in order of path, where no node was before."""
        if len(leaves) <= 1:
            return leaves[0] if leaves else None
        depth = len(path)
        groups: dict[int, list[Leaf]] = {}
        for leaf in leaves:
            groups.setdefault(_NIBBLE[leaf.path[depth]], []).append(leaf)
        children: dict[int, Leaf | Branch] = {}
        for digit, group in groups.items():
            child = self._build(path + _DIGITS[digit], group)
            if child is not None:
                children[digit] = Branch(child) if isinstance(child, bytes) else child
        record = build_record(children)
        self.writes[path] = record
        return node_hash(record)


def _put_child(node: bytearray, digit: int, child: Below) -> None:
    """Replace, insert or remove the child `digit` in a record."""
    bit = 1 << digit
    bitmap, leaf_map = node[1] << 8 | node[2], node[3] << 8 | node[4]
    at = HEAD + HASH * (bitmap & (bit - 1)).bit_count()
    entry = HEAD + HASH * bitmap.bit_count() + _LEAF_ENTRY * (leaf_map & (bit - 1)).bit_count()
    # The leaf's entry first: it lies behind the hashes, whose number may change.
    entry_end = entry + _LEAF_ENTRY if leaf_map & bit else entry
    at_end = at + HASH if bitmap & bit else at
    if child is None:
        del node[entry:entry_end]
        del node[at:at_end]
        bitmap &= ~bit
        leaf_map &= ~bit
    elif isinstance(child, bytes):
        del node[entry:entry_end]
        node[at:at_end] = child
        bitmap |= bit
        leaf_map &= ~bit
    else:
        node[entry:entry_end] = child.key_hash + child.commitment
        node[at:at_end] = child.hash
        bitmap |= bit
        leaf_map |= bit
    node[1:HEAD] = (bitmap << 16 | leaf_map).to_bytes(4, "big")


def build_subtree(path: bytes, leaves: Sequence[Leaf]) -> tuple[Below, dict[bytes, bytes | None]]:
    """What leaves in order of path, all below `path`, make there, and the node records of that subtree."""
    update = TreeUpdate(lambda _path: None)
    return update._build(path, leaves), update.writes  # noqa: SLF001 - the same tree, built where there is none


def fresh_root(leaves: Iterable[Leaf]) -> bytes:
    """The root of a tree built from nothing: what every other way to the same leaves must give."""
    return TreeUpdate(lambda _path: None).apply(leaves)
