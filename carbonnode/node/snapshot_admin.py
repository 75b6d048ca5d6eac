"""`carbonnode snapshot`: make, list and verify the snapshots of one node's directory."""

from pathlib import Path

import msgspec

from carbonnode.chain.codec import decode, encode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.header import Header
from carbonnode.errors import CarbonnodeError, StorageError
from carbonnode.ledger.snapshot import MAX_MANIFEST_BYTES, MAX_PROOF_BYTES, Manifest, SnapshotProof, check_chunk, make_proof, verify_snapshot
from carbonnode.ledger.store import StateStore
from carbonnode.node.changes import ChangeFile
from carbonnode.node.snapshot_install import SNAPSHOTS, recover
from carbonnode.node.snapshot_writer import SnapshotWriter
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.datadir import DataDirectory
from carbonnode.storage.leveldb import LevelKV
from carbonnode.storage.snapshots import MANIFEST, PROOF, SnapshotDirectory
from carbonnode.storage.space import SpaceGuard

SLICE_US = 1_000_000


class SnapshotInfo(msgspec.Struct, frozen=True):
    """A snapshot at a glance; `digest` is the same on all nodes that have one of that height."""

    height: int
    digest: str
    chunks: int
    size_bytes: int
    time_ms: int
    header_hash: str
    state_root: str


class SnapshotVerdict(msgspec.Struct, frozen=True):
    """Whether a snapshot is certified and whole; what isn't."""

    height: int
    ok: bool
    leaves: int
    faults: tuple[str, ...]


def _directory(data: Path) -> SnapshotDirectory:
    return SnapshotDirectory(data / "state" / SNAPSHOTS)


def list_snapshots(data: Path) -> list[SnapshotInfo]:
    """What the data directory holds, oldest first; the node may run. Raises `StorageError`."""
    directory = _directory(data)
    return [_info(directory, height) for height in directory.heights()]


def _info(directory: SnapshotDirectory, height: int) -> SnapshotInfo:
    manifest = decode(directory.read(height, MANIFEST), Manifest, max_bytes=MAX_MANIFEST_BYTES)
    header = decode(manifest.header, Header)
    size = directory.size_bytes(height)
    return SnapshotInfo(height, manifest.digest.hex(), len(manifest.chunks), size, header.time_ms, header.hash.hex(), header.state_root.hex())


def create_snapshot(data: Path, genesis: Genesis, reserve_bytes: int) -> SnapshotInfo:
    """Write a snapshot of the last state of a stopped node. Raises `StorageError`, also if the node runs."""
    with DataDirectory.open(data, genesis.chain_id) as opened:
        recover(data, genesis)
        directory = _directory(data)
        directory.prepare()
        with LevelKV.open(opened.state) as state, LevelKV.open(opened.blocks) as kv:
            store, blocks = StateStore(state), BlockStore(kv)
            height = -1 if store.tip is None else store.tip.height
            header, certificate = store.header(height), blocks.certificate(height) if height > 0 else None
            if header is None or certificate is None:
                raise StorageError(f"the state is at height {height}: there is no certified block to make a snapshot of; start the node first", code="missing")
            changes = tuple(change for change in ChangeFile(data).changes if decode(change.header, Header).height < height)
            frozen = state.snapshot()
            try:
                path = directory.begin(height)
                writer = SnapshotWriter(frozen, header, path, SpaceGuard(path, reserve_bytes))
                while not writer.work(SLICE_US):
                    pass
            except CarbonnodeError:
                directory.abandon(height)
                raise
            finally:
                frozen.close()
        directory.finish(height, encode(make_proof((path / MANIFEST).read_bytes(), certificate, changes)))
        return _info(directory, height)


def verify_snapshots(data: Path, genesis: Genesis, height: int | None) -> list[SnapshotVerdict]:
    """Check the snapshot of a height, or all: certified from genesis, every chunk under the certified root. The node may run. Raises `StorageError`."""
    directory = _directory(data)
    heights = directory.heights()
    if height is not None and height not in heights:
        there = ", ".join(str(at) for at in heights) or "none"
        raise StorageError(f"{directory.path}: there is no snapshot of height {height}; there is {there}", code="missing")
    return [_verdict(directory, at, genesis) for at in (heights if height is None else [height])]


def _verdict(directory: SnapshotDirectory, height: int, genesis: Genesis) -> SnapshotVerdict:
    faults: list[str] = []
    leaves = 0
    try:
        snapshot = verify_snapshot(decode(directory.read(height, PROOF), SnapshotProof, max_bytes=MAX_PROOF_BYTES), genesis)
        if snapshot.header.height != height or encode(snapshot.manifest) != directory.read(height, MANIFEST):
            faults.append(f"{directory.at(height)}: its manifest isn't the one that is certified")
    except CarbonnodeError as error:
        return SnapshotVerdict(height, ok=False, leaves=0, faults=(str(error),))
    for ref in snapshot.manifest.chunks:
        try:
            leaves += len(check_chunk(ref, directory.read(height, ref.name))[0])
        except CarbonnodeError as error:
            faults.append(str(error))
    return SnapshotVerdict(height, not faults, leaves, tuple(faults))
