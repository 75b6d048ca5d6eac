"""Checking and repairing a stopped node's data: every block, the whole state tree, the vote journal (`carbonnode verify-store`).

Repair never invents data. A block store or state whose LevelDB files are damaged is rebuilt from what LevelDB can read, then checked like any other; a
state that doesn't check is emptied, since the blocks give it back; blocks above the first damaged one are dropped, since peers give them back;
a damaged journal is set aside whole, and the node abstains from voting until nothing it may have promised can be contradicted.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import verify_certificate
from carbonnode.chain.codec import decode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.header import Header
from carbonnode.chain.merkle import leaf_hash, tree_head
from carbonnode.chain.proof import ValidatorChange, validators_after
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import CarbonnodeError, InvalidBlock, StorageError
from carbonnode.ledger.check import rebuilt_root
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.ledger.store import StateStore
from carbonnode.node.changes import ChangeFile
from carbonnode.storage import leveldb
from carbonnode.storage.blocks import MAX_RECORD_BYTES, BlockStore, StoredBlock
from carbonnode.storage.datadir import DataDirectory, sync_directory
from carbonnode.storage.journal import VoteJournal
from carbonnode.storage.leveldb import LevelKV


class StoreReport(msgspec.Struct, frozen=True):
    """What was found: last sound block, height of the state, faults by text, and what repair did about them."""

    ok: bool
    blocks: int
    state: int
    journal_records: int
    faults: tuple[str, ...]
    repairs: tuple[str, ...]


class StoreCheck:
    """One check of a locked data directory."""

    def __init__(self, data: DataDirectory, genesis: Genesis, *, repair: bool) -> None:
        self._data = data
        self._genesis = genesis
        self._repair = repair
        self._faults: list[str] = []
        self._repairs: list[str] = []
        self._base = 0

    def run(self) -> StoreReport:
        """Check everything; with `repair`, mend what can be mended."""
        blocks, headers = self._blocks()
        state = self._state(headers)
        records = self._journal()
        return StoreReport(not self._faults, blocks, state, records, tuple(self._faults), tuple(self._repairs))

    def _open(self, path: Path) -> LevelKV | None:
        """The database, after LevelDB's own repair where it is asked for; None if it can't be opened."""
        try:
            return LevelKV.open(path)
        except StorageError as error:
            if error.code == "locked":
                raise
            self._faults.append(str(error))
            if not self._repair or not path.is_dir():
                return None
        leveldb.repair(path)
        self._repairs.append(f"{path}: rebuilt from the tables and logs that LevelDB can read")
        return LevelKV.open(path)

    def _blocks(self) -> tuple[int, dict[int, bytes]]:
        """The last sound height, and the state root after each height."""
        kv = self._open(self._data.blocks)
        roots: dict[int, bytes] = {}
        if kv is None:
            return -1, roots
        with kv:
            try:
                store = BlockStore(kv)
                last = store.height
                self._base = store.base
                changes = ChangeFile(self._data.path).changes
                if store.base:
                    roots[store.base] = checked_base(store, self._genesis, changes).state_root
                for block in checked_blocks(store, self._genesis, changes):
                    roots[block.header.height] = block.header.state_root
            except CarbonnodeError as error:
                self._faults.append(str(error))
                last = max(roots, default=-1)
                if self._repair:
                    BlockStore.cut(kv, last)
                    self._repairs.append(f"{self._data.blocks}: cut to height {last}; peers will give the blocks above it")
        return last, roots

    def _state(self, roots: dict[int, bytes]) -> int:
        kv = self._open(self._data.state)
        if kv is not None:
            with kv:
                try:
                    store = StateStore(kv)
                    height = -1 if store.tip is None else store.tip.height
                    if store.tip is not None:
                        self._compare(rebuilt_root(kv), store.tip.state_root, f"the leaves of the state at height {height} don't give its root")
                        if roots:
                            self._compare(roots.get(height, b""), store.tip.state_root, f"the state at height {height} isn't the one that block certifies")
                except CarbonnodeError as error:
                    self._faults.append(str(error))
                else:
                    return height
        if self._repair:
            shutil.rmtree(self._data.state)
            leveldb.create(self._data.state)
            if not self._base:
                self._repairs.append(f"{self._data.state}: emptied; the next start executes the blocks again")
                return -1
            # The store begins at a snapshot: its blocks alone don't lead to a state.
            with LevelKV.open(self._data.blocks) as blocks:
                BlockStore.cut(blocks, -1)
            self._repairs.append(f"{self._data.state} and {self._data.blocks}: emptied; peers will give a snapshot and the blocks above it")
        return -1

    def _compare(self, found: bytes, expected: bytes, text: str) -> None:
        if found != expected:
            raise StorageError(f"{self._data.state}: {text}: run `carbonnode verify-store --repair`", code="corrupt")

    def _journal(self) -> int:
        try:
            with VoteJournal.open(self._data.journal) as journal:
                return len(journal.records())
        except StorageError as error:
            self._faults.append(str(error))
        if self._repair:
            aside = set_journal_aside(self._data.journal, "damaged")
            if aside:
                self._repairs.append(f"{self._data.journal}: set aside as {aside}; this node abstains from voting until that is safe")
        return 0


def set_journal_aside(path: Path, why: str) -> str:
    """Give the vote journal another name and begin an empty one; returns that name, "" where there was none. The node abstains then."""
    aside = None
    if path.is_dir():
        aside = next(other for number in range(1, 10_000) if not (other := path.with_name(f"{path.name}.{why}-{number}")).exists())
        path.rename(aside)
    path.mkdir()
    sync_directory(path.parent)
    return "" if aside is None else aside.name


def checked_base(store: BlockStore, genesis: Genesis, changes: tuple[ValidatorChange, ...]) -> Header:
    """The header that a store which began from a snapshot stands on, certified by a set traced from genesis. Raises `CarbonnodeError`."""
    header, certificate = store.header(store.base), store.certificate(store.base)
    before = tuple(change for change in changes if decode(change.header, Header).height < store.base)
    validators = validators_after(genesis, before)
    if certificate is None or header.validators_hash != validators.hash or certificate.header_hash != header.hash:
        raise InvalidBlock(f"block {store.base}, on which the store begins, isn't certified by the set traced from genesis", code="validators")
    verify_certificate(certificate, validators, genesis.chain_id)
    return header


def checked_blocks(store: BlockStore, genesis: Genesis, changes: tuple[ValidatorChange, ...] = ()) -> Iterator[StoredBlock]:
    """Every block that is here, as far as it holds: hash chain, certificate by the set of its epoch, roots over what is stored.

    `changes` are those of the validator set up to the store's base. Raises `CarbonnodeError` at the first block that doesn't.
    """
    store.verify_chain(0)
    validators = {genesis.validators.hash: genesis.validators}
    for change in changes:
        if decode(change.header, Header).height > store.base:
            break
        following = ValidatorSet(change.validators, genesis.parameters.profile)
        validators[following.hash] = following
    for height in range(store.first, store.height + 1):
        block = store.block(height)
        outcome = _checked_content(block)
        if block.certificate is not None:
            members = validators.get(block.header.validators_hash)
            if members is None:
                raise InvalidBlock(f"block {height} is certified by a validator set that no block before it announced", code="validators")
            verify_certificate(block.certificate, members, genesis.chain_id)
        if outcome.next_epoch is not None:
            following = ValidatorSet(outcome.next_epoch.validators, outcome.next_epoch.parameters.profile)
            validators[following.hash] = following
        yield block


def _checked_content(block: StoredBlock) -> ExecutedBlock:
    header = block.header
    outcome = decode(block.outcome, ExecutedBlock, max_bytes=MAX_RECORD_BYTES)
    transactions = [leaf_hash(Transaction.decode(raw).wire_hash) for raw in block.transactions]
    for found, expected, what in (
        (tree_head(transactions), header.transactions_root, "transactions"),
        (tree_head(outcome.receipt_leaves()), header.receipts_root, "receipts"),
        (tree_head(outcome.event_leaves()), header.events_root, "events"),
        (Batch.decode(block.batch).digest, header.batch_digest, "batch"),
        (outcome.header_hash, block.header_hash, "outcome"),
    ):
        if found != expected:
            raise StorageError(f"block {header.height} is damaged: its {what} aren't those of its header", code="corrupt")
    return outcome


def check_store(path: Path, genesis: Genesis, *, repair: bool = False) -> StoreReport:
    """Check the data directory at `path`. Raises `StorageError` if a node runs on it, `ConfigError` if it holds another chain."""
    with DataDirectory.open(path, genesis.chain_id) as data:
        return StoreCheck(data, genesis, repair=repair).run()
