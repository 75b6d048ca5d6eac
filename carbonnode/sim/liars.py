"""How a Byzantine node answers those who fetch a snapshot: corrupt snapshots of every kind. It signs with its own key only, and shows whatever it has seen.

A lie is a function of the question; it gives the answer, or None for silence. False snapshots are functions of the height: several liars offer the same one.
"""

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from carbonnode.chain.certificate import Certificate, checkpoint_bytes
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.header import Header
from carbonnode.ledger.snapshot import Chunk, ChunkRef, Manifest, SnapshotProof, make_proof, place
from carbonnode.node.wire import FetchChunk, Raws, RequestKind, SnapshotOffer, SnapshotOffers, SyncBlock
from carbonnode.sim.chain import SEEN, Leaves, state_root
from carbonnode.sim.disk import Shelved
from carbonnode.sim.node import SimNode
from carbonnode.sim.snapshots import Content, content_of

Lie: TypeAlias = Callable[[SimNode, RequestKind, bytes], bytes | None]


def honestly(node: SimNode, kind: RequestKind, payload: bytes) -> bytes:
    """As an honest node."""
    return node.shelf.answer(node.disk, kind, payload)


# ---- true snapshots, not given or not whole


def withholds(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """Offer, show the manifest, and be silent about the chunks."""
    return None if kind == RequestKind.SNAPSHOT_CHUNK else honestly(node, kind, payload)


def withholds_some(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """Give every other chunk only."""
    if kind == RequestKind.SNAPSHOT_CHUNK and decode(payload, FetchChunk).index % 2:
        return None
    return honestly(node, kind, payload)


def denies(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """Offer what is then not there."""
    return honestly(node, kind, payload) if kind == RequestKind.SNAPSHOTS else b""


def garbage(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """Offer, and answer with noise."""
    return honestly(node, kind, payload) if kind == RequestKind.SNAPSHOTS else node.world.dice.bytes(40)


def changed_chunks(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """Give chunks in which a value is another: a transaction less was executed, say. Not those of one leaf, whose hash stands in the tree above them."""
    true = honestly(node, kind, payload)
    if kind != RequestKind.SNAPSHOT_CHUNK or not true:
        return true
    leaves = decode(true, Chunk).leaves
    if len(leaves) == 1:
        return true
    return encode(Chunk((*leaves[:-1], (leaves[-1][0], _other_record(*leaves[-1])))))


def other_chunks(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """Give the chunk next to the one that is asked for."""
    if kind != RequestKind.SNAPSHOT_CHUNK:
        return honestly(node, kind, payload)
    wanted = decode(payload, FetchChunk)
    return honestly(node, kind, encode(replace(wanted, index=max(0, wanted.index - 1))))


def _other_record(key: bytes, record: bytes) -> bytes:
    if key.startswith(SEEN):
        return record[:-32]
    return record[:-1] + bytes((record[-1] ^ 1,))


# ---- false snapshots


def _serve(node: SimNode, kind: RequestKind, payload: bytes, offer: SnapshotOffer, proof: bytes, chunks: tuple[bytes, ...]) -> bytes | None:
    if kind == RequestKind.SNAPSHOTS:
        return encode(SnapshotOffers((offer,)))
    if kind == RequestKind.BLOCKS:
        return honestly(node, kind, payload)
    wanted = decode(payload, FetchChunk)
    if (wanted.height, wanted.digest) != (offer.height, offer.digest):
        return honestly(node, kind, payload)
    return proof if kind == RequestKind.SNAPSHOT_PROOF else chunks[wanted.index]


def _newest(node: SimNode) -> Shelved | None:
    """The newest state: newer than what honest nodes offer, as a rule."""
    block, certificate = node.disk.blocks[-1]
    return None if certificate is None else Shelved(block, certificate, node.disk.changes_before(block.height))


def _false(leaves: Leaves) -> Leaves:
    """A state in which the last transactions of a bucket were never executed."""
    key = max((key for key in leaves if key.startswith(SEEN)), default=min(leaves))
    return leaves | {key: place(key, _other_record(key, leaves[key].record))}


def _proof(shelved: Shelved, content: Content, certificate: Certificate | None = None) -> bytes:
    return encode(make_proof(encode(content.manifest), certificate or shelved.certificate, shelved.changes))


def false_state(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """The certified header over the chunks of another state."""
    shelved = _newest(node)
    if shelved is None:
        return honestly(node, kind, payload)
    content = content_of(shelved.block.header, _false(shelved.block.leaves))
    return _serve(node, kind, payload, content.offer, _proof(shelved, content), content.chunks)


def other_hashes(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """The true leaves under other hashes, so that honest chunks would look like lies."""
    shelved = _newest(node)
    if shelved is None:
        return honestly(node, kind, payload)
    true = content_of(shelved.block.header, shelved.block.leaves)
    refs = tuple(ChunkRef(ref.path, ref.leaf, bytes(reversed(ref.hash))) for ref in true.manifest.chunks)
    manifest = Manifest(true.manifest.version, true.manifest.header, refs)
    content = Content(manifest, true.chunks, SnapshotOffer(shelved.block.height, manifest.digest))
    return _serve(node, kind, payload, content.offer, _proof(shelved, content), content.chunks)


def _forged(shelved: Shelved) -> tuple[Header, Content]:
    """A header that is right but for its state, over just that state."""
    leaves = _false(shelved.block.leaves)
    header = replace(shelved.block.header, state_root=state_root(leaves))
    return header, content_of(header, leaves)


def forged_header(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """A header of our own, with the certificate of the true one, which names another hash."""
    shelved = _newest(node)
    if shelved is None:
        return honestly(node, kind, payload)
    _, content = _forged(shelved)
    return _serve(node, kind, payload, content.offer, _proof(shelved, content), content.chunks)


def relabelled_certificate(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """A header of our own; the true certificate's signatures under its hash."""
    shelved = _newest(node)
    if shelved is None:
        return honestly(node, kind, payload)
    header, content = _forged(shelved)
    certificate = replace(shelved.certificate, header_hash=header.hash)
    return _serve(node, kind, payload, content.offer, _proof(shelved, content, certificate), content.chunks)


def lonely_certificate(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """A header of our own that only we sign."""
    shelved = _newest(node)
    if shelved is None:
        return honestly(node, kind, payload)
    header, content = _forged(shelved)
    index = shelved.block.epoch.validators.index_of(node.signer.public_key)
    votes: tuple[tuple[int, bytes], ...] = ()
    if index is not None:
        votes = ((index, node.signer.sign(checkpoint_bytes(node.world.chain_id, header.epoch, header.height, header.hash))),)
    certificate = Certificate(header.epoch, header.height, header.hash, votes)
    return _serve(node, kind, payload, content.offer, _proof(shelved, content, certificate), content.chunks)


def other_validators(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """A true snapshot that hides how the validators changed, or names others."""
    true = honestly(node, kind, payload)
    if kind != RequestKind.SNAPSHOT_PROOF or not true:
        return true
    proof = decode(true, SnapshotProof)
    changes = tuple(replace(change, validators=change.validators[:1]) for change in proof.changes[:1])
    return encode(SnapshotProof(proof.manifest, proof.certificate, changes or proof.changes))


def boasts(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """Offer a snapshot of a height that nobody has reached, and the newest true one as if it were of that height."""
    if kind == RequestKind.SNAPSHOTS:
        offers = [SnapshotOffer(node.height + 1_000, bytes(32))]
        offers += [SnapshotOffer(shelved.block.height + 40, node.shelf.content(shelved).offer.digest) for shelved in node.disk.shelf]
        return encode(SnapshotOffers(tuple(offers)))
    if kind == RequestKind.SNAPSHOT_PROOF and node.disk.shelf:
        return _proof(node.disk.shelf[-1], node.shelf.content(node.disk.shelf[-1]))
    return honestly(node, kind, payload)


# ---- ids


def bare_blocks(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """Blocks without the transactions that they executed, so that those could run again."""
    true = honestly(node, kind, payload)
    if kind != RequestKind.BLOCKS:
        return true
    return encode(Raws(tuple(encode(replace(decode(item, SyncBlock), transactions=())) for item in decode(true, Raws).items)))


def other_blocks(node: SimNode, kind: RequestKind, payload: bytes) -> bytes | None:
    """Blocks of another chain, without transactions and with headers that say so."""
    true = honestly(node, kind, payload)
    if kind != RequestKind.BLOCKS:
        return true
    items = [decode(item, SyncBlock) for item in decode(true, Raws).items]
    empty = node.world.execution.genesis.header.transactions_root
    return encode(
        Raws(tuple(encode(replace(item, header=replace(decode(item.header, Header), transactions_root=empty).encoded, transactions=())) for item in items))
    )


LIES: tuple[Lie, ...] = (
    honestly,
    withholds,
    withholds_some,
    denies,
    garbage,
    changed_chunks,
    changed_chunks,
    changed_chunks,
    other_chunks,
    false_state,
    false_state,
    other_hashes,
    forged_header,
    relabelled_certificate,
    lonely_certificate,
    other_validators,
    boasts,
    bare_blocks,
    other_blocks,
)
