"""Proofs that a state key has a value, or has none, under a state root; built from node records, verified offline."""

from collections.abc import Callable

from carbonnode.chain import values
from carbonnode.chain.codec import Wire
from carbonnode.errors import InvalidBlock
from carbonnode.ledger.salts import SALT_BYTES
from carbonnode.ledger.tree import EMPTY_RECORD, HASH, Branch, Leaf, commit, key_hash, leaf_hash, node_hash, parse

_MAX_LEVELS = 64


class ProofLevel(Wire, frozen=True):
    """A node on the way from the root: its bitmaps, and the hashes of its present children but the one on the way."""

    bitmap: int
    leaf_map: int
    siblings: tuple[bytes, ...]


class StateProof(Wire, frozen=True):
    """Inclusion: `salt` and `value` (encoded) are set. Absence: the way ends at an empty place, or at another leaf (`other_key`, `other_commitment`)."""

    key: bytes
    height: int
    levels: tuple[ProofLevel, ...]
    salt: bytes
    value: bytes | None
    other_key: bytes
    other_commitment: bytes


def build_proof(key: bytes, height: int, record: bytes | None, read: Callable[[bytes], bytes | None]) -> StateProof:
    """The proof for `key`, whose leaf record (salt and value) is `record` or None, in the tree that `read(path)` gives the nodes of."""
    path = key_hash(key).hex().encode()
    levels: list[ProofLevel] = []
    other: Leaf | None = None
    for depth in range(_MAX_LEVELS):
        node = read(path[:depth]) or EMPTY_RECORD
        children, digit = parse(node), int(path[depth : depth + 1], 16)
        siblings = tuple([children[d].hash for d in sorted(children) if d != digit])
        levels.append(ProofLevel(int.from_bytes(node[1:3], "big"), int.from_bytes(node[3:5], "big"), siblings))
        child = children.get(digit)
        if type(child) is Branch:
            continue
        if type(child) is Leaf and record is None:
            other = child
        break
    return StateProof(
        key,
        height,
        tuple(levels),
        b"" if record is None else record[:SALT_BYTES],
        None if record is None else record[SALT_BYTES:],
        b"" if other is None else other.key_hash,
        b"" if other is None else other.commitment,
    )


def verify_state_proof(proof: StateProof, root: bytes) -> tuple[bool, values.Value]:
    """Check a proof against a certified state root: (True, value) when the key is there, (False, None) when it's proven absent.

    Raises `InvalidBlock` if the proof doesn't hold.
    """
    path = key_hash(proof.key).hex()
    if not 1 <= len(proof.levels) <= _MAX_LEVELS:
        raise _bad("has no levels, or too many")
    end = _end_leaf(proof, path)
    if end is None:
        last = proof.levels[-1]
        if last.bitmap >> int(path[len(proof.levels) - 1], 16) & 1:
            raise _bad("claims an empty place that isn't empty")
    hashed = end
    for depth in range(len(proof.levels) - 1, -1, -1):
        at_end = depth == len(proof.levels) - 1
        hashed = _level_hash(proof.levels[depth], int(path[depth], 16), hashed, leaf=at_end, present=not at_end or end is not None)
    if hashed != root:
        raise _bad("leads to another root")
    return (False, None) if proof.value is None else (True, values.decode_value(proof.value))


def _end_leaf(proof: StateProof, path: str) -> bytes | None:
    """The hash of the leaf that the way ends at, or None for an empty place."""
    if proof.value is not None:
        if len(proof.salt) != SALT_BYTES or proof.other_key or proof.other_commitment:
            raise _bad("is malformed")
        return leaf_hash(key_hash(proof.key), commit(proof.salt, proof.value))
    if not proof.other_key:
        return None
    if len(proof.other_key) != HASH or len(proof.other_commitment) != HASH or proof.other_key.hex() == path:
        raise _bad("is malformed")
    if proof.other_key.hex()[: len(proof.levels)] != path[: len(proof.levels)]:
        raise _bad("names a leaf that doesn't stand in the key's way")
    return leaf_hash(proof.other_key, proof.other_commitment)


def _level_hash(level: ProofLevel, digit: int, child: bytes | None, *, leaf: bool, present: bool) -> bytes:
    bitmap, leaf_map = level.bitmap, level.leaf_map
    if not 0 <= bitmap < 1 << 16 or leaf_map & ~bitmap or leaf_map < 0:
        raise _bad("has a malformed level")
    if bool(bitmap >> digit & 1) != present or bool(leaf_map >> digit & 1) != (leaf and present):
        raise _bad("takes a way that its own levels don't have")
    if len(level.siblings) != bitmap.bit_count() - present or any(len(s) != HASH for s in level.siblings):
        raise _bad("has the wrong number of siblings")
    hashes = list(level.siblings)
    if present and child is not None:
        hashes.insert((bitmap & ((1 << digit) - 1)).bit_count(), child)
    return node_hash(b"".join((b"\x01", bitmap.to_bytes(2, "big"), leaf_map.to_bytes(2, "big"), *hashes)))


def _bad(what: str) -> InvalidBlock:
    return InvalidBlock(f"the state proof {what}: don't trust what came with it", code="state-proof")
