"""`carbonnode rollback`: one stopped node's data back at an earlier certified height, from where it follows its peers again.

By undo records where the state is sound and they reach, else from the newest verified snapshot below that height (or genesis) and the blocks above it. The
vote journal is set aside: the node abstains until nothing it may have promised can be contradicted.
"""

from pathlib import Path

import msgspec

from carbonnode.chain.batch import Batch
from carbonnode.chain.codec import decode
from carbonnode.chain.genesis import Genesis
from carbonnode.errors import CarbonnodeError, ConfigError, StorageError
from carbonnode.ledger.check import rebuilt_root
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.ledger.rollback import roll_back
from carbonnode.ledger.snapshot import MAX_PROOF_BYTES, SnapshotProof, verify_snapshot
from carbonnode.ledger.snapshot_build import build_state
from carbonnode.node.changes import ChangeFile
from carbonnode.node.snapshot_install import SNAPSHOTS, Installation, Intent, recover
from carbonnode.node.store_check import set_journal_aside
from carbonnode.storage import leveldb
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.datadir import DataDirectory
from carbonnode.storage.leveldb import LevelKV
from carbonnode.storage.snapshots import PROOF, SnapshotDirectory

REPLAY_FLUSH = 64


class RollbackReport(msgspec.Struct, frozen=True):
    """From where to where, by what (`undo`, `snapshot` or `genesis`), how many blocks were executed again, where the journal lies now."""

    height_before: int
    height: int
    header_hash: str
    state_root: str
    by: str
    replayed: int
    journal: str


def roll_back_node(path: Path, genesis: Genesis, height: int) -> RollbackReport:
    """Take the data directory at `path` back to `height`. Raises `StorageError` if a node runs on it or it can't be done, `ConfigError` for the height."""
    with DataDirectory.open(path, genesis.chain_id) as data:
        recover(path, genesis)
        with LevelKV.open(data.blocks) as kv:
            blocks = BlockStore(kv)
            before = blocks.height
            if not blocks.base <= height <= before:
                raise ConfigError(f"--to-height {height}: this node has the heights {blocks.base} to {before}: choose one of them")
            blocks.verify_chain()
            header = blocks.header(height)
            by, replayed = _state(data, genesis, blocks, height)
        journal = set_journal_aside(data.journal, "rollback")
        if by == "undo":
            with LevelKV.open(data.blocks) as kv:
                BlockStore.cut(kv, height)
            ChangeFile(path).cut_above(height)
        else:
            Installation(path, genesis).decide(Intent(height))
            recover(path, genesis)
        return RollbackReport(before, height, header.hash.hex(), header.state_root.hex(), by, replayed, journal)


def _state(data: DataDirectory, genesis: Genesis, blocks: BlockStore, height: int) -> tuple[str, int]:
    """By what the state got to `height`, and how many blocks were executed again for it."""
    window = genesis.parameters.validity_blocks
    try:
        with LevelKV.open(data.state) as kv:
            executor = BlockExecutor(kv, genesis)
            if rebuilt_root(kv) != executor.status().state_root:
                raise StorageError(f"{data.state}: its leaves don't give its root", code="corrupt")
            window = executor.epochs()[0].parameters.validity_blocks
            if executor.height == height == blocks.height:
                raise ConfigError(f"--to-height {height}: the node is at that height and its state is sound: nothing is to be done")
            ids = {at: b"".join(found) for at, found in blocks.ids_between(height - window, height).items()}
            roll_back(kv, height, ids)
    except StorageError as error:
        # Pruned, or damaged: then from what lies beside it.
        if error.code == "locked":
            raise
        return _rebuilt(data, genesis, blocks, height, window)
    return "undo", 0


def _rebuilt(data: DataDirectory, genesis: Genesis, blocks: BlockStore, height: int, window: int) -> tuple[str, int]:
    installation = Installation(data.path, genesis)
    for start in (*[at for at in reversed(SnapshotDirectory(data.state / SNAPSHOTS).heights()) if blocks.base <= at <= height], 0):
        if start == 0 and blocks.base:
            break
        installation.clear()
        leveldb.create(installation.new_state)
        with LevelKV.open(installation.new_state) as kv:
            try:
                if start:
                    _from_snapshot(data, genesis, kv, start, {at: b"".join(ids) for at, ids in blocks.ids_between(start - window, start).items()})
                _replay(BlockExecutor(kv, genesis, flush_blocks=REPLAY_FLUSH), blocks, height)
            except CarbonnodeError as error:
                if start == 0:
                    raise StorageError(f"executing the blocks from genesis doesn't lead to height {height}: {error}", code="replay") from None
                continue
        return ("snapshot", height - start) if start else ("genesis", height)
    installation.clear()
    raise StorageError(
        f"no undo record, snapshot or block of this node leads to height {height}: it began at {blocks.base}; restore a backup with `carbonnode restore`",
        code="pruned",
    )


def _from_snapshot(data: DataDirectory, genesis: Genesis, kv: LevelKV, height: int, ids: dict[int, bytes]) -> None:
    directory = SnapshotDirectory(data.state / SNAPSHOTS)
    snapshot = verify_snapshot(decode(directory.read(height, PROOF), SnapshotProof, max_bytes=MAX_PROOF_BYTES), genesis)
    build_state(kv, snapshot, lambda name: directory.read(height, name), sorted(ids.items()))


def _replay(executor: BlockExecutor, blocks: BlockStore, height: int) -> None:
    for at in range(executor.height + 1, height + 1):
        stored = blocks.block(at)
        outcome = executor.execute(at, Batch.decode(stored.batch), stored.transactions, stored.header.skip_orders)
        if outcome.header_hash != stored.header_hash:
            raise StorageError(f"executing stored block {at} again gives another header: run `carbonnode verify-store`", code="replay")
        executor.finalise(at)
    executor.flush()

