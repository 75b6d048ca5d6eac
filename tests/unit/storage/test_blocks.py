import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.hashing import ZERO_HASH
from carbonnode.chain.header import Header
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.errors import InvariantViolation, StorageError
from carbonnode.storage import leveldb
from carbonnode.storage.blocks import BlockStore, StoredBlock
from carbonnode.storage.leveldb import LevelKV

ZERO = ZERO_HASH


def make_block(height: int, parent: bytes, salt: int = 0) -> StoredBlock:
    header = Header(1, b"c" * 32, 0, height, parent, b"d" * 32, 1000 * height + salt, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ())
    certificate = None if height == 0 else Certificate(0, height, header.hash, ((0, b"s" * 64),))
    return StoredBlock(header, header.hash, b"batch", (b"tx%d" % height,), b"outcome", certificate)


def fill(store: BlockStore, count: int) -> list[StoredBlock]:
    blocks: list[StoredBlock] = []
    for height in range(count):
        blocks.append(make_block(height, blocks[-1].header_hash if blocks else ZERO_HASH))
        store.put(blocks[-1], (b"id%d" % height,))
    return blocks


def test_blocks_come_back_by_height_and_transaction() -> None:
    kv = MemoryKV()
    blocks = fill(BlockStore(kv), 5)
    store = BlockStore(kv)
    assert store.height == 4
    assert store.tip_hash == blocks[4].header_hash
    assert store.block(3) == blocks[3]
    assert store.header(2) == blocks[2].header
    assert store.certificate(0) is None
    assert store.certificate(4) == blocks[4].certificate
    place = store.transaction(b"id3")
    assert place is not None
    assert (place.height, place.index) == (3, 0)
    assert store.transaction(b"none") is None
    assert [header.height for header, _, _ in store.headers(1, 100)] == [1, 2, 3, 4]
    store.verify_chain(0)


def test_who_reads_while_a_block_is_being_stored_sees_the_tip_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storing is a thread's work: a status asked for in between was answered 404, as its transaction stood in a block above the tip."""
    kv = MemoryKV()
    store = BlockStore(kv)
    blocks = fill(store, 3)
    write, seen = kv.write, []

    def watched(puts: list[tuple[bytes, bytes]], deletes: tuple[bytes, ...] = (), *, sync: bool = False) -> None:
        write(puts, deletes, sync=sync)
        seen.append((store.tip, store.transaction(b"id3")))

    monkeypatch.setattr(kv, "write", watched)
    block = make_block(3, blocks[2].header_hash)
    store.put(block, (b"id3",))
    assert seen == [((2, blocks[2].header_hash), None)]
    assert store.tip == (3, block.header_hash)
    place = store.transaction(b"id3")
    assert place is not None
    assert place.height == 3


def test_storing_again_changes_nothing_but_another_block_is_fatal() -> None:
    store = BlockStore(MemoryKV())
    blocks = fill(store, 3)
    store.put(blocks[1], (b"id1",))
    assert store.height == 2
    with pytest.raises(InvariantViolation, match="another block"):
        store.put(make_block(1, blocks[0].header_hash, salt=1), (b"x",))


def test_gaps_foreign_parents_and_missing_certificates_are_fatal() -> None:
    store = BlockStore(MemoryKV())
    blocks = fill(store, 2)
    with pytest.raises(InvariantViolation, match="doesn't follow"):
        store.put(make_block(3, blocks[1].header_hash), (b"x",))
    with pytest.raises(InvariantViolation, match="doesn't follow"):
        store.put(make_block(2, b"p" * 32), (b"x",))
    with pytest.raises(InvariantViolation, match="certificate"):
        store.put(msgspec.structs.replace(make_block(2, blocks[1].header_hash), certificate=None), (b"x",))
    with pytest.raises(InvariantViolation, match="ids"):
        store.put(make_block(2, blocks[1].header_hash), ())


@pytest.mark.parametrize("kind", [b"s/", b"b/"])
def test_damage_names_the_block(kind: bytes) -> None:
    kv = MemoryKV()
    fill(BlockStore(kv), 4)
    key = kind + (2).to_bytes(8, "big")
    raw = kv.get(key)
    assert raw is not None
    kv.write([(key, raw[:-1])])
    with pytest.raises(StorageError, match="block 2 is damaged"):
        BlockStore(kv).block(2)


def test_a_changed_header_is_found_by_the_chain_check() -> None:
    kv = MemoryKV()
    fill(BlockStore(kv), 6)
    key = b"s/" + (3).to_bytes(8, "big")
    raw = kv.get(key)
    assert raw is not None
    assert raw.count((3000).to_bytes(2, "big")) == 1
    kv.write([(key, raw.replace((3000).to_bytes(2, "big"), (3001).to_bytes(2, "big")))])
    with pytest.raises(StorageError, match="block 3 is damaged"):
        BlockStore(kv).verify_chain(0)


def test_a_missing_block_is_named() -> None:
    kv = MemoryKV()
    fill(BlockStore(kv), 4)
    kv.write([], [b"s/" + (1).to_bytes(8, "big")])
    with pytest.raises(StorageError, match="block 1 isn't in the store"):
        BlockStore(kv).verify_chain(0)


def test_a_damaged_height_is_refused() -> None:
    kv = MemoryKV([(b"m/height", b"xx")])
    with pytest.raises(StorageError, match="height record"):
        BlockStore(kv)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_blocks import make_block
from carbonnode.chain.hashing import ZERO_HASH
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.leveldb import LevelKV
store = BlockStore(LevelKV.open(Path(sys.argv[1])))
while True:
    height = store.height + 1
    store.put(make_block(height, store.tip_hash or ZERO_HASH), (b"id%d" % height,), sync=height % 4 == 0)
    print(height, flush=True)
"""


def test_kill_9_leaves_a_sound_chain_with_every_acknowledged_block(tmp_path: Path) -> None:
    path = tmp_path / "blocks"
    leveldb.create(path)
    last = -1
    for run in range(4):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last = int(line)
                if last >= 30 * (run + 1):
                    process.kill()
                    break
            rest = process.stdout.read().split()
        last = int(rest[-1]) if rest else last
        with LevelKV.open(path) as kv:
            store = BlockStore(kv)
            assert store.height >= last
            store.verify_chain(0)
            place = store.transaction(b"id%d" % store.height)
            assert place is not None
            assert place.height == store.height
