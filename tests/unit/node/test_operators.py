"""What operators do with a stopped node's stores: snapshot, backup, restore, rollback; each verified, each refused while the node runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import Genesis
from carbonnode.cli.main import run
from carbonnode.errors import StorageError
from carbonnode.identity import KeyStore, Strength, create_node_keys
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.node.backup import INDEX, check_backup
from carbonnode.node.changes import ChangeFile
from carbonnode.node.config import NodeConfig, NodeSection
from carbonnode.node.directory import VOTED, NodeDirectory
from carbonnode.node.snapshot_install import INTENT, Installation, Intent, recover
from carbonnode.node.snapshot_machine import BlockIds
from carbonnode.node.snapshot_store import FetchedSnapshot
from carbonnode.node.startup import align_stores
from carbonnode.node.store_check import check_store
from carbonnode.storage import leveldb
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.datadir import DataDirectory
from carbonnode.storage.journal import VoteJournal
from carbonnode.storage.journal_format import Record
from carbonnode.storage.leveldb import LevelKV
from tests.unit.ledger.toy import Chain, genesis
from tests.unit.node.chain_kit import LocalExecutor
from tests.unit.node.test_store_check import stored

BLOCKS = 30
UNDO = 8
SECRET = "operators test"  # noqa: S105 - throw-away keys


def small() -> Genesis:
    return genesis(undo_blocks=UNDO, validity_blocks=500)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = NodeDirectory(tmp_path_factory.mktemp("template") / "node")
    create_node_keys(directory.keys_path, SECRET, strength=Strength.THROW_AWAY)
    directory.create(NodeConfig(node=NodeSection(name="v0", role="super")), small().to_json(), b"certificate")
    grow(directory.data_path, BLOCKS)
    return directory.path


@pytest.fixture
def node(template: Path, tmp_path: Path) -> NodeDirectory:
    """A validator's directory after `BLOCKS` blocks, stopped."""
    shutil.copytree(template, tmp_path / "node")
    return NodeDirectory(tmp_path / "node")


def grow(path: Path, blocks: int) -> None:
    chain_id = small().chain_id
    with DataDirectory.open(path, chain_id) as data, LevelKV.open(data.state) as state, LevelKV.open(data.blocks) as kv:
        chain, store = Chain(genesis=small(), kv=state), BlockStore(kv)
        if store.height < 0:
            zero = chain.executor.genesis_block()
            store.put(*stored(chain_id, zero, Batch(zero.header.time_ms, ()), []))
        chain.sent = store.height * 10
        while store.height < blocks:
            block = chain.block(*[chain.tx("pay", "bank", f"a{store.height}-{index}", 1) for index in range(3)])
            store.put(*stored(chain_id, block, *chain.blocks[-1]))
        with VoteJournal.open(data.journal) as journal:
            journal.append([Record(store.height, b"\x93vote")])


def command(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, Any]:
    status = run([str(part) for part in argv] + ["--json"])
    return status, json.loads(capsys.readouterr().out)


def standing(path: Path) -> tuple[int, int, str]:
    """Heights of blocks and state, and the state's root."""
    with LevelKV.open(path / "blocks") as kv, LevelKV.open(path / "state") as state:
        status = BlockExecutor(state, small()).status()
        return BlockStore(kv).height, status.height, status.state_root.hex()


def test_snapshots_are_made_listed_and_verified(node: NodeDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, "snapshot", "list", "--dir", node.path) == (0, {"snapshots": []})
    status, made = command(capsys, "snapshot", "create", "--dir", node.path)
    assert (status, made["height"], made["chunks"]) == (0, BLOCKS, 1)
    assert command(capsys, "snapshot", "list", "--dir", node.path)[1] == {"snapshots": [made]}
    status, verdict = command(capsys, "snapshot", "verify", "--dir", node.path)
    assert (status, verdict["ok"], verdict["snapshots"][0]["faults"]) == (0, True, [])
    chunk = next((node.data_path / "state" / "snapshots").glob("*/*.chunk"))
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 1
    chunk.write_bytes(data)
    status, verdict = command(capsys, "snapshot", "verify", "--dir", node.path, "--height", BLOCKS)
    assert (status, verdict["ok"]) == (1, False)
    assert "another subtree" in verdict["snapshots"][0]["faults"][0]
    status, refused = command(capsys, "snapshot", "verify", "--dir", node.path, "--height", 7)
    assert (status, refused["error"]["code"]) == (1, "missing")


def test_everything_that_writes_is_refused_while_the_node_runs(node: NodeDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with node.open_data(small()):
        for argv in (
            ("snapshot", "create", "--dir", node.path),
            ("backup", "--dir", node.path, "--to", tmp_path / "backup"),
            ("rollback", "--dir", node.path, "--to-height", 20),
        ):
            status, refused = command(capsys, *argv)
            assert (status, refused["error"]["code"]) == (1, "locked"), argv
        assert command(capsys, "snapshot", "list", "--dir", node.path)[0] == 0
    assert standing(node.data_path)[:2] == (BLOCKS, BLOCKS)
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize(("height", "by"), [(BLOCKS - 3, "undo"), (BLOCKS - UNDO, "undo"), (12, "genesis"), (0, "genesis")])
def test_rollback_leads_to_the_certified_state_and_the_chain_grows_on(
    node: NodeDirectory, capsys: pytest.CaptureFixture[str], height: int, by: str
) -> None:
    with LevelKV.open(node.data_path / "blocks") as kv:
        expected = BlockStore(kv).header(height).state_root.hex()
    status, report = command(capsys, "rollback", "--dir", node.path, "--to-height", height)
    assert status == 0, report
    assert (report["by"], report["height_before"], report["height"], report["state_root"]) == (by, BLOCKS, height, expected)
    assert standing(node.data_path) == (height, height, expected)
    assert check_store(node.data_path, small()).ok
    assert (node.data_path / report["journal"]).is_dir()
    with VoteJournal.open(node.data_path / "journal") as journal:
        assert journal.records() == ()
    grow(node.data_path, BLOCKS)
    assert check_store(node.data_path, small()).ok


def test_rollback_takes_the_nearest_snapshot_below(node: NodeDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, "snapshot", "create", "--dir", node.path)[0] == 0
    grow(node.data_path, BLOCKS + 20)
    status, report = command(capsys, "rollback", "--dir", node.path, "--to-height", BLOCKS + 5)
    assert (status, report["by"], report["replayed"]) == (0, "snapshot", 5)
    assert check_store(node.data_path, small()).ok
    assert [item["height"] for item in command(capsys, "snapshot", "list", "--dir", node.path)[1]["snapshots"]] == [BLOCKS]
    # What ran in the window before the snapshot still runs no second time.
    with LevelKV.open(node.data_path / "state") as state, LevelKV.open(node.data_path / "blocks") as kv:
        old = BlockStore(kv).block(BLOCKS - 2).transactions[0]
        executor = BlockExecutor(state, small())
        chain = Chain(genesis=small())
        assert executor.execute(BLOCKS + 6, chain.batch([old]), [old]).kept == ()


@pytest.mark.parametrize("damage", ["leaf", "manifest"])
def test_a_damaged_state_goes_back_to_the_last_verified_snapshot(node: NodeDirectory, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    assert command(capsys, "snapshot", "create", "--dir", node.path)[0] == 0
    grow(node.data_path, BLOCKS + 4)
    before = standing(node.data_path)
    if damage == "leaf":
        with LevelKV.open(node.data_path / "state") as kv:
            key, value = next((key, value) for key, value in kv.iterate(start=b"v") if b"a3-1" in key)
            kv.write([(key, value[:-1] + bytes([value[-1] ^ 1]))])
    else:
        next(path for path in (node.data_path / "state").iterdir() if path.name.startswith("MANIFEST")).unlink()
    assert not check_store(node.data_path, small()).ok
    status, report = command(capsys, "rollback", "--dir", node.path, "--to-height", BLOCKS + 4)
    assert (status, report["by"], report["replayed"]) == (0, "snapshot", 4)
    assert standing(node.data_path) == before
    assert check_store(node.data_path, small()).ok


def test_a_snapshot_that_does_not_verify_is_passed_over(node: NodeDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, "snapshot", "create", "--dir", node.path)[0] == 0
    chunk = next((node.data_path / "state" / "snapshots").glob("*/*.chunk"))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    grow(node.data_path, BLOCKS + 20)
    status, report = command(capsys, "rollback", "--dir", node.path, "--to-height", BLOCKS + 5)
    assert (status, report["by"]) == (0, "genesis")
    assert check_store(node.data_path, small()).ok


def test_rollback_to_a_height_that_is_not_there_is_refused(node: NodeDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    for height in (BLOCKS, BLOCKS + 1):
        status, refused = command(capsys, "rollback", "--dir", node.path, "--to-height", height)
        assert (status, refused["error"]["code"]) == (1, "config")
    assert standing(node.data_path)[:2] == (BLOCKS, BLOCKS)


def test_a_backup_comes_back_whole_without_votes(node: NodeDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "backup"
    status, index = command(capsys, "backup", "--dir", node.path, "--to", saved, "--keys")
    assert (status, index["height"], index["keys"]) == (0, BLOCKS, True)
    other = NodeDirectory(tmp_path / "other")
    status, report = command(capsys, "restore", "--dir", other.path, "--from", saved)
    assert (status, report["height"], report["verified"]["ok"]) == (0, BLOCKS, True)
    assert standing(other.data_path) == standing(node.data_path)
    assert other.config() == node.config()
    assert other.genesis_bytes() == node.genesis_bytes()
    assert [key.name for key in KeyStore(other.keys_path).list_keys()] == ["consensus", "transport"]
    assert KeyStore(other.keys_path).unlock("consensus", SECRET).public_key == KeyStore(node.keys_path).show("consensus").public_key
    assert (other.keys_path / VOTED).exists()
    with VoteJournal.open(other.data_path / "journal") as journal:
        assert journal.records() == ()
    assert SECRET.encode() not in (saved / "keys.json").read_bytes()
    # Nothing is overwritten: neither data, nor a backup.
    assert command(capsys, "restore", "--dir", other.path, "--from", saved)[1]["error"]["code"] == "config"
    assert command(capsys, "backup", "--dir", node.path, "--to", saved)[1]["error"]["code"] == "config"


def test_a_sealed_backup_opens_with_its_passphrase_only(
    node: NodeDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, wrong, saved = tmp_path / "secret", tmp_path / "wrong", tmp_path / "backup"
    secret.write_text("of this backup\n")
    wrong.write_text("of another one\n")
    monkeypatch.setenv("CARBONNODE_PASSPHRASE_FILE", str(secret))
    status, index = command(capsys, "backup", "--dir", node.path, "--to", saved, "--keys", "--encrypt")
    assert status == 0
    assert index["seal"]["operations"] >= 2
    content = b"".join(path.read_bytes() for path in saved.iterdir())
    with LevelKV.open(node.data_path / "blocks") as kv:
        assert BlockStore(kv).block(5).transactions[0] not in content
    assert b"BEGIN CERTIFICATE" not in content
    monkeypatch.setenv("CARBONNODE_PASSPHRASE_FILE", str(wrong))
    status, refused = command(capsys, "restore", "--dir", tmp_path / "other", "--from", saved)
    assert (status, refused["error"]["code"]) == (1, "keystore")
    assert not (tmp_path / "other" / "data").exists()
    monkeypatch.setenv("CARBONNODE_PASSPHRASE_FILE", str(secret))
    status, report = command(capsys, "restore", "--dir", tmp_path / "other", "--from", saved)
    assert (status, report["verified"]["ok"]) == (0, True)
    assert standing(tmp_path / "other" / "data") == standing(node.data_path)
    # A file under another's name isn't taken for it, even with hashes that hold.
    doctored = json.loads((saved / INDEX).read_bytes())
    (saved / "state.kv").write_bytes((saved / "blocks.kv").read_bytes())
    doctored["files"]["state.kv"] = doctored["files"]["blocks.kv"]
    (saved / INDEX).write_text(json.dumps(doctored))
    assert command(capsys, "restore", "--dir", tmp_path / "third", "--from", saved)[1]["error"]["code"] == "keystore"


def test_a_backup_without_keys_restores_the_data_of_the_same_node_only(node: NodeDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "backup"
    assert command(capsys, "backup", "--dir", node.path, "--to", saved)[0] == 0
    assert not (saved / "keys.json").exists()
    node.data_path.rename(tmp_path / "lost")
    assert command(capsys, "restore", "--dir", node.path, "--from", saved)[0] == 0
    assert standing(node.data_path)[:2] == (BLOCKS, BLOCKS)
    stranger = NodeDirectory(tmp_path / "stranger")
    create_node_keys(stranger.keys_path, SECRET, strength=Strength.THROW_AWAY)
    stranger.create(NodeConfig(node=NodeSection(name="v1", role="super")), small().to_json(), b"certificate")
    stranger.data_path.rename(tmp_path / "moved")
    status, refused = command(capsys, "restore", "--dir", stranger.path, "--from", saved)
    assert (status, refused["error"]["code"]) == (1, "config")
    assert not stranger.data_path.exists()


@pytest.mark.parametrize("name", ["blocks.kv", "state.kv", "genesis.json", "config.toml", INDEX])
def test_a_damaged_backup_is_refused_before_anything_is_made(node: NodeDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    saved = tmp_path / "backup"
    assert command(capsys, "backup", "--dir", node.path, "--to", saved)[0] == 0
    data = bytearray((saved / name).read_bytes())
    data[len(data) // 2] ^= 0x20
    (saved / name).write_bytes(data)
    status, refused = command(capsys, "restore", "--dir", tmp_path / "other", "--from", saved)
    assert status == 1
    assert refused["error"]["code"] in ("corrupt", "format")
    assert not (tmp_path / "other" / "data").exists()


def test_an_unfinished_backup_is_known_for_one(node: NodeDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "backup"
    assert command(capsys, "backup", "--dir", node.path, "--to", saved)[0] == 0
    (saved / INDEX).unlink()
    with pytest.raises(StorageError, match="unfinished"):
        check_backup(saved)


def test_a_backup_whose_state_was_changed_is_refused_though_its_hashes_hold(node: NodeDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LevelKV.open(node.data_path / "state") as kv:
        key, value = next((key, value) for key, value in kv.iterate(start=b"v") if b"a3-1" in key)
        kv.write([(key, value[:-1] + bytes([value[-1] ^ 1]))])
    saved = tmp_path / "backup"
    assert command(capsys, "backup", "--dir", node.path, "--to", saved)[0] == 0
    status, refused = command(capsys, "restore", "--dir", tmp_path / "other", "--from", saved)
    assert (status, refused["error"]["code"]) == (1, "corrupt")
    assert "don't give its root" in refused["error"]["message"]
    assert not (tmp_path / "other" / "data").exists()


def fetched(node: NodeDirectory, target: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Installation, FetchedSnapshot]:
    """The node's snapshot as another directory would have fetched it, with the state made of it."""
    assert command(capsys, "snapshot", "create", "--dir", node.path)[0] == 0
    DataDirectory.create(target, small().chain_id)
    installation = Installation(target, small())
    source = node.data_path / "state" / "snapshots" / f"{BLOCKS:016d}"
    found = FetchedSnapshot.begin(installation.incoming, BLOCKS, b"d" * 32, (source / "proof").read_bytes())
    snapshot = found.verified(small())
    for ref in snapshot.manifest.chunks:
        found.keep(ref.name, (source / ref.name).read_bytes())
    with LevelKV.open(node.data_path / "blocks") as kv:
        blocks = BlockStore(kv)
        ids = blocks.ids_between(1, BLOCKS)
        found.keep_ids(BlockIds(1, blocks.header_hash(0), tuple(tuple(ids[height]) for height in range(1, BLOCKS + 1))))
    from carbonnode.node.snapshot_build import build

    build(small(), found.path, installation.new_state)
    return installation, found


@pytest.mark.asyncio
@pytest.mark.parametrize("interrupted", ["decided", "swapped", "followed", "half swapped"])
async def test_an_install_that_was_interrupted_is_finished_at_the_next_start(
    node: NodeDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str], interrupted: str
) -> None:
    target = tmp_path / "target"
    installation, found = fetched(node, target, capsys)
    installation.decide(Intent(BLOCKS, found.path.name))
    if interrupted == "half swapped":
        (target / "state").rename(target / "state.old")
    if interrupted in ("swapped", "followed"):
        installation.swap_state()
    if interrupted == "followed":
        with LevelKV.open(target / "blocks") as kv:
            installation.follow(BlockStore(kv), ChangeFile(target))
    assert recover(target, small()) == Intent(BLOCKS, found.path.name)
    assert recover(target, small()) is None
    assert not (target / INTENT).exists()
    assert sorted(path.name for path in target.iterdir() if path.name.startswith(("state", "incoming"))) == ["state"]
    assert check_store(target, small()).ok
    with LevelKV.open(target / "blocks") as kv, LevelKV.open(target / "state") as state:
        blocks = BlockStore(kv)
        assert (blocks.base, blocks.first, blocks.height) == (BLOCKS, BLOCKS + 1, BLOCKS)
        executor = LocalExecutor(small())
        executor.ledger = BlockExecutor(state, small())
        assert await align_stores(blocks, executor) == 0
        with pytest.raises(StorageError, match="began from the snapshot"):
            blocks.block(BLOCKS)
        with LevelKV.open(node.data_path / "blocks") as full:
            old = BlockStore(full).block(4).transactions
            place = blocks.transaction(next(iter(BlockStore(full).ids_between(4, 4)[4])))
        assert place is not None
        assert place.height == 4
        assert executor.ledger.execute(BLOCKS + 1, Chain(genesis=small()).batch(old), old).kept == ()


def test_what_was_never_decided_is_cleared_away_but_the_chunks(node: NodeDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installation, found = fetched(node, tmp_path / "target", capsys)
    assert recover(tmp_path / "target", small()) is None
    assert not installation.new_state.exists()
    assert found.missing(found.verified(small())) == []


def test_a_store_that_began_at_a_snapshot_and_lost_its_state_is_emptied_for_another(
    node: NodeDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    installation, found = fetched(node, target, capsys)
    installation.decide(Intent(BLOCKS, found.path.name))
    recover(target, small())
    with LevelKV.open(target / "state") as kv:
        key, value = next(iter(kv.iterate(start=b"v")))
        kv.write([(key, value + b"x")])
    report = check_store(target, small(), repair=True)
    assert any("peers will give a snapshot" in text for text in report.repairs)
    with LevelKV.open(target / "blocks") as kv:
        assert (BlockStore(kv).height, BlockStore(kv).base) == (-1, 0)
    assert check_store(target, small()).ok


def test_a_damaged_decision_stops_the_node_with_the_remedy(tmp_path: Path) -> None:
    DataDirectory.create(tmp_path, small().chain_id)
    (tmp_path / INTENT).write_bytes(b"{")
    with pytest.raises(StorageError, match="restore a backup"):
        recover(tmp_path, small())


def test_the_changes_of_validators_follow_a_rollback(tmp_path: Path) -> None:
    changes = ChangeFile(tmp_path)
    changes.replace(())
    changes.cut_above(3)
    assert msgspec.json.decode((tmp_path / "validator-changes.json").read_bytes()) == []
    leveldb.create(tmp_path / "blocks")
    with LevelKV.open(tmp_path / "blocks") as kv:
        BlockStore.cut(kv, -1)
