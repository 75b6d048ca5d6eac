"""State snapshots: the leaves of a certified state in chunks, each below one path of the state tree (design, section 4; PBFT.md 44).

A chunk is the leaves under one path, in the order of their key hashes; its hash is the subtree's. The manifest lists every chunk's path and hash: together
they give the state root of the header, so that a receiver who verified the header's certificate knows that no chunk is missing and can check each
one by itself. Cutting is a function of the leaves alone: all nodes make the same files.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from carbonnode.chain.certificate import Certificate, verify_certificate
from carbonnode.chain.codec import Wire, decode, encode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.header import Header
from carbonnode.chain.proof import ValidatorChange, validators_after
from carbonnode.chain.signing import Verifier, verify
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import CarbonnodeError, InvalidBlock
from carbonnode.ledger.salts import SALT_BYTES
from carbonnode.ledger.tree import EMPTY_ROOT, HASH, Branch, Leaf, build_record, build_subtree, commit, key_hash, make_leaf, node_hash

SNAPSHOT_VERSION: Final = 1
CHUNK_BYTES: Final = 256 * 1024
"""Leaves under a path are cut further while they are larger than this, unless there is only one."""
MAX_CHUNK_BYTES: Final = 8 * 1024 * 1024
"""A larger chunk can't be honest: a single leaf is far smaller."""
MAX_MANIFEST_BYTES: Final = 30 * 1024 * 1024
MAX_PROOF_BYTES: Final = 31 * 1024 * 1024
LEAF_OVERHEAD: Final = 8
_MAX_LEVELS: Final = 2 * HASH
_DIGITS: Final = frozenset(b"0123456789abcdef")


class Chunk(Wire, frozen=True):
    """(state key, leaf record) by key hash, ascending."""

    leaves: tuple[tuple[bytes, bytes], ...]


class ChunkRef(Wire, frozen=True):
    """A chunk by its path (hex digits) and what hangs there: one leaf, or a node; `hash` is the leaf's or the node's."""

    path: bytes
    leaf: bool
    hash: bytes

    @property
    def name(self) -> str:
        """Of the chunk's file."""
        return f"{self.path.decode('ascii') or 'root'}.chunk"


class Manifest(Wire, frozen=True):
    """A snapshot's content: the encoded header whose state root the chunks give, and the chunks in order of path. The same on all nodes."""

    version: int
    header: bytes
    chunks: tuple[ChunkRef, ...]

    @property
    def digest(self) -> bytes:
        """Names this snapshot among nodes."""
        return blake2b_256(encode(self))


class Change(Wire, frozen=True):
    """`chain.proof.ValidatorChange` as an array."""

    header: bytes
    certificate: Certificate
    validators: tuple[Validator, ...]


class SnapshotProof(Wire, frozen=True):
    """A manifest's bytes with what certifies its header: certificate, and the changes of the validator set since genesis. Certificates differ by node."""

    manifest: bytes
    certificate: Certificate
    changes: tuple[Change, ...]

    @property
    def validator_changes(self) -> tuple[ValidatorChange, ...]:
        """The changes as proofs and user nodes get them."""
        return tuple(ValidatorChange(c.header, c.certificate, c.validators) for c in self.changes)


class Verified(NamedTuple):
    """A manifest whose header is certified and whose chunks give its state root."""

    manifest: Manifest
    header: Header
    certificate: Certificate
    changes: tuple[ValidatorChange, ...]
    validators: ValidatorSet


class PlacedLeaf(NamedTuple):
    """A leaf with its place: path of 64 hex digits, state key, leaf record."""

    path: bytes
    key: bytes
    record: bytes


def make_proof(manifest: bytes, certificate: Certificate, changes: Iterable[ValidatorChange]) -> SnapshotProof:
    """Put a manifest together with what certifies it."""
    return SnapshotProof(manifest, certificate, tuple(Change(c.header, c.certificate, c.validators) for c in changes))


def place(key: bytes, record: bytes) -> PlacedLeaf:
    """A leaf with its path."""
    return PlacedLeaf(key_hash(key).hex().encode(), key, record)


def leaf_bytes(leaf: PlacedLeaf) -> int:
    """What a leaf counts when chunks are cut."""
    return len(leaf.key) + len(leaf.record) + LEAF_OVERHEAD


def cut(path: bytes, leaves: Sequence[PlacedLeaf], limit: int = CHUNK_BYTES) -> Iterator[tuple[bytes, Sequence[PlacedLeaf]]]:
    """Cut leaves under `path`, in order, into chunks: (path, leaves) of each."""
    if not leaves:
        return
    if len(leaves) == 1 or sum(leaf_bytes(leaf) for leaf in leaves) <= limit:
        yield path, leaves
        return
    depth, start = len(path), 0
    while start < len(leaves):
        digit = leaves[start].path[depth]
        stop = start + 1
        while stop < len(leaves) and leaves[stop].path[depth] == digit:
            stop += 1
        yield from cut(path + bytes((digit,)), leaves[start:stop], limit)
        start = stop


def encode_chunk(leaves: Sequence[PlacedLeaf]) -> bytes:
    """A chunk file's bytes."""
    return encode(Chunk(tuple((leaf.key, leaf.record) for leaf in leaves)))


def tree_leaves(leaves: Sequence[PlacedLeaf]) -> list[Leaf]:
    """The leaves as the state tree has them."""
    return [make_leaf(key_hash(leaf.key), commit(leaf.record[:SALT_BYTES], leaf.record[SALT_BYTES:]), leaf.path) for leaf in leaves]


def subtree(path: bytes, leaves: Sequence[PlacedLeaf]) -> tuple[ChunkRef, dict[bytes, bytes | None], Leaf | None]:
    """What chunk hangs at `path` with these leaves: its reference, the node records below and at the path, and the leaf if it is one."""
    below, nodes = build_subtree(path, tree_leaves(leaves))
    if isinstance(below, Leaf) and path:
        return ChunkRef(path, leaf=True, hash=below.hash), nodes, below
    if isinstance(below, Leaf):
        # The root is a node even over a single leaf.
        record = build_record({int(below.path[:1], 16): below})
        return ChunkRef(path, leaf=False, hash=node_hash(record)), {b"": record}, None
    if below is None:
        raise InvalidBlock(f"the chunk at {path.decode()!r} has no leaves", code="chunk")
    return ChunkRef(path, leaf=False, hash=below), nodes, None


def read_chunk(ref: ChunkRef, data: bytes) -> list[PlacedLeaf]:
    """The leaves of a chunk that somebody gave, checked for form and order. Raises `InvalidBlock`."""
    chunk = decode(data, Chunk, max_bytes=MAX_CHUNK_BYTES)
    leaves = [place(key, record) for key, record in chunk.leaves]
    for before, after in pairwise(leaves):
        if before.path >= after.path:
            raise InvalidBlock(f"chunk {ref.name}: its leaves aren't in order", code="chunk")
    if not leaves or any(not leaf.path.startswith(ref.path) or len(leaf.record) < SALT_BYTES for leaf in leaves):
        raise InvalidBlock(f"chunk {ref.name} is empty, or holds what doesn't belong under its path", code="chunk")
    return leaves


def check_chunk(ref: ChunkRef, data: bytes) -> tuple[list[PlacedLeaf], dict[bytes, bytes | None], Leaf | None]:
    """Leaves, node records and single leaf of a chunk whose subtree hash is the one that its reference has. Raises `InvalidBlock`."""
    leaves = read_chunk(ref, data)
    found, nodes, single = subtree(ref.path, leaves)
    if found != ref:
        raise InvalidBlock(f"chunk {ref.name}: its leaves give another subtree than the certified state has there", code="chunk")
    return leaves, nodes, single


def top_nodes(chunks: Sequence[ChunkRef], single: "dict[bytes, Leaf] | None" = None) -> tuple[bytes, dict[bytes, bytes]]:
    """The state root that chunks lead to, and the node records above them.

    Records hold leaf entries only for leaves in `single` (by path): without it they serve for the root alone. Raises `InvalidBlock` if the paths don't
    part the tree: out of order, one below another, or no paths.
    """
    _check_paths(chunks)
    if not chunks:
        return EMPTY_ROOT, {}
    if not chunks[0].path:
        return chunks[0].hash, {}
    records: dict[bytes, bytes] = {}
    # Deepest first: a node is complete once every chunk and node below it is.
    level: dict[bytes, Leaf | Branch] = {}
    by_depth: dict[int, list[ChunkRef]] = {}
    for ref in chunks:
        by_depth.setdefault(len(ref.path), []).append(ref)
    for depth in range(max(by_depth), 0, -1):
        for ref in by_depth.get(depth, ()):
            known = None if single is None else single.get(ref.path)
            level[ref.path] = (known or Leaf(b"", b"", b"", ref.hash)) if ref.leaf else Branch(ref.hash)
        parents: dict[bytes, dict[int, Leaf | Branch]] = {}
        for path, child in level.items():
            parents.setdefault(path[:-1], {})[int(path[-1:], 16)] = child
        level = {}
        for path, children in parents.items():
            record = records[path] = build_record(children)
            level[path] = Branch(node_hash(record))
    return level[b""].hash, records


def _check_paths(chunks: Sequence[ChunkRef]) -> None:
    for before, after in pairwise(chunks):
        if before.path >= after.path or after.path.startswith(before.path):
            raise InvalidBlock("the manifest's chunks are out of order, or lie in one another", code="manifest")
    if any(len(ref.path) > _MAX_LEVELS or not _DIGITS.issuperset(ref.path) or len(ref.hash) != HASH for ref in chunks):
        raise InvalidBlock("the manifest names a path that the tree can't have", code="manifest")


def verify_snapshot(proof: SnapshotProof, genesis: Genesis, verifier: Verifier = verify) -> Verified:
    """Check a manifest: validators traced from genesis certified its header, and its chunks give the header's state root. Raises `InvalidBlock`."""
    manifest = decode(proof.manifest, Manifest, max_bytes=MAX_MANIFEST_BYTES)
    if manifest.version != SNAPSHOT_VERSION:
        raise InvalidBlock(f"snapshot version {manifest.version} is unknown: this release reads {SNAPSHOT_VERSION}", code="version")
    header = decode(manifest.header, Header)
    where = f"the snapshot of height {header.height}"
    if header.chain_id != genesis.chain_id:
        raise InvalidBlock(f"{where} belongs to another chain", code="chain")
    changes = proof.validator_changes
    try:
        validators = validators_after(genesis, changes, verifier)
    except InvalidBlock:
        raise
    except CarbonnodeError as error:
        raise InvalidBlock(f"{where} brings a malformed validator set: {error}", code="validators") from None
    certificate = proof.certificate
    if header.validators_hash != validators.hash:
        raise InvalidBlock(f"{where} was certified by another validator set than the one traced from genesis", code="validators")
    if (certificate.epoch, certificate.height, certificate.header_hash) != (header.epoch, header.height, header.hash):
        raise InvalidBlock(f"{where} comes with a certificate of another header", code="certificate")
    verify_certificate(certificate, validators, genesis.chain_id, verifier)
    if top_nodes(manifest.chunks)[0] != header.state_root:
        raise InvalidBlock(f"{where}: its chunks don't give the certified state root", code="manifest")
    return Verified(manifest, header, certificate, changes, validators)


def chunk_of(manifest: Manifest, key: bytes) -> int | None:
    """The index of the chunk that holds a state key, if it is in the state at all."""
    path = key_hash(key).hex().encode()
    return next((index for index, ref in enumerate(manifest.chunks) if path.startswith(ref.path)), None)
