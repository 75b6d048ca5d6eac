"""Snapshot files: the same on every node, written in slices, bounded, and never half there."""

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from carbonnode.chain.certificate import Certificate, sign_checkpoint
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.proof import ValidatorChange
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import DiskFull, InvalidBlock, InvariantViolation
from carbonnode.ledger import layout
from carbonnode.ledger.snapshot import (
    Chunk,
    ChunkRef,
    Manifest,
    SnapshotProof,
    check_chunk,
    chunk_of,
    encode_chunk,
    make_proof,
    place,
    read_chunk,
    subtree,
    top_nodes,
    verify_snapshot,
)
from carbonnode.ledger.tree import EMPTY_ROOT
from carbonnode.node.snapshot_writer import SnapshotWriter
from carbonnode.storage.snapshots import SnapshotDirectory
from carbonnode.storage.space import SpaceGuard
from tests.unit.ledger.toy import Chain
from tests.unit.node.test_store_check import certified

LIMIT = 400


def grown(blocks: int = 4, accounts: int = 40) -> Chain:
    chain = Chain()
    for number in range(blocks):
        chain.block(*[chain.tx("pay", "bank", f"account {number} {index}", 1 + index) for index in range(accounts)])
    return chain


def write(chain: Chain, path: Path, *, limit: int = LIMIT, hold_bytes: int = 1 << 24, budget_us: int = 10**9) -> Manifest:
    path.mkdir(parents=True, exist_ok=True)
    guard = SpaceGuard(path, 1)
    writer = SnapshotWriter(chain.kv, chain.executor.header, path, guard, limit=limit, hold_bytes=hold_bytes)
    while not writer.work(budget_us):
        pass
    return decode((path / "manifest").read_bytes(), Manifest)


def test_chunks_are_the_same_however_they_were_written_and_give_the_state_root(tmp_path: Path) -> None:
    chain = grown()
    manifest = write(chain, tmp_path / "a")
    assert manifest == write(chain, tmp_path / "b", hold_bytes=100, budget_us=1)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    assert len(manifest.chunks) > 16
    root, _ = top_nodes(manifest.chunks)
    assert root == chain.executor.status().state_root
    held: dict[bytes, bytes] = {}
    for ref in manifest.chunks:
        leaves, _, _ = check_chunk(ref, (tmp_path / "a" / ref.name).read_bytes())
        held |= {leaf.key: leaf.record for leaf in leaves}
    stored = chain.kv.iterate(start=layout.VALUE, stop=layout.prefix_end(layout.VALUE))
    assert held == {key[1:]: record for key, record in stored}
    for key in held:
        index = chunk_of(manifest, key)
        assert index is not None
        assert any(leaf.key == key for leaf in read_chunk(manifest.chunks[index], (tmp_path / "a" / manifest.chunks[index].name).read_bytes()))


def test_no_step_handles_more_than_a_few_leaves(tmp_path: Path) -> None:
    """What bounds how long a block may have to wait: the work between two looks at the clock."""
    chain = grown(20, 60)
    writer = SnapshotWriter(chain.kv, chain.executor.header, tmp_path, SpaceGuard(tmp_path, 1), limit=LIMIT)
    steps, before = 0, (0, 0)
    while not writer.work(0):
        steps += 1
        assert writer.leaves - before[0] <= 256
        assert writer.chunks - before[1] <= 1
        before = (writer.leaves, writer.chunks)
    assert steps >= writer.leaves // 256 + writer.chunks


def test_one_chunk_holds_a_small_state(tmp_path: Path) -> None:
    chain = grown(1, 3)
    manifest = write(chain, tmp_path, limit=1 << 20)
    assert [ref.name for ref in manifest.chunks] == ["root.chunk"]
    check_chunk(manifest.chunks[0], (tmp_path / "root.chunk").read_bytes())


def test_cutting_depends_on_the_leaves_alone(tmp_path: Path) -> None:
    """Two chains that came to the same leaves by other blocks make the same files."""
    one, other = Chain(), Chain()
    for chain in (one, other):
        for number in range(30):
            chain.block(chain.tx("list_order", number, 1, f"owner {number}"))
    for left, right in pairwise([write(one, tmp_path / "1", limit=300), write(other, tmp_path / "2", limit=300)]):
        assert left.chunks == right.chunks


def test_a_full_disk_ends_the_snapshot_with_the_reason(tmp_path: Path) -> None:
    chain = grown()
    guard = SpaceGuard(tmp_path, 10**6, lambda _path: 0)
    writer = SnapshotWriter(chain.kv, chain.executor.header, tmp_path, guard, limit=LIMIT)
    with pytest.raises(DiskFull):
        writer.work(10**9)


def test_a_state_that_is_not_its_headers_is_never_named_a_snapshot(tmp_path: Path) -> None:
    chain = grown()
    header = chain.executor.header
    chain.block(chain.tx("pay", "bank", "somebody else", 5))
    writer = SnapshotWriter(chain.kv, header, tmp_path, SpaceGuard(tmp_path, 1), limit=LIMIT)
    with pytest.raises(InvariantViolation, match="don't give its state root"):
        writer.work(10**9)
    assert not (tmp_path / "manifest").exists()


def test_a_chunk_is_refused_for_anything_but_its_own_leaves(tmp_path: Path) -> None:
    chain = grown()
    manifest = write(chain, tmp_path)
    ref, other = manifest.chunks[3], manifest.chunks[4]
    data = (tmp_path / ref.name).read_bytes()
    leaves = decode(data, Chunk).leaves
    key, record = leaves[0]
    wrong = {
        "another subtree": encode(Chunk(((key, record[:-1] + bytes([record[-1] ^ 1])), *leaves[1:]))),
        "belong under its path": (tmp_path / other.name).read_bytes(),
        "in order": encode(Chunk(leaves + leaves)),
        "is empty": encode(Chunk(())),
        "not a valid Chunk": data[:-1],
        "refused unread": bytes(9 * 1024 * 1024),
    }
    for why, bad in wrong.items():
        with pytest.raises(InvalidBlock, match=why):
            check_chunk(ref, bad)
    if len(leaves) > 1:
        with pytest.raises(InvalidBlock):
            check_chunk(ref, encode(Chunk(leaves[1:])))


def test_a_manifest_must_part_the_whole_tree(tmp_path: Path) -> None:
    chain = grown()
    manifest = write(chain, tmp_path)
    chunks = manifest.chunks
    root = chain.executor.status().state_root
    assert top_nodes(chunks[1:])[0] != root
    assert top_nodes(())[0] == EMPTY_ROOT
    one = chunks[0]
    for bad in (chunks[::-1], (*chunks, one), (one, ChunkRef(one.path + b"0", leaf=False, hash=one.hash)), (ChunkRef(b"xy", leaf=False, hash=one.hash),)):
        with pytest.raises(InvalidBlock):
            top_nodes(bad)


def test_a_single_leaf_state_has_a_root_node() -> None:
    leaf = place(b"key", bytes(16) + b"value")
    ref, nodes, single = subtree(b"", [leaf])
    assert single is None
    assert top_nodes((ref,)) == (ref.hash, {})
    assert list(nodes) == [b""]
    assert check_chunk(ref, encode_chunk([leaf]))[0] == [leaf]


def test_who_certified_decides(tmp_path: Path) -> None:
    chain = grown()
    manifest = encode(write(chain, tmp_path))
    block = chain.block()
    tip = encode(write(chain, tmp_path / "tip"))
    good = certified(chain.genesis.chain_id, block)
    verified = verify_snapshot(make_proof(tip, good, ()), chain.genesis)
    assert verified.header == block.header
    header, chunks = verified.header, verified.manifest.chunks
    cases = {
        "certificate of another header": make_proof(manifest, good, ()),
        "a quorum of 4 validators is 3": make_proof(tip, type(good)(good.epoch, good.height, good.header_hash, good.votes[:2]), ()),
        "don't give the certified state root": make_proof(encode(Manifest(1, header.encoded, chunks[1:])), good, ()),
        "version 2 is unknown": make_proof(encode(Manifest(2, header.encoded, chunks)), good, ()),
        "not a valid Manifest": make_proof(b"junk", good, ()),
    }
    for why, proof in cases.items():
        with pytest.raises(InvalidBlock, match=why):
            verify_snapshot(proof, chain.genesis)
    with pytest.raises(InvalidBlock, match="another chain"):
        verify_snapshot(make_proof(tip, good, ()), Chain(genesis=type(chain.genesis)(
            network="other", time_ms=1, validators=chain.genesis.validators.validators, ca_roots=(), contracts=())).genesis)


def test_validators_that_changed_since_genesis_certify_only_with_the_change(tmp_path: Path) -> None:
    chain = grown()
    raw = write(chain, tmp_path)
    chain_id = chain.genesis.chain_id
    old, keys = chain.genesis.validators, [KeySigner(bytes([number + 50]) * 32) for number in range(4)]
    new = ValidatorSet(tuple(Validator(f"n{number}", "super", key.public_key, bytes([number]) * 32) for number, key in enumerate(keys)), "pbft")
    announcing = msgspec.structs.replace(chain.executor.header, height=2, next_validators_hash=new.hash)
    votes = tuple((index, sign_checkpoint(KeySigner(bytes([index + 1]) * 32), chain_id, 0, 2, announcing.hash)) for index in range(3))
    change = ValidatorChange(announcing.encoded, Certificate(0, 2, announcing.hash, votes), new.validators)
    header = msgspec.structs.replace(chain.executor.header, epoch=1, validators_hash=new.hash, next_validators_hash=new.hash)
    votes = tuple((index, sign_checkpoint(keys[index], chain_id, 1, header.height, header.hash)) for index in range(3))
    certificate = Certificate(1, header.height, header.hash, votes)
    manifest = encode(Manifest(1, header.encoded, raw.chunks))
    proof = decode(encode(make_proof(manifest, certificate, (change,))), SnapshotProof)
    verified = verify_snapshot(proof, chain.genesis)
    assert verified.changes == (change,)
    assert verified.validators.hash == new.hash != old.hash
    with pytest.raises(InvalidBlock, match="another validator set"):
        verify_snapshot(make_proof(manifest, certificate, ()), chain.genesis)
    forged = ValidatorChange(change.header, change.certificate, old.validators)
    with pytest.raises(InvalidBlock, match="announces another validator set"):
        verify_snapshot(make_proof(manifest, certificate, (forged,)), chain.genesis)


def test_directories_are_complete_or_not_there_and_only_two_stay(tmp_path: Path) -> None:
    directory = SnapshotDirectory(tmp_path / "snapshots")
    directory.prepare()
    for height in (10, 20, 30):
        path = directory.begin(height)
        (path / "manifest").write_bytes(b"m%d" % height)
        assert height not in directory.heights()
        directory.finish(height, b"proof")
    assert directory.heights() == [20, 30]
    assert directory.read(30, "manifest") == b"m30"
    assert directory.size_bytes(30) == 8
    torn = directory.begin(40)
    (torn / "manifest").write_bytes(b"half")
    again = SnapshotDirectory(tmp_path / "snapshots")
    again.prepare()
    assert again.heights() == [20, 30]
    assert sorted(path.name for path in again.path.iterdir()) == [f"{20:016d}", f"{30:016d}"]


def test_an_empty_database_has_no_leaves_to_cut(tmp_path: Path) -> None:
    chain = Chain()
    header = chain.executor.header
    writer = SnapshotWriter(MemoryKV(), header, tmp_path, SpaceGuard(tmp_path, 1))
    with pytest.raises(InvariantViolation):
        writer.work(10**9)
