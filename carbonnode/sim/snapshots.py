"""A simulated node's snapshots: made of its state in the production's format, served to peers, taken over when all of one is there."""

from dataclasses import dataclass
from typing import Final

from carbonnode.chain.codec import encode
from carbonnode.chain.header import Header
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.ledger import layout
from carbonnode.ledger.snapshot import SNAPSHOT_VERSION, Manifest, Verified, cut, encode_chunk, make_proof, subtree
from carbonnode.ledger.snapshot_build import build_state
from carbonnode.node.wire import FetchBlocks, FetchChunk, Raws, RequestKind, SnapshotOffer, SnapshotOffers, SyncBlock, decode_payload
from carbonnode.sim.chain import Execution, Leaves, restored
from carbonnode.sim.disk import Decided, Disk, Incoming, Shelved

CHUNK_BYTES: Final = 250
"""So that a few dozen leaves make several chunks, some of one leaf and some of more."""
_BLOCKS_AN_ANSWER: Final = 2
"""Fewer than are asked for, so that short answers are followed up."""


@dataclass(frozen=True)
class Content:
    """A snapshot without what certifies it: the same on all nodes."""

    manifest: Manifest
    chunks: tuple[bytes, ...]
    offer: SnapshotOffer


def content_of(header: Header, leaves: Leaves) -> Content:
    """The snapshot of a state, cut as the production cuts it."""
    refs, chunks = [], []
    for path, some in cut(b"", sorted(leaves.values()), CHUNK_BYTES):
        refs.append(subtree(path, some)[0])
        chunks.append(encode_chunk(some))
    manifest = Manifest(SNAPSHOT_VERSION, header.encoded, tuple(refs))
    return Content(manifest, tuple(chunks), SnapshotOffer(header.height, manifest.digest))


class Shelf:
    """What one node gives to those who fetch, from its disk."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._made: dict[bytes, Content] = {}

    def content(self, shelved: Shelved) -> Content:
        """A snapshot, made when somebody first asks for it: it is a function of the block."""
        made = self._made.get(shelved.block.header_hash)
        if made is None:
            made = self._made[shelved.block.header_hash] = content_of(shelved.block.header, shelved.block.leaves)
        return made

    def answer(self, disk: Disk, kind: RequestKind, payload: bytes) -> bytes:
        """As an honest node answers: `snapshot_keeper`, `sync.serve_blocks`."""
        if kind == RequestKind.SNAPSHOTS:
            return encode(SnapshotOffers(tuple(self.content(shelved).offer for shelved in disk.shelf)))
        if kind == RequestKind.BLOCKS:
            return encode(self._blocks(disk, decode_payload(payload, FetchBlocks)))
        wanted = decode_payload(payload, FetchChunk)
        for shelved in disk.shelf:
            made = self.content(shelved)
            if made.offer == SnapshotOffer(wanted.height, wanted.digest):
                if kind == RequestKind.SNAPSHOT_CHUNK:
                    return made.chunks[wanted.index]
                return encode(make_proof(encode(made.manifest), shelved.certificate, shelved.changes))
        return b""

    def _blocks(self, disk: Disk, wanted: FetchBlocks) -> Raws:
        if wanted.first <= disk.base:
            return Raws(())
        items = []
        for block, certificate in disk.above(wanted.first - 1, wanted.first - 1 + min(wanted.count, _BLOCKS_AN_ANSWER)):
            assert certificate is not None  # only genesis has none, which is a base
            transactions = tuple(self._execution.transactions[wire_hash].raw for wire_hash in block.applied)
            items.append(encode(SyncBlock(block.header.encoded, self._execution.batches[block.digest], transactions, certificate)))
        return Raws(tuple(items))


def built(snapshot: Verified, incoming: Incoming) -> Decided:
    """The state of a fetched snapshot, made by the production's code, as the node will have it. Raises `InvalidBlock` if a chunk isn't the certified one."""
    kv = MemoryKV()
    ids = {height: part for found in incoming.ids() for height, part in enumerate(found.ids, found.first)}
    build_state(kv, snapshot, incoming.read, [(height, b"".join(part)) for height, part in ids.items()])
    after = layout.VALUE[:-1] + bytes((layout.VALUE[-1] + 1,))
    records = {key[len(layout.VALUE) :]: record for key, record in kv.iterate(start=layout.VALUE, stop=after)}
    block = restored(snapshot.header, snapshot.certificate.header_hash, records)
    return Decided(block, snapshot.certificate, snapshot.changes, ids)
