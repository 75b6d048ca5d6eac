"""What a node writes beside its databases: logs, arrivals, changes of the validator set, its directory."""

import io
import json
from pathlib import Path

import pytest

from carbonnode.chain.codec import decode
from carbonnode.chain.header import Header
from carbonnode.chain.signing import KeySigner
from carbonnode.errors import ConfigError, StorageError
from carbonnode.identity import NodeRequest, Strength, create_authority, create_node_keys
from carbonnode.node.arrivals import KEPT, RECORD_BYTES, ArrivalLog, read_arrivals
from carbonnode.node.changes import ChangeFile
from carbonnode.node.config import NodeConfig, NodeSection
from carbonnode.node.directory import NodeDirectory
from carbonnode.node.logs import LogFile, make_logger
from tests.unit.node.chain_kit import Chain, make_genesis


def test_every_log_line_is_one_json_object_with_bytes_as_hex(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "logs" / "node.log")
    log = make_logger(file, "info", node="n")
    log.info("one", key=b"\xab\xcd", number=3, text="line\nbreak")
    log.debug("below the level")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("two")
    file.close()
    first, second = [json.loads(line) for line in (tmp_path / "logs" / "node.log").read_text().splitlines()]
    assert (first["event"], first["level"], first["node"], first["key"], first["number"], first["text"]) == ("one", "info", "n", "abcd", 3, "line\nbreak")
    assert first["time"].endswith("Z")
    assert "ValueError: why" in second["exception"]


def test_a_log_starts_anew_and_keeps_some_old_files(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "node.log", max_bytes=100)
    for number in range(60):
        file.msg(f"line {number:04d} " + "x" * 40)
    file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node.log", *(f"node.log.{number}" for number in range(1, 6))]
    assert "line 0059" in (tmp_path / "node.log.1").read_text() + (tmp_path / "node.log").read_text()


def test_a_full_disk_costs_lines_and_the_next_one_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log = LogFile(path)
    log.msg('{"event":"one"}')
    good = log._file
    with Path("/dev/full").open("ab", buffering=0) as full:
        log._file = full
        log.msg('{"event":"two"}')
        log.msg('{"event":"three"}')
    log._file = good
    log.msg('{"event":"four"}')
    log.close()
    assert [json.loads(line).get("lines", json.loads(line)["event"]) for line in path.read_text().splitlines()] == ["one", 2, "four"]


class FullFile(io.FileIO):
    """/dev/full that can be cut back, as a file on a full disk can."""

    def __init__(self) -> None:
        super().__init__("/dev/full", "ab")

    def truncate(self, size: int | None = None) -> int:
        return size or 0


def test_a_full_disk_costs_arrivals_and_the_rest_stays_aligned(tmp_path: Path) -> None:
    log = ArrivalLog(tmp_path)
    log.note(1, [b"a" * 32])
    good = log._file
    log._file = FullFile()
    log.note(2, [b"b" * 32, b"c" * 32])
    log._file.close()
    log._file = good
    log.note(3, [b"d" * 32])
    log.close()
    assert log.lost == 2
    assert list(read_arrivals(tmp_path)) == [(1, b"a" * 32), (3, b"d" * 32)]


def test_arrivals_are_read_back_in_order_over_files_restarts_and_torn_ends(tmp_path: Path) -> None:
    ids = [bytes([number]) * 32 for number in range(100)]
    log = ArrivalLog(tmp_path, file_bytes=10 * RECORD_BYTES)
    for start in range(0, 50, 5):
        log.note(start, ids[start : start + 5])
    log.close()
    with (tmp_path / "arrivals.log").open("ab") as file:
        file.write(b"torn")
    log = ArrivalLog(tmp_path, file_bytes=10 * RECORD_BYTES)
    log.note(99, ids[50:55])
    log.close()
    assert [tx_id for _, tx_id in read_arrivals(tmp_path)] == ids[:55]
    log = ArrivalLog(tmp_path, file_bytes=RECORD_BYTES)
    for number in range(20):
        log.note(number, [ids[number]])
    log.close()
    assert len(list(tmp_path.glob("arrivals.*.log"))) == KEPT


def test_changes_of_validators_are_kept_and_damage_is_named(tmp_path: Path) -> None:
    chain = Chain()
    chain.grow(chain.note())
    file = ChangeFile(tmp_path)
    file.complete(chain.blocks, chain.genesis.validators)
    assert file.changes == ()
    validators = chain.genesis.validators.validators[:3]
    file.add(chain.blocks.block(1), validators)
    file.add(chain.blocks.block(1), validators)
    again = ChangeFile(tmp_path)
    assert [decode(change.header, Header).height for change in again.changes] == [1]
    assert again.announced_at(1) == validators
    assert again.announced_at(2) == ()
    assert again.height == 1
    (tmp_path / "validator-changes.json").write_text("{")
    with pytest.raises(StorageError, match=r"validator-changes\.json is damaged"):
        ChangeFile(tmp_path)


def made(path: Path) -> NodeDirectory:
    create_node_keys(path / "keys", "secret", strength=Strength.THROW_AWAY)
    genesis = make_genesis()
    authority = create_authority("CA", 0, 10**13)
    request = NodeRequest(
        name="super-1", organisation="X", role="super", domain="super-1.carbonnode.example", transport_key=KeySigner(b"t" * 32).public_key,
        chain_id=genesis.chain_id, not_before_ms=0, not_after_ms=10**12,
    )
    directory = NodeDirectory(path)
    directory.create(NodeConfig(node=NodeSection(name="super-1", role="super")), genesis.to_json(), authority.issue(request))
    return directory


def test_a_directory_is_made_once_and_read_back(tmp_path: Path) -> None:
    directory = made(tmp_path / "node")
    assert directory.config().node.name == "super-1"
    assert directory.genesis().chain_id == make_genesis().chain_id
    with directory.open_data(directory.genesis()), pytest.raises(StorageError, match="in use by another process"):
        directory.open_data(directory.genesis())
    with pytest.raises(ConfigError, match="holds a node already"):
        directory.create(directory.config(), directory.genesis_bytes(), b"")
    (tmp_path / "passphrase").write_text("secret\n")
    keys = directory.keys(directory.config(), {"CARBONNODE_PASSPHRASE_FILE": str(tmp_path / "passphrase")})
    assert keys.consensus.public_key != keys.transport.public_key


def test_what_is_missing_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(tmp_path / "node")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(ConfigError, match=r"keys\.passphrase_file"):
        directory.keys(directory.config(), {})
    directory.genesis_path.unlink()
    with pytest.raises(ConfigError, match=r"genesis\.json is missing"):
        directory.genesis()
