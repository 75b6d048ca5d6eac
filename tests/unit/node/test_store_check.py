"""`verify-store`: finds any flipped byte, names the thing, and mends without inventing."""

from pathlib import Path

import pytest

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate, sign_checkpoint
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Transaction
from carbonnode.errors import ConfigError, StorageError
from carbonnode.ledger import layout
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.node.store_check import check_store
from carbonnode.storage.blocks import BlockStore, StoredBlock
from carbonnode.storage.datadir import DataDirectory
from carbonnode.storage.journal import VoteJournal, segment_paths
from carbonnode.storage.journal_format import Record
from carbonnode.storage.leveldb import LevelKV
from tests.unit.ledger.toy import Chain, genesis

BLOCKS = 6


def certified(chain_id: bytes, block: ExecutedBlock) -> Certificate:
    votes = []
    for index in range(3):
        signature = sign_checkpoint(KeySigner(bytes([index + 1]) * 32), chain_id, block.header.epoch, block.header.height, block.header_hash)
        votes.append((index, signature))
    return Certificate(block.header.epoch, block.header.height, block.header_hash, tuple(votes))


def stored(chain_id: bytes, block: ExecutedBlock, batch: Batch, transactions: list[bytes]) -> tuple[StoredBlock, tuple[bytes, ...]]:
    kept = tuple(transactions[index] for index in block.kept)
    certificate = certified(chain_id, block) if block.header.height else None
    return StoredBlock(block.header, block.header_hash, batch.encoded, kept, block.encoded, certificate), tuple(Transaction.decode(raw).id for raw in kept)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    chain_id = genesis().chain_id
    DataDirectory.create(path, chain_id)
    with DataDirectory.open(path, chain_id) as data, LevelKV.open(data.state) as state, LevelKV.open(data.blocks) as blocks:
        chain = Chain(kv=state)
        store = BlockStore(blocks)
        zero = chain.executor.genesis_block()
        store.put(*stored(chain_id, zero, Batch(zero.header.time_ms, ()), []))
        for number in range(1, BLOCKS + 1):
            block = chain.block(chain.tx("pay", "bank", "alice", number), chain.tx("pay", "bank", f"b{number}", number))
            store.put(*stored(chain_id, block, *chain.blocks[-1]))
        with VoteJournal.open(data.journal) as journal:
            for number in range(5):
                journal.append([Record(number, b"vote" * 10)])
    return path


def test_a_sound_store_is_called_sound(path: Path) -> None:
    report = check_store(path, genesis())
    assert report.ok
    assert (report.blocks, report.state, report.journal_records) == (BLOCKS, BLOCKS, 5)
    assert report.faults == report.repairs == ()


def test_a_running_node_and_a_foreign_chain_are_refused(path: Path) -> None:
    with DataDirectory.open(path, genesis().chain_id), pytest.raises(StorageError, match="in use"):
        check_store(path, genesis())
    with pytest.raises(ConfigError, match="holds the chain"):
        check_store(path, genesis(supply=3))


def flip(path: Path, key: bytes, place: int) -> None:
    with LevelKV.open(path) as kv:
        raw = kv.get(key)
        assert raw is not None
        kv.write([(key, raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])])


@pytest.mark.parametrize("kind", [b"s/", b"b/"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.95])
def test_a_flipped_byte_in_a_block_names_the_block_and_repair_cuts_there(path: Path, kind: bytes, share: float) -> None:
    key = kind + (4).to_bytes(8, "big")
    with LevelKV.open(path / "blocks") as kv:
        size = len(kv.get(key) or b"")
    flip(path / "blocks", key, int(size * share))
    report = check_store(path, genesis())
    assert not report.ok
    assert any("4" in fault for fault in report.faults)
    mended = check_store(path, genesis(), repair=True)
    assert mended.blocks < BLOCKS
    with LevelKV.open(path / "blocks") as kv:
        store = BlockStore(kv)
        assert store.height == mended.blocks
        store.verify_chain(0)


def leaf_of_alice(path: Path) -> bytes:
    with LevelKV.open(path / "state") as kv:
        return next(key for key, _ in kv.iterate(start=layout.VALUE) if b"alice" in key)


def test_a_flipped_leaf_is_found_and_the_state_is_rebuilt_from_the_blocks(path: Path) -> None:
    flip(path / "state", leaf_of_alice(path), -1)
    report = check_store(path, genesis())
    assert report.faults == (f"{path / 'state'}: the leaves of the state at height 6 don't give its root: run `carbonnode verify-store --repair`",)
    mended = check_store(path, genesis(), repair=True)
    assert any("emptied" in text for text in mended.repairs)
    with LevelKV.open(path / "state") as state, LevelKV.open(path / "blocks") as blocks:
        store, executor = BlockStore(blocks), BlockExecutor(state, genesis())
        for height in range(1, store.height + 1):
            block = store.block(height)
            assert executor.execute(height, Batch.decode(block.batch), block.transactions).header_hash == block.header_hash
            executor.finalise(height)
        executor.flush()
    assert check_store(path, genesis()).ok


def test_a_lost_manifest_is_mended(path: Path) -> None:
    for store in ("blocks", "state"):
        next(file for file in (path / store).iterdir() if file.name.startswith("MANIFEST")).unlink()
    assert len(check_store(path, genesis()).faults) == 2
    mended = check_store(path, genesis(), repair=True)
    assert len(mended.repairs) == 2
    assert (mended.blocks, mended.state) == (BLOCKS, BLOCKS)
    assert check_store(path, genesis()).ok


def test_a_damaged_journal_is_set_aside_whole(path: Path) -> None:
    (segment,) = segment_paths(path / "journal")
    data = bytearray(segment.read_bytes())
    data[60] ^= 1
    segment.write_bytes(data)
    report = check_store(path, genesis())
    assert not report.ok
    assert segment.name in report.faults[0]
    mended = check_store(path, genesis(), repair=True)
    assert any("abstains" in text for text in mended.repairs)
    assert (path / "journal.damaged-1" / segment.name).read_bytes() == data
    assert check_store(path, genesis()).ok


def test_a_forged_certificate_is_found(path: Path) -> None:
    with LevelKV.open(path / "blocks") as kv:
        key = b"s/" + (5).to_bytes(8, "big")
        raw = kv.get(key)
        assert raw is not None
        kv.write([(key, raw[:-40] + bytes([raw[-40] ^ 1]) + raw[-39:])])
    report = check_store(path, genesis())
    assert any("certificate of height 5" in fault for fault in report.faults)
